"""Ratios of sums: what merges, what is estimated, what may be decided."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import (
    MomentsError,
    NotEnoughDataError,
    RatioCovariateMoments,
    RatioMoments,
    compare_ratios,
    fieller_interval,
    linearised,
    linearised_arrays,
    ratio_as_mean,
    score_arrays,
    score_difference,
)

units = st.lists(st.tuples(st.floats(-50, 50), st.floats(1, 4)), min_size=4, max_size=12)
Rows = list[tuple[float, float]]


def summed(rows: Rows, **shifts: float) -> RatioMoments:
    return RatioMoments.of([m for m, _ in rows], [d for _, d in rows], **shifts)


def close(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-4) for x, y in zip(a, b, strict=True))


def sessions(rng: np.random.Generator, size: tuple[int, ...], mean: float = 3.0) -> np.ndarray:
    """Sums of arms whose users differ in how many sessions they have, and clicks in each."""
    d = 1.0 + rng.poisson(rng.gamma(1.0, mean, size))
    m = d * rng.lognormal(0.0, 0.5, size)
    return columns(m, d)


def columns(m: np.ndarray, d: np.ndarray) -> np.ndarray:
    products = (m, m**2, m**3, d, d**2, d**3, m * d, m * d * d, m * m * d)
    return np.stack([np.full(m.shape[:-1], m.shape[-1]), *(p.sum(-1) for p in products)], -1)


# --- sums


@given(units, units, st.sampled_from([0.0, 7.0]), st.sampled_from([0.0, 4.0]))
def test_merging_equals_pooling(one: Rows, other: Rows, a: float, b: float) -> None:
    merged = summed(one) + summed(other, m_shift=a, d_shift=b)
    assert close(merged.sums, summed(one + other).sums)
    about = summed(one + other, m_shift=a, d_shift=b)
    assert close(merged.about(a, b).sums, about.sums)
    assert about.ratio == pytest.approx(merged.ratio, rel=1e-9, abs=1e-9)


def test_sums_of_columns_are_in_the_order_of_the_fields() -> None:
    rng = np.random.default_rng(1)
    m, d = rng.normal(size=5), rng.normal(size=5) + 5
    assert columns(m, d).tolist() == pytest.approx(RatioMoments.of(list(m), list(d)).sums)


def test_units_of_numerator_and_denominator_scale() -> None:
    one = RatioMoments.of([1.0, 4.0, 6.0], [2.0, 3.0, 9.0], m_shift=1.0, d_shift=2.0)
    other = RatioMoments.of([100, 400, 600], [20, 30, 90], m_shift=100, d_shift=20)
    assert close(one.scaled(100, 10).sums, other.sums)
    assert one.scaled(100, 10).ratio == pytest.approx(other.ratio)


@pytest.mark.parametrize(
    "sums",
    [
        {"n": -1},
        {"n": 0, "d2": 1},
        {"n": 2, "m1": math.nan},
        {"n": 2, "m2d": math.inf},
        {"n": 2, "m1": 3, "m2": 1},
        {"n": 2, "d1": 3, "d2": 1},
        {"n": 2, "m1": 1, "m2": 1, "d1": 1, "d2": 1, "md": 2},
    ],
)
def test_sums_that_no_sample_can_have_are_refused(sums: dict[str, float]) -> None:
    with pytest.raises(MomentsError):
        RatioMoments(**sums)


def test_a_denominator_of_zero_has_no_ratio() -> None:
    with pytest.raises(MomentsError, match="denominator"):
        _ = RatioMoments.of([1.0, 2.0], [0.0, 0.0]).ratio


four = st.lists(st.tuples(*[st.floats(-9, 9)] * 4), min_size=2, max_size=8)


@given(four, four)
def test_merging_equals_pooling_with_a_pre_period(one: list, other: list) -> None:
    def of(rows: list) -> RatioCovariateMoments:
        return RatioCovariateMoments.of(*zip(*rows, strict=True))

    shifts = (1.0, -2.0, 3.0, 0.5)
    merged = of(one).about(*shifts) + of(other)
    assert tuple(merged.shifts.values()) == shifts
    assert close(merged.about().sums, of(one + other).sums)
    values = np.array(one + other)
    assert merged.means == pytest.approx(values.mean(axis=0), abs=1e-9)
    assert merged.covariances == pytest.approx(np.cov(values.T), abs=1e-7)


def test_a_pre_period_cannot_be_more_than_perfectly_correlated() -> None:
    good = RatioCovariateMoments.of([1.0, 2.0], [3.0, 1.0], [2.0, 2.0], [1.0, 5.0])
    with pytest.raises(MomentsError, match="d_pre_m"):
        RatioCovariateMoments(**{**vars(good), "d_pre_m": 99.0})
    with pytest.raises(MomentsError, match="pre_d"):
        RatioCovariateMoments(**{**vars(good), "pre_d": 99.0})


# --- estimates


@given(units)
def test_an_arm_as_a_mean_has_the_delta_methods_variance(rows: Rows) -> None:
    m, d = np.array(rows).T
    ratio = m.sum() / d.sum()
    (v_m, c), (_, v_d) = np.cov(m, d)
    expected = (v_m - 2 * ratio * c + ratio**2 * v_d) / d.mean() ** 2
    for shifts in ({}, {"m_shift": 10.0, "d_shift": 5.0}):
        mean = ratio_as_mean(summed(rows, **shifts))
        assert mean.mean == pytest.approx(ratio, rel=1e-9, abs=1e-9)
        assert mean.variance == pytest.approx(expected, rel=1e-6, abs=1e-6)
        residual = (m - ratio * d) / d.mean()
        assert mean.third_central == pytest.approx((residual**3).mean(), rel=1e-6, abs=1e-3)


def test_rows_of_a_user_are_not_counted_as_independent() -> None:
    """Every row twice: the users have not become more, and the standard error does not move."""
    rng = np.random.default_rng(2)
    d, m = rng.integers(1, 6, 60), rng.normal(10, 2, 60)
    once = [RatioMoments.of(m[k] * d[k], d[k]) for k in (slice(30), slice(30, 60))]
    twice = [RatioMoments.of(2 * m[k] * d[k], 2 * d[k]) for k in (slice(30), slice(30, 60))]
    assert compare_ratios(*twice).standard_error == pytest.approx(
        compare_ratios(*once).standard_error
    )


def test_the_variance_agrees_with_resampling() -> None:
    rng = np.random.default_rng(3)
    d = 1.0 + rng.poisson(2, 400)
    m = d * rng.lognormal(0, 0.5, 400)
    left_out = (m.sum() - m) / (d.sum() - d)
    jackknife = 399 / 400 * ((left_out - left_out.mean()) ** 2).sum()
    mean = ratio_as_mean(RatioMoments.of(list(m), list(d)))
    assert mean.variance / mean.n == pytest.approx(jackknife, rel=0.02)


# --- the decision statistic


@given(units, units)
def test_the_difference_of_linearised_means_is_that_of_the_ratios(
    control: Rows, treatment: Rows
) -> None:
    result = linearised(summed(control), summed(treatment))
    (m_c, d_c), (m_t, d_t) = np.array(control).T, np.array(treatment).T
    common = (m_c.sum() + m_t.sum()) / (d_c.sum() + d_t.sum())
    assert result.ratio == pytest.approx(common, rel=1e-9, abs=1e-9)
    for arm, m, d in ((result.control, m_c, d_c), (result.treatment, m_t, d_t)):
        assert arm.mean == pytest.approx(m.sum() / d.sum(), rel=1e-9, abs=1e-9)
        residual = (m - common * d) / d.mean()
        for power, total in ((1, arm.s1), (2, arm.s2), (3, arm.s3)):
            assert total == pytest.approx((residual**power).sum(), rel=1e-7, abs=1e-5)
    assert result.control.shift == result.treatment.shift == result.ratio


def test_arms_swapped_flip_the_sign_and_units_change_nothing() -> None:
    rng = np.random.default_rng(4)
    arms = [RatioMoments(*sessions(rng, (n,))) for n in (300, 80)]

    def z(control: RatioMoments, treatment: RatioMoments) -> float:
        both = linearised(control, treatment)
        return score_difference(both.control, both.treatment).z

    assert z(arms[1], arms[0]) == pytest.approx(-z(*arms))
    scaled = [arm.scaled(1e-4, 60.0) for arm in arms]
    assert z(*scaled) == pytest.approx(z(*arms))
    shifted = arms[0].about(7.0, 4.0), arms[1].about(-1.0, 3.0)
    assert z(*shifted) == pytest.approx(z(*arms))


def test_a_relative_interval_excludes_zero_exactly_when_the_statistic_passes() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        both = linearised(*(RatioMoments(*sessions(rng, (n,))) for n in (60, 60)))
        score = score_difference(both.control, both.treatment)
        welch = score.difference / score.se_welch
        for critical in (abs(welch) * 0.99, abs(welch) * 1.01):
            lift = fieller_interval(both.control, both.treatment, low_critical=critical)
            assert lift.low is not None
            assert lift.high is not None
            assert (lift.low > 0 or lift.high < 0) == (abs(welch) > critical)


def test_a_numerator_far_from_zero_keeps_its_digits() -> None:
    """Each user's m is a million times d, give or take one."""
    rng = np.random.default_rng(6)
    d = rng.integers(1, 4, 500).astype(float)
    noise = rng.normal(size=500)
    arms, plain = [], []
    for k in (slice(250), slice(250, 500)):
        arms.append(RatioMoments.of(1e6 + noise[k], np.ones(250), m_shift=1e6, d_shift=1.0))
        plain.append(RatioMoments.of(noise[k] + d[k], d[k]))
    both = linearised(*arms)
    expected = noise[250:].mean() - noise[:250].mean()
    assert both.treatment.mean - both.control.mean == pytest.approx(expected, rel=1e-7)
    assert both.control.variance == pytest.approx(noise[:250].var(ddof=1), rel=1e-6)


