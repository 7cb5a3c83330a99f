"""The exact event test: as exact as it says, from the first event to the millionth."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy import stats as sps

from stats import (
    ParameterError,
    RampStage,
    event_detection,
    event_evidence,
    event_log_e,
    event_p_value,
    events_needed,
    ramp_evidence,
    sample_ratio,
)
from stats.anytime.tails import log_beta_above

LAW = settings(max_examples=60, deadline=None, derandomize=True)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(300)
DIRECTIONS = ["both", "increase", "decrease"]
counts = st.integers(0, 3000)
shares = st.floats(0.01, 0.99)
directions = st.sampled_from(DIRECTIONS)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("share", [0.03, 0.5, 0.8])
@pytest.mark.parametrize("concentration", [2.0, 20.0])
def test_the_mean_of_the_evidence_is_one_after_any_number_of_events(
    direction: str, share: float, concentration: float
) -> None:
    for n in (1, 7, 60):
        x = np.arange(n + 1)
        log_e = event_log_e(n - x, x, share, direction=direction, concentration=concentration)
        mean = np.sum(np.exp(log_e) * sps.binom.pmf(x, n, share))
        assert mean == pytest.approx(1, rel=1e-11)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_mean_of_a_ramps_evidence_is_one(direction: str) -> None:
    sizes, by_stage = (6, 5), (0.1, 0.5)
    mean = 0.0
    for x in product(*(range(n + 1) for n in sizes)):
        stages = [RampStage(n - k, k, q) for n, k, q in zip(sizes, x, by_stage, strict=True)]
        chance = math.prod(
            sps.binom.pmf(k, n, q) for n, k, q in zip(sizes, x, by_stage, strict=True)
        )
        mean += chance * math.exp(ramp_evidence(stages, direction=direction).log_e)
    assert mean == pytest.approx(1, rel=1e-10)


@LAW
@given(counts, counts, shares, directions, st.floats(0, 1))
def test_a_ramp_that_never_changes_is_the_closed_form(
    control: int, treatment: int, share: float, direction: str, part: float
) -> None:
    whole = event_evidence(control, treatment, share, direction=direction)
    stages = [
        RampStage(control * part, treatment * (1 - part), share),
        RampStage(control * (1 - part), treatment * part, share),
    ]
    split = ramp_evidence(stages, direction=direction)
    assert split.log_e == pytest.approx(whole.log_e, rel=1e-9, abs=1e-9)


def test_a_ramp_is_not_fooled_by_pooling_its_stages() -> None:
    # Errors fell with time while treatment's share rose; no stage shows an effect.
    ramp = [RampStage(190, 10, 0.05), RampStage(25, 25, 0.5)]
    pooled_share = (0.05 * 1000 + 0.5 * 1000) / 2000
    assert ramp_evidence(ramp).log_e < 0
    assert ramp_evidence(ramp, direction="decrease").log_e < 0
    pooled = event_evidence(215, 35, pooled_share, direction="decrease")
    assert pooled.log_e > math.log(40)


def test_a_ramps_prior_may_be_taken_at_another_share() -> None:
    ramp = [RampStage(95, 9, 0.05), RampStage(20, 40, 0.5)]
    first, second = ramp_evidence(ramp), ramp_evidence(ramp, reference_share=0.5)
    assert first == ramp_evidence(ramp, reference_share=0.05)
    assert first.log_e != second.log_e


@LAW
@given(counts, counts, shares)
def test_arms_swapped_turn_an_increase_into_a_decrease(
    control: int, treatment: int, share: float
) -> None:
    up = event_evidence(control, treatment, share).log_e
    down = event_evidence(treatment, control, 1 - share, direction="decrease").log_e
    assert up == pytest.approx(down, rel=1e-9, abs=1e-9)


@LAW
@given(counts, counts, shares)
def test_another_event_on_treatment_is_evidence_of_harm(
    control: int, treatment: int, share: float
) -> None:
    here = event_evidence(control, treatment, share).log_e
    assert event_evidence(control, treatment + 1, share).log_e > here
    assert event_evidence(control + 1, treatment, share).log_e < here


@LAW
@given(counts, counts, shares)
def test_evidence_for_either_direction_is_that_of_the_sample_ratio(
    control: int, treatment: int, share: float
) -> None:
    both = event_evidence(control, treatment, share, direction="both").log_e
    ratio = sample_ratio([control, treatment], [1 - share, share], concentration=20)
    assert both == pytest.approx(ratio.log_e, rel=1e-9, abs=1e-8)


def test_without_events_the_evidence_is_neutral() -> None:
    for direction in DIRECTIONS:
        assert event_evidence(0, 0, 0.3, direction=direction).log_e == 0
        assert event_p_value(0, 0, 0.3, direction=direction) == 1
        ramp = ramp_evidence([RampStage(0, 0, 0.3)], direction=direction)
        assert ramp.log_e == pytest.approx(0, abs=1e-12)


def test_a_treatment_that_loses_all_conversions_is_found() -> None:
    assert event_evidence(16, 0, 0.5, direction="decrease").log_e > math.log(40)
    assert event_evidence(0, 16, 0.5).log_e > math.log(40)


def test_a_million_events_do_not_overflow() -> None:
    for share in (0.01, 0.5):
        much = event_evidence(400_000, 600_000, share)
        assert 2e4 < much.log_e < math.inf
        assert much.anytime_p == 0
        ramp = ramp_evidence([RampStage(200_000, 300_000, share)] * 2)
        assert ramp.log_e == pytest.approx(much.log_e, rel=1e-9)
    assert -20 < event_evidence(600_000, 400_000, 0.5).log_e < 0


@pytest.mark.parametrize("a", [0.2, 10.0, 300.0, 5e4, 1e6])
@pytest.mark.parametrize("ratio", [1.01, 1.3, 2.0, 30.0])
def test_the_far_tail_of_the_beta_is_right(a: float, ratio: float) -> None:
    """By quadrature from the cut on; logarithms down to -17 million."""
    q, b = 0.6, max(2.0, a * ratio)
    slope = (b - 1) / (1 - q) - (a - 1) / q
    reach = min(1 - q, 60 / slope) if slope > 0 else 1 - q
    p = q + reach / 2 * (NODES + 1)
    log = (a - 1) * np.log(p / q) + (b - 1) * np.log1p(-(p - q) / (1 - q))
    top = log.max()
    expected = math.log(np.sum(WEIGHTS * np.exp(log - top)) * reach / 2) + top
    expected += (a - 1) * math.log(q) + (b - 1) * math.log1p(-q) - special.betaln(a, b)
    tolerance = 1e-6 if b == 2.0 else 1e-12
    assert log_beta_above(a, b, q) == pytest.approx(expected, rel=tolerance, abs=2e-8)


def test_tails_join_without_a_step() -> None:
    b = np.linspace(300, 1500, 200)
    log = log_beta_above(50.0, b, 0.5)
    assert log[0] > -230 > log[-1]
    assert np.all(np.abs(np.diff(log, n=3)) < 1e-3)
    assert log_beta_above([50.0], [2.0], [1e-9]).tolist() == [0.0]


def test_many_metrics_are_what_each_metric_is() -> None:
    y, x = np.array([[3.0], [5000.0]]), np.array([[0.0, 9.0, 4000.0]])
    table = event_log_e(y, x, 0.2)
    assert table.shape == (2, 3)
    for i, j in product(range(2), range(3)):
        assert table[i, j] == event_evidence(y[i, 0], x[0, j], 0.2).log_e


@pytest.mark.parametrize(
    ("control", "treatment", "share"), [(95, 35, 0.2), (4, 0, 0.5), (3, 9, 0.5)]
)
def test_the_p_value_is_the_exact_binomial(control: int, treatment: int, share: float) -> None:
    for direction, alternative in (("increase", "greater"), ("decrease", "less")):
        exact = sps.binomtest(treatment, control + treatment, share, alternative).pvalue
        got = event_p_value(control, treatment, share, direction=direction)
        assert got == pytest.approx(exact, rel=1e-9)


def test_doubled_errors_are_found_within_95_events_and_false_alarms_are_rare() -> None:
    assert events_needed(2.0, 0.5) <= 95
    assert event_detection(1.0, 0.5, 3000)[-1] <= 0.025
    assert event_detection(1.0, 0.05, 3000)[-1] <= 0.025


def test_the_recursion_agrees_with_a_simulation() -> None:
    rng = np.random.default_rng(5)
    n = np.arange(1, 301)
    for multiple in (1.0, 2.0):
        p = multiple / (1 + multiple)
        x = rng.binomial(1, p, (2000, 300)).cumsum(axis=1)
        crossed = np.maximum.accumulate(event_log_e(n - x, x, 0.5) >= math.log(40), axis=1)
        chances = event_detection(multiple, 0.5, 300)[1:]
        slack = 4 * np.sqrt(chances * (1 - chances) / 2000) + 1e-3
        assert np.all(np.abs(crossed.mean(axis=0) - chances) <= slack)
        if multiple == 1.0:
            assert crossed[:, -1].mean() <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / 2000)
        else:
            assert np.median(np.where(crossed[:, -1], crossed.argmax(axis=1) + 1, 301)) <= 95


def test_detection_is_enumerated_exactly() -> None:
    chance, alpha, n = 0.0, 0.4, 9
    p = 3 * 0.5 / (0.5 + 3 * 0.5)
    for path in product((0, 1), repeat=n):
        x = np.cumsum(path)
        log_e = event_log_e(np.arange(1, n + 1) - x, x, 0.5)
        if np.any(log_e >= -math.log(alpha)):
            chance += p ** x[-1] * (1 - p) ** (n - x[-1])
    assert 0.1 < chance < 0.9
    assert event_detection(3.0, 0.5, n, alpha=alpha)[n] == pytest.approx(chance, rel=1e-12)


def test_smaller_effects_and_more_power_need_more_events() -> None:
    assert events_needed(3, 0.5) < events_needed(2, 0.5) < events_needed(1.5, 0.5)
    assert events_needed(2, 0.5) < events_needed(2, 0.5, power=0.9)
    assert events_needed(2, 0.5) < events_needed(2, 0.05)
    assert events_needed(0.5, 0.5) == events_needed(2, 0.5)


def test_what_no_event_can_be_is_refused() -> None:
    for call in (
        lambda: event_evidence(-1, 0, 0.5),
        lambda: event_evidence(0, math.nan, 0.5),
        lambda: event_evidence(math.inf, 0, 0.5),
        lambda: event_evidence(1, 1, 0.0),
        lambda: event_evidence(1, 1, 1.0),
        lambda: event_evidence(1, 1, math.nan),
        lambda: event_evidence(1, 1, 0.5, concentration=0),
        lambda: event_evidence(1, 1, 0.5, direction="worse"),
        lambda: event_p_value(1, -1, 0.5),
        lambda: ramp_evidence([]),
        lambda: ramp_evidence([RampStage(1, 1, 1.0)]),
        lambda: ramp_evidence([RampStage(1, 1, 0.5)], reference_share=0.0),
        lambda: ramp_evidence([RampStage(1, math.nan, 0.5)]),
        lambda: events_needed(1.0, 0.5),
        lambda: events_needed(-2.0, 0.5),
        lambda: events_needed(2.0, 1.0),
        lambda: events_needed(2.0, 0.5, power=1.0),
        lambda: events_needed(1.01, 0.5, at_most=100),
        lambda: event_detection(2.0, 0.5, -1),
        lambda: event_detection(2.0, 0.5, 10, alpha=0.0),
    ):
        with pytest.raises(ParameterError):
            call()
