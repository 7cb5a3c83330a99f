"""Bounds that grow look by look, are stored, and are replanned."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import (
    Bounds,
    DocumentError,
    GivenSpending,
    Moments,
    NotEnoughDataError,
    ParameterError,
    PooledPlan,
    Replanned,
    Spending,
    SpendingError,
    SpendingFunction,
    SpendingPoints,
    SpendingShape,
    boundary,
    bounds_document,
    crossing_probabilities,
    crossings,
    parse_bounds,
)
from stats.sequential.stored import _checksum

SHIP = Spending(SpendingShape.OBRIEN_FLEMING, 0.025, 0.1)
HARM = Spending(SpendingShape.KIM_DEMETS, 0.025, 0.1, 0.5)
CLASSIC = Spending(SpendingShape.HWANG_SHIH_DECANI, 0.05, parameter=-4.0)
POINTS = SpendingPoints(((0.3, 0.001), (1.0, 0.02)))
DAILY = [day / 28 for day in range(1, 29)]
spendings = st.sampled_from([SHIP, HARM, CLASSIC, POINTS])
schedules = st.lists(st.floats(0.01, 3), min_size=1, max_size=8, unique=True).map(sorted)


def grown(spending: SpendingFunction, times: list[float]) -> Bounds:
    state = Bounds(spending)
    for time in times:
        state = state.extend(time)
    return state


def through_json(state: Bounds) -> Bounds:
    return parse_bounds(json.loads(json.dumps(bounds_document(state), allow_nan=False)))


@settings(max_examples=25, deadline=None)
@given(spendings, schedules, st.booleans())
def test_a_stored_state_goes_on_to_the_same_bits(
    spending: SpendingFunction, times: list[float], two_sided: bool
) -> None:
    state = Bounds(spending, two_sided)
    for time in times:
        state = through_json(state).extend(time)
    assert state.boundary == boundary(spending, times, two_sided=two_sided)
    again = through_json(state)
    assert again.looks == state.looks
    assert bounds_document(again) == bounds_document(state)


def test_twenty_eight_looks_from_a_store_equal_those_from_scratch() -> None:
    for spending in (SHIP, HARM):
        middle = through_json(grown(spending, DAILY[:20]))
        for time in DAILY[20:]:
            middle = middle.extend(time)
        assert middle.boundary == boundary(spending, DAILY)


def test_information_and_its_correlation_are_the_same_clock() -> None:
    units = [1000, 1800, 2700]
    by_units, by_correlation, before = Bounds(HARM), Bounds(HARM), 0
    for time, n in zip((0.1, 0.5, 1.0), units, strict=True):
        by_units = through_json(by_units).extend(time, information=n)
        by_correlation = by_correlation.extend(time, correlation=math.sqrt(before / n))
        before = n
    assert by_units.boundary == by_correlation.boundary
    correlations = [0.0, *(math.sqrt(a / b) for a, b in pairwise(units))]
    assert by_units.boundary == boundary(HARM, [0.1, 0.5, 1.0], correlations)


def test_a_look_that_goes_back_or_contradicts_itself_is_refused() -> None:
    state = Bounds(HARM).extend(0.5, information=100)
    for arguments in (
        {"time": 0.4},
        {"time": math.nan},
        {"time": 0.6, "correlation": 1.5},
        {"time": 0.6, "correlation": math.nan},
        {"time": 0.6, "information": 99},
        {"time": 0.6, "information": math.nan},
        {"time": 0.6, "information": 150, "correlation": 0.5},
    ):
        with pytest.raises(SpendingError):
            state.extend(**arguments)
    with pytest.raises(SpendingError, match="no information"):
        Bounds(HARM).extend(0.5).extend(0.6, information=100)
    assert len(state.looks) == 1


def damaged(document: dict, **changes: object) -> dict:
    content = {key: value for key, value in document.items() if key != "checksum"} | changes
    return {**content, "checksum": _checksum(content)}


def test_a_flipped_digit_is_noticed() -> None:
    document = bounds_document(grown(HARM, DAILY[:3]))
    text = document["mass"]
    at = len(text) // 2
    other = "A" if text[at] != "A" else "B"
    with pytest.raises(DocumentError, match="checksum"):
        parse_bounds({**document, "mass": text[:at] + other + text[at + 1 :]})
    with pytest.raises(DocumentError, match="checksum"):
        parse_bounds({key: value for key, value in document.items() if key != "checksum"})


@pytest.mark.parametrize(
    "changes",
    [
        {"looks": [[1, 2, 3]]},
        {"looks": 7},
        {"looks": [["0x1p-1", "0x0p+0", "zz", "0x0p+0", None]]},
        {"points": None},
        {"points": "!!!"},
        {"points": "AAAA"},
        {"mass": ""},
        {"two_sided": "yes"},
        {"charged": None},
        {"spending": {"shape": "unheard-of", "alpha": "x", "epsilon": "x", "parameter": None}},
        {"spending": {"points": []}},
        {"spending": None},
    ],
)
def test_a_document_that_was_made_up_is_refused(changes: dict) -> None:
    document = bounds_document(grown(HARM, DAILY[:3]))
    with pytest.raises(DocumentError):
        parse_bounds(damaged(document, **changes))


def test_other_documents_and_other_versions_are_refused() -> None:
    document = bounds_document(Bounds(SHIP))
    for other in (None, [], {}, "x", {"kind": "receipt"}):
        with pytest.raises(DocumentError, match="no document"):
            parse_bounds(other)
    with pytest.raises(DocumentError, match="version 2"):
        parse_bounds({**document, "version": 2})


def test_a_callers_function_cannot_be_stored() -> None:
    with pytest.raises(SpendingError, match="GivenSpending"):
        bounds_document(Bounds(GivenSpending(0.025, math.sqrt)))


@settings(max_examples=25, deadline=None)
@given(
    spendings,
    st.lists(st.floats(0.02, 1), min_size=1, max_size=4, unique=True).map(sorted),
    st.floats(0.2, 4),
    st.lists(st.floats(0.01, 1.5), min_size=1, max_size=4),
)
def test_replanning_never_spends_more_than_alpha(
    spending: SpendingFunction, times: list[float], factor: float, steps: list[float]
) -> None:
    """Exact, by the recursion over all looks, whatever the new plan."""
    state = grown(spending, times)
    before = state.boundary
    plan = PooledPlan(units=1000 * factor, units_now=1000 * times[-1])
    state, units = state.replan(plan), [1000 * t for t in times]
    for step in steps:
        units.append(units[-1] + 1000 * step)
        state = through_json(state).extend(units[-1] / plan.units)
    assert state.boundary.bounds[: len(times)] == before.bounds
    assert state.boundary.spent[: len(times)] == before.spent
    correlations = [0.0, *(math.sqrt(a / b) for a, b in pairwise(units))]
    crossed = crossing_probabilities(state.boundary.bounds, correlations)
    assert crossed[-1] <= spending.alpha * (1 + 1e-9)
    assert crossed[-1] == pytest.approx(state.charged, rel=1e-9)


def test_a_replanned_schedule_from_scratch_equals_the_one_that_grew() -> None:
    plan = PooledPlan(units=2000, units_now=500)
    state = grown(HARM, [0.2, 0.5]).replan(plan).extend(0.4).extend(1.0)
    spending = Replanned(HARM, 0.5, 0.25)
    times = [0.2, 0.5, spending.time(0.4), spending.time(1.0)]
    correlations = [0.0, math.sqrt(0.4), math.sqrt(0.25 / 0.4), math.sqrt(0.4)]
    assert boundary(spending, times, correlations).bounds == pytest.approx(
        state.boundary.bounds, abs=1e-12
    )
    with pytest.raises(SpendingError, match="correlations"):
        boundary(spending, times)


def test_a_plan_that_stays_the_same_changes_nothing() -> None:
    plain = grown(SHIP, [0.25, 0.5, 0.75, 1.0, 1.5])
    plan = PooledPlan(units=1000, units_now=500)
    again = grown(SHIP, [0.25, 0.5]).replan(plan)
    for time in (0.75, 1.0, 1.5):
        again = again.extend(time)
    assert again.boundary.bounds == pytest.approx(plain.boundary.bounds, abs=1e-9)


def test_by_the_new_horizon_the_planned_share_of_the_rest_is_spent() -> None:
    state = grown(SHIP, [0.5]).replan(PooledPlan(units=2000, units_now=500)).extend(1.0)
    kept, base = SHIP.spent(0.5), SHIP.spent(0.25)
    rest = (0.025 - kept) * (0.0225 - base) / (0.025 - base)
    assert state.looks[-1].spent == pytest.approx(kept + rest)


def test_a_plan_that_shrank_below_what_was_seen_releases_the_rest_of_a_classic_design() -> None:
    state = grown(CLASSIC, [0.5]).replan(PooledPlan(units=400, units_now=500))
    assert state.extend(1.3).looks[-1].spent == CLASSIC.alpha


def test_plans_can_change_twice() -> None:
    state = grown(SHIP, [0.25]).replan(PooledPlan(2000, 500)).extend(0.5)
    state = through_json(state.replan(PooledPlan(1500, 1000)).extend(0.8)).extend(1.0)
    correlations = [look.correlation for look in state.looks]
    assert crossing_probabilities(state.boundary.bounds, correlations)[-1] < 0.0231


def test_a_new_clock_without_a_new_plan_is_refused() -> None:
    """Halving the times by hand, because the plan doubled, is what must not pass unnoticed."""
    state = grown(SHIP, [0.25, 0.5])
    with pytest.raises(SpendingError, match="back"):
        state.extend(0.3)
    replanned = state.replan(PooledPlan(2000, 500))
    assert replanned.extend(0.3).looks[-1].spent > SHIP.spent(0.5)
    with pytest.raises(SpendingError, match="on the new clock"):
        replanned.extend(0.2)
    with pytest.raises(SpendingError, match="nothing to replan"):
        Bounds(SHIP).replan(PooledPlan(2000, 500))


def test_a_pooled_plan_has_the_power_it_was_made_for() -> None:
    pooled = Moments.conversions(20_000, 2_000)
    bounds = boundary(SHIP, DAILY).bounds
    plan = PooledPlan.from_pooled(pooled, difference=-0.005, drift=2.9131)
    error = math.sqrt(pooled.variance * 4 / plan.units)
    assert crossings(DAILY, bounds, drift=0.005 / error).upper_by() == pytest.approx(0.8, abs=1e-3)
    one_in_ten = PooledPlan.from_pooled(pooled, difference=0.005, drift=2.9131, treatment_share=0.1)
    assert one_in_ten.units == pytest.approx(plan.units * 0.25 / 0.09)


def test_pooled_plans_that_mean_nothing_are_refused() -> None:
    pooled = Moments.conversions(100, 10)
    for difference, drift, share in ((0.0, 2.8, 0.5), (0.1, math.nan, 0.5), (0.1, 2.8, 1.0)):
        with pytest.raises(ParameterError):
            PooledPlan.from_pooled(
                pooled, difference=difference, drift=drift, treatment_share=share
            )
    for constant in (Moments.conversions(100, 100), Moments.conversions(1, 1), Moments()):
        with pytest.raises(NotEnoughDataError):
            PooledPlan.from_pooled(constant, difference=0.1, drift=2.8)
    for units in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ParameterError):
            PooledPlan(units, 10)
    with pytest.raises(SpendingError):
        Replanned(SHIP, 0.5, math.nan)


def test_two_sided_bounds_hold_both_sides_to_alpha_together() -> None:
    result = boundary(CLASSIC, DAILY, two_sided=True)
    both = crossings(DAILY, result.bounds, [-u for u in result.bounds])
    assert both.upper_by() + both.lower_by() == pytest.approx(CLASSIC.spent(1.0), rel=1e-8)
    one = boundary(replace(CLASSIC, alpha=0.025), DAILY)
    assert np.allclose(result.bounds, one.bounds, atol=2e-3)
    assert result.bounds != one.bounds
