"""Regression adjustment with a slope per arm."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stats import (
    CovariateMoments,
    MomentsError,
    NotEnoughDataError,
    adjust,
    lin_adjust,
    lin_regression,
    score_difference,
)

Columns = tuple[np.ndarray, np.ndarray]


def drawn(seed: int, n: int, slope: float, effect: float = 0.0) -> Columns:
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, 1.0, n)
    return effect + slope * x + rng.normal(size=n) * (1 + x), x


def sums(arm: Columns, **shifts: float) -> CovariateMoments:
    return CovariateMoments.of_pairs(list(arm[0]), list(arm[1]), **shifts)


def interacted(control: Columns, treatment: Columns) -> tuple[float, float]:
    """Fit y ~ 1 + t + x + t x with centred x by least squares, HC2 by its definition."""
    y = np.concatenate([control[0], treatment[0]])
    x = np.concatenate([control[1], treatment[1]])
    t = np.repeat([0.0, 1.0], [len(control[0]), len(treatment[0])])
    x = x - x.mean()
    design = np.column_stack([np.ones_like(y), t, x, t * x])
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ y
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    weight = (y - design @ beta) ** 2 / (1 - leverage)
    covariance = inverse @ (design.T * weight) @ design @ inverse
    return float(beta[1]), math.sqrt(covariance[1, 1])


@pytest.mark.parametrize("sizes", [(40, 40), (90, 8), (5, 60)])
def test_rows_give_the_interacted_regression_with_hc2(sizes: tuple[int, int]) -> None:
    arms = drawn(1, sizes[0], 1.0), drawn(2, sizes[1], 3.0, 0.5)
    result = lin_regression(*arms)
    difference, error = interacted(*arms)
    assert result.difference == pytest.approx(difference, rel=1e-9)
    assert result.standard_error_hc2 == pytest.approx(error, rel=1e-9)
    assert result.standard_error > result.standard_error_hc2


def test_sums_give_the_same_difference_and_nearly_the_same_error() -> None:
    arms = drawn(3, 9000, 1.0), drawn(4, 3000, 3.0)
    rows, summed = lin_regression(*arms), lin_adjust(*(sums(arm) for arm in arms))
    assert summed.difference == pytest.approx(rows.difference, rel=1e-9)
    assert summed.standard_error == pytest.approx(rows.standard_error, rel=0.02)
    shifted = lin_adjust(sums(arms[0], shift=4.0, x_shift=2.0), sums(arms[1], x_shift=-1.0))
    assert shifted.difference == pytest.approx(summed.difference)
    assert shifted.standard_error == pytest.approx(summed.standard_error)


def test_slopes_that_differ_cost_precision_of_the_population() -> None:
    """Over many samples the difference varies as the superpopulation error says."""
    found, errors, conditional = [], [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=200)
        y = rng.normal(size=200) * 0.2
        arms = (y[:100], x[:100]), (y[100:] + 3 * x[100:], x[100:])
        result = lin_adjust(*(sums(arm) for arm in arms))
        found.append(result.difference)
        errors.append(result.standard_error)
        conditional.append(lin_regression(*arms).standard_error_hc2)
    assert np.std(found) == pytest.approx(np.mean(errors), rel=0.12)
    assert np.mean(conditional) < 0.3 * np.std(found)


def test_unequal_arms_with_unequal_slopes_gain_over_one_slope() -> None:
    arms = [sums(drawn(5, 2000, 0.0)), sums(drawn(6, 200, 4.0))]
    per_arm, one = lin_adjust(*arms), adjust(*arms)
    common = math.sqrt(one.control.variance / 2000 + one.treatment.variance / 200)
    assert per_arm.standard_error < 0.7 * common


def test_the_adjusted_sums_carry_the_difference() -> None:
    result = lin_adjust(sums(drawn(7, 80, 1.0)), sums(drawn(8, 60, 2.0)))
    score = score_difference(result.control, result.treatment)
    assert score.difference == pytest.approx(result.difference)
    assert score.se_welch <= result.standard_error


def test_arms_swapped_flip_the_sign() -> None:
    arms = [sums(drawn(9, 40, 1.0)), sums(drawn(10, 30, 2.0))]
    one, other = lin_adjust(*arms), lin_adjust(*arms[::-1])
    assert other.difference == pytest.approx(-one.difference)
    assert other.standard_error == pytest.approx(one.standard_error)
    assert (other.theta_control, other.theta_treatment) == pytest.approx(
        (one.theta_treatment, one.theta_control)
    )


def test_a_covariate_that_does_not_vary_leaves_the_difference_of_means() -> None:
    control, treatment = ([1.0, 2.0, 6.0], [7.0] * 3), ([4.0, 5.0, 3.0], [7.0] * 3)
    assert lin_regression(control, treatment).difference == pytest.approx(1.0)
    result = lin_adjust(CovariateMoments.of_pairs(*control), CovariateMoments.of_pairs(*treatment))
    assert (result.difference, result.theta_control, result.theta_treatment) == pytest.approx(
        (1.0, 0.0, 0.0)
    )


def test_too_few_units_or_one_that_fixes_the_slope_alone_are_refused() -> None:
    good = [1.0, 2.0, 6.0, 3.0], [1.0, 2.0, 3.0, 5.0]
    two = [1.0, 2.0], [1.0, 2.0]
    with pytest.raises(NotEnoughDataError, match="three units"):
        lin_regression(good, two)
    with pytest.raises(NotEnoughDataError, match="three units"):
        lin_adjust(CovariateMoments.of_pairs(*good), CovariateMoments.of_pairs(*two))
    with pytest.raises(NotEnoughDataError, match="alone"):
        lin_regression(([1.0, 2.0, 3.0], [0.0, 0.0, 1.0]), good)


def test_columns_that_are_no_columns_are_refused() -> None:
    good = [1.0, 2.0, 6.0], [1.0, 2.0, 3.0]
    for bad in (([1.0, 2.0, math.nan], good[1]), (good[0], [1.0, 2.0]), ([[1.0]], [[1.0]])):
        with pytest.raises(MomentsError):
            lin_regression(bad, good)
