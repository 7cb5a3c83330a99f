"""Sums of one arm: what merges, and what no sample can have."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import CovariateMoments, Moments, MomentsError

values = st.lists(st.floats(-1e3, 1e3), max_size=20)
pairs = st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), max_size=20)


def close(a: Moments, b: Moments) -> bool:
    return all(
        math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-4)
        for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
    )


@given(values, values)
def test_merging_equals_pooling(one: list[float], other: list[float]) -> None:
    assert close(Moments.of(one) + Moments.of(other), Moments.of(one + other))


@given(pairs, pairs)
def test_merging_equals_pooling_with_a_covariate(one: list, other: list) -> None:
    def summed(rows: list) -> CovariateMoments:
        return CovariateMoments.of_pairs([y for y, _ in rows], [x for _, x in rows])

    assert close(summed(one) + summed(other), summed(one + other))


def test_mean_and_variance_are_those_of_the_values() -> None:
    moments = Moments.of([1.0, 2.0, 6.0])
    assert moments.mean == 3.0
    assert moments.variance == pytest.approx(7.0)


def test_a_conversion_has_the_same_sum_for_every_power() -> None:
    assert Moments.conversions(10, 3) == Moments.of([1.0] * 3 + [0.0] * 7)


@pytest.mark.parametrize(
    "sums",
    [
        (math.nan, 0, 0, 0),
        (10, math.inf, 0, 0),
        (10, 1, 1, -math.inf),
        (-1, 0, 0, 0),
        (0, 1, 1, 1),
        (10, 20, 1, 0),
        (10, 1, -1, 0),
    ],
)
def test_sums_that_no_sample_can_have_are_refused(sums: tuple[float, ...]) -> None:
    with pytest.raises(MomentsError):
        Moments(*sums)


def test_a_covariate_cannot_be_more_than_perfectly_correlated() -> None:
    with pytest.raises(MomentsError, match="xy"):
        CovariateMoments(2, 2, 2, 2, 2, 2, 2, 5, 2, 2)


def test_no_units_have_no_mean_and_one_unit_no_variance() -> None:
    with pytest.raises(MomentsError):
        _ = Moments().mean
    with pytest.raises(MomentsError):
        _ = Moments.of([3.0]).variance


def test_sums_of_different_kinds_do_not_add() -> None:
    with pytest.raises(TypeError):
        _ = CovariateMoments() + Moments()
