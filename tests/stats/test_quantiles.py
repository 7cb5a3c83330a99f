"""Quantiles of one arm, their difference, and the statistic that decides."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as sps

from stats import (
    LogHistogram,
    Moments,
    MomentsError,
    NotEnoughDataError,
    ParameterError,
    QuantileEstimate,
    RatioMoments,
    compare_quantiles,
    design_effect,
    linearised,
    order_statistic_ranks,
    quantile_difference_arrays,
    quantile_of_histogram,
    quantile_of_values,
    quantile_score,
    quantile_shift,
    score_difference,
)

Rows = tuple[np.ndarray, np.ndarray]


def arm(rng: np.random.Generator, users: int, factor: float = 1.0) -> Rows:
    """Latencies of users that differ: rows of one user hang together."""
    rows = rng.poisson(rng.gamma(2, 2.5, users)) + 1
    own = np.repeat(rng.lognormal(0, 0.5, users), rows)
    return np.repeat(np.arange(users), rows), factor * own * rng.lognormal(3, 0.6, rows.sum())


def at_or_below(rows: Rows, point: float) -> RatioMoments:
    user, value = rows
    below = np.bincount(user, weights=value <= point)
    return RatioMoments.of(below.tolist(), np.bincount(user).astype(float).tolist())


@settings(derandomize=True, max_examples=60)
@given(st.integers(1, 3000), st.floats(0.01, 0.99), st.floats(0.5, 0.999))
def test_ranks_are_the_binomial_quantiles_and_keep_their_coverage(
    n: int, p: float, level: float
) -> None:
    ranks = order_statistic_ranks(n, p, confidence_level=level)
    tail = (1 - level) / 2
    assert ranks.low == sps.binom.ppf(tail, n, p)
    assert sps.binom.sf(ranks.high - 1, n, p) <= tail * (1 + 1e-9)
    assert sps.binom.sf(ranks.high - 2, n, p) > tail * (1 - 1e-9)
    inside = sps.binom.cdf(ranks.high - 1, n, p) - sps.binom.cdf(ranks.low - 1, n, p)
    assert ranks.coverage == pytest.approx(inside, abs=1e-9)
    assert ranks.coverage >= level - 1e-9


def test_ranks_for_a_tiny_error_do_not_lose_their_upper_end() -> None:
    ranks = order_statistic_ranks(10_000, 0.5, confidence_level=1 - 1e-15)
    assert ranks.low - 1 == 10_000 - ranks.high
    assert 380 < ranks.high - 5000 < 410


def test_an_end_without_an_order_statistic_is_infinite_and_not_sufficient() -> None:
    few = quantile_of_values(range(50), 0.99)
    assert few.high == math.inf
    assert few.se == math.inf
    assert not few.sufficient
    assert quantile_of_values([7.0], 0.5).low == -math.inf
    # 3.84 * .99 / .01 = 380.3 values.
    assert not quantile_of_values(range(380), 0.99).sufficient
    assert QuantileEstimate(0.99, 381, 5.0, 4.0, 6.0).sufficient


def test_a_quantile_is_the_smallest_value_with_its_share_at_or_below() -> None:
    assert quantile_of_values([3, 1, 2, 4], 0.5).value == 2
    assert quantile_of_values(range(1, 101), 0.07).value == 7


@settings(derandomize=True, max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.5, 0.9]))
def test_a_histogram_holds_the_interval_of_the_values(seed: int, p: float) -> None:
    values = np.random.default_rng(seed).lognormal(2, 1, 300)
    exact = quantile_of_values(values, p)
    read = quantile_of_histogram(LogHistogram.of(values), p)
    assert read.low <= exact.low
    assert read.high >= exact.high
    assert read.value == pytest.approx(exact.value, rel=0.005)
    assert read.high - read.low <= (exact.high - exact.low) + 0.0101 * (exact.high + exact.low)


def test_the_interval_of_rows_of_users_covers_where_that_of_rows_alone_does_not() -> None:
    rng = np.random.default_rng(8)
    true = float(np.quantile(arm(rng, 200_000)[1], 0.5))
    aware = naive = 0
    for _ in range(100):
        rows = arm(rng, 600)
        histogram = LogHistogram.of(rows[1])
        found = quantile_of_histogram(histogram, 0.5, at_or_below=at_or_below(rows, 1.1 * true))
        aware += found.low <= true <= found.high
        alone = quantile_of_values(rows[1], 0.5)
        naive += alone.low <= true <= alone.high
    assert aware >= 90
    assert naive <= 85


def test_rows_that_repeat_count_once() -> None:
    below = [1.0] * 60 + [0.0] * 40
    once = RatioMoments.of(below, [1.0] * 100)
    assert design_effect(once) == pytest.approx(100 / 99)
    fourfold = RatioMoments.of([4 * x for x in below], [4.0] * 100)
    assert design_effect(fourfold) == pytest.approx(4 * 100 / 99)
    histogram = LogHistogram.of(range(1, 401))
    found = quantile_of_histogram(histogram, 0.5, at_or_below=fourfold)
    assert found.n == pytest.approx(99)


@pytest.mark.parametrize(
    "sums",
    [
        RatioMoments.of([0.0] * 5, [2.0] * 5),
        RatioMoments.of([2.0] * 5, [2.0] * 5),
        RatioMoments.of([1.0] * 5, [2.0] * 5),
    ],
)
def test_a_point_that_tells_nothing_of_the_clustering_is_refused(sums: RatioMoments) -> None:
    with pytest.raises(ParameterError):
        design_effect(sums)


def test_the_difference_is_treatment_minus_control_with_its_interval() -> None:
    control = QuantileEstimate(0.5, 1000, 100.0, 98.0, 102.0)
    treatment = QuantileEstimate(0.5, 1000, 110.0, 107.0, 113.0)
    there = compare_quantiles(control, treatment)
    back = compare_quantiles(treatment, control)
    assert there.difference == 10
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.z == -back.z > 4
    assert there.se == pytest.approx(math.sqrt(999 / 1000) * math.hypot(2, 3) / 1.959964, rel=1e-6)
    assert there.limit(1.959964) == pytest.approx(there.low, rel=1e-6)
    assert there.p_value == pytest.approx(2 * sps.norm.sf(there.z))
    assert there.lift == pytest.approx(0.1)


def test_an_estimate_at_another_confidence_has_the_same_standard_error() -> None:
    values = np.random.default_rng(1).normal(50, 5, 20_000)
    wide = quantile_of_values(values, 0.5, confidence_level=0.99)
    assert wide.se == pytest.approx(quantile_of_values(values, 0.5).se, rel=0.1)


def test_a_control_at_zero_has_no_lift_but_a_difference() -> None:
    around = QuantileEstimate(0.5, 1000, 0.0, -1.0, 1.0)
    result = compare_quantiles(around, around)
    assert (result.difference, result.z, result.lift) == (0, 0, math.inf)


def test_many_differences_at_once_are_the_single_ones() -> None:
    difference, se, z = quantile_difference_arrays([[10, 3], [5, 0]], [[12, 4], [6, 0]])
    assert difference.tolist() == [2, 1]
    assert se.tolist() == [5, 0]
    assert z[0] == 0.4
    assert np.isnan(z[1])


def test_too_few_or_equal_values_are_not_compared() -> None:
    few = quantile_of_values(range(10), 0.99)
    enough = QuantileEstimate(0.99, 5000, 9.0, 8.0, 10.0)
    equal = quantile_of_values([1.0] * 500, 0.5)
    spread = QuantileEstimate(0.5, 500, 1.5, 1.0, 2.0)
    for pair in ((few, enough), (enough, few), (equal, spread), (spread, equal)):
        with pytest.raises(NotEnoughDataError):
            compare_quantiles(*pair)
    with pytest.raises(ParameterError):
        compare_quantiles(enough, spread)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_values_that_are_none_have_no_quantile(values: list) -> None:
    with pytest.raises(MomentsError):
        quantile_of_values(values, 0.5)
    with pytest.raises(MomentsError):
        quantile_of_histogram(LogHistogram(), 0.5)


@pytest.mark.parametrize(
    "parts",
    [
        (0.0, 10, 1.0, 0.0, 2.0),
        (0.5, 0, 1.0, 0.0, 2.0),
        (0.5, math.nan, 1.0, 0.0, 2.0),
        (0.5, 10, math.nan, 0.0, 2.0),
        (0.5, 10, 3.0, 0.0, 2.0),
        (0.5, 10, 1.0, math.nan, 2.0),
        (0.5, 10, 1.0, 0.0, 2.0, 1.0),
    ],
)
def test_impossible_estimates_are_refused(parts: tuple) -> None:
    with pytest.raises(ParameterError):
        QuantileEstimate(*parts)


def test_impossible_ranks_are_refused() -> None:
    for n, p, level in ((0, 0.5, 0.95), (10, 1.0, 0.95), (10, 0.5, 1.0), (10, math.nan, 0.9)):
        with pytest.raises(ParameterError):
            order_statistic_ranks(n, p, confidence_level=level)


def test_with_one_row_per_unit_the_score_is_that_of_a_conversion() -> None:
    below = RatioMoments.of([1.0] * 40 + [0.0] * 60, [1.0] * 100)
    above = RatioMoments.of([1.0] * 30 + [0.0] * 70, [1.0] * 100)
    slower = quantile_score(below, above)
    conversion = score_difference(Moments.conversions(100, 60), Moments.conversions(100, 70))
    assert slower.z == pytest.approx(conversion.z)
    assert slower.z > 0


def test_the_score_is_that_of_rows_counted_above_the_point() -> None:
    rng = np.random.default_rng(9)
    arms = arm(rng, 400), arm(rng, 40)
    found = quantile_score(*(at_or_below(rows, 25.0) for rows in arms))
    # Negated values turn "at or below" into "at or above"; none lies on the point.
    both = linearised(*(at_or_below((user, -value), -25.0) for user, value in arms))
    expected = score_difference(both.control, both.treatment)
    assert abs(expected.kappa) > 0.01
    assert astuple(found) == pytest.approx(astuple(expected))


@settings(derandomize=True, max_examples=20)
@given(st.integers(0, 10**6), st.floats(-3, 3), st.floats(-3, 3))
def test_swapped_arms_flip_the_score_and_shifted_sums_do_not_move_it(
    seed: int, m_shift: float, d_shift: float
) -> None:
    rng = np.random.default_rng(seed)
    a, b = (at_or_below(arm(rng, 60), 25.0) for _ in range(2))
    z = quantile_score(a, b).z
    assert quantile_score(b, a).z == pytest.approx(-z, abs=1e-9)
    moved = a.about(m_shift, d_shift), b.about(m_shift, d_shift)
    assert quantile_score(*moved).z == pytest.approx(z, abs=1e-7)


def test_the_score_of_clustered_rows_is_standard_normal_in_an_a_a_test() -> None:
    rng = np.random.default_rng(12)
    z = []
    for _ in range(200):
        arms = arm(rng, 300), arm(rng, 300)
        point = sum((LogHistogram.of(rows[1]) for rows in arms), LogHistogram()).quantile(0.9)
        z.append(quantile_score(*(at_or_below(rows, point) for rows in arms)).z)
    assert abs(np.mean(z)) < 0.25
    assert 0.87 < np.std(z) < 1.13


def test_a_shift_agrees_with_the_decision_and_with_the_quantiles() -> None:
    rng = np.random.default_rng(3)
    arms = arm(rng, 4000), arm(rng, 4000, factor=1.1)
    pooled = LogHistogram.of(arms[0][1]) + LogHistogram.of(arms[1][1])
    point = pooled.quantile(0.9)
    score = quantile_score(*(at_or_below(rows, point) for rows in arms))
    shift = quantile_shift(score, pooled, 0.9)
    assert shift.difference == pytest.approx(0.1 * point / 1.05, rel=0.35)
    assert shift.difference == pytest.approx(score.z * shift.se, rel=0.02)
    assert shift.limit(score.z - 0.01) > 0
    assert shift.limit(score.z + 0.01) < 0
    own = [quantile_of_values(rows[1], 0.9).value for rows in arms]
    assert shift.difference == pytest.approx(own[1] - own[0], rel=0.1)


def test_rows_in_one_place_have_no_shift() -> None:
    below = RatioMoments.of([1.0] * 40 + [0.0] * 60, [1.0] * 100)
    score = quantile_score(below, below)
    with pytest.raises(NotEnoughDataError):
        quantile_shift(score, LogHistogram.of([0.0] * 200), 0.5)
    with pytest.raises(MomentsError):
        quantile_shift(score, LogHistogram(), 0.5)
    with pytest.raises(ParameterError):
        quantile_shift(score, LogHistogram.of([1.0]), 1.0)