def test_a_treatment_whose_numerator_is_gone_is_seen_at_once() -> None:
    rng = np.random.default_rng(7)
    d = 1.0 + rng.poisson(3, 200)
    control = RatioMoments.of(rng.binomial(d[:100].astype(int), 0.3).astype(float), d[:100])
    nothing = RatioMoments.of(np.zeros(100), d[100:])
    both = linearised(control, nothing)
    assert score_difference(both.control, both.treatment).z < -5


def test_many_comparisons_at_once_equal_each_alone() -> None:
    rng = np.random.default_rng(8)
    control, treatment = sessions(rng, (3, 2, 50)), sessions(rng, (3, 2, 20))
    control[2, 1] = 0
    treatment[1, 0, 4:] = 0  # no denominator at all
    rows_c, rows_t, ratio = linearised_arrays(control, treatment)
    assert rows_c.shape == rows_t.shape == (3, 2, 4)
    for i, j in np.ndindex(3, 2):
        arms = [RatioMoments(*map(float, x[i, j])) for x in (control, treatment)]
        if (i, j) in ((2, 1), (1, 0)):
            assert np.isnan(ratio[i, j])
            assert np.isnan(rows_c[i, j, 1:]).all()
            with pytest.raises(NotEnoughDataError):
                linearised(*arms)
            continue
        both = linearised(*arms)
        assert rows_c[i, j].tolist() == pytest.approx(both.control.sums)
        assert rows_t[i, j].tolist() == pytest.approx(both.treatment.sums)


