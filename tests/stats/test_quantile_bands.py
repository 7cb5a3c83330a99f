"""Bands of quantiles that may be read at any time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import (
    LogHistogram,
    MomentsError,
    ParameterError,
    distribution_band,
    order_statistic_ranks,
    quantile_band,
    quantile_difference_band,
    stitched_count_bound,
)


def test_a_band_holds_at_all_looks_where_an_interval_read_daily_does_not() -> None:
    rng = np.random.default_rng(20)
    broken = naive = 0
    for _ in range(60):
        values = rng.exponential(1.0, 3000)
        misses = [False, False]
        for n in range(100, 3001, 200):
            histogram = LogHistogram.of(values[:n])
            band = quantile_band(histogram, 0.5, alpha=0.2, tuned_for=100)
            misses[0] |= not band.low <= math.log(2) <= band.high
            ranks = order_statistic_ranks(n, 0.5, confidence_level=0.8)
            below = np.count_nonzero(values[:n] <= math.log(2))
            misses[1] |= not ranks.low <= below <= ranks.high - 1
        broken += misses[0]
        naive += misses[1]
    assert broken <= 60 * 0.2
    assert naive >= 60 * 0.4


def test_the_distribution_function_stays_inside_its_band() -> None:
    rng = np.random.default_rng(21)
    broken = 0
    for _ in range(60):
        values = rng.random(2000)
        broken += any(
            np.max(np.abs(np.sort(values[:n]) - np.arange(1, n + 1) / n))
            > distribution_band(n, alpha=0.2, from_n=50)
            for n in range(50, 2001, 50)
        )
    assert broken <= 60 * 0.2


def test_a_band_is_unbounded_while_there_are_too_few_values() -> None:
    band = quantile_band(LogHistogram.of(range(1, 30)), 0.9)
    assert band.high == math.inf
    assert quantile_band(LogHistogram.of([5.0]), 0.5).low == -math.inf
    assert distribution_band(9, from_n=10) == math.inf


@pytest.mark.parametrize("p", [0.05, 0.3, 0.9])
def test_the_band_of_mirrored_values_is_the_mirrored_band(p: float) -> None:
    values = np.random.default_rng(23).lognormal(2, 1, 4001)
    band = quantile_band(LogHistogram.of(values), p)
    mirror = quantile_band(LogHistogram.of(-values), 1 - p)
    assert (-mirror.high, -mirror.low) == pytest.approx((band.low, band.high), rel=0.011)
    assert band.low < band.value < band.high


def test_more_rare_events_than_expected_are_likelier_than_as_many_fewer() -> None:
    assert stitched_count_bound(5000, 0.01) > stitched_count_bound(5000, 0.99)
    assert stitched_count_bound(5000, 0.01) < stitched_count_bound(5000, 0.5)


@settings(derandomize=True, max_examples=30)
@given(st.integers(1, 10**7), st.floats(0.02, 0.98), st.floats(0.001, 0.2))
def test_a_smaller_error_and_more_values_need_more_room_but_a_smaller_share(
    n: int, p: float, alpha: float
) -> None:
    bound = stitched_count_bound(n, p, alpha=alpha)
    assert stitched_count_bound(n, p, alpha=alpha / 2) > bound
    later = stitched_count_bound(4 * n, p, alpha=alpha)
    assert later >= bound
    assert later / (4 * n) < bound / n
    assert distribution_band(n, alpha=alpha / 2, from_n=1) > distribution_band(
        n, alpha=alpha, from_n=1
    )


def test_a_band_has_about_the_size_its_documentation_says() -> None:
    # Half-widths in shares: 2.2 times the interval of one look.
    one_look = 1.96 * math.sqrt(0.25 / 20_000)
    bound = stitched_count_bound(20_000, 0.5, tuned_for=1000) / 20_000
    assert bound / one_look == pytest.approx(2.2, abs=0.05)


def test_the_difference_of_two_arms_is_as_wide_as_both_bands_at_half_the_error() -> None:
    rng = np.random.default_rng(22)
    control, treatment = (LogHistogram.of(rng.lognormal(m, 1, 5000)) for m in (3, 3.4))
    band = quantile_difference_band(control, treatment, 0.5, alpha=0.1)
    c, t = (quantile_band(arm, 0.5, alpha=0.05) for arm in (control, treatment))
    assert (band.low, band.high) == (t.low - c.high, t.high - c.low)
    back = quantile_difference_band(treatment, control, 0.5, alpha=0.1)
    assert (back.value, back.low) == (-band.value, -band.high)
    assert band.low > 0


@pytest.mark.parametrize(
    "arguments",
    [
        {"quantile": 0.0},
        {"quantile": 1.0},
        {"quantile": math.nan},
        {"alpha": 0.0},
        {"alpha": 1.0},
        {"alpha": math.nan},
        {"tuned_for": 0},
        {"tuned_for": math.inf},
        {"n": -1},
        {"n": math.nan},
        {"n": math.inf},
    ],
)
def test_impossible_bounds_are_refused(arguments: dict) -> None:
    with pytest.raises(ParameterError):
        stitched_count_bound(**{"n": 100, "quantile": 0.5, **arguments})


def test_an_empty_arm_and_an_impossible_distance_are_refused() -> None:
    with pytest.raises(MomentsError):
        quantile_band(LogHistogram(), 0.5)
    with pytest.raises(ParameterError):
        quantile_band(LogHistogram.of([1.0]), 1.0)
    for arguments in ({"alpha": 0.0}, {"from_n": 0.5}):
        with pytest.raises(ParameterError):
            distribution_band(100, **arguments)


@pytest.mark.parametrize("alpha", [1e-6, 0.05, 0.5, 0.99])
def test_every_error_has_its_constant(alpha: float) -> None:
    assert 0 < distribution_band(1000, alpha=alpha) < 1
