"""What sequential designs do under an effect, exactly."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import lambertw
from scipy.stats import norm

from stats import (
    ParameterError,
    Spending,
    SpendingError,
    SpendingShape,
    boundary,
    crossing_probabilities,
    crossings,
    fixed_drift,
    inflation_factor,
    required_drift,
)

SHIP = Spending(SpendingShape.OBRIEN_FLEMING, 0.025, 0.1)
HARM = Spending(SpendingShape.KIM_DEMETS, 0.025, 0.1, 0.5)
DAILY = [day / 28 for day in range(1, 29)]
LONG = [day / 28 for day in range(1, 113)]
MDE = fixed_drift(0.025, 0.8)
bound_lists = st.lists(st.floats(-1, 5), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("spending", "inflation", "power"), [(SHIP, 1.081, 0.768), (HARM, 1.386, 0.645)]
)
def test_the_default_engine_costs_what_the_design_says(
    spending: Spending, inflation: float, power: float
) -> None:
    bounds = boundary(spending, DAILY).bounds
    found = inflation_factor(DAILY, bounds, alpha=0.025, power=0.8)
    assert found == pytest.approx(inflation, abs=6e-4)
    assert crossings(DAILY, bounds, drift=MDE).upper_by(1.0) == pytest.approx(power, abs=6e-4)


@pytest.mark.parametrize(
    ("spending", "times"),
    [(SHIP, (1.03, 0.56, 0.42, 0.22)), (HARM, (1.07, 0.45, 0.27, 0.085))],
)
def test_harm_is_found_as_soon_as_the_design_says(
    spending: Spending, times: tuple[float, ...]
) -> None:
    """Mean time to detect 1, 1.5, 2 and 4 times the MDE, in horizons, cut at four."""
    bounds = boundary(spending, LONG).bounds
    for size, expected in zip((1, 1.5, 2, 4), times, strict=True):
        found = crossings(LONG, bounds, drift=size * MDE).mean_information
        assert found == pytest.approx(expected, abs=0.0051)


def test_a_small_harm_is_found_by_four_horizons() -> None:
    found = crossings(LONG, boundary(HARM, LONG).bounds, drift=MDE).upper_by()
    assert found == pytest.approx(0.990, abs=5e-4)


@pytest.mark.parametrize(
    ("looks", "inflations", "sizes"),
    [
        (7, (1.063, 1.057, 1.053), None),
        (14, (1.074, 1.067, 1.063), None),
        (28, (1.081, 1.074, 1.069), (0.80, 0.72, 0.66)),
    ],
)
def test_the_sample_of_a_ship_test_is_what_the_design_says(
    looks: int, inflations: tuple[float, ...], sizes: tuple[float, ...] | None
) -> None:
    times = [k / looks for k in range(1, looks + 1)]
    bounds = boundary(SHIP, times).bounds
    for place, power in enumerate((0.80, 0.90, 0.95)):
        found = inflation_factor(times, bounds, alpha=0.025, power=power)
        assert found == pytest.approx(inflations[place], abs=6e-4)
        if sizes:
            drift = required_drift(times, bounds, power)
            mean = crossings(times, bounds, drift=drift).mean_information * found
            assert mean == pytest.approx(sizes[place], abs=0.006)


def test_hourly_looks_at_first_cost_no_power_and_find_disasters_as_soon() -> None:
    hours = [hour / 672 for hour in range(1, 49)]
    planned = hours + [day / 28 for day in range(3, 29)]
    power = crossings(planned, boundary(HARM, planned).bounds, drift=MDE).upper_by()
    assert power == pytest.approx(0.643, abs=5e-4)
    extended = hours + [day / 28 for day in range(3, 113)]
    mean = crossings(extended, boundary(HARM, extended).bounds, drift=4 * MDE).mean_information
    assert mean == pytest.approx(0.085, abs=5e-4)


def test_the_constant_bound_that_a_vendor_documents_costs_what_the_design_says() -> None:
    short, long = [3.585] * 28, [3.585] * 112
    assert inflation_factor(DAILY, short, alpha=0.025, power=0.8) == pytest.approx(2.31, abs=0.005)
    assert crossings(DAILY, short, drift=MDE).upper_by() == pytest.approx(0.29, abs=0.005)
    for size, expected in zip((1, 1.5, 2, 4), (1.58, 0.73, 0.43, 0.125), strict=True):
        found = crossings(LONG, long, drift=size * MDE).mean_information
        assert found == pytest.approx(expected, abs=0.005)


def mixture_bounds(times: list[float], tuned: float) -> list[float]:
    """Bounds of a two-sided normal mixture at alpha 0.05 that is narrowest at time ``tuned``."""
    alpha = 0.05
    prior = tuned / (-float(lambertw(-(alpha**2) / math.e, -1).real) - 1)
    odds = [math.log((t + prior) / prior) + 2 * math.log(1 / alpha) for t in times]
    return [math.sqrt((t + prior) / t * odd) for t, odd in zip(times, odds, strict=True)]


@pytest.mark.parametrize(
    ("tuned", "inflation", "power", "means"),
    [
        (1.0, 1.72, 0.50, (1.17, 0.57, 0.36, 0.14)),
        (5_000 / 115_400, 2.01, 0.40, (1.39, 0.61, 0.34, 0.099)),
        (10_000 / 115_400, 1.91, 0.43, (1.31, 0.58, 0.33, 0.098)),
    ],
)
def test_mixtures_read_daily_cost_what_the_design_says(
    tuned: float, inflation: float, power: float, means: tuple[float, ...]
) -> None:
    short, long = mixture_bounds(DAILY, tuned), mixture_bounds(LONG, tuned)
    found = inflation_factor(DAILY, short, alpha=0.025, power=0.8)
    assert found == pytest.approx(inflation, abs=0.01)
    assert crossings(DAILY, short, drift=MDE).upper_by() == pytest.approx(power, abs=0.01)
    for size, expected in zip((1, 1.5, 2, 4), means, strict=True):
        mean = crossings(LONG, long, drift=size * MDE).mean_information
        assert mean == pytest.approx(expected, abs=0.008)


def test_harm_is_found_nearly_as_soon_as_any_test_can() -> None:
    """Wald's lower bound for a test of alpha 0.025 that never misses."""
    bounds = boundary(HARM, LONG).bounds
    for size, limit, ratio in (
        (1, 0.94, 1.14),
        (1.5, 0.42, 1.09),
        (2, 0.235, 1.16),
        (4, 0.059, 1.45),
    ):
        wald = 2 * math.log(1 / 0.025) / (size * MDE) ** 2
        assert wald == pytest.approx(limit, abs=0.003)
        mean = crossings(LONG, bounds, drift=size * MDE).mean_information
        assert mean / wald == pytest.approx(ratio, abs=0.01)


