"""Best-arm probabilities and the shares that follow from them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from stats import Moments, ParameterError, best_arm_arrays, next_allocation, thompson_allocation

laws = settings(max_examples=40, derandomize=True, deadline=None)
posteriors = st.lists(st.tuples(st.floats(-5, 5), st.floats(0.001, 10)), min_size=2, max_size=6)


@laws
@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(1e-3, 10), st.floats(1e-3, 10))
def test_two_arms_have_a_closed_form(m1: float, m2: float, s1: float, s2: float) -> None:
    first, second = best_arm_arrays([m1, m2], [s1, s2])
    assert first == pytest.approx(special.ndtr((m1 - m2) / math.hypot(s1, s2)), abs=1e-9)
    assert first + second == pytest.approx(1, abs=1e-14)


@laws
@given(posteriors, st.floats(-100, 100), st.floats(0.01, 1000))
def test_neither_the_unit_nor_the_order_matters(
    arms: list[tuple[float, float]], shift: float, scale: float
) -> None:
    m, s = np.array(arms).T
    best = best_arm_arrays(m, s)
    assert best_arm_arrays(shift + scale * m, scale * s) == pytest.approx(best, abs=1e-9)
    assert best_arm_arrays(m[::-1], s[::-1])[::-1] == pytest.approx(best, abs=1e-12)


@laws
@given(posteriors)
def test_an_arm_that_cannot_win_takes_nothing_from_the_others(
    arms: list[tuple[float, float]],
) -> None:
    m, s = np.array(arms).T
    more = best_arm_arrays([*m, -1000.0], [*s, 0.001])
    assert more[:-1] == pytest.approx(best_arm_arrays(m, s), abs=1e-9)
    assert more[-1] == pytest.approx(0, abs=1e-12)


def test_three_equal_arms_of_different_spread() -> None:
    """By 40-digit integration: of equal means, the least known arm is the likeliest best."""
    best = best_arm_arrays([0.0, 0.0, 0.0], [1.0, 1.0, 2.0])
    # P(third best) = P(N3 > max(N1, N2)), an orthant: 1/4 + asin(rho) / (2 pi), rho = 4 / 5.
    assert best[2] == pytest.approx(0.25 + math.asin(0.8) / (2 * math.pi), abs=1e-9)
    assert best[0] == best[1]


def test_arms_of_wildly_different_spread_and_many_arms_are_exact() -> None:
    assert best_arm_arrays([0.0, 0.0], [1e-9, 1e9]) == pytest.approx([0.5, 0.5], abs=1e-9)
    assert best_arm_arrays([3.0] * 15, [0.2] * 15) == pytest.approx([1 / 15] * 15, abs=1e-12)
    assert best_arm_arrays([0.0, 1e9], [1.0, 1.0]) == pytest.approx([0.0, 1.0], abs=1e-12)


def test_many_bandits_at_once_are_each_by_itself() -> None:
    rng = np.random.default_rng(2)
    m, s = rng.normal(size=(3, 4, 3)), rng.uniform(0.1, 2, size=(3, 4, 3))
    together = best_arm_arrays(m, s)
    assert together.shape == (3, 4, 3)
    assert together[1, 2] == pytest.approx(best_arm_arrays(m[1, 2], s[1, 2]), abs=1e-15)


def test_every_arm_keeps_its_floor_and_control_its_own() -> None:
    result = thompson_allocation([0.0, 0.0, 100.0], [1.0] * 3, floor=0.06, control_floor=0.3)
    assert result.shares == pytest.approx((0.3, 0.06, 0.64))
    assert sum(result.shares) == pytest.approx(1)
    assert min(thompson_allocation([0.0, 100.0], [1.0, 1.0]).shares) == pytest.approx(0.05)


def test_floors_that_fill_everything_make_an_even_split() -> None:
    result = thompson_allocation([0.0, 5.0], [1.0, 1.0], floor=0.5)
    assert result.shares == (0.5, 0.5)


def test_when_down_is_good_the_lowest_is_best() -> None:
    up, down = (thompson_allocation([1.0, 2.0], [1.0, 1.0], sign=sign) for sign in (1, -1))
    assert up.best_probabilities == pytest.approx(down.best_probabilities[::-1])
    assert down.shares[0] > 0.5


def test_shares_follow_the_sums_alone() -> None:
    days = [
        (Moments.of([1.0, 2.0, 3.0]), Moments.of([2.0, 4.0])),
        (Moments.of([0.0, 1.0]), Moments.of([3.0, 1.0, 2.0])),
    ]
    sums = [days[0][arm] + days[1][arm] for arm in (0, 1)]
    n, means = np.array([5, 5]), [sums[0].mean, sums[1].mean]
    pooled = math.sqrt((4 * sums[0].variance + 4 * sums[1].variance) / 8)
    expected = thompson_allocation(means, list(pooled / np.sqrt(n)))
    assert next_allocation(sums).shares == pytest.approx(expected.shares)


def test_an_arm_without_conversions_is_not_known_exactly() -> None:
    none, some = Moments.conversions(20, 0), Moments.conversions(20, 1)
    assert 0.05 < next_allocation([some, none]).best_probabilities[1] < 0.4


@pytest.mark.parametrize(
    "arms",
    [
        [Moments(), Moments()],
        [Moments.conversions(10, 5), Moments()],
        [Moments.conversions(1, 1), Moments.conversions(1, 0)],
        [Moments.conversions(10, 0), Moments.conversions(10, 0)],
    ],
)
def test_sums_that_say_nothing_make_an_even_split_and_say_so(arms: list[Moments]) -> None:
    result = next_allocation(arms)
    assert result.shares == (0.5, 0.5)
    assert not result.informed


@pytest.mark.parametrize(
    ("means", "sds"),
    [
        ([1.0], [1.0]),
        ([1.0, math.nan], [1.0, 1.0]),
        ([1.0, math.inf], [1.0, 1.0]),
        ([1.0, 2.0], [1.0, 0.0]),
        ([1.0, 2.0], [1.0, math.inf]),
    ],
)
def test_impossible_posteriors_are_refused(means: list[float], sds: list[float]) -> None:
    with pytest.raises(ParameterError):
        thompson_allocation(means, sds)
    with pytest.raises(ParameterError):
        best_arm_arrays(means, sds)


def test_impossible_floors_and_signs_are_refused() -> None:
    arms = [Moments.conversions(10, 5)] * 3
    for options in (
        {"floor": 0.04},
        {"floor": 0.4},
        {"floor": math.nan},
        {"control_floor": 0.01},
        {"control_floor": 0.95},
        {"control_floor": math.nan},
        {"sign": 0},
    ):
        with pytest.raises(ParameterError):
            next_allocation(arms, **options)
    with pytest.raises(ParameterError):
        next_allocation(arms[:1])
    with pytest.raises(ParameterError):
        best_arm_arrays(1.0, 1.0)
