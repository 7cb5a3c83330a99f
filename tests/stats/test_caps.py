"""Caps of huge values: one for all arms, fixed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import (
    Cap,
    LogHistogram,
    MomentsError,
    NotEnoughDataError,
    ParameterError,
    capped_moments,
    choose_cap,
)


def test_a_cap_is_the_quantile_of_all_arms_together_and_never_of_one() -> None:
    rng = np.random.default_rng(5)
    small, large = rng.lognormal(2, 1, 30_000), 5 * rng.lognormal(2, 1, 3_000)
    cap = choose_cap([LogHistogram.of(small), LogHistogram.of(large)], look=2)
    pooled = np.quantile(np.concatenate([small, large]), 0.999, method="inverted_cdf")
    assert cap.value == pytest.approx(pooled, rel=0.005)
    assert (cap.quantile, cap.look, cap.units) == (0.999, 2, 33_000)


def test_swapping_the_arms_leaves_the_cap_alone() -> None:
    rng = np.random.default_rng(6)
    arms = [LogHistogram.of(rng.lognormal(2, 1, 1500)) for _ in range(3)]
    assert choose_cap(arms, look=1) == choose_cap(arms[::-1], look=1)


def test_applying_a_cap_cuts_large_values_only() -> None:
    cap = Cap(10.0, 0.99, look=1, units=1000)
    assert cap.apply([-50.0, 0.0, 9.9, 10.0, 11.0, math.inf]).tolist() == [-50, 0, 9.9, 10, 10, 10]
    with pytest.raises(MomentsError):
        cap.apply([1.0, math.nan])


def test_a_quantile_that_no_unit_exceeds_is_no_cap() -> None:
    with pytest.raises(NotEnoughDataError):
        choose_cap([LogHistogram.of([1.0] * 500), LogHistogram.of([1.0] * 499)], look=1)
    assert choose_cap([LogHistogram.of([1.0] * 500)] * 2, look=1).units == 1000
    # 10,000 * (1 - 0.9999) is a little below 1 in floating point.
    many = LogHistogram.of([1.0] * 10_000)
    assert choose_cap([many], look=1, quantile=0.9999).units == 10_000
    for arms in ([], [LogHistogram()] * 2):
        with pytest.raises(NotEnoughDataError):
            choose_cap(arms, look=1)


def test_where_hardly_anyone_buys_a_cap_is_taken_among_buyers() -> None:
    rng = np.random.default_rng(7)
    arm = LogHistogram.of(np.concatenate([np.zeros(2_000_000), rng.gamma(2, 20, 1000)]))
    with pytest.raises(NotEnoughDataError):
        choose_cap([arm, arm], look=1)
    cap = choose_cap([arm, arm], look=1, without_zeros=True)
    assert cap.value > 100
    assert (cap.units, cap.without_zeros) == (2000, True)


@settings(derandomize=True, max_examples=40)
@given(
    st.lists(st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6), min_size=1),
    st.floats(1e-3, 1e6),
)
def test_moments_of_a_histogram_keep_their_stated_error(values: list, value: float) -> None:
    cap = Cap(value, 0.999, look=1, units=1000)
    capped = cap.apply(values)
    moments = capped_moments(LogHistogram.of(values), cap)
    assert moments.n == len(values)
    for power, found, error in (
        (1, moments.s1, 0.0050),
        (2, moments.s2, 0.0101),
        (3, moments.s3, 0.0151),
    ):
        sizes = math.fsum(abs(capped) ** power)
        assert abs(found - math.fsum(capped**power)) <= error * sizes * (1 + 1e-3)


@pytest.mark.parametrize(
    "parts",
    [
        {"value": 0.0},
        {"value": math.inf},
        {"value": math.nan},
        {"quantile": 1.0},
        {"look": 0},
        {"units": 0.0},
        {"units": math.nan},
    ],
)
def test_impossible_caps_are_refused(parts: dict) -> None:
    with pytest.raises(ParameterError):
        Cap(**{"value": 10.0, "quantile": 0.99, "look": 1, "units": 100.0, **parts})


def test_a_cap_at_no_quantile_is_refused() -> None:
    arm = LogHistogram.of([1.0] * 1000)
    for quantile in (0.0, 1.0, math.nan):
        with pytest.raises(ParameterError):
            choose_cap([arm], look=1, quantile=quantile)
