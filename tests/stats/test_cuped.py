"""Taking a pre-period covariate out of a mean."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import (
    CovariateMoments,
    Moments,
    NotEnoughDataError,
    ParameterError,
    RatioCovariateMoments,
    RatioMoments,
    Theta,
    adjust,
    adjust_arrays,
    adjust_ratio,
    adjusted_delta_interval,
    adjusted_ratio_delta_interval,
    compare_means,
    compare_ratios,
    covariate_is_worth_using,
    score_difference,
)

rows = st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=3, max_size=15)


def summed(pairs: list[tuple[float, float]]) -> CovariateMoments:
    return CovariateMoments.of_pairs([y for y, _ in pairs], [x for _, x in pairs])


@given(rows, rows)
def test_the_adjusted_sums_are_those_of_the_adjusted_values(control: list, treatment: list) -> None:
    adjusted = adjust(summed(control), summed(treatment))
    centre = np.mean([x for _, x in control + treatment])
    for pairs, got in ((control, adjusted.control), (treatment, adjusted.treatment)):
        values = np.array([y - adjusted.theta * (x - centre) for y, x in pairs])
        scale = max(1.0, float(np.abs(values).max()), 50 * (1 + abs(adjusted.theta)))
        for power, total in ((1, got.s1), (2, got.s2), (3, got.s3)):
            assert total == pytest.approx((values**power).sum(), rel=1e-7, abs=1e-7 * scale**power)


def test_the_grand_mean_of_the_outcome_stays() -> None:
    control, treatment = summed([(1, 2), (3, 5), (4, 4)]), summed([(2, 1), (8, 6)])
    adjusted = adjust(control, treatment)
    assert adjusted.control.s1 + adjusted.treatment.s1 == pytest.approx(control.s1 + treatment.s1)


def test_a_treatment_effect_does_not_leak_into_the_default_theta() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=400)
    y = 2 * x + rng.normal(size=400)

    def theta(effect: float, which: Theta) -> float:
        control = CovariateMoments.of_pairs(list(y[:200]), list(x[:200]))
        treatment = CovariateMoments.of_pairs(list(y[200:] + effect), list(x[200:]))
        return adjust(control, treatment, theta=which).theta

    assert theta(0, Theta.WITHIN) == pytest.approx(theta(50, Theta.WITHIN), rel=1e-9)
    assert theta(0, Theta.TOTAL) != pytest.approx(theta(50, Theta.TOTAL), rel=1e-3)


def test_a_good_covariate_narrows_the_interval() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=400)
    y = 2 * x + rng.normal(size=400)
    arms = [
        CovariateMoments.of_pairs(list(y[half]), list(x[half]))
        for half in (slice(200), slice(200, 400))
    ]
    adjusted = adjust(*arms)
    plain = compare_means(*(Moments(a.n, a.s1, a.s2, a.s3) for a in arms))
    better = compare_means(adjusted.control, adjusted.treatment)
    assert better.standard_error < 0.6 * plain.standard_error


def test_a_constant_covariate_adjusts_nothing() -> None:
    control, treatment = summed([(1, 7), (3, 7)]), summed([(2, 7), (5, 7)])
    adjusted = adjust(control, treatment)
    assert adjusted.theta == 0
    assert adjusted.control.mean == control.mean


def test_one_unit_is_not_enough() -> None:
    with pytest.raises(NotEnoughDataError):
        adjust(summed([(1, 1)]), summed([(1, 1), (2, 3)]))


def test_both_definitions_agree_with_other_programs(shared_dir: Path) -> None:
    for case in json.loads((shared_dir / "golden" / "cuped.json").read_text())["cases"]:
        arms = [
            CovariateMoments(
                a["n"], a["sum_y"], a["sumsq_y"], 0, a["sum_x"], a["sumsq_x"], 0, a["sum_xy"]
            )
            for a in (case["inputs"]["control"], case["inputs"]["treatment"])
        ]
        total, within = adjust(*arms, theta=Theta.TOTAL), adjust(*arms)
        result = compare_means(
            total.control, total.treatment, confidence_level=1 - case["inputs"]["alpha"]
        )
        expected = case["expected"]
        assert total.theta == pytest.approx(expected["theta"], rel=1e-7)
        assert within.theta == pytest.approx(expected["theta_within"], rel=1e-7)
        assert result.difference == pytest.approx(expected["diff"], rel=1e-7, abs=1e-9)
        assert result.standard_error == pytest.approx(expected["se"], rel=1e-7)
        assert result.high == pytest.approx(expected["hi"], rel=1e-7)
        assert result.p_value == pytest.approx(expected["p"], rel=1e-7)


def drawn(rng: np.random.Generator, n: int, slope: float, **shifts: float) -> CovariateMoments:
    x = rng.gamma(2.0, 1.0, n)
    y = slope * x + rng.normal(size=n)
    return CovariateMoments.of_pairs(list(y), list(x), **shifts)


@pytest.mark.parametrize("theta", list(Theta))
def test_the_variance_that_is_gone_is_the_squared_correlation(theta: Theta) -> None:
    rng = np.random.default_rng(5)
    arms = [drawn(rng, 4000, 2.0) for _ in range(2)]
    # Cov = 2 * 2, Var(x) = 2, Var(y) = 4 * 2 + 1.
    assert adjust(*arms, theta=theta).variance_reduction == pytest.approx(8 / 9, abs=0.02)


def test_arms_can_weigh_the_same_in_theta_whatever_their_size() -> None:
    rng = np.random.default_rng(6)
    large, small = drawn(rng, 3000, 2.0), drawn(rng, 100, 0.0)
    assert adjust(large, small, theta=Theta.WITHIN).theta == pytest.approx(2, abs=0.15)
    alike = adjust(large, small, theta=Theta.ARMS).theta
    covariance = large.covariance + small.covariance
    assert alike == pytest.approx(
        covariance / (large.covariate.variance + small.covariate.variance)
    )


def test_shifts_do_not_change_what_is_adjusted() -> None:
    one = [drawn(np.random.default_rng(7), 50, 1.0) for _ in range(2)]
    other = [one[0].about(5.0, -2.0), one[1].about(1.0, 1.0)]
    plain, shifted = adjust(*one), adjust(*other)
    assert shifted.theta == pytest.approx(plain.theta)
    assert shifted.control.shift == shifted.treatment.shift == 5.0
    for a, b in ((plain.control, shifted.control), (plain.treatment, shifted.treatment)):
        assert (b.mean, b.variance) == pytest.approx((a.mean, a.variance))
        assert b.third_central == pytest.approx(a.third_central, rel=1e-6, abs=1e-9)


def test_a_metric_far_from_zero_is_adjusted_with_all_its_digits() -> None:
    rng = np.random.default_rng(8)
    x, noise = rng.normal(size=400), rng.normal(size=400)
    far = [
        CovariateMoments.of_pairs(
            1e6 + (2 * x + noise)[k], 1e6 + x[k], shift=1e6 + 1, x_shift=1e6 - 1
        )
        for k in (slice(200), slice(200, 400))
    ]
    near = [
        CovariateMoments.of_pairs((2 * x + noise)[k], x[k]) for k in (slice(200), slice(200, 400))
    ]
    a, b = adjust(*far), adjust(*near)
    assert a.theta == pytest.approx(b.theta, rel=1e-7)
    assert a.control.variance == pytest.approx(b.control.variance, rel=1e-7)
    gap = b.treatment.mean - b.control.mean
    assert a.treatment.mean - a.control.mean == pytest.approx(gap, rel=1e-6)


@pytest.mark.parametrize("theta", list(Theta))
def test_many_comparisons_at_once_equal_each_alone(theta: Theta) -> None:
    rng = np.random.default_rng(9)
    control = [drawn(rng, 30, slope) for slope in (0, 1, 2)] + [summed([(1, 7), (3, 7)])]
    treatment = [drawn(rng, 20, slope) for slope in (0, 1, 2)] + [summed([(2, 7), (5, 7)])]
    rows_c, rows_t, thetas = adjust_arrays(
        [c.sums for c in control], [t.sums for t in treatment], theta=theta
    )
    for k, (c, t) in enumerate(zip(control, treatment, strict=True)):
        each = adjust(c, t, theta=theta)
        assert thetas[k] == pytest.approx(each.theta)
        assert rows_c[k].tolist() == pytest.approx(each.control.sums)
        assert rows_t[k].tolist() == pytest.approx(each.treatment.sums)


def test_a_comparison_that_cannot_be_adjusted_is_not_a_number_among_many() -> None:
    rows = adjust_arrays([summed([(1, 2)]).sums], [summed([(1, 2), (2, 5)]).sums])
    assert [np.isnan(part).any() for part in rows] == [True, True, True]


def test_a_perfect_covariate_leaves_a_constant() -> None:
    x = [0.1, 0.7, 1.9, 3.3]
    control = CovariateMoments.of_pairs([0.3 * v for v in x], x)
    treatment = CovariateMoments.of_pairs([0.3 * v + 1 for v in x], x)
    adjusted = adjust(control, treatment)
    assert adjusted.variance_reduction == pytest.approx(1)
    with pytest.raises(NotEnoughDataError, match="varies"):
        compare_means(adjusted.control, adjusted.treatment)


@pytest.mark.parametrize(
    ("units", "with_pre_period", "expected"),
    [(1000, 500, True), (1000, 499, False), (999, 999, False), (0, 0, False), (10**8, 10**8, True)],
)
def test_a_covariate_is_used_from_half_of_a_thousand_units_on(
    units: float, with_pre_period: float, expected: bool
) -> None:
    assert covariate_is_worth_using(units, with_pre_period) is expected


@pytest.mark.parametrize("pair", [(10, 11), (10, -1), (math.nan, 1), (10, math.nan), (math.inf, 1)])
def test_units_with_a_pre_period_are_some_of_all_units(pair: tuple[float, float]) -> None:
    with pytest.raises(ParameterError, match="pre-period"):
        covariate_is_worth_using(*pair)


def test_a_lift_over_a_mean_of_zero_does_not_exist() -> None:
    with pytest.raises(NotEnoughDataError, match="mean is 0"):
        adjusted_delta_interval(summed([(-1, 1), (1, 2)]), summed([(2, 1), (3, 3)]))


# --- ratios


def visits(rng: np.random.Generator, n: int, gain: float = 1.0) -> list[np.ndarray]:
    """Clicks and visits, after and before: the same users are heavy in both."""
    level = rng.gamma(2.0, 1.0, n)
    d, d0 = (1.0 + rng.poisson(3, n) for _ in range(2))
    noise = rng.normal(0, 0.3, (2, n))
    return [gain * d * (level + noise[0]), d, d0 * (level + noise[1]), d0]


def of(columns: list[np.ndarray]) -> RatioCovariateMoments:
    return RatioCovariateMoments.of(*columns)


def test_a_ratio_is_adjusted_by_what_it_was_before() -> None:
    rng = np.random.default_rng(10)
    raw = visits(rng, 2000), visits(rng, 2000)
    adjusted = adjust_ratio(*(of(columns) for columns in raw))
    plain = compare_ratios(*(RatioMoments.of(c[0], c[1]) for c in raw))
    assert adjusted.variance_reduction > 0.6
    assert adjusted.comparison.standard_error**2 == pytest.approx(
        plain.standard_error**2 * (1 - adjusted.variance_reduction)
    )
    before = [c[2].sum() / c[3].sum() for c in raw]
    gap = adjusted.theta * (before[1] - before[0])
    assert adjusted.comparison.difference == pytest.approx(plain.difference - gap)


def test_the_standard_error_of_an_adjusted_ratio_agrees_with_resampling() -> None:
    rng = np.random.default_rng(11)
    raw = visits(rng, 500), visits(rng, 400, 1.5)
    arms = [of(columns) for columns in raw]
    adjusted = adjust_ratio(*arms)
    square = 0.0
    for m, d, m0, d0 in raw:
        post, pre = (m.sum() - m) / (d.sum() - d), (m0.sum() - m0) / (d0.sum() - d0)
        left_out = post - adjusted.theta * pre
        n = len(m)
        square += (n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()
    assert adjusted.comparison.standard_error == pytest.approx(square**0.5, rel=0.02)
    lift, error = adjusted_ratio_delta_interval(*arms)
    assert lift.lift == pytest.approx(adjusted.comparison.difference / arms[0].ratio)
    assert lift.low < lift.lift < lift.high
    # The lift's own error, by leaving out one unit of one arm at a time.
    (m, d, m0, d0), theta = raw[0], adjusted.theta
    ratios = [(c[0].sum() / c[1].sum(), c[2].sum() / c[3].sum()) for c in raw]
    of_control = (m.sum() - m) / (d.sum() - d), (m0.sum() - m0) / (d0.sum() - d0)
    left_out = (ratios[1][0] - theta * (ratios[1][1] - of_control[1])) / of_control[0]
    square = 499 / 500 * ((left_out - left_out.mean()) ** 2).sum()
    m, d, m0, d0 = raw[1]
    treated = (m.sum() - m) / (d.sum() - d) - theta * (m0.sum() - m0) / (d0.sum() - d0)
    square += 399 / 400 * ((treated - treated.mean()) ** 2).sum() / ratios[0][0] ** 2
    assert error == pytest.approx(square**0.5, rel=0.02)


def test_an_adjusted_ratio_is_decided_on_the_same_difference() -> None:
    rng = np.random.default_rng(12)
    control, treatment = of(visits(rng, 900)), of(visits(rng, 100, 1.05))
    adjusted = adjust_ratio(control, treatment)
    assert adjusted.control.shift == adjusted.treatment.shift
    score = score_difference(adjusted.control, adjusted.treatment)
    assert score.difference == pytest.approx(adjusted.comparison.difference)
    assert score.se_welch == pytest.approx(adjusted.comparison.standard_error, rel=0.05)
    swapped = adjust_ratio(treatment, control)
    back = score_difference(swapped.control, swapped.treatment)
    assert back.z == pytest.approx(-score.z, rel=1e-6)
    assert adjusted.control.third_central == pytest.approx(0, abs=1e-9)


def test_an_effect_does_not_leak_into_the_theta_of_a_ratio() -> None:
    def theta(gain: float, which: Theta) -> float:
        rng = np.random.default_rng(13)
        return adjust_ratio(of(visits(rng, 500)), of(visits(rng, 500, gain)), theta=which).theta

    def shifted(gap: float, which: Theta) -> float:
        rng = np.random.default_rng(13)
        control, (m, d, m0, d0) = visits(rng, 500), visits(rng, 500)
        return adjust_ratio(of(control), of([m + gap * d, d, m0, d0]), theta=which).theta

    assert shifted(5.0, Theta.WITHIN) == pytest.approx(shifted(0.0, Theta.WITHIN))
    assert shifted(5.0, Theta.TOTAL) != pytest.approx(shifted(0.0, Theta.TOTAL), rel=1e-3)
    assert theta(2.0, Theta.WITHIN) == pytest.approx(1.5 * theta(1.0, Theta.WITHIN), rel=0.1)


def test_a_pre_period_ratio_that_does_not_vary_adjusts_nothing() -> None:
    rng = np.random.default_rng(14)
    raw = [visits(rng, 50) for _ in range(2)]
    for columns in raw:
        columns[2] = 0.3 * columns[3]
    adjusted = adjust_ratio(*(of(columns) for columns in raw))
    assert adjusted.theta == 0
    assert adjusted.variance_reduction == pytest.approx(0)


@pytest.mark.parametrize("column", [1, 3])
def test_a_ratio_whose_denominator_is_near_zero_is_not_adjusted(column: int) -> None:
    rng = np.random.default_rng(15)
    good, bad = visits(rng, 50), visits(rng, 50)
    bad[column] = np.zeros(50)
    for pair in ((good, bad), (bad, good)):
        with pytest.raises(NotEnoughDataError, match="denominator"):
            adjust_ratio(*(of(columns) for columns in pair))
    with pytest.raises(NotEnoughDataError, match="two units"):
        adjust_ratio(of(good), of([c[:1] for c in good]))
