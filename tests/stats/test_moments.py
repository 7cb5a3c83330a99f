"""Sums of one arm: what merges, and what no sample can have."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import CovariateMoments, Moments, MomentsError, central_arrays, score_difference

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
        (0, 0, 0, 1),
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


# --- sums about a shift


def statistics(moments: Moments) -> list[float]:
    return [moments.n, moments.total, moments.mean, moments.variance, moments.third_central]


shifts = st.sampled_from([0.0, -3.0, 250.0])
some = st.lists(st.floats(-100, 100), min_size=2, max_size=12)


@given(some, some, shifts, shifts)
def test_sums_about_different_shifts_merge_as_one_sample(
    one: list[float], other: list[float], a: float, b: float
) -> None:
    merged = Moments.of(one, shift=a) + Moments.of(other, shift=b)
    assert merged.shift == a
    plain = Moments.of(one + other)
    assert statistics(merged) == pytest.approx(statistics(plain), rel=1e-7, abs=1e-2)


@given(some, shifts, shifts)
def test_statistics_do_not_depend_on_the_shift(values: list[float], a: float, b: float) -> None:
    about = Moments.of(values, shift=a)
    assert statistics(about.about(b)) == pytest.approx(statistics(about), rel=1e-7, abs=1e-2)
    assert about.about(a) == about


def test_statistics_are_those_of_the_values() -> None:
    values = np.array([1.0, 2.0, 6.0, 11.0])
    expected = [4, values.sum(), 5.0, values.var(ddof=1), ((values - 5.0) ** 3).mean()]
    assert statistics(Moments.of(list(values), shift=4.0)) == pytest.approx(expected)


def test_a_hundred_million_units_a_million_deviations_from_zero_keep_their_variance() -> None:
    """Even raw sums without any error of summing are only right to four digits."""
    n, mean = 1e8, 1e6
    # Half of the units at mean - 1, half at mean + 1: the sums are known exactly.
    shifted = Moments(n, 0.0, n, 0.0, shift=mean)
    raw = Moments(n, n * mean, n * (mean**2 + 1), n * (mean**3 + 3 * mean))
    truth = n / (n - 1)
    assert shifted.variance == pytest.approx(truth, rel=1e-15)
    assert shifted.mean == raw.mean == mean
    assert abs(raw.variance / truth - 1) > 1e-5
    assert shifted.third_central == 0
    assert abs(raw.third_central) > 100


def test_shards_of_a_hundred_million_units_merge_without_losing_digits() -> None:
    rng = np.random.default_rng(5)
    apart = rng.gamma(2.0, 1 / math.sqrt(2), 100_000)  # sd 1, skewed
    values = 1e6 + apart
    truth = [apart.var(), ((apart - apart.mean()) ** 3).mean()]

    def pooled(shift: float) -> Moments:
        y = values - shift
        total = Moments(len(y), y.sum(), (y**2).sum(), (y**3).sum(), shift=shift)
        for _ in range(10):
            total = total + total
        return total

    near, raw = pooled(1e6 + 5), pooled(0.0)
    assert near.n == raw.n == 1.024e8
    assert near.variance == pytest.approx(truth[0], rel=1e-6)
    assert near.third_central == pytest.approx(truth[1], rel=1e-6)
    assert abs(raw.variance / truth[0] - 1) > 1e-6
    # What the decision sees: half of the shards came from an engine that keeps central moments.
    y = values - values.mean()
    engine = Moments.from_central(len(y), values.mean(), (y**2).sum(), (y**3).sum())
    both = near + engine
    assert both.variance == pytest.approx(truth[0], rel=1e-6)
    other = near.about(near.shift - 0.001)
    moved = Moments(*other.sums, shift=near.shift)
    assert score_difference(near, moved).difference == pytest.approx(0.001, rel=1e-6)


@given(some, some)
def test_central_moments_of_an_engine_merge_by_pebays_formulas(
    one: list[float], other: list[float]
) -> None:
    def engine(values: list[float]) -> Moments:
        y = np.array(values)
        apart = y - y.mean()
        return Moments.from_central(len(y), y.mean(), (apart**2).sum(), (apart**3).sum())

    merged, y = engine(one) + engine(other), np.array(one + other)
    apart = y - y.mean()
    expected = [len(y), y.sum(), y.mean(), y.var(ddof=1), (apart**3).mean()]
    assert statistics(merged) == pytest.approx(expected, rel=1e-7, abs=1e-6)


def test_nothing_added_leaves_the_shift_alone() -> None:
    some_units = Moments.of([4.0, 6.0], shift=5.0)
    assert Moments() + some_units == some_units + Moments() == some_units


def test_the_unit_of_a_metric_scales_its_shift() -> None:
    cents = Moments.of([1.0, 2.5, 7.0], shift=3.0).scaled(100)
    assert statistics(cents) == pytest.approx(statistics(Moments.of([100, 250, 700])))


@given(pairs.filter(lambda rows: len(rows) > 1), shifts, shifts)
def test_a_covariate_is_moved_with_its_outcome(rows: list, a: float, b: float) -> None:
    values, before = [y for y, _ in rows], [x for _, x in rows]
    plain = CovariateMoments.of_pairs(values, before)
    assert close(plain.about(a, b), CovariateMoments.of_pairs(values, before, shift=a, x_shift=b))
    assert plain.about(a, b).covariance == pytest.approx(
        float(np.cov(values, before)[0, 1]), rel=1e-7, abs=1e-3
    )
    assert plain.about(a).x_shift == 0
    moved = plain.about(a, b)
    assert statistics(moved.outcome) == statistics(moved)
    assert statistics(moved.covariate) == pytest.approx(
        statistics(Moments.of(before)), rel=1e-7, abs=0.5
    )
    assert (plain + moved).shifts == plain.shifts


def test_an_outcome_is_scaled_without_its_covariate() -> None:
    values, before = [1.0, 2.0, 6.0], [3.0, 1.0, 2.0]
    cents = CovariateMoments.of_pairs(values, before, shift=2.0).scaled(100)
    expected = CovariateMoments.of_pairs([100 * y for y in values], before, shift=200.0)
    assert close(cents, expected)


def test_many_samples_at_once_have_the_statistics_of_each() -> None:
    samples = [[1.0, 2.0, 6.0], [3.0, 3.5], [-1.0, 4.0, 9.0, 9.0]]
    rows = [Moments.of(sample, shift=2.0) for sample in samples]
    mean, variance, third = central_arrays([row.sums for row in rows], 2.0)
    assert mean.tolist() == pytest.approx([row.mean for row in rows])
    assert variance.tolist() == pytest.approx([row.variance for row in rows])
    assert third.tolist() == pytest.approx([row.third_central for row in rows])
    assert [np.isnan(part).tolist() for part in central_arrays([[0.0] * 4, [1, 2, 4, 8]])] == [
        [True, False],
        [True, True],
        [True, False],
    ]


def test_no_units_have_no_third_moment_and_no_covariance() -> None:
    with pytest.raises(MomentsError):
        _ = Moments().third_central
    with pytest.raises(MomentsError):
        _ = CovariateMoments.of_pairs([1.0], [1.0]).covariance


@pytest.mark.parametrize("shift", [math.nan, math.inf])
def test_a_shift_is_a_finite_number(shift: float) -> None:
    with pytest.raises(MomentsError, match="shift"):
        Moments(1, 1, 1, 1, shift=shift)


@given(st.floats(-10, 10), st.floats(-1e6, 1e6), st.floats(-10, 10))
def test_moving_never_makes_sums_that_no_sample_can_have(y: float, a: float, x: float) -> None:
    """Equal values leave only rounding about themselves, on either side of zero."""
    constant = CovariateMoments.of_pairs([y] * 3, [x] * 3, shift=a, x_shift=a)
    moved = constant.about(y, x)
    assert moved.variance == pytest.approx(0, abs=1e-2)
    assert moved.outcome.about(0.0).variance == pytest.approx(0, abs=1e-2)
