"""Classic designs on one side and on two, and their futility bounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import (
    ParameterError,
    Spending,
    SpendingShape,
    boundary,
    crossings,
    futility_bounds,
    obrien_fleming_bounds,
    pocock_bounds,
    wang_tsiatis_bounds,
)

OBF = Spending(SpendingShape.OBRIEN_FLEMING, 0.025)
BETA = Spending(SpendingShape.OBRIEN_FLEMING, 0.2)


def equal_looks(count: int) -> list[float]:
    return [(k + 1) / count for k in range(count)]


@pytest.mark.parametrize(
    ("looks", "obrien_fleming", "pocock"),
    [(1, 1.960, 1.960), (2, 1.977, 2.178), (5, 2.040, 2.413), (10, 2.087, 2.555)],
)
def test_two_sided_constants_are_those_of_jennison_and_turnbull(
    looks: int, obrien_fleming: float, pocock: float
) -> None:
    """Tables 2.1 and 2.3, alpha 0.05."""
    times = equal_looks(looks)
    found = obrien_fleming_bounds(times, 0.05, two_sided=True)
    assert found[-1] == pytest.approx(obrien_fleming, abs=6e-4)
    assert pocock_bounds(times, 0.05, two_sided=True)[0] == pytest.approx(pocock, abs=6e-4)


@settings(max_examples=10, deadline=None)
@given(st.floats(-0.5, 0.7), st.floats(0.001, 0.3), st.booleans())
def test_a_classic_design_spends_its_alpha_and_keeps_its_shape(
    power: float, alpha: float, two_sided: bool
) -> None:
    times = [0.3, 0.7, 1.0]
    bounds = wang_tsiatis_bounds(times, alpha, power, two_sided=two_sided)
    ends = crossings(times, bounds, [-u for u in bounds] if two_sided else None)
    assert ends.upper_by() + ends.lower_by() == pytest.approx(alpha, rel=1e-8)
    assert bounds[0] / bounds[2] == pytest.approx(0.3 ** (power - 0.5))


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 6), st.floats(0.05, 0.4))
def test_futility_bounds_miss_the_design_effect_as_often_as_beta_says(
    looks: int, beta: float
) -> None:
    times = equal_looks(looks)
    upper = boundary(OBF, times).bounds
    spending = Spending(SpendingShape.KIM_DEMETS, beta, parameter=1.5)
    design = futility_bounds(upper, times, spending)
    assert design.bounds[-1] == upper[-1]
    assert all(low <= high for low, high in zip(design.bounds, upper, strict=True))
    ends = crossings(times, upper, design.bounds, drift=design.drift)
    missed = 0.0
    for t, chance in zip(times, ends.lower, strict=True):
        missed += chance
        assert missed == pytest.approx(spending.spent(t), rel=1e-6)
    assert ends.upper_by() == pytest.approx(1 - beta, rel=1e-8)


def test_futility_is_not_binding_and_costs_a_little_drift() -> None:
    times = equal_looks(4)
    upper = boundary(OBF, times).bounds
    design = futility_bounds(upper, times, BETA)
    assert crossings(times, upper).upper_by() == pytest.approx(0.025)
    assert crossings(times, upper, design.bounds).upper_by() < 0.025
    assert 2.836 < design.drift < 3.1


def test_beta_that_is_not_spent_early_gives_no_bound_early() -> None:
    design = futility_bounds([2.0, 2.0], [0.001, 1.0], Spending(SpendingShape.OBRIEN_FLEMING, 0.1))
    assert design.bounds[0] == -math.inf


@pytest.mark.parametrize(
    ("upper", "times"),
    [
        ([], []),
        ([2.0], [0.5]),
        ([2.0, 2.0], [1.0]),
        ([2.0, math.inf], [0.5, 1.0]),
        ([math.nan, 2.0], [0.5, 1.0]),
        ([2.0, 2.0], [0.7, 0.5]),
        ([2.0, 2.0], [0.0, 1.0]),
        ([-5.0], [1.0]),
    ],
)
def test_designs_without_futility_bounds_are_refused(upper: list, times: list) -> None:
    with pytest.raises(ParameterError):
        futility_bounds(upper, times, BETA)


def test_shapes_without_a_number_are_refused() -> None:
    with pytest.raises(ParameterError):
        wang_tsiatis_bounds([1.0], 0.025, math.nan)
