"""The decision statistic and its inverse."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from stats import Moments, Score, score_arrays, score_difference

scores = st.builds(
    lambda kappa, raw: Score(raw, 1.0, 1.0, 1.0, kappa, raw, 0.0),
    st.floats(-2, 2),
    st.floats(-6, 6),
)


@given(scores, st.floats(-4, 4))
def test_the_interval_leaves_a_difference_out_exactly_when_its_test_rejects(
    score: Score, z: float
) -> None:
    corrected = score.z_beyond(0.0)
    limit = score.limit(z)
    assume(abs(corrected - z) > 1e-9)
    assert (limit > 0) == (corrected > z)


@given(st.floats(-2, 2), st.floats(-8, 8), st.floats(-8, 8))
def test_a_larger_difference_never_has_a_smaller_statistic(
    kappa: float, one: float, other: float
) -> None:
    def z(raw: float) -> float:
        return Score(raw, 1.0, 1.0, 1.0, kappa, raw, 0.0).z_beyond(0.0)

    low, high = sorted((one, other))
    assert z(low) <= z(high) + 1e-12


def test_a_bound_beyond_the_vertex_leaves_that_side_open() -> None:
    skewed = Score(1.0, 1.0, 1.0, 1.0, 1.5, 1.0, 0.0)
    assert skewed.limit(3.0) == -math.inf
    assert math.isfinite(skewed.limit(-3.0))
    assert skewed.limit(math.inf) == -math.inf


def test_equal_arms_need_no_correction() -> None:
    c, t = Moments.of([0.0, 0.0, 9.0, 1.0]), Moments.of([2.0, 0.0, 3.0, 30.0])
    score = score_difference(c, t)
    assert score.kappa == 0
    assert score.z == score.raw


def test_a_small_arm_that_missed_the_large_values_is_not_called_harmful() -> None:
    large = Moments(9_500, 950.0, 95_000.0, 9_500_000.0)
    lucky = Moments(500, 5.0, 5.0, 5.0)
    score = score_difference(large, lucky)
    welch = score.difference / score.se_welch
    assert welch < -2.5
    assert score.z > -1.0


def test_an_arm_without_conversions_is_seen() -> None:
    score = score_difference(Moments.conversions(100, 10), Moments.conversions(100, 0), binary=True)
    assert score.z < -3


def test_many_comparisons_at_once_equal_one_at_a_time() -> None:
    rng = np.random.default_rng(7)
    raw = rng.exponential(size=(5, 2, 40))
    sums = np.stack([np.full(raw.shape[:2], 40.0), *((raw**k).sum(-1) for k in (1, 2, 3))], -1)
    z = score_arrays(sums[:, 0], sums[:, 1])[-1]
    for k in range(5):
        one = score_difference(Moments(*sums[k, 0]), Moments(*sums[k, 1]))
        assert one.z == z[k]
