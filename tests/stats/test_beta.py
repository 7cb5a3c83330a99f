"""A beta prior and two conversion rates: exact sums, symmetry, no conversions at all."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import BetaPrior, Conversions, ParameterError, beta_posterior

laws = settings(max_examples=25, derandomize=True, deadline=None)
arms = st.integers(1, 60).flatmap(
    lambda n: st.integers(0, n).map(lambda converted: Conversions(converted, n))
)
priors = st.builds(BetaPrior, st.floats(0.1, 20), st.floats(0.1, 20))


@pytest.mark.parametrize(
    ("control", "treatment", "chance", "loss", "gain"),
    # Miller's finite sum and Stucchio's identity with it, by mpmath 1.3 with 40 digits.
    [
        ((0, 1_000_000), (0, 1_000_000), 0.5, 4.99998750002875e-7, 4.99998750002875e-7),
        ((0, 1000), (0, 100), 0.908348457350272, 9.13856783260315e-5, 0.00889730325493751),
        (
            (5, 1_000_000),
            (0, 1_000_000),
            0.0156248828127344,
            5.01561480470855e-6,
            1.56248046885469e-8,
        ),
        (
            (0, 1_000_000),
            (3, 1_000_000),
            0.937500187499859,
            6.24995625015781e-8,
            3.06249356251358e-6,
        ),
        (
            (500, 1_000_000),
            (600, 1_000_000),
            0.998721116964584,
            1.19748323628843e-8,
            0.000100011774832763,
        ),
        (
            (2000, 1_000_000),
            (1900, 1_000_000),
            0.0545011683483074,
            0.000101441087494545,
            1.4412874941452e-6,
        ),
        (
            (10, 20),
            (1000, 1_000_000),
            3.73177471522005e-28,
            0.498999002001996,
            3.14931144604068e-32,
        ),
        ((3, 5), (40, 10_000_000), 4.88699397163432e-21, 0.571424471429391, 4.39829662702537e-27),
        ((300, 1000), (180, 1000), 1.46168370082491e-10, 0.119760479042341, 4.24596296100256e-13),
        ((20, 100), (2000, 10_000), 0.460996615670321, 0.0189540733488695, 0.0131317084100926),
    ],
)
def test_chances_and_risks_are_those_of_the_exact_sum(
    control: tuple[int, int], treatment: tuple[int, int], chance: float, loss: float, gain: float
) -> None:
    view = beta_posterior(Conversions(*control), Conversions(*treatment))
    assert view.chance_to_win == pytest.approx(chance, rel=1e-10)
    assert view.risk_of_treatment == pytest.approx(loss, rel=1e-10)
    assert view.risk_of_control == pytest.approx(gain, rel=1e-10)


@laws
@given(arms, arms, priors)
def test_swapping_the_arms_swaps_everything(
    control: Conversions, treatment: Conversions, prior: BetaPrior
) -> None:
    there = beta_posterior(control, treatment, prior)
    back = beta_posterior(treatment, control, prior)
    assert there.chance_to_win + back.chance_to_win == pytest.approx(1, abs=1e-10)
    assert there.risk_of_control == pytest.approx(back.risk_of_treatment, rel=1e-9)
    assert (there.mean_control, there.mean_treatment) == (back.mean_treatment, back.mean_control)


@laws
@given(arms, arms, priors)
def test_calling_failures_conversions_turns_the_question_round(
    control: Conversions, treatment: Conversions, prior: BetaPrior
) -> None:
    failures = [Conversions(arm.n - arm.converted, arm.n) for arm in (control, treatment)]
    here = beta_posterior(control, treatment, prior, sign=-1)
    there = beta_posterior(*failures, BetaPrior(prior.b, prior.a))
    assert here.chance_to_win == pytest.approx(there.chance_to_win, rel=1e-9)
    assert here.risk_of_control == pytest.approx(there.risk_of_control, rel=1e-9)


@laws
@given(arms, arms)
def test_the_risks_differ_by_the_means(control: Conversions, treatment: Conversions) -> None:
    view = beta_posterior(control, treatment)
    gained = view.mean_treatment - view.mean_control
    assert view.risk_of_control - view.risk_of_treatment == pytest.approx(gained, abs=1e-12)
    assert min(view.risk_of_control, view.risk_of_treatment) > 0


def test_everybody_converting_is_no_trouble() -> None:
    view = beta_posterior(Conversions(10**6, 10**6), Conversions(10**6, 10**6))
    assert view.chance_to_win == pytest.approx(0.5, rel=1e-9)


def test_arms_that_are_worlds_apart_leave_no_doubt() -> None:
    view = beta_posterior(Conversions(100_000, 1_000_000), Conversions(200_000, 1_000_000))
    assert (view.chance_to_win, view.risk_of_treatment) == (pytest.approx(1, abs=1e-12), 0.0)
    back = beta_posterior(Conversions(200_000, 1_000_000), Conversions(100_000, 1_000_000))
    assert (back.chance_to_win, back.risk_of_control) == (0.0, 0.0)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (0.1, 1e9), (1e9, 0.1), (0.1, 0.1)])
def test_odd_priors_are_symmetric_without_differences(a: float, b: float) -> None:
    arm = Conversions(0, 10)
    view = beta_posterior(arm, arm, BetaPrior(a, b))
    assert view.chance_to_win == pytest.approx(0.5, rel=1e-7)


def test_a_prior_of_a_rate_is_worth_its_units() -> None:
    assert BetaPrior.of_rate(0.1, 50) == BetaPrior(5.0, 45.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, 0.01, math.nan, math.inf])
def test_impossible_priors_are_refused(bad: float) -> None:
    with pytest.raises(ParameterError):
        BetaPrior(bad, 1.0)
    with pytest.raises(ParameterError):
        BetaPrior(1.0, bad)


def test_impossible_signs_and_arms_are_refused() -> None:
    with pytest.raises(ParameterError):
        beta_posterior(Conversions(1, 2), Conversions(1, 2), sign=2)
    with pytest.raises(ParameterError):
        Conversions(0, 0)
