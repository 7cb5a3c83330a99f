"""Where a running test is heading."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from stats import (
    LookAhead,
    ParameterError,
    Spending,
    SpendingError,
    SpendingShape,
    boundary,
    conditional_crossings,
    crossings,
    look_ahead,
)

SHIP = Spending(SpendingShape.OBRIEN_FLEMING, 0.025, 0.1)
TIMES = [0.25, 0.5, 0.75, 1.0]
BOUNDS = boundary(SHIP, TIMES).bounds


@pytest.mark.parametrize("drift", [-1.0, 0.0, 2.8])
def test_with_one_look_to_come_it_is_the_textbook_conditional_power(drift: float) -> None:
    """Lachin (2005): a B-value at t needs only what is missing to the bound."""
    found = conditional_crossings(1.7, 0.4, [1.0], [1.96], drift=drift).upper_by()
    expected = norm.sf((1.96 - 1.7 * math.sqrt(0.4) - drift * 0.6) / math.sqrt(0.6))
    assert found == pytest.approx(expected, rel=1e-10)


@settings(max_examples=15, deadline=None)
@given(st.floats(-2, 4), st.floats(0.1, 0.9))
def test_averaged_over_the_first_look_it_is_the_power_of_the_whole(
    drift: float, first: float
) -> None:
    """Total probability, with bounds on both sides: the recursion restarted at every point."""
    times = [first, 1.0, 1.4]
    upper, lower = [2.5, 2.2, 2.0], [-1.5, -0.5, 0.5]
    whole = crossings(times, upper, lower, drift=drift)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    points = lower[0] + (upper[0] - lower[0]) * (nodes + 1) / 2
    masses = weights * (upper[0] - lower[0]) / 2 * norm.pdf(points - drift * math.sqrt(first))
    after = [
        conditional_crossings(float(z), first, times[1:], upper[1:], lower[1:], drift=drift)
        for z in points
    ]
    for k in range(2):
        assert masses @ [c.upper[k] for c in after] == pytest.approx(whole.upper[k + 1], abs=1e-8)
        assert masses @ [c.lower[k] for c in after] == pytest.approx(whole.lower[k + 1], abs=1e-8)


def test_given_correlations_replace_those_of_the_information() -> None:
    own = [math.sqrt(a / b) for a, b in pairwise(TIMES)]
    plain = conditional_crossings(1.0, 0.25, TIMES[1:], BOUNDS[1:], drift=2.0)
    same = conditional_crossings(1.0, 0.25, TIMES[1:], BOUNDS[1:], drift=2.0, correlations=own)
    assert same.upper == pytest.approx(plain.upper)
    loose = conditional_crossings(4.0, 0.25, [1.0], [2.0], drift=0.0, correlations=[0.0]).upper_by()
    assert loose == pytest.approx(norm.sf(2.0))
    tight = conditional_crossings(4.0, 0.25, [1.0], [2.0], drift=0.0, correlations=[1.0])
    assert tight.upper_by() == pytest.approx(1.0)


def ahead_of(statistic: float) -> LookAhead:
    return look_ahead(statistic, 0.5, TIMES[2:], BOUNDS[2:], planned_drift=2.9)


def test_a_better_start_promises_more_and_sooner() -> None:
    poor, good = ahead_of(0.0), ahead_of(2.5)
    for side in ("observed", "planned", "zero"):
        assert getattr(good, side).upper_by() > getattr(poor, side).upper_by()
    assert good.crossed_by(0.5) == 0.75
    assert poor.crossed_by(0.5) is None


def test_the_prediction_is_exact_for_one_look() -> None:
    """With a flat prior the last statistic is normal: mean z sqrt(T/t), variance T/t - 1 more."""
    found = look_ahead(1.5, 0.5, [1.0], [2.0], planned_drift=2.9).predicted[0]
    mean, variance = 1.5 * math.sqrt(2), 0.5 + 0.5**2 / 0.5
    assert found == pytest.approx(norm.sf((2.0 - mean) / math.sqrt(variance)), abs=1e-9)


def test_predictions_never_fall_from_look_to_look() -> None:
    predicted = ahead_of(1.5).predicted
    assert 0 < predicted[0] < predicted[1] < 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"statistic": math.nan},
        {"information": 0.0},
        {"coming": []},
        {"coming": [0.4, 1.0]},
        {"coming": [0.75, math.inf]},
        {"upper": [2.0]},
        {"upper": [2.0, math.nan]},
    ],
)
def test_what_cannot_come_is_refused(arguments: dict) -> None:
    fine = {"statistic": 1.0, "information": 0.5, "coming": [0.75, 1.0], "upper": [2.0, 2.0]}
    with pytest.raises(ParameterError):
        conditional_crossings(**{**fine, **arguments}, drift=0.0)
    with pytest.raises(ParameterError):
        look_ahead(**{**fine, **arguments}, planned_drift=2.8)


def test_impossible_correlations_and_probabilities_are_refused() -> None:
    with pytest.raises(SpendingError):
        conditional_crossings(1.0, 0.5, [1.0], [2.0], drift=0.0, correlations=[1.5])
    with pytest.raises(ParameterError):
        conditional_crossings(1.0, 0.5, [1.0], [2.0], drift=math.inf)
    for probability in (0.0, 1.0, math.nan):
        with pytest.raises(ParameterError):
            ahead_of(1.0).crossed_by(probability)
