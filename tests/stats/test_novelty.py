"""Whether an effect fades or grows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import (
    CohortDay,
    EffectCourse,
    Moments,
    NotEnoughDataError,
    ParameterError,
    effect_trend,
    novelty,
)

DAYS = [1.0, 2.0, 3.0, 4.0, 5.0]


@settings(derandomize=True, max_examples=40)
@given(
    st.lists(st.floats(-1, 1), min_size=5, max_size=5),
    st.lists(st.floats(0.05, 2), min_size=5, max_size=5),
    st.floats(-2, 2),
    st.floats(0.1, 10),
)
def test_a_trend_is_that_of_matrix_algebra_and_follows_the_unit(
    effects: list, ses: list, added: float, factor: float
) -> None:
    trend = effect_trend(DAYS, effects, ses)
    x = np.stack([np.ones(5), DAYS], axis=1)
    inverse = np.linalg.inv(x.T @ (x / np.square(ses)[:, None]))
    intercept, slope = inverse @ x.T @ (np.array(effects) / np.square(ses))
    assert (trend.intercept, trend.slope) == pytest.approx((intercept, slope), abs=1e-9)
    assert trend.slope_se == pytest.approx(math.sqrt(inverse[1, 1]))
    tilted = effect_trend(DAYS, [e + added * d for e, d in zip(effects, DAYS, strict=True)], ses)
    assert tilted.slope == pytest.approx(trend.slope + added, abs=1e-9)
    scaled = effect_trend(DAYS, [factor * e for e in effects], [factor * s for s in ses])
    assert scaled.z == pytest.approx(trend.z, abs=1e-9)


@pytest.mark.parametrize(
    ("effects", "course"),
    [
        ([5, 4, 3, 2, 1], EffectCourse.FADING),
        ([-5, -4, -3, -2, -1], EffectCourse.FADING),
        ([1, 2, 3, 4, 5], EffectCourse.GROWING),
        ([-1, -2, -3, -4, -5], EffectCourse.GROWING),
        ([3, 3.1, 2.9, 3, 3.05], EffectCourse.STEADY),
        ([2, 1, 0, -1, -2], EffectCourse.FADING),
    ],
)
def test_a_course_is_named_for_what_the_effect_does_whatever_its_sign(
    effects: list, course: EffectCourse
) -> None:
    assert effect_trend(DAYS, effects, [0.2] * 5).course() is course


def test_a_badge_needs_a_p_value_below_one_per_cent() -> None:
    # One unit of slope has the standard error sqrt(1 / 10).
    slope = 2.5758 * math.sqrt(0.1)
    for factor, course in ((0.999, EffectCourse.STEADY), (1.001, EffectCourse.GROWING)):
        trend = effect_trend(DAYS, [1 + factor * slope * day for day in DAYS], [1.0] * 5)
        assert trend.course() is course
    assert trend.course(alpha=0.001) is EffectCourse.STEADY


def test_a_cohort_seen_twice_is_refused_for_its_days_share_units() -> None:
    sums = Moments(100, 500, 2600)
    cells = [CohortDay("first week", day, sums, sums) for day in (1, 2)]
    with pytest.raises(ParameterError, match="share units"):
        novelty(cells)


def test_cohorts_without_two_units_are_refused() -> None:
    enough, one = Moments(100, 500, 2600), Moments(1, 5, 25)
    with pytest.raises(NotEnoughDataError):
        novelty([CohortDay("a", 1, enough, one), CohortDay("b", 2, enough, enough)])


def test_the_false_badges_of_disjoint_cohorts_are_one_in_a_hundred() -> None:
    rng = np.random.default_rng(30)
    badges = 0
    for _ in range(300):
        cohorts = [
            CohortDay(
                f"day {day}",
                day,
                Moments.of(rng.normal(5, 1, 40).tolist()),
                Moments.of(rng.normal(5.2, 1, 40).tolist()),
            )
            for day in range(6)
        ]
        badges += novelty(cohorts).course() is not EffectCourse.STEADY
    assert badges / 300 <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 300)


@pytest.mark.parametrize(
    ("days", "effects", "ses"),
    [
        ([1, 2], [0.1], [1, 1]),
        ([], [], []),
        ([1], [0.1], [1]),
        ([2, 2], [0.1, 0.2], [1, 1]),
        ([1, 2], [0.1, math.nan], [1, 1]),
        ([1, math.inf], [0.1, 0.2], [1, 1]),
        ([1, 2], [0.1, 0.2], [1, 0]),
        ([1, 2], [0.1, 0.2], [1, -1]),
        ([1, 2], [0.1, 0.2], [1, math.inf]),
        ([1, 2], [0.1, 0.2], [1, 1e300]),
    ],
)
def test_impossible_trends_are_refused(days: list, effects: list, ses: list) -> None:
    with pytest.raises(ParameterError):
        effect_trend(days, effects, ses)


def test_a_badge_at_an_impossible_error_is_refused() -> None:
    with pytest.raises(ParameterError):
        effect_trend([1, 2], [1, 2], [1, 1]).course(alpha=0)
