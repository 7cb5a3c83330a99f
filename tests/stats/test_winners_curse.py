"""Estimates that were selected by a bound: near it, far from it, from either side."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import ConditionalEstimate, ParameterError, conditional_arrays, conditional_estimate

laws = settings(max_examples=40, derandomize=True, deadline=None)


@pytest.mark.parametrize(
    ("z", "upper", "lower", "expected"),
    # Roots of the conditional score and distribution function, by mpmath 1.3 with 40 digits.
    [
        (
            2.19,
            2.18,
            math.inf,
            (-97.8000019990008, -67.1152941058449, -366.700234581007, 0.006997456538),
        ),
        (
            3.0,
            2.18,
            math.inf,
            (2.23977716974217, 2.52549212971884, -1.69521480139461, 4.90961945297667),
        ),
        (
            2.2,
            2.18,
            2.18,
            (0.489509293594826, 0.0204559052797726, -0.708832354463077, 1.5467653283198),
        ),
        (
            2.5,
            2.18,
            2.7,
            (0.48006282366668, 0.605569784638547, -0.719431260968299, 4.16441685731309),
        ),
        (
            40.0,
            39.0,
            math.inf,
            (39.4810583870346, 39.6862755247497, 36.0674273116383, 41.9326723911245),
        ),
        (40.0, 2.18, 2.18, (40.0, 40.0, 38.04003601545995, 41.95996398454005)),
    ],
)
def test_the_estimates_are_the_roots_that_many_digits_find(
    z: float, upper: float, lower: float, expected: tuple[float, ...]
) -> None:
    result = conditional_estimate(z, 1.0, upper=upper, lower=lower)
    got = (result.most_likely, result.median_unbiased, result.low, result.high)
    assert got == pytest.approx(expected, rel=1e-10)


@laws
@given(st.floats(2.0, 60.0), st.floats(1.0, 3.0), st.floats(0.01, 100.0))
def test_the_correction_only_shrinks_and_keeps_the_unit(
    z: float, bound: float, unit: float
) -> None:
    result = conditional_estimate(z * unit, unit, upper=bound, lower=bound)
    if not result.selected:
        assert result == ConditionalEstimate(selected=False)
        return
    assert result.most_likely is not None and result.median_unbiased is not None  # noqa: PT018
    assert 0 <= result.most_likely <= z * unit * (1 + 1e-12)
    assert -1e-9 * unit <= result.median_unbiased <= z * unit * (1 + 1e-12)
    same = conditional_estimate(z, 1.0, upper=bound, lower=bound)
    assert result.most_likely == pytest.approx(same.most_likely * unit, rel=1e-6, abs=1e-9)


def test_what_crossed_the_lower_bound_is_the_mirror_image() -> None:
    up = conditional_estimate(0.3, 0.1, upper=2.2, lower=2.7)
    down = conditional_estimate(-0.3, 0.1, upper=2.7, lower=2.2)
    assert (down.most_likely, down.median_unbiased) == (-up.most_likely, -up.median_unbiased)
    assert (down.low, down.high) == (-up.high, -up.low)


def test_on_its_only_bound_an_estimate_says_nothing() -> None:
    result = conditional_estimate(2.0, 1.0, upper=2.0)
    assert result.selected
    assert (result.most_likely, result.median_unbiased, result.low) == (-math.inf,) * 3


def test_on_one_of_two_bounds_the_median_is_no_effect() -> None:
    result = conditional_estimate(2.0, 1.0, upper=2.0, lower=2.0)
    assert result.median_unbiased == pytest.approx(0.0, abs=1e-12)
    assert result.low == pytest.approx(-result.high)


def test_below_the_bound_there_is_nothing_to_correct() -> None:
    assert conditional_estimate(1.9, 1.0, upper=2.0) == ConditionalEstimate(selected=False)
    assert conditional_estimate(-5.0, 1.0, upper=2.0) == ConditionalEstimate(selected=False)
    assert conditional_estimate(-5.0, 1.0, upper=2.0, lower=2.0).selected


def test_among_the_selected_half_are_too_large_and_the_interval_covers() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(1.5, 1.0, size=6000)
    selected, most_likely, median, low, high = conditional_arrays(z, 1.0, upper=1.96)
    n = int(selected.sum())
    assert 1500 < n < 2500
    assert abs((median[selected] > 1.5).mean() - 0.5) < 3 * 0.5 / math.sqrt(n)
    covered = ((low < 1.5) & (high > 1.5))[selected].mean()
    assert abs(covered - 0.95) < 3 * math.sqrt(0.95 * 0.05 / n)
    assert z[selected].mean() > 2.4
    assert np.isnan(most_likely[~selected]).all()


def test_arrays_say_what_scalars_say() -> None:
    z = np.array([[3.0, -4.0], [math.nan, 1.0]])
    selected, *parts = conditional_arrays(z, [[1.0, 1.0], [1.0, 0.0]], upper=2.0, lower=2.5)
    assert selected.tolist() == [[True, True], [False, False]]
    for at, value in (((0, 0), 3.0), ((0, 1), -4.0)):
        one = conditional_estimate(value, 1.0, upper=2.0, lower=2.5)
        assert ConditionalEstimate(True, *(float(part[at]) for part in parts)) == one
    assert all(np.isnan(part[1]).all() for part in parts)


def test_impossible_numbers_are_refused() -> None:
    for estimate, se in ((math.nan, 1.0), (math.inf, 1.0), (1.0, 0.0), (1.0, math.nan)):
        with pytest.raises(ParameterError):
            conditional_estimate(estimate, se, upper=2.0)
    for upper, lower in ((0.0, 2.0), (2.0, -1.0), (math.nan, 2.0)):
        with pytest.raises(ParameterError):
            conditional_estimate(3.0, 1.0, upper=upper, lower=lower)
    with pytest.raises(ParameterError):
        conditional_estimate(3.0, 1.0, upper=2.0, confidence_level=0.0)
