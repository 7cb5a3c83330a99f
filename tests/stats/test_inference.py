"""What may be said after a bandit: by batch, and never of pooled means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import (
    Moments,
    NotEnoughDataError,
    ParameterError,
    Spending,
    SpendingShape,
    bandit_effect,
    bandit_score_arrays,
    best_arm_arrays,
    boundary,
    score_arrays,
    score_difference,
)

laws = settings(max_examples=30, derandomize=True, deadline=None)
pairs = st.tuples(st.integers(50, 900), st.floats(0.05, 0.5), st.floats(0.05, 0.5)).map(
    lambda p: (
        Moments.conversions(p[0], round(p[0] * p[1])),
        Moments.conversions(1000 - p[0], round((1000 - p[0]) * p[2])),
    )
)
days = st.lists(pairs, min_size=1, max_size=5)


def run_bandits(replicas: int, rates: list[float], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Run Thompson sampling on two equal arms; return sums of shape (replicas, batches, 4)."""
    rng = np.random.default_rng(seed)
    total = np.zeros((replicas, 2, 4))
    share = np.full((replicas, 2), 0.5)
    batches = []
    for rate in rates:
        n = rng.multinomial(1000, share)
        x = rng.binomial(n, rate)
        batches.append(np.stack([n, x, x, x], axis=-1).astype(float))
        total += batches[-1]
        means = total[..., 1] / total[..., 0]
        pooled = total[..., 1].sum(axis=-1) / total[..., 0].sum(axis=-1)
        sds = np.sqrt((pooled * (1 - pooled))[:, None] / total[..., 0])
        share = 0.05 + 0.9 * best_arm_arrays(means, sds)
    stacked = np.stack(batches, axis=1)
    return stacked[:, :, 0], stacked[:, :, 1]


def test_a_fair_test_of_a_bandit_is_right_and_pooled_means_are_not() -> None:
    """Equal arms whose rate drifts up by day, as rates do: 2.5 % per side is meant."""
    control, treatment = run_bandits(3000, list(np.linspace(0.06, 0.14, 8)), seed=7)
    fair = bandit_score_arrays(control, treatment, np.full(8, 1000.0), binary=True)[:, -1]
    pooled = score_arrays(control.sum(axis=1), treatment.sum(axis=1), binary=True)[-1]
    limit = 0.025 + 3 * math.sqrt(0.025 * 0.975 / 3000)
    assert max((fair > 1.96).mean(), (fair < -1.96).mean()) < limit
    assert min((fair > 1.96).mean(), (fair < -1.96).mean()) > 0.015
    assert min((pooled > 1.96).mean(), (pooled < -1.96).mean()) > 0.2


def test_peeking_at_a_bandit_by_schedule_costs_what_was_spent() -> None:
    control, treatment = run_bandits(3000, [0.1] * 8, seed=8)
    path = bandit_score_arrays(control, treatment, np.full(8, 1000.0), binary=True)
    spending = Spending(SpendingShape.KIM_DEMETS, 0.025, parameter=0.5)
    bounds = np.array(boundary(spending, [(k + 1) / 8 for k in range(8)]).bounds)
    crossed = (path >= bounds).any(axis=1).mean()
    assert 0.015 < crossed < 0.025 + 3 * math.sqrt(0.025 * 0.975 / 3000)
    assert (path[:, 1:] * path[:, :-1]).mean(axis=0) == pytest.approx(
        np.sqrt(np.arange(1, 8) / np.arange(2, 9)), abs=0.06
    )


@laws
@given(pairs)
def test_one_batch_is_the_decision_statistic(pair: tuple[Moments, Moments]) -> None:
    here = bandit_effect([pair], binary=True, low_critical=1.96)
    there = score_difference(*pair, binary=True)
    assert here.z == pytest.approx(there.z)
    assert here.estimate == pytest.approx(there.difference)
    assert here.low == pytest.approx(there.limit(1.96))


@laws
@given(days, st.floats(0.0, 4.0))
def test_the_interval_leaves_zero_out_exactly_when_the_statistic_crosses(
    batches: list[tuple[Moments, Moments]], critical: float
) -> None:
    effect = bandit_effect(batches, binary=True, low_critical=critical, high_critical=2.0)
    if abs(effect.z - critical) > 1e-9:
        assert (effect.low > 0) == (effect.z > critical)
    if abs(effect.z + 2) > 1e-9:
        assert (effect.high < 0) == (effect.z < -2)


