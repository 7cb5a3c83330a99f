"""Error spent as someone else's function or points say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import (
    GivenSpending,
    ParameterError,
    Spending,
    SpendingError,
    SpendingFunction,
    SpendingPoints,
    SpendingShape,
    boundary,
)

KD = Spending(SpendingShape.KIM_DEMETS, 0.025, parameter=2.0)


def test_points_and_functions_give_the_bounds_of_the_function_they_copy() -> None:
    times = [0.2, 0.5, 0.7, 1.0]
    points = SpendingPoints(tuple((t, KD.spent(t)) for t in times))
    own = GivenSpending(0.025, lambda time: min(time, 1.0) ** 2)
    expected = boundary(KD, times).bounds
    assert boundary(points, times).bounds == pytest.approx(expected, abs=1e-9)
    assert boundary(own, times).bounds == pytest.approx(expected, abs=1e-9)


@given(
    st.lists(st.tuples(st.floats(0.01, 3), st.floats(0.001, 0.1)), min_size=1, max_size=5),
    st.floats(0, 4),
    st.floats(0, 4),
)
def test_points_never_fall_and_end_at_alpha(
    steps: list[tuple[float, float]], one: float, other: float
) -> None:
    path, time, error = [], 0.0, 0.0
    for more_time, more_error in steps:
        time, error = time + more_time, error + more_error
        path.append((time, error))
    given_points = SpendingPoints(tuple(path))
    early, late = sorted((one, other))
    assert 0 <= given_points.spent(early) <= given_points.spent(late) <= given_points.alpha
    assert given_points.spent(99.0) == given_points.alpha == error
    assert given_points.spent(path[0][0]) == pytest.approx(path[0][1])


@pytest.mark.parametrize(
    "spending", [KD, SpendingPoints(((0.5, 0.01), (1.0, 0.025))), GivenSpending(0.025, math.sqrt)]
)
def test_another_alpha_is_spent_in_the_same_manner(spending: SpendingFunction) -> None:
    half = spending.with_alpha(0.0125)
    assert half.alpha == 0.0125
    assert half.spent(0.3) == pytest.approx(spending.spent(0.3) / 2)


@pytest.mark.parametrize(
    "points",
    [
        (),
        ((0.0, 0.01),),
        ((0.5, 0.02), (1.0, 0.01)),
        ((0.5, 0.01), (0.5, 0.02)),
        ((1.0, 0.0),),
        ((1.0, 1.0),),
        ((math.inf, 0.02),),
        ((1.0, math.nan),),
    ],
)
def test_points_that_spend_nothing_or_fall_are_refused(points: tuple) -> None:
    with pytest.raises(ParameterError):
        SpendingPoints(points)


def test_functions_that_fall_or_leave_their_range_are_refused_when_met() -> None:
    falling = GivenSpending(0.025, lambda time: 1 - time / 2)
    with pytest.raises(SpendingError, match="spending goes"):
        boundary(falling, [0.5, 0.6])
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(SpendingError):
            boundary(GivenSpending(0.025, lambda _, share=share: share), [0.5])
    with pytest.raises(ParameterError):
        GivenSpending(1.5, math.sqrt)
    for time in (-1.0, math.nan, math.inf):
        with pytest.raises(SpendingError):
            SpendingPoints(((1.0, 0.025),)).spent(time)


def test_an_exponent_that_no_float_can_hold_is_refused() -> None:
    for parameter in (-1e4, math.inf, math.nan):
        with pytest.raises(ParameterError):
            Spending(SpendingShape.HWANG_SHIH_DECANI, 0.025, parameter=parameter)
