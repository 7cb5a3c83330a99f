"""Sizes before the first look: published values, laws, and what cannot be planned."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import (
    Baseline,
    NotEnoughDataError,
    ParameterError,
    SampleSize,
    Signal,
    achieved_power,
    conversion_sample_size,
    error_per_test,
    noninferiority,
    sample_size,
    smallest_detectable_lift,
)
from stats.sums.moments import Moments

RATES = st.floats(0.01, 0.6)
LIFTS = st.floats(0.005, 0.6)
RATIOS = st.floats(0.05, 20)
POWERS = st.floats(0.3, 0.99)
quick = settings(derandomize=True, max_examples=40, deadline=None)


def test_the_textbook_two_sample_t_test_needs_64_in_each_group() -> None:
    """Cohen (1988), table 2.4.1: d = 0.5, two-sided 5 %, power 80 %."""
    size = sample_size(Signal(0.5, 1.0, 1.0))
    assert size.whole == (64, 64)
    assert size.control == pytest.approx(63.76576, abs=1e-5)  # R: power.t.test(delta = .5)


def test_a_tiny_group_is_counted_with_students_t_and_a_large_one_is_not() -> None:
    large = Signal(1.0, 1.0, 1.0)
    assert sample_size(large).whole == (17, 17)  # R: power.t.test(delta = 1) says 16.71
    assert sample_size(large, method="normal").whole == (16, 16)
    small = Signal(0.1, 1.0, 1.0)
    assert sample_size(small) == sample_size(small, method="normal")


def test_fleiss_counts_rates_of_60_and_70_percent() -> None:
    """R: power.prop.test(p1 = .6, p2 = .7, power = .9) says 476.0072."""
    size = conversion_sample_size(0.6, 0.7, power=0.9)
    assert size.control == pytest.approx(476.0072, abs=1e-3)


def test_chow_counts_noninferiority_of_means() -> None:
    """Chow, Shao, Wang, 3.2.4: sd 0.1, margin 0.05, no difference, power 80 %, 2.5 %: 51 or 63."""
    size = sample_size(Signal(0.05, 0.01, 0.01), alpha=0.05, method="normal")
    assert size.whole == (50, 50)  # (1.645 + 0.842)**2 * 2 * 4 = 49.5


@settings(quick, max_examples=15)
@given(RATES, LIFTS, RATIOS, POWERS)
def test_power_of_the_size_is_the_power_that_was_asked_for(
    rate: float, lift: float, ratio: float, power: float
) -> None:
    signal = Signal.of_difference(Baseline.of_mean(rate, 1.0), lift)
    for method in ("normal", "t"):
        size = sample_size(signal, ratio=ratio, power=power, method=method)
        if min(size.control, size.treatment) > 2.01:
            found = achieved_power(signal, size.control, size.treatment, method=method)
            assert found == pytest.approx(power, abs=1e-7)


@quick
@given(RATES, st.floats(0.01, 0.3), RATIOS, st.sampled_from([1, -1]))
def test_the_smallest_detectable_lift_is_the_lift_that_was_sized_for(
    rate: float, lift: float, ratio: float, sign: int
) -> None:
    baseline = Baseline.of_rate(rate)
    size = sample_size(Signal.of_difference(baseline, sign * lift), ratio=ratio, method="normal")
    found = smallest_detectable_lift(
        baseline, size.control, size.treatment, sign=sign, method="normal"
    )
    assert found == pytest.approx(lift, rel=1e-8)


@quick
@given(RATES, LIFTS, st.floats(0.01, 100))
def test_the_unit_of_measurement_changes_no_size(rate: float, lift: float, factor: float) -> None:
    one = Signal.of_difference(Baseline.of_mean(rate, 1.0), lift)
    other = Signal.of_difference(Baseline.of_mean(factor * rate, factor), lift)
    assert sample_size(one).control == pytest.approx(sample_size(other).control, rel=1e-9)


@quick
@given(RATIOS)
def test_no_split_of_a_mean_beats_the_even_one(ratio: float) -> None:
    signal = Signal(0.01, 1.0, 1.0)
    even, other = sample_size(signal), sample_size(signal, ratio=ratio)
    assert other.treatment == pytest.approx(ratio * other.control)
    assert other.control + other.treatment >= (even.control + even.treatment) * (1 - 1e-12)


def test_a_covariate_saves_its_squared_correlation() -> None:
    plain = Baseline.of_mean(10.0, 30.0)
    sizes = [
        sample_size(Signal.of_difference(baseline, 0.05)).control
        for baseline in (plain, plain.with_covariate(0.36))
    ]
    assert sizes[1] == pytest.approx(0.64 * sizes[0])
    assert Baseline.of_rate(0.1).with_covariate(0.5).binary is False
    assert Baseline.of_rate(0.1).with_covariate(0.0).binary is True


def test_a_ratio_has_the_variance_of_the_delta_method() -> None:
    ratio = Baseline.of_ratio((2.0, 3.0), (4.0, 5.0), 1.5)
    assert (ratio.mean, ratio.variance) == (0.5, (3.0 - 1.5 + 0.25 * 5.0) / 16)
    constant = Baseline.of_ratio((2.0, 3.0), (1.0, 0.0), 0.0)
    assert constant == Baseline(2.0, 3.0)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_noninferiority_signal_is_the_contrast_that_will_be_tested(sign: int) -> None:
    n, rate, margin = 50_000.0, 0.08, 0.05
    arm = Moments.conversions(n, rate * n)
    tested = noninferiority(arm, arm, margin=margin, sign=sign, binary=True)
    signal = Signal.of_noninferiority(Baseline.of_rate(rate), margin, sign=sign)
    assert signal.value == pytest.approx(tested.value)
    assert signal.statistic(n, n) == pytest.approx(tested.z)


def test_a_guardrail_that_truly_loses_its_margin_cannot_be_shown_safe() -> None:
    lost = Signal.of_noninferiority(Baseline.of_rate(0.1), 0.05, lift=-0.05)
    assert lost.value == pytest.approx(0.0, abs=1e-15)
    with pytest.raises(ParameterError, match="cannot be shown"):
        sample_size(Signal.of_noninferiority(Baseline.of_rate(0.1), 0.05, lift=-0.06))


def test_the_chance_to_miss_is_shared_among_the_tests_of_a_ship() -> None:
    assert error_per_test(0.2, 0) == 0.2
    assert error_per_test(0.2, 3, alpha_harm=0.025, alpha_quality=0.001) == pytest.approx(0.0435)
    with pytest.raises(ParameterError, match="use up"):
        error_per_test(0.02, 1, alpha_harm=0.025)


def test_what_no_lift_can_show_is_infinite_and_not_a_number_out_of_range() -> None:
    assert smallest_detectable_lift(Baseline.of_rate(0.9), 20, 20) == math.inf
    assert smallest_detectable_lift(Baseline.of_mean(1.0, 50.0), 20, 20, sign=-1) == math.inf


def test_whole_units_are_never_too_few() -> None:
    assert SampleSize(10.2, 20.0).whole == (11, 20)
    assert SampleSize(10.2, 20.0).total == 31


@pytest.mark.parametrize(
    "build",
    [
        lambda: Baseline(0.0, 1.0),
        lambda: Baseline(math.nan, 1.0),
        lambda: Baseline(1.0, 0.0),
        lambda: Baseline(1.0, math.inf),
        lambda: Baseline(1.5, 1.0, binary=True),
        lambda: Baseline.of_rate(0.0),
        lambda: Baseline.of_rate(1.0),
        lambda: Baseline.of_mean(1.0, -1.0),
        lambda: Baseline.of_ratio((1.0, 1.0), (0.0, 1.0), 0.0),
        lambda: Baseline.of_rate(0.5).with_covariate(1.0),
        lambda: Baseline.of_rate(0.5).lifted(1.0),
        lambda: Baseline.of_rate(0.5).lifted(-1.0),
        lambda: Signal.of_noninferiority(Baseline.of_rate(0.5), 0.0),
        lambda: sample_size(Signal(0.0, 1.0, 1.0)),
        lambda: sample_size(Signal(1.0, 1.0, 1.0), alpha=0.5),
        lambda: sample_size(Signal(1.0, 1.0, 1.0), power=0.01),
        lambda: sample_size(Signal(1.0, 1.0, 1.0), power=1.0),
        lambda: sample_size(Signal(1.0, 1.0, 1.0), ratio=0.0),
        lambda: sample_size(Signal(1.0, 1.0, 1.0), inflation=0.9),
        lambda: conversion_sample_size(0.1, 0.1),
        lambda: error_per_test(1.0, 1),
    ],
)
def test_what_cannot_be_planned_is_a_parameter_error(build: object) -> None:
    assert callable(build)
    with pytest.raises(ParameterError):
        build()


def test_one_unit_has_no_power() -> None:
    with pytest.raises(NotEnoughDataError):
        achieved_power(Signal(1.0, 1.0, 1.0), 1, 100)