def test_an_a_a_test_keeps_its_error_rates_also_when_the_denominators_change() -> None:
    """5 % canary whose users come back twice as often, with the same ratio: no harm is done."""
    rng, runs = np.random.default_rng(9), 1500
    tolerance = 3 * math.sqrt(0.025 * 0.975 / runs)
    for sizes, more in (((300, 300), 1.0), ((950, 50), 2.0), ((950, 50), 0.5)):
        control = sessions(rng, (runs, sizes[0]))
        treatment = sessions(rng, (runs, sizes[1]), 3.0 * more)
        rows_c, rows_t, _ = linearised_arrays(control, treatment)
        z = score_arrays(rows_c, rows_t)[-1]
        assert (z <= -1.96).mean() <= 0.025 + tolerance
        assert (z >= 1.96).mean() <= 0.025 + tolerance
        if sizes[0] == sizes[1]:
            assert min((z <= -1.96).mean(), (z >= 1.96).mean()) >= 0.025 - tolerance


# --- too little data


def test_an_arm_of_one_unit_or_of_a_denominator_near_zero_is_refused() -> None:
    good = RatioMoments.of([1.0, 2.0, 4.0], [2.0, 2.0, 3.0])
    for bad, why in (
        (RatioMoments.of([1.0], [2.0]), "two units"),
        (RatioMoments(), "two units"),
        (RatioMoments.of([1.0, 2.0], [0.0, 0.0]), "denominator"),
        (RatioMoments.of([1.0, 2.0, 3.0], [0.0, 0.0, 1.0]), "denominator"),
    ):
        for call in (linearised, compare_ratios):
            with pytest.raises(NotEnoughDataError, match=why):
                call(good, bad)
            with pytest.raises(NotEnoughDataError, match=why):
                call(bad, good)


def test_a_ratio_that_never_varies_is_called_constant() -> None:
    d = [0.1, 0.7, 1.9, 3.3]
    arms = [RatioMoments.of([0.3 * x for x in d], d)] * 2
    with pytest.raises(NotEnoughDataError, match="varies"):
        compare_ratios(*arms)
    both = linearised(*arms)
    with pytest.raises(NotEnoughDataError, match="equal"):
        score_difference(both.control, both.treatment)
