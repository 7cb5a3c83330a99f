"""Did the split come out as designed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stats import ParameterError, sample_ratio


def test_an_arm_of_weight_zero_adds_no_degree_of_freedom() -> None:
    two, three = sample_ratio([510, 490], [1, 1]), sample_ratio([510, 490, 0], [1, 1, 0])
    assert two == three


def test_units_in_an_arm_of_weight_zero_are_certain_evidence() -> None:
    result = sample_ratio([500, 500, 1], [1, 1, 0])
    assert (result.log_e, result.p_value) == (math.inf, 0.0)


def test_weights_may_have_any_scale() -> None:
    assert sample_ratio([30, 70], [3, 7]).log_e == pytest.approx(
        sample_ratio([30, 70], [0.3, 0.7]).log_e
    )


def test_no_units_and_a_single_arm_are_neutral() -> None:
    assert sample_ratio([0, 0], [1, 1]).log_e == 0
    assert sample_ratio([10], [1]).p_value == 1


def test_evidence_of_a_hundred_million_units_does_not_overflow() -> None:
    result = sample_ratio([60_000_000, 40_000_000], [0.5, 0.5])
    assert 1e6 < result.log_e < math.inf
    assert result.anytime_p == 0


def test_looking_every_day_does_not_make_false_alarms() -> None:
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(400):
        counts = rng.binomial(2000, 0.5, size=28).cumsum()
        alarms += any(
            sample_ratio([n, 2000 * (day + 1) - n], [1, 1]).log_e > math.log(20)
            for day, n in enumerate(counts)
        )
    assert alarms / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_a_split_of_52_to_48_is_found_by_15_000_units() -> None:
    assert sample_ratio([7800, 7200], [1, 1]).log_e > math.log(1000)


@pytest.mark.parametrize(
    ("counts", "weights"),
    [([1], [1, 1]), ([-1, 2], [1, 1]), ([1, 2], [0, 0]), ([math.nan, 1], [1, 1])],
)
def test_impossible_splits_are_refused(counts: list, weights: list) -> None:
    with pytest.raises(ParameterError):
        sample_ratio(counts, weights)


def test_a_prior_without_strength_is_refused() -> None:
    with pytest.raises(ParameterError):
        sample_ratio([1, 2], [1, 1], concentration=0)
