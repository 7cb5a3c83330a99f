"""Whether segments differ, and what to believe of each."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import ParameterError, heterogeneity, heterogeneity_arrays, shrink_segments

SEGMENTS = st.lists(st.tuples(st.floats(-1, 1), st.floats(0.05, 2)), min_size=2, max_size=12)


def split(segments: list) -> tuple[list, list]:
    effects, ses = zip(*segments, strict=True)
    return list(effects), list(ses)


@settings(derandomize=True, max_examples=50)
@given(SEGMENTS, st.floats(-3, 3), st.floats(0.01, 100))
def test_an_effect_common_to_all_and_the_unit_change_no_heterogeneity(
    segments: list, common: float, factor: float
) -> None:
    effects, ses = split(segments)
    plain = heterogeneity(effects, ses)
    moved = heterogeneity([factor * (e + common) for e in effects], [factor * s for s in ses])
    assert moved.q == pytest.approx(plain.q, abs=1e-6)
    assert moved.p_value == pytest.approx(plain.p_value, abs=1e-6)
    assert moved.tau2 == pytest.approx(factor**2 * plain.tau2, abs=1e-6 * factor**2)
    assert moved.pooled == pytest.approx(factor * (plain.pooled + common), abs=1e-6 * factor)
    assert 0 <= plain.i2 < 1
    assert plain.tau2 >= 0


@settings(derandomize=True, max_examples=50)
@given(SEGMENTS)
def test_a_shrunk_effect_lies_between_its_own_and_the_common_one(segments: list) -> None:
    effects, ses = split(segments)
    tau2 = heterogeneity(effects, ses).tau2
    weights = [1 / (tau2 + se * se) for se in ses]
    common = float(np.average(effects, weights=weights))
    for one, raw in zip(shrink_segments(effects, ses), effects, strict=True):
        assert min(raw, common) - 1e-9 <= one.effect <= max(raw, common) + 1e-9
        assert one.raw == raw
        assert 0 <= one.own_weight <= 1
        assert one.se > 0


def test_equal_effects_have_no_heterogeneity_and_shrink_to_one() -> None:
    found = heterogeneity([0.1, 0.1, 0.1], [1, 2, 3])
    assert (found.q, found.p_value) == (pytest.approx(0), 1)
    assert (found.i2, found.tau2) == (0, 0)
    one, *_ = shrink_segments([0.1, 0.1, 0.1], [1, 2, 3])
    assert (one.effect, one.own_weight) == (pytest.approx(0.1), 0)
    assert one.se == pytest.approx(found.pooled_se)


def test_with_equal_noise_the_between_variance_is_what_noise_leaves_of_the_whole() -> None:
    effects = [0.1, 0.4, 0.9, 0.2]
    found = heterogeneity(effects, [0.2] * 4)
    assert found.tau2 == pytest.approx(np.var(effects, ddof=1) - 0.04)
    assert found.i2 == pytest.approx(found.tau2 / (found.tau2 + 0.04))
    assert found.pooled_se == pytest.approx(0.1)


def test_with_little_noise_a_segment_keeps_its_own_effect() -> None:
    for one in shrink_segments([1.0, 2.0, 5.0], [0.01, 0.01, 0.01]):
        assert one.effect == pytest.approx(one.raw, abs=0.001)
        assert one.se == pytest.approx(0.01, rel=0.01)


def test_shrinking_brings_estimates_nearer_to_the_truth_and_its_intervals_hold() -> None:
    rng = np.random.default_rng(40)
    error = raw_error = held = total = 0.0
    for _ in range(300):
        ses = rng.uniform(0.6, 1.6, 8)
        truth = rng.normal(1.0, 0.7, 8)
        effects = rng.normal(truth, ses)
        for one, true in zip(shrink_segments(effects.tolist(), ses.tolist()), truth, strict=True):
            error += (one.effect - true) ** 2
            raw_error += (one.raw - true) ** 2
            held += abs(one.effect - true) <= 1.96 * one.se
            total += 1
    assert error < 0.6 * raw_error
    assert 0.87 <= held / total <= 0.99


def test_false_alarms_of_equal_segments_are_as_rare_as_promised() -> None:
    rng = np.random.default_rng(41)
    ses = rng.uniform(0.5, 2, (4000, 6))
    p_value = heterogeneity_arrays(rng.normal(0, ses), ses)[2]
    assert abs(np.mean(p_value < 0.05) - 0.05) < 3 * math.sqrt(0.05 * 0.95 / 4000)


def test_many_metrics_at_once_are_the_single_ones_and_may_lack_segments() -> None:
    effects = np.array([[0.1, 0.5, 0.2], [0.1, 0.5, 9.0], [0.3, 1.0, 1.0], [1.0, 1.0, 1.0]])
    ses = np.array([[0.1, 0.1, 0.2], [0.1, 0.1, np.inf], [0.1, np.inf, np.inf], [np.inf] * 3])
    parts = heterogeneity_arrays(effects, ses)
    for row, (y, s) in enumerate((([0.1, 0.5, 0.2], [0.1, 0.1, 0.2]), ([0.1, 0.5], [0.1, 0.1]))):
        one = heterogeneity(y, s)
        expected = (3 - row, one.q, one.p_value, one.i2, one.tau2, one.pooled, one.pooled_se)
        assert [part[row] for part in parts] == pytest.approx(expected)
    assert [part[2] for part in parts] == pytest.approx([1, 0, 1, 0, 0, 0.3, 0.1])
    assert [part[3] for part in parts] == [0, 0, 1, 0, 0, 0, math.inf]


def test_tiny_units_do_not_underflow() -> None:
    found = heterogeneity([1e-200, 5e-200], [1e-200, 1e-200])
    assert found.q == pytest.approx(8)
    assert shrink_segments([1e-200, 5e-200], [1e-200, 1e-200])[0].own_weight > 0.5


@pytest.mark.parametrize(
    ("effects", "ses"),
    [
        ([], []),
        ([0.1], [0.1]),
        ([0.1, 0.2], [0.1]),
        ([0.1, math.nan], [0.1, 0.1]),
        ([0.1, math.inf], [0.1, 0.1]),
        ([0.1, 0.2], [0.1, 0.0]),
        ([0.1, 0.2], [0.1, -0.1]),
        ([0.1, 0.2], [0.1, math.inf]),
        ([1e300, 0.2], [1e-300, 1.0]),
    ],
)
def test_segments_that_cannot_be_compared_are_refused(effects: list, ses: list) -> None:
    for method in (heterogeneity, shrink_segments):
        with pytest.raises(ParameterError):
            method(effects, ses)