@laws
@given(days)
def test_swapping_the_arms_flips_the_signs(batches: list[tuple[Moments, Moments]]) -> None:
    there = bandit_effect(batches, binary=True, low_critical=1.96)
    back = bandit_effect([pair[::-1] for pair in batches], binary=True, low_critical=1.96)
    assert back.estimate == pytest.approx(-there.estimate, abs=1e-12)
    assert back.path == pytest.approx([-z for z in there.path], abs=1e-9)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))


@laws
@given(days)
def test_the_path_so_far_does_not_hang_on_what_comes_later(
    batches: list[tuple[Moments, Moments]],
) -> None:
    whole = bandit_effect(batches, binary=True, low_critical=1.96)
    first = bandit_effect(batches[:1], binary=True, low_critical=1.96)
    assert whole.path[0] == first.z
    assert whole.correlations[1:] == pytest.approx(
        [math.sqrt(k / (k + 1)) for k in range(1, len(batches))]
    )
    assert len(whole.path) == len(whole.correlations) == len(whole.batch_scores) == len(batches)


def test_a_batch_weighs_by_its_units_and_not_by_its_luck() -> None:
    """However the bandit split the second batch, it counts by the square root of its units."""
    even = (Moments.conversions(500, 50), Moments.conversions(500, 60))
    for lopsided in (
        (Moments.conversions(200, 20), Moments.conversions(3800, 400)),
        (Moments.conversions(2000, 200), Moments.conversions(2000, 240)),
    ):
        effect = bandit_effect([even, lopsided], low_critical=1.96, binary=True)
        first, second = effect.batch_scores
        scores = [score_difference(*pair, binary=True) for pair in (even, lopsided)]
        assert (first, second) == pytest.approx([score.raw for score in scores])
        raw = (math.sqrt(1000) * first + math.sqrt(4000) * second) / math.sqrt(5000)
        kappa = 4000**1.5 * scores[1].kappa / 5000**1.5
        assert effect.z == pytest.approx(raw - kappa / 6 * (raw**2 - 1))


def test_every_arm_counts_towards_a_batchs_weight() -> None:
    pair = [Moments.conversions(500, 50), Moments.conversions(500, 70)]
    third = Moments.conversions(9000, 900)
    effect = bandit_effect([[*pair, third], [*pair, Moments()]], binary=True, low_critical=1.96)
    assert effect.correlations[1] == pytest.approx(math.sqrt(10 / 11))


def test_metrics_of_any_kind_and_unit_are_taken() -> None:
    rng = np.random.default_rng(4)
    batches = [
        (Moments.of(list(rng.exponential(5, 300))), Moments.of(list(rng.exponential(6, 100))))
        for _ in range(3)
    ]
    here = bandit_effect(batches, low_critical=2.0)
    scaled = [tuple(arm.scaled(100.0) for arm in pair) for pair in batches]
    there = bandit_effect(scaled, low_critical=2.0)
    assert there.z == pytest.approx(here.z)
    assert (there.estimate, there.low) == pytest.approx((100 * here.estimate, 100 * here.low))


def test_a_batch_in_which_nothing_happened_weighs_but_says_nothing() -> None:
    full = (Moments.conversions(500, 50), Moments.conversions(500, 80))
    for silent in (
        (Moments.conversions(500, 0), Moments.conversions(500, 0)),
        (Moments.conversions(999, 9), Moments.conversions(1, 1)),
        (Moments.conversions(1, 1), Moments.conversions(999, 9)),
        (Moments.conversions(1000, 100), Moments()),
    ):
        effect = bandit_effect([silent, full], binary=True, low_critical=1.96)
        assert effect.batch_scores[0] is None
        assert effect.path[0] == 0
        assert effect.z == pytest.approx(effect.batch_scores[1] / math.sqrt(2))
        assert effect.estimate == pytest.approx(0.06)


def test_no_batch_that_says_anything_is_refused() -> None:
    silent = (Moments.conversions(500, 0), Moments.conversions(500, 0))
    with pytest.raises(NotEnoughDataError):
        bandit_effect([silent] * 3, binary=True, low_critical=1.96)


def test_impossible_batches_are_refused() -> None:
    arm = Moments.conversions(10, 5)
    for batches, treatment in (
        ([], 1),
        ([(arm,)], 1),
        ([(arm, arm)], 0),
        ([(arm, arm)], 2),
        ([(arm, arm), (arm, arm, arm)], 1),
        ([(arm, arm), (Moments(), Moments())], 1),
    ):
        with pytest.raises(ParameterError):
            bandit_effect(batches, treatment=treatment, low_critical=1.96)
    for critical in (-1.0, math.nan):
        with pytest.raises(ParameterError):
            bandit_effect([(arm, arm)], low_critical=critical)
        with pytest.raises(ParameterError):
            bandit_effect([(arm, arm)], low_critical=1.0, high_critical=critical)
