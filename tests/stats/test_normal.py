"""A normal prior and one estimate: the numbers, their symmetry, and what they are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import (
    FLAT_PRIOR,
    Moments,
    NormalPosterior,
    NormalPrior,
    NotEnoughDataError,
    ParameterError,
    lift_posterior,
    normal_posterior,
    normal_posterior_arrays,
)

numbers = st.floats(-100, 100)
spreads = st.floats(1e-3, 100)
laws = settings(max_examples=40, derandomize=True, deadline=None)


def test_a_flat_prior_changes_nothing() -> None:
    view = normal_posterior(0.3, 0.2)
    assert (view.mean, view.sd) == (0.3, 0.2)
    assert view.low == pytest.approx(0.3 - 1.959963984540054 * 0.2)
    assert view.high == pytest.approx(0.3 + 1.959963984540054 * 0.2)


@laws
@given(numbers, spreads, spreads)
def test_a_mixture_prior_shrinks_by_information_over_information_and_precision(
    estimate: float, se: float, precision: float
) -> None:
    view = normal_posterior(estimate, se, NormalPrior.of_mixture(precision))
    information = 1 / se**2
    assert view.mean == pytest.approx(estimate * information / (information + precision), rel=1e-12)
    assert view.sd == pytest.approx((information + precision) ** -0.5, rel=1e-12)


@laws
@given(numbers, spreads, numbers, spreads)
def test_swapping_the_arms_flips_the_signs(
    estimate: float, se: float, prior_mean: float, prior_sd: float
) -> None:
    there = normal_posterior(estimate, se, NormalPrior(prior_mean, prior_sd))
    back = normal_posterior(-estimate, se, NormalPrior(-prior_mean, prior_sd))
    assert (back.mean, back.sd) == (-there.mean, there.sd)
    assert (back.low, back.high) == (-there.high, -there.low)
    assert (back.risk_of_control, back.risk_of_treatment) == (
        there.risk_of_treatment,
        there.risk_of_control,
    )
    downwards = normal_posterior(estimate, se, NormalPrior(prior_mean, prior_sd), sign=-1)
    assert downwards.chance_to_win == back.chance_to_win
    assert downwards.risk_of_control == back.risk_of_control
    assert downwards.mean == there.mean


@laws
@given(numbers, spreads)
def test_the_risks_differ_by_the_mean(estimate: float, se: float) -> None:
    view = normal_posterior(estimate, se)
    assert view.risk_of_control - view.risk_of_treatment == pytest.approx(view.mean, abs=1e-9)
    assert min(view.risk_of_control, view.risk_of_treatment) >= 0


@pytest.mark.parametrize(
    ("x", "risk"),  # phi(x) - x (1 - Phi(x)), by mpmath 1.3 with 40 digits
    [
        (5.0, 5.346165533832815e-8),
        (12.0, 1.460520116984555e-34),
        (30.0, 1.631956734091401e-199),
        (37.0, 1.545199190512202e-301),
    ],
)
def test_a_tiny_risk_keeps_its_digits(x: float, risk: float) -> None:
    assert normal_posterior(x, 1.0).risk_of_treatment == pytest.approx(risk, rel=1e-11)


def test_extreme_scales_do_not_overflow() -> None:
    view = normal_posterior(1e-160, 1e-170, NormalPrior(0.0, 1e-165))
    assert view.mean == pytest.approx(1e-160, rel=1e-9)
    assert view.sd == pytest.approx(1e-170, rel=1e-9)
    unsure = normal_posterior(1e160, 1e170, NormalPrior(2.0, 1e-165))
    assert (unsure.mean, unsure.sd) == (2.0, 1e-165)


def test_arrays_say_what_scalars_say_and_are_nan_where_there_is_nothing_to_say() -> None:
    estimates = np.array([[0.1, -0.2], [math.nan, 0.3]])
    errors = np.array([0.05, 0.0])
    parts = normal_posterior_arrays(estimates, errors, 0.01, 0.05, sign=-1)
    one = normal_posterior(0.1, 0.05, NormalPrior(0.01, 0.05), sign=-1)
    assert NormalPosterior(*(float(part[0, 0]) for part in parts)) == one
    assert all(np.isnan(part).sum() == 3 for part in parts)


def test_a_prior_of_lifts_is_scaled_to_a_difference_by_controls_mean() -> None:
    a, b = Moments(1000, 2000.0, 5000.0), Moments(1000, 2200.0, 5900.0)
    shown = lift_posterior(a, b, NormalPrior(0.02, 0.05), relative=False)
    difference, se = 0.2, math.sqrt((1000 / 999 + 1060 / 999) / 1000)
    scaled = normal_posterior(difference, se, NormalPrior(0.04, 0.1))
    assert (shown.mean, shown.sd) == pytest.approx((scaled.mean, scaled.sd))


def test_a_negative_baseline_keeps_up_as_up() -> None:
    a, b = Moments.of([-1.0, -3.0, -2.0]), Moments.of([-0.5, -1.0, -1.5])
    assert lift_posterior(a, b).mean == pytest.approx(0.5)


def test_the_chance_to_win_says_what_it_is_not() -> None:
    assert "46 %" in (NormalPosterior.__doc__ or "")


def test_chance_to_win_looked_at_daily_is_wrong_46_percent_of_the_time() -> None:
    """A/A tests of a conversion of 10 %, 28 looks; a stop for either side at 95 % (1.9)."""
    rng = np.random.default_rng(19)
    converted = rng.binomial(2000, 0.1, size=(2, 4000, 28)).cumsum(axis=-1)
    n = 2000 * np.arange(1, 29)
    rates = converted / n
    se = np.sqrt((rates * (1 - rates) / n).sum(axis=0))
    lift = (rates[1] - rates[0]) / rates[0]
    chance = normal_posterior_arrays(lift, se / rates[0], 0.0, 0.3)[2]
    stopped = ((chance > 0.95) | (chance < 0.05)).any(axis=-1).mean()
    assert 0.42 < stopped < 0.49


@pytest.mark.parametrize(
    ("control", "treatment"),
    [
        (Moments(), Moments.conversions(10, 5)),
        (Moments.conversions(1, 1), Moments.conversions(10, 5)),
        (Moments.conversions(10, 0), Moments.conversions(10, 5)),
        (Moments.conversions(10, 5), Moments.conversions(10, 0)),
        (Moments.of([-1.0, 1.0]), Moments.of([1.0, 2.0])),
    ],
)
def test_arms_that_cannot_be_compared_are_refused(control: Moments, treatment: Moments) -> None:
    with pytest.raises(NotEnoughDataError):
        lift_posterior(control, treatment)


def test_a_mean_of_zero_has_a_difference_but_no_prior_of_lifts() -> None:
    a, b = Moments.of([-1.0, 1.0]), Moments.of([1.0, 2.0])
    assert lift_posterior(a, b, relative=False).mean == 1.5
    with pytest.raises(NotEnoughDataError):
        lift_posterior(a, b, NormalPrior(0.0, 0.1), relative=False)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused(bad: float) -> None:
    with pytest.raises(ParameterError):
        normal_posterior(bad, 1.0)
    with pytest.raises(ParameterError):
        normal_posterior(1.0, bad)
    with pytest.raises(ParameterError):
        NormalPrior(bad, 1.0)
    with pytest.raises(ParameterError):
        NormalPrior.of_mixture(bad)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(ParameterError):
        NormalPrior(0.0, 0.0)
    with pytest.raises(ParameterError):
        NormalPrior(0.0, math.nan)
    with pytest.raises(ParameterError):
        normal_posterior(1.0, 1.0, sign=0)
    with pytest.raises(ParameterError):
        normal_posterior(1.0, 0.0)
    with pytest.raises(ParameterError):
        normal_posterior(1.0, 1.0, FLAT_PRIOR, confidence_level=1.0)
    with pytest.raises(ParameterError):
        normal_posterior_arrays([1.0], [1.0], prior_sd=[0.0])