def test_looking_daily_at_the_fixed_bound_finds_something_in_a_quarter_of_the_worthless() -> None:
    naive = crossings(DAILY, [1.96] * 28, [-1.96] * 28)
    assert naive.upper_by() + naive.lower_by() == pytest.approx(0.27, abs=0.006)


def test_a_classic_design_that_ends_has_the_power_the_design_says() -> None:
    quadratic = Spending(SpendingShape.KIM_DEMETS, 0.025, parameter=2.0)
    power = crossings(DAILY, boundary(quadratic, DAILY).bounds, drift=MDE).upper_by()
    assert power == pytest.approx(0.76, abs=0.005)


@settings(max_examples=30, deadline=None)
@given(bound_lists, st.floats(-6, 6))
def test_the_mirror_image_crosses_the_mirrored_bounds(bounds: list[float], drift: float) -> None:
    times = [(k + 1) / len(bounds) for k in range(len(bounds))]
    lows = [bound - 3 for bound in bounds]
    there = crossings(times, bounds, lows, drift=drift)
    back = crossings(times, [-low for low in lows], [-u for u in bounds], drift=-drift)
    assert there.upper == pytest.approx(back.lower, abs=1e-12)
    assert there.lower == pytest.approx(back.upper, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(bound_lists, st.floats(-6, 6), st.floats(0, 3))
def test_more_drift_crosses_more_and_a_further_bound_only_takes_away(
    bounds: list[float], drift: float, more: float
) -> None:
    times = [(k + 1) / len(bounds) for k in range(len(bounds))]
    alone = crossings(times, bounds, drift=drift).upper_by()
    assert crossings(times, bounds, drift=drift + more).upper_by() >= alone - 1e-9
    both = crossings(times, bounds, [bound - 2 for bound in bounds], drift=drift)
    assert both.upper_by() <= alone + 1e-9
    assert both.upper_by() + both.lower_by() <= 1 + 1e-9


def test_without_drift_the_crossings_are_those_of_the_null_hypothesis() -> None:
    bounds = boundary(HARM, DAILY).bounds
    correlations = [0.0, *(math.sqrt(a / b) for a, b in pairwise(DAILY))]
    cumulative = np.cumsum(crossings(DAILY, bounds).upper)
    assert cumulative == pytest.approx(crossing_probabilities(bounds, correlations), rel=1e-12)


def test_one_look_is_the_fixed_test() -> None:
    bound = float(norm.isf(0.025))
    assert required_drift([1.0], [bound], 0.8) == pytest.approx(MDE, rel=1e-10)
    assert crossings([1.0], [bound], [-bound], drift=MDE).upper_by() == pytest.approx(0.8)
    assert inflation_factor([1.0], [bound], alpha=0.025, power=0.9) == pytest.approx(1.0)


def test_simulated_paths_end_where_the_recursion_says() -> None:
    rng = np.random.default_rng(11)
    steps = rng.normal(size=(100_000, 14)) / math.sqrt(14)
    times = np.arange(1, 15) / 14
    z = (steps.cumsum(axis=1) + 2.0 * times) / np.sqrt(times)
    upper, lower = np.array(boundary(SHIP, times).bounds), -np.array(boundary(HARM, times).bounds)
    hit = np.where(z >= upper, 1, np.where(z <= lower, -1, 0))
    first = np.argmax(hit != 0, axis=1)
    side = hit[np.arange(len(hit)), first]
    exact = crossings(list(times), list(upper), list(lower), drift=2.0)
    assert (side == 1).mean() == pytest.approx(exact.upper_by(), abs=0.007)
    assert (side == -1).mean() == pytest.approx(exact.lower_by(), abs=0.001)
    ended = np.where(side == 0, 1.0, times[first])
    assert ended.mean() == pytest.approx(exact.mean_information, abs=0.004)


def test_an_overwhelming_drift_ends_at_the_first_look_that_has_a_bound() -> None:
    result = crossings([0.25, 0.5, 1.0], [math.inf, 2.0, 2.0], drift=60.0)
    assert result.upper == pytest.approx((0.0, 1.0, 0.0))
    assert result.mean_information == pytest.approx(0.5)
    assert crossings([0.25, 1.0], [2.0, 2.0], drift=-60.0).upper_by() < 1e-200


def test_bounds_that_touch_end_every_path_once() -> None:
    result = crossings([0.5, 1.0], [3.0, 1.0], [-3.0, 1.0], drift=1.0)
    assert result.upper_by() + result.lower_by() == pytest.approx(1.0)
    swapped = crossings([1.0], [1.0], [2.0])
    assert swapped.upper_by() + swapped.lower_by() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"information": []},
        {"information": [0.0, 1.0]},
        {"information": [0.5, 0.5]},
        {"information": [0.5, math.inf]},
        {"information": [0.5, math.nan]},
        {"upper": [2.0]},
        {"lower": [math.nan, -2.0]},
        {"drift": math.inf},
    ],
)
def test_designs_that_cannot_be_are_refused(arguments: dict) -> None:
    with pytest.raises(ParameterError):
        crossings(**{"information": [0.5, 1.0], "upper": [2.0, 2.0], **arguments})


def test_an_impossible_correlation_is_refused() -> None:
    with pytest.raises(SpendingError):
        crossings([0.5, 1.0], [2.0, 2.0], correlations=[0.0, 1.2])


def test_a_power_no_effect_reaches_is_refused() -> None:
    with pytest.raises(ParameterError):
        required_drift([1.0], [math.inf], 0.8)
    with pytest.raises(ParameterError, match="without"):
        required_drift([1.0], [0.0], 0.4)
    with pytest.raises(ParameterError):
        required_drift([1.0], [1.96], 1.0)
    for alpha, power in ((0.8, 0.025), (0.0, 0.8), (math.nan, 0.8)):
        with pytest.raises(ParameterError):
            fixed_drift(alpha, power)
