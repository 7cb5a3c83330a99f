"""Spending error look by look."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import (
    ParameterError,
    Spending,
    SpendingError,
    SpendingShape,
    boundary,
    crossing_probabilities,
    obrien_fleming_bounds,
    pocock_bounds,
)
from stats.sequential.bounds import clear_cache

SHIP = Spending(SpendingShape.OBRIEN_FLEMING, 0.025, 0.1)
HARM = Spending(SpendingShape.KIM_DEMETS, 0.025, 0.1, 0.5)
DAILY = [day / 28 for day in range(1, 29)]
shapes = st.sampled_from(
    [
        SHIP,
        HARM,
        Spending(SpendingShape.POCOCK, 0.05),
        Spending(SpendingShape.HWANG_SHIH_DECANI, 0.1, 0.2, -4.0),
        Spending(SpendingShape.HWANG_SHIH_DECANI, 0.1, 0.2, 0.0),
    ]
)
schedules = st.lists(st.floats(0.01, 3), min_size=1, max_size=8, unique=True).map(sorted)


@given(shapes, st.floats(0, 5), st.floats(0, 5))
def test_spending_never_falls_and_never_exceeds_alpha(
    spending: Spending, one: float, other: float
) -> None:
    early, late = sorted((one, other))
    assert 0 <= spending.spent(early) <= spending.spent(late) <= spending.alpha


@pytest.mark.parametrize("spending", [SHIP, HARM])
def test_a_tenth_of_alpha_is_kept_for_after_the_horizon(spending: Spending) -> None:
    assert spending.spent(1.0) == pytest.approx(0.0225)
    assert spending.spent(1.0 + 1e-9) == pytest.approx(0.0225)
    assert spending.spent(1e9) == pytest.approx(0.025)


def test_the_published_values_of_daily_looks_come_out() -> None:
    ship, harm = boundary(SHIP, DAILY).bounds, boundary(HARM, DAILY).bounds
    assert [round(ship[day - 1], 3) for day in (7, 14, 21, 28)] == [4.428, 3.099, 2.522, 2.180]
    assert [round(harm[day - 1], 3) for day in (1, 2, 7, 14, 28)] == [
        2.631,
        2.815,
        2.833,
        2.776,
        2.689,
    ]
    extended = boundary(SHIP, [day / 28 for day in range(1, 57)]).bounds
    assert [round(extended[day - 1], 3) for day in (29, 35, 42, 56)] == [
        2.461,
        2.844,
        3.021,
        3.213,
    ]


def test_published_classic_designs_come_out() -> None:
    fifths, tenths = [k / 5 for k in range(1, 6)], [k / 10 for k in range(1, 11)]
    assert [round(u, 4) for u in obrien_fleming_bounds(fifths, 0.025)] == [
        4.5617,
        3.2256,
        2.6337,
        2.2809,
        2.0401,
    ]
    assert pocock_bounds(fifths, 0.025) == pytest.approx([2.4132] * 5, abs=1e-4)
    assert obrien_fleming_bounds(tenths, 0.025)[-1] == pytest.approx(2.087, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(shapes, schedules)
def test_the_chance_to_cross_is_what_was_spent(spending: Spending, times: list[float]) -> None:
    correlations = [0.0] + [math.sqrt(a / b) for a, b in pairwise(times)]
    result = boundary(spending, times, correlations)
    crossed = crossing_probabilities(result.bounds, correlations)
    for k, bound in enumerate(result.bounds):
        if bound < math.inf:
            assert crossed[k] == pytest.approx(result.spent[k], rel=1e-9)


def test_simulated_paths_cross_as_often_as_spent() -> None:
    rng = np.random.default_rng(20)
    steps = rng.normal(size=(60_000, 28))
    z = steps.cumsum(axis=1) / np.sqrt(np.arange(1, 29))
    for spending in (SHIP, HARM):
        result = boundary(spending, DAILY)
        crossed = (z >= np.array(result.bounds)).cumsum(axis=1) > 0
        for look in (6, 13, 27):
            spent = result.spent[look]
            tolerance = 4 * math.sqrt(spent / 60_000)
            assert abs(crossed[:, look].mean() - spent) <= tolerance


def test_simulated_looks_that_nearly_repeat_cross_as_often_as_spent() -> None:
    """The final look after enrolment ended: little new data, much error left to spend."""
    rng = np.random.default_rng(21)
    information = np.array([0.5, 1.0, 1.00002])
    steps = rng.normal(size=(200_000, 3)) * np.sqrt(np.diff(information, prepend=0))
    z = steps.cumsum(axis=1) / np.sqrt(information)
    correlations = [0.0, math.sqrt(0.5), math.sqrt(1 / 1.00002)]
    result = boundary(SHIP, [0.5, 0.75, 1.0], correlations)
    crossed = (z >= np.array(result.bounds)).any(axis=1).mean()
    assert abs(crossed - 0.0225) <= 4 * math.sqrt(0.0225 / 200_000)


def test_a_bound_out_of_reach_is_infinite_and_its_error_is_kept() -> None:
    result = boundary(SHIP, [1 / 28, 1 / 2])
    assert result.bounds[0] == math.inf
    assert crossing_probabilities(result.bounds, [0.0, math.sqrt(1 / 14)])[-1] == pytest.approx(
        SHIP.spent(0.5), rel=1e-9
    )


def test_error_too_small_for_a_bound_adds_up_until_it_is_enough() -> None:
    tiny = Spending(SpendingShape.POCOCK, 2e-18)
    bounds = boundary(tiny, [k / 60 for k in range(1, 61)]).bounds
    assert bounds[0] == math.inf
    assert min(bounds) < 9


def test_a_look_that_releases_no_error_has_no_bound() -> None:
    assert boundary(HARM, [0.0]).bounds == (math.inf,)
    assert boundary(HARM, [0.5, 0.5]).bounds[1] == math.inf


def test_the_same_schedule_gives_the_same_bits_with_and_without_the_cache() -> None:
    clear_cache()
    whole = boundary(HARM, DAILY)
    again = boundary(HARM, DAILY)
    clear_cache()
    boundary(HARM, DAILY[:13])
    assert whole == again == boundary(HARM, DAILY)


def test_two_equal_looks_after_each_other_take_no_gigabytes() -> None:
    result = boundary(HARM, [0.5, 0.8, 0.9, 1.0], [0.0, 0.8, 1.0, 1.0])
    assert all(2 < u < 4 for u in result.bounds)


def test_times_that_go_back_and_impossible_correlations_are_refused() -> None:
    with pytest.raises(SpendingError, match="back"):
        boundary(SHIP, [0.5, 0.4], [0.0, 0.5])
    for correlation in (-0.1, 1.1, math.nan):
        with pytest.raises(SpendingError):
            boundary(SHIP, [0.5, 0.6], [0.0, correlation])
    with pytest.raises(SpendingError):
        boundary(SHIP, [math.nan])


@pytest.mark.parametrize(
    "arguments",
    [
        {"alpha": 0.0},
        {"alpha": math.nan},
        {"alpha": 0.02, "epsilon": 1.0},
        {"alpha": 0.02, "shape": SpendingShape.KIM_DEMETS},
        {"alpha": 0.02, "shape": SpendingShape.KIM_DEMETS, "parameter": -1.0},
    ],
)
def test_impossible_spending_is_refused(arguments: dict) -> None:
    with pytest.raises(ParameterError):
        Spending(**{"shape": SpendingShape.OBRIEN_FLEMING, **arguments})


@pytest.mark.parametrize("information", [[], [0.5], [0.5, 0.4, 1.0], [0.0, 1.0]])
def test_a_classic_design_ends_at_full_information(information: list[float]) -> None:
    with pytest.raises(ParameterError):
        obrien_fleming_bounds(information, 0.025)
    with pytest.raises(ParameterError):
        pocock_bounds([1.0], 0.7)
