"""Intervals and p-values over all scheduled looks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from stats import (
    ParameterError,
    Spending,
    SpendingError,
    SpendingFunction,
    SpendingShape,
    boundary,
    inverted_interval,
    repeated_interval,
    repeated_p_value,
    repeated_p_values,
)

SHIP = Spending(SpendingShape.OBRIEN_FLEMING, 0.025, 0.1)
HARM = Spending(SpendingShape.KIM_DEMETS, 0.025, 0.1, 0.5)
TIMES = [0.2, 0.4, 0.6, 0.8, 1.0, 1.3]
spendings = st.sampled_from([SHIP, HARM, Spending(SpendingShape.POCOCK, 0.1)])
paths = st.lists(st.floats(-4, 7), min_size=1, max_size=6)


def crossed(spending: SpendingFunction, path: list[float], alpha: float) -> bool:
    bounds = boundary(spending.with_alpha(alpha), TIMES[: len(path)]).bounds
    return any(z >= u for z, u in zip(path, bounds, strict=True))


@settings(max_examples=25, deadline=None)
@given(spendings, paths)
def test_a_p_value_is_the_smallest_alpha_that_is_crossed(
    spending: SpendingFunction, path: list[float]
) -> None:
    p = repeated_p_value(spending, TIMES[: len(path)], path)
    assert 0 < p <= 1
    assert (p <= spending.alpha) == crossed(spending, path, spending.alpha)
    if p < 1:
        assert crossed(spending, path, p)
    if 1e-15 < p < 1:
        assert not crossed(spending, path, p * (1 - 1e-6))


@settings(max_examples=15, deadline=None)
@given(spendings, paths)
def test_p_values_of_a_path_never_rise_and_end_at_the_last_one(
    spending: SpendingFunction, path: list[float]
) -> None:
    times = TIMES[: len(path)]
    values = repeated_p_values(spending, times, path)
    assert list(values) == sorted(values, reverse=True)
    for k, value in enumerate(values):
        last = repeated_p_value(spending, times[: k + 1], path[: k + 1])
        assert value == pytest.approx(last, rel=1e-7)


def test_at_one_look_with_all_alpha_it_is_the_fixed_p_value() -> None:
    whole = Spending(SpendingShape.KIM_DEMETS, 0.025, parameter=1.0)
    for z in (-2.0, 0.0, 1.0, 1.959963984540054, 3.0, 7.0):
        assert repeated_p_value(whole, [1.0], [z]) == pytest.approx(norm.sf(z), rel=1e-8)


def test_a_statistic_on_its_bound_has_the_p_value_alpha() -> None:
    for spending in (SHIP, HARM):
        bounds = boundary(spending, TIMES).bounds
        p = repeated_p_value(spending, TIMES, [0.0] * 5 + [bounds[-1]])
        assert p == pytest.approx(0.025, rel=1e-8)
        assert p <= 0.025


def test_the_harm_side_is_the_ship_side_of_the_mirror_image() -> None:
    path = [-1.0, -2.5, -2.9]
    p = repeated_p_value(HARM, TIMES[:3], [-z for z in path])
    assert p < 0.025
    assert repeated_p_value(HARM, TIMES[:3], path) > 0.9


def test_worthless_experiments_get_small_p_values_as_seldom_as_they_say() -> None:
    rng = np.random.default_rng(7)
    times = np.array(TIMES[:3])
    steps = rng.normal(size=(400, 3)) * np.sqrt(np.diff(times, prepend=0))
    z = steps.cumsum(axis=1) / np.sqrt(times)
    p = np.array([repeated_p_value(HARM, TIMES[:3], list(map(float, row))) for row in z])
    for alpha in (0.05, 0.2, 0.5):
        assert (p <= alpha).mean() <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / 400)
    assert (p <= 0.5).mean() >= 0.5 * 0.9 * math.sqrt(0.6) - 0.08


def test_p_values_beyond_reach_stay_numbers() -> None:
    assert repeated_p_value(HARM, TIMES, [40.0] * 6) == pytest.approx(1.2e-16, rel=0.1)
    assert repeated_p_value(HARM, TIMES, [-40.0] * 6) == 1.0


def test_correlations_of_the_clock_enter_the_p_value() -> None:
    tight = repeated_p_value(HARM, TIMES[:2], [0.0, 2.6], [0.0, 0.99])
    loose = repeated_p_value(HARM, TIMES[:2], [0.0, 2.6], [0.0, 0.1])
    assert tight < loose


def test_paths_that_are_none_are_refused() -> None:
    for times, path in (([], []), ([0.5], []), ([0.5], [math.nan]), ([0.5], [math.inf])):
        with pytest.raises(ParameterError):
            repeated_p_value(HARM, times, path)
        with pytest.raises(ParameterError):
            repeated_p_values(HARM, times, path)
    with pytest.raises(SpendingError):
        repeated_p_value(HARM, [0.5, 0.4], [1.0, 2.0])


@given(
    st.floats(-5, 5),
    st.floats(0.01, 3),
    st.floats(-1, 6),
    st.floats(-1, 6),
)
def test_an_interval_through_a_linear_statistic_is_the_closed_form(
    difference: float, error: float, upper: float, lower: float
) -> None:
    closed = repeated_interval(difference, error, upper, lower)
    found = inverted_interval(
        lambda effect: (difference - effect) / error, upper, lower, start=difference, step=error
    )
    assert found.low == pytest.approx(closed.low, abs=1e-9)
    assert found.high == pytest.approx(closed.high, abs=1e-9)


def test_an_interval_excludes_zero_exactly_when_a_bound_is_crossed() -> None:
    upper, lower = 3.099, 2.776
    for z in (-4.0, -2.777, -2.775, 0.0, 3.098, 3.1):
        interval = repeated_interval(0.2 * z, 0.2, upper, lower)
        assert (interval.low > 0) == (z > upper)
        assert (interval.high < 0) == (z < -lower)


def test_a_curved_statistic_gives_an_interval_that_it_holds() -> None:
    def score(effect: float) -> float:
        return 4 * (math.atan(1.0) - math.atan(effect))

    found = inverted_interval(score, 2.0, 1.5, start=1.0, step=0.1)
    assert score(found.low) == pytest.approx(2.0)
    assert score(found.high) == pytest.approx(-1.5)


def test_a_bound_that_cannot_be_reached_leaves_the_side_open_or_at_the_domains_end() -> None:
    assert repeated_interval(1.0, 0.5, math.inf, 2.0).low == -math.inf
    found = inverted_interval(
        lambda effect: -effect, math.inf, 9.0, start=0.0, step=0.1, domain=(-1.0, 1.0)
    )
    assert (found.low, found.high) == (-1.0, 1.0)
    bounded = inverted_interval(lambda effect: -math.tanh(effect), 2.0, 2.0, start=0.0, step=1.0)
    assert (bounded.low, bounded.high) == (-math.inf, math.inf)


def test_intervals_of_nothing_are_refused() -> None:
    for arguments in (
        (math.nan, 1.0, 2.0, 2.0),
        (0.0, 0.0, 2.0, 2.0),
        (0.0, 1.0, math.nan, 2.0),
        (0.0, 1.0, 2.0, math.nan),
    ):
        with pytest.raises(ParameterError):
            repeated_interval(*arguments)
    for start, step, upper in ((math.nan, 1.0, 2.0), (0.0, 0.0, 2.0), (0.0, 1.0, math.nan)):
        with pytest.raises(ParameterError):
            inverted_interval(lambda effect: -effect, upper, 2.0, start=start, step=step)
    with pytest.raises(ParameterError, match="NaN"):
        inverted_interval(lambda _: math.nan, 2.0, 2.0, start=0.0, step=1.0)
