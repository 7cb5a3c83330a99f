"""Shrinkage: as much as the past says, and right for winners."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stats import (
    DEFAULT_PRIOR,
    NormalPrior,
    ParameterError,
    TauMethod,
    normal_posterior_arrays,
    prior_from_history,
    random_effects,
    shrink,
)


def test_fewer_than_ten_experiments_leave_the_default() -> None:
    assert NormalPrior(0.0, 0.05) == DEFAULT_PRIOR
    assert prior_from_history([], []) == DEFAULT_PRIOR
    assert prior_from_history([1.0] * 9, [0.1] * 9) == DEFAULT_PRIOR
    assert prior_from_history([1.0] * 10, [0.1] * 10) != DEFAULT_PRIOR


def test_the_next_effect_is_as_uncertain_as_effects_differ_and_their_mean_is_unknown() -> None:
    effects, variances = [0.01 * k for k in range(12)], [0.0004] * 12
    past = random_effects(effects, variances, method=TauMethod.DERSIMONIAN_LAIRD)
    prior = prior_from_history(effects, variances, method=TauMethod.DERSIMONIAN_LAIRD)
    assert prior.mean == past.mean == pytest.approx(0.055)
    assert prior.sd**2 == pytest.approx(past.tau2 + past.se**2)


def test_equally_sure_estimates_and_priors_meet_half_way() -> None:
    result = shrink(0.10, 0.05, NormalPrior(0.02, 0.05))
    assert (result.effect, result.kept) == (pytest.approx(0.06), pytest.approx(0.5))
    assert result.sd == pytest.approx(0.05 / math.sqrt(2))
    assert result.low < result.effect < result.high


def test_a_flat_prior_keeps_all_and_a_blurred_estimate_nothing() -> None:
    assert shrink(0.1, 0.05, NormalPrior()).kept == 1
    assert shrink(0.1, 1e9).effect == pytest.approx(0, abs=1e-15)


def test_shrunk_winners_are_right_on_average_and_raw_ones_too_large() -> None:
    rng = np.random.default_rng(5)
    true = rng.normal(0.0, 0.05, size=40_000)
    raw = true + rng.normal(0.0, 0.03, size=true.size)
    won = raw > 1.96 * 0.03
    shrunk = normal_posterior_arrays(raw, 0.03, DEFAULT_PRIOR.mean, DEFAULT_PRIOR.sd)[0]
    assert (raw - true)[won].mean() > 0.015
    assert abs((shrunk - true)[won].mean()) < 0.001


@pytest.mark.parametrize(
    ("effects", "variances"),
    [([math.nan], [0.1]), ([0.1], [0.0]), ([0.1], []), ([0.1] * 10, [0.1] * 9 + [math.nan])],
)
def test_impossible_experiments_are_refused(effects: list[float], variances: list[float]) -> None:
    with pytest.raises(ParameterError):
        prior_from_history(effects, variances)


def test_impossible_estimates_are_refused() -> None:
    for estimate, se in ((math.nan, 1.0), (1.0, 0.0), (1.0, math.inf)):
        with pytest.raises(ParameterError):
            shrink(estimate, se)
