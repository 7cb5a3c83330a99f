"""One planned look: means, conversions, lifts, margins."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stats import (
    Conversions,
    Moments,
    NotEnoughDataError,
    ParameterError,
    StatsError,
    compare_conversions,
    compare_means,
    conversion_lift_interval,
    conversion_lift_log_interval,
    delta_interval,
    fieller_interval,
    futility,
    log_interval,
    newcombe_interval,
    noninferiority,
    score_difference,
    wilson_interval,
)

samples = st.lists(st.floats(-100, 100), min_size=3, max_size=12).map(Moments.of)
clear_means = st.builds(
    lambda n, mean, deviation: Moments(n, n * mean, n * mean**2 + (n - 1) * deviation**2, 0.0),
    st.integers(2, 500),
    st.floats(1, 100) | st.floats(-100, -1),
    st.floats(0.1, 200),
)
rates = st.builds(
    lambda n, share: Conversions(round(n * share), n),
    st.integers(1, 10_000),
    st.floats(0, 1),
)
METHODS = [
    compare_means,
    delta_interval,
    log_interval,
    score_difference,
    lambda c, t: fieller_interval(c, t, low_critical=2.0),
    lambda c, t: noninferiority(c, t, margin=0.1),
    lambda c, t: futility(c, t, mde=0.1),
]


def varied(moments: Moments) -> bool:
    return moments.variance > 1e-6


@given(samples, samples)
def test_swapping_the_arms_flips_every_sign(control: Moments, treatment: Moments) -> None:
    assume(varied(control) and varied(treatment))
    one, other = compare_means(control, treatment), compare_means(treatment, control)
    assert one.difference == -other.difference
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), rel=1e-9, abs=1e-9)
    assert one.p_greater == pytest.approx(other.p_less, rel=1e-9)
    assert score_difference(control, treatment).z == pytest.approx(
        -score_difference(treatment, control).z, rel=1e-9, abs=1e-9
    )


@given(clear_means, clear_means, st.floats(0.1, 5))
def test_fieller_leaves_out_zero_exactly_when_z_passes_the_critical_value(
    control: Moments, treatment: Moments, critical: float
) -> None:
    lift = fieller_interval(control, treatment, low_critical=critical)
    result = compare_means(control, treatment)
    if lift.low is None or lift.high is None:
        assert control.variance / control.n * critical**2 >= control.mean**2 * (1 - 1e-9)
    elif abs(abs(result.t) - critical) > 1e-6:
        assert lift.low <= lift.lift <= lift.high
        assert (lift.low > 0 or lift.high < 0) == (abs(result.t) > critical)


def test_a_lift_over_a_negative_mean_rises_with_the_treatment() -> None:
    control, better = Moments.of([-10.0, -12.0, -11.0]), Moments.of([-5.0, -6.0, -7.0])
    lift = fieller_interval(control, better, low_critical=1.0)
    assert lift.low is not None
    assert lift.high is not None
    assert 0 < lift.low < lift.lift < lift.high


def test_a_lift_over_a_mean_that_may_be_zero_has_no_ends() -> None:
    lift = fieller_interval(Moments.of([-1.0, 1.5]), Moments.of([5.0, 6.0]), low_critical=1.96)
    assert (lift.low, lift.high) == (None, None)


@given(rates, rates)
def test_newcombe_stays_within_the_possible(control: Conversions, treatment: Conversions) -> None:
    interval = newcombe_interval(control, treatment)
    assert -1 - 1e-12 <= interval.low <= interval.high <= 1 + 1e-12
    assert 0 <= wilson_interval(control).low <= control.rate <= wilson_interval(control).high <= 1


@given(rates, rates)
def test_swapping_arms_mirrors_newcombe(control: Conversions, treatment: Conversions) -> None:
    one, other = newcombe_interval(control, treatment), newcombe_interval(treatment, control)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-12)


def test_a_p_value_beyond_nine_standard_errors_is_not_zero() -> None:
    result = compare_conversions(Conversions(1000, 10_000), Conversions(2000, 10_000))
    assert 0 < result.p_value < 1e-60


def test_a_one_sided_p_value_of_a_huge_gain_is_not_zero() -> None:
    control, treatment = Moments(5000, 0.0, 5000.0), Moments(5000, 1000.0, 5200.0)
    assert 0 < compare_means(control, treatment).p_greater < 1e-20


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("control", "treatment"),
    [
        (Moments(), Moments()),
        (Moments(), Moments.of([1.0, 2.0])),
        (Moments.of([1.0]), Moments.of([1.0, 2.0])),
        (Moments.of([0.0, 0.0]), Moments.of([0.0, 0.0])),
        (Moments.of([3.0, 3.0]), Moments.of([3.0, 3.0])),
    ],
    ids=["no data", "empty control", "one unit", "all zero", "all equal"],
)
def test_too_thin_data_is_a_named_error(method, control: Moments, treatment: Moments) -> None:
    with pytest.raises(NotEnoughDataError, match="not enough"):
        method(control, treatment)


def test_conversions_without_conversions_are_a_named_error() -> None:
    nobody, somebody = Conversions(0, 50), Conversions(5, 50)
    with pytest.raises(NotEnoughDataError):
        compare_conversions(nobody, nobody)
    with pytest.raises(NotEnoughDataError):
        conversion_lift_interval(nobody, somebody)
    with pytest.raises(NotEnoughDataError):
        conversion_lift_log_interval(somebody, nobody)
    assert conversion_lift_interval(somebody, nobody).low == -1


@pytest.mark.parametrize(("x", "n"), [(1, 0), (-1, 5), (6, 5), (math.nan, 5), (1, math.inf)])
def test_impossible_conversions_are_refused(x: float, n: float) -> None:
    with pytest.raises(ParameterError):
        Conversions(x, n)


@pytest.mark.parametrize("level", [0, 1, -0.1, math.nan])
def test_a_level_outside_zero_to_one_is_refused(level: float) -> None:
    arm = Moments.of([1.0, 2.0])
    with pytest.raises(ParameterError):
        compare_means(arm, arm, confidence_level=level)


@pytest.mark.parametrize("margin", [0, -0.1, math.nan, math.inf])
def test_a_margin_that_is_no_positive_number_is_refused(margin: float) -> None:
    arm = Moments.of([1.0, 2.0])
    with pytest.raises(StatsError):
        noninferiority(arm, arm, margin=margin)


def test_a_margin_tolerates_a_loss_in_either_direction_and_sign() -> None:
    same = Moments(1000, 1000.0, 2000.0)
    costs = Moments(1000, -1000.0, 2000.0)
    for arm in (same, costs):
        for sign in (1, -1):
            assert noninferiority(arm, arm, margin=0.1, sign=sign).value == pytest.approx(0.1)
            assert futility(arm, arm, mde=0.1, sign=sign).value == pytest.approx(-0.1)
