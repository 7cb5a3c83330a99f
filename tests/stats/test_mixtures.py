"""Evidence that may be read at any moment: mixtures, late starts, linear models."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special
from scipy import stats as sps

from stats import (
    ParameterError,
    always_valid,
    approximate_precision,
    delayed_critical,
    delayed_start,
    half_normal_critical,
    half_normal_log_e,
    linear_critical,
    linear_evidence,
    mixture_critical,
    mixture_log_e,
    planned_precision,
    sample_size_precision,
    tuned_precision,
)

LAW = settings(max_examples=60, deadline=None, derandomize=True)
scores = st.floats(-12, 12)
scales = st.floats(-4, 4).map(lambda power: 10.0**power)
alphas = st.sampled_from([0.001, 0.01, 0.025, 0.05, 0.2, 0.9])


@LAW
@given(scores, scales, scales, alphas, st.sampled_from(["both", "increase", "decrease"]))
def test_the_interval_leaves_zero_out_exactly_when_the_evidence_suffices(
    z: float, se: float, ratio: float, alpha: float, direction: str
) -> None:
    result = always_valid(z * se, se, ratio / se**2, alpha=alpha, direction=direction)
    enough = -math.log(alpha)
    if abs(result.log_e - enough) > 1e-9:
        assert (result.low > 0 or result.high < 0) == (result.log_e > enough)
        assert (result.anytime_p < alpha) == (result.log_e > enough)


@LAW
@given(scores, scales, scales)
def test_evidence_for_either_direction_is_the_mean_of_both(z: float, v: float, r: float) -> None:
    s = z * math.sqrt(v)
    both = np.logaddexp(half_normal_log_e(s, v, r), half_normal_log_e(-s, v, r)) - math.log(2)
    assert mixture_log_e(s, v, r) == pytest.approx(float(both), rel=1e-9, abs=1e-9)


@LAW
@given(scores, scales, scales, scales)
def test_the_unit_of_a_metric_changes_no_evidence(
    z: float, se: float, ratio: float, unit: float
) -> None:
    one = always_valid(z * se, se, ratio / se**2)
    two = always_valid(z * se * unit, se * unit, ratio / (se * unit) ** 2)
    assert two.log_e == pytest.approx(one.log_e, rel=1e-9, abs=1e-9)
    assert two.low == pytest.approx(one.low * unit, rel=1e-9, abs=1e-9 * unit * se)


@LAW
@given(scores, scales, scales)
def test_arms_swapped_turn_an_increase_into_a_decrease(z: float, se: float, ratio: float) -> None:
    one = always_valid(z * se, se, ratio / se**2, direction="increase")
    two = always_valid(-z * se, se, ratio / se**2, direction="decrease")
    assert (one.log_e, one.low) == (two.log_e, -two.high)
    assert (one.high, two.low) == (math.inf, -math.inf)


@pytest.mark.parametrize("evidence", [mixture_log_e, half_normal_log_e])
@pytest.mark.parametrize("ratio", [0.1, 1.0, 20.0])
def test_the_mean_of_the_evidence_is_one_when_nothing_changes(evidence, ratio: float) -> None:
    def weighed(z: float) -> float:
        return math.exp(float(evidence(z * 3, 9.0, 9 * ratio)) + float(sps.norm.logpdf(z)))

    assert integrate.quad(weighed, -40, 40, limit=400)[0] == pytest.approx(1, abs=1e-7)


def test_evidence_is_the_likelihood_ratio_averaged_over_effects() -> None:
    s, v, r = 21.0, 40.0, 8.0

    def likelihood(effect: float) -> float:
        density = float(sps.norm.pdf(effect, scale=1 / math.sqrt(r)))
        return math.exp(effect * s - effect**2 * v / 2) * density

    whole = integrate.quad(likelihood, -3, 3)[0]
    upper = 2 * integrate.quad(likelihood, 0, 3)[0]
    assert mixture_log_e(s, v, r) == pytest.approx(math.log(whole), rel=1e-9)
    assert half_normal_log_e(s, v, r) == pytest.approx(math.log(upper), rel=1e-9)


@LAW
@given(scales, scales, alphas)
def test_a_critical_value_is_where_the_evidence_just_suffices(
    v: float, r: float, alpha: float
) -> None:
    two, one = mixture_critical(v, r, alpha), half_normal_critical(v, r, alpha)
    root = math.sqrt(v)
    assert mixture_log_e(two * root, v, r) == pytest.approx(-math.log(alpha), abs=1e-8)
    assert half_normal_log_e(one * root, v, r) == pytest.approx(-math.log(alpha), abs=1e-8)
    assert one < two


def test_tuning_makes_the_interval_narrowest_where_it_was_asked_for() -> None:
    for alpha in (0.001, 0.05, 0.3):
        best = tuned_precision(50.0, alpha)
        narrowest = mixture_critical(50.0, best, alpha)
        assert all(mixture_critical(50.0, best * f, alpha) > narrowest for f in (0.95, 1.05))
        assert mixture_critical(50.0, approximate_precision(50.0, alpha), alpha) >= narrowest


def test_the_tuning_of_the_design_is_reproduced() -> None:
    assert tuned_precision(1.0) == pytest.approx(0.1218, abs=5e-5)
    assert mixture_critical(1.0, tuned_precision(1.0)) == pytest.approx(3.035, abs=5e-4)
    assert planned_precision(4.0) == tuned_precision(1.0)


def test_tuning_by_units_is_tuning_by_the_information_that_they_bring() -> None:
    assert sample_size_precision(400.0, 1000, 5000, 0.05) == pytest.approx(
        approximate_precision(2000.0, 0.05)
    )


def test_without_information_nothing_is_known() -> None:
    assert mixture_log_e(0.0, 0.0, 1.0) == 0
    assert half_normal_log_e(0.0, 0.0, 1.0) == pytest.approx(0, abs=1e-15)
    assert mixture_critical(0.0, 1.0) == half_normal_critical(0.0, 1.0) == math.inf


def test_far_scores_keep_their_digits() -> None:
    # log Phi(-y) + y**2/2 = -log(y) - log(2 pi)/2 - 1/y**2 + ...
    far = half_normal_log_e(-1e9, 1.0, 1e6)
    assert far == pytest.approx(math.log(2) - math.log(1e6) - math.log(2 * math.pi) / 2, abs=1e-6)
    assert math.isfinite(mixture_log_e(1e160, 1e160, 1e160))


def test_many_readings_are_what_each_reading_is() -> None:
    s, v = np.array([[1.0, -30.0, 8.0]]), np.array([[4.0], [90.0]])
    for evidence in (mixture_log_e, half_normal_log_e):
        table = evidence(s, v, 3.0)
        assert table.shape == (2, 3)
        assert table[1, 2] == evidence(8.0, 90.0, 3.0)
    bounds = half_normal_critical(v, 3.0)
    assert bounds[1, 0] == pytest.approx(float(half_normal_critical(90.0, 3.0)), rel=1e-12)


def test_looking_all_the_time_keeps_the_error() -> None:
    rng = np.random.default_rng(7)
    v = np.arange(1.0, 401.0)
    paths = rng.normal(size=(4000, 400)).cumsum(axis=1)
    slack = 3 * math.sqrt(0.05 * 0.95 / 4000)
    for evidence in (mixture_log_e, half_normal_log_e):
        crossed = (evidence(paths, v, 10.0) >= math.log(20)).any(axis=1).mean()
        assert 0.01 < crossed <= 0.05 + slack


@pytest.mark.parametrize(
    "arguments",
    [
        (math.nan, 1.0, 1.0),
        (math.inf, 1.0, 1.0),
        (1.0, 0.0, 1.0),
        (1.0, -1.0, 1.0),
        (1.0, math.nan, 1.0),
        (1.0, 1e-200, 1.0),
        (1.0, 1.0, 0.0),
        (1.0, 1.0, math.inf),
    ],
)
def test_a_reading_without_a_variance_or_a_number_is_refused(arguments: tuple) -> None:
    with pytest.raises(ParameterError):
        always_valid(*arguments)


def test_parameters_out_of_range_are_refused() -> None:
    for call in (
        lambda: always_valid(1, 1, 1, alpha=0),
        lambda: always_valid(1, 1, 1, direction="up"),
        lambda: mixture_log_e([1.0, math.nan], 1, 1),
        lambda: mixture_log_e(1, -1, 1),
        lambda: half_normal_log_e(1, math.inf, 1),
        lambda: half_normal_critical(1, 1, 1.0),
        lambda: tuned_precision(0.0),
        lambda: tuned_precision(1.0, 1e-200),
        lambda: approximate_precision(math.inf),
        lambda: sample_size_precision(1, 0, 1),
    ):
        with pytest.raises(ParameterError):
            call()


# Late starts


def test_the_constant_of_robbins_and_siegmund_is_reproduced() -> None:
    a = float(delayed_critical(1.0, 1.0))
    assert a == pytest.approx(2.7955, abs=5e-5)
    assert 2 * (sps.norm.sf(a) + a * sps.norm.pdf(a)) == pytest.approx(0.05, rel=1e-12)
    assert delayed_critical(10.0, 1.0) == pytest.approx(math.sqrt(a * a + math.log(10)))


def test_nothing_is_rejected_before_the_start() -> None:
    assert delayed_critical([0.0, 0.99], 1.0).tolist() == [math.inf, math.inf]
    assert delayed_start(0.1, 1.0).critical([0.0, 0.99]).tolist() == [math.inf, math.inf]


@LAW
@given(scales, scales, alphas)
def test_starting_late_is_never_worse_than_starting_at_once(
    r: float, start: float, alpha: float
) -> None:
    test = delayed_start(r, start, alpha)
    assert test.log_threshold <= -math.log(alpha)
    later = start * np.array([1.0, 3.0, 100.0])
    assert np.all(test.critical(later) <= mixture_critical(later, r, alpha))


def test_the_limit_of_vanishing_precision_needs_no_tuning() -> None:
    times = np.array([1.0, 4.0, 50.0])
    assert delayed_start(1e-9, 1.0).critical(times) == pytest.approx(
        delayed_critical(times, 1.0), abs=1e-4
    )


def test_a_late_start_spends_the_error_and_no_more() -> None:
    rng = np.random.default_rng(3)
    v = np.geomspace(1, 1000, 400)
    steps = rng.normal(size=(4000, 400)) * np.sqrt(np.diff(v, prepend=0.0))
    z = np.abs(steps.cumsum(axis=1)) / np.sqrt(v)
    slack = 3 * math.sqrt(0.05 * 0.95 / 4000)
    for bounds in (delayed_critical(v, 1.0), delayed_start(0.1, 1.0).critical(v)):
        assert 0.025 < (z >= bounds).any(axis=1).mean() <= 0.05 + slack


def test_late_starts_out_of_range_are_refused() -> None:
    for call in (
        lambda: delayed_start(0.0, 1.0),
        lambda: delayed_start(1.0, math.inf),
        lambda: delayed_start(1.0, 1.0, alpha=1.0),
        lambda: delayed_critical(1.0, 0.0),
        lambda: delayed_critical(-1.0, 1.0),
        lambda: delayed_critical(math.nan, 1.0),
        lambda: delayed_critical(1.0, 1.0, alpha=0.0),
    ):
        with pytest.raises(ParameterError):
            call()


# Linear models


@pytest.mark.parametrize(("tested", "n", "g"), [(1, 30, 5.0), (2, 40, 100.0), (4, 500, 3.0)])
def test_the_mean_of_a_models_evidence_is_one_when_nothing_changes(
    tested: int, n: int, g: float
) -> None:
    def weighed(u: float) -> float:
        f = float(special.fdtri(tested, n - 6, u))
        return math.exp(linear_evidence(f, n, 6, g, tested=tested).log_e)

    low = integrate.quad(weighed, 0, 0.999, limit=200)[0]

    def tail(x: float) -> float:
        f = math.exp(x)
        log_density = float(sps.f.logpdf(f, tested, n - 6)) + x
        return math.exp(linear_evidence(f, n, 6, g, tested=tested).log_e + log_density)

    high = integrate.quad(tail, math.log(special.fdtri(tested, n - 6, 0.999)), 40, limit=400)[0]
    assert low + high == pytest.approx(1, abs=1e-5)


@LAW
@given(st.integers(3, 5000), scales, alphas)
def test_the_critical_t_is_where_the_evidence_just_suffices(n: int, g: float, alpha: float) -> None:
    critical = linear_critical(n, 2, g, alpha)
    if critical < 1e6:
        evidence = linear_evidence(critical**2, n, 2, g)
        assert evidence.log_e == pytest.approx(-math.log(alpha), abs=1e-6)
    elif critical == math.inf:
        assert linear_evidence(1e12, n, 2, g).log_e < -math.log(alpha) + 1e-6


def test_a_large_model_is_the_normal_mixture() -> None:
    assert linear_critical(1e8, 5, 2000.0) == pytest.approx(
        float(mixture_critical(1e8, 2000.0)), rel=1e-6
    )
    t, n, g = 3.3, 1e8, 5e6
    assert linear_evidence(t * t, n, 2, g).log_e == pytest.approx(
        float(mixture_log_e(t * math.sqrt(n), n, g)), rel=1e-6
    )


def test_models_out_of_range_are_refused() -> None:
    for call in (
        lambda: linear_evidence(-1.0, 10, 2, 1.0),
        lambda: linear_evidence(math.nan, 10, 2, 1.0),
        lambda: linear_evidence(1.0, 2, 2, 1.0),
        lambda: linear_evidence(1.0, 10, 0, 1.0),
        lambda: linear_evidence(1.0, 10, 2, 0.0),
        lambda: linear_evidence(1.0, 10, 2, 1.0, tested=3),
        lambda: linear_critical(10, 2, 1.0, alpha=1.5),
    ):
        with pytest.raises(ParameterError):
            call()
