"""Regression adjustment with a slope of its own in each arm (Lin 2013).

CUPED with one slope is as good when the arms are of one size or one slope; with unequal arms whose
slopes differ only this one never does worse than no adjustment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stats.errors import MomentsError, NotEnoughDataError
from stats.sums.moments import Array, CovariateMoments, Moments
from stats.sums.powers import combined_powers, without_dust


@dataclass(frozen=True)
class LinAdjusted:
    """Both arms adjusted with their own slopes to the covariate's grand mean.

    ``standard_error`` counts that the units are a sample: with slopes that differ, another sample's
    covariate mean would move the difference. ``control`` and ``treatment`` are sums of
    ``y - theta_arm (x - mean(x))`` for methods that take `Moments`; those do not count that term.
    """

    control: Moments
    treatment: Moments
    theta_control: float
    theta_treatment: float
    difference: float
    standard_error: float


@dataclass(frozen=True)
class LinRegression:
    """The difference from rows, treatment minus control.

    ``standard_error_hc2`` is for the units at hand, ``standard_error`` for the population they are
    a sample of.
    """

    difference: float
    standard_error_hc2: float
    standard_error: float


def lin_adjust(control: CovariateMoments, treatment: CovariateMoments) -> LinAdjusted:
    """Adjust a difference of means by one regression per arm [1]_.

    Parameters
    ----------
    control, treatment : CovariateMoments
        Sums over units of outcome and covariate. The covariate is known before exposure.

    Returns
    -------
    LinAdjusted
        In the metric's unit; slopes in units of y per unit of x.

    Raises
    ------
    NotEnoughDataError
        If an arm has fewer than three units: a line goes through any two.

    Notes
    -----
    The squared error is ``sum v_y (1 - rho**2) / n`` over arms, plus ``(theta_T - theta_C)**2 v_x /
    N``. A covariate that does not vary in an arm has the slope 0 there. Fixed horizon; with the two
    `Moments` one may peek as with the method they are handed to. In a small arm the slope is noise:
    from 100 units per arm on.

    References
    ----------
    .. [1] W. Lin, Ann. Appl. Stat. 7, 295-318 (2013). :doi:`10.1214/12-AOAS583`

    Examples
    --------
    >>> a = CovariateMoments.of_pairs([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])
    >>> b = CovariateMoments.of_pairs([3.0, 6.0, 7.0], [2.0, 3.0, 4.0])
    >>> result = lin_adjust(a, b)
    >>> round(result.difference, 4), result.theta_control, result.theta_treatment
    (1.25, 1.5, 2.0)
    """
    if min(control.n, treatment.n) < 3:
        raise NotEnoughDataError("lin_adjust", control.n, treatment.n, "each needs three units")
    treatment = treatment.about(control.shift, control.x_shift)
    both = control + treatment
    centre = both.x1 / both.n
    thetas = [_slope(arm) for arm in (control, treatment)]
    first, second = (
        _residual(arm, theta, centre)
        for arm, theta in zip((control, treatment), thetas, strict=True)
    )
    sampling = (thetas[1] - thetas[0]) ** 2 * both.covariate.variance / both.n
    square = first.variance / first.n + second.variance / second.n + sampling
    return LinAdjusted(
        first, second, thetas[0], thetas[1], second.mean - first.mean, math.sqrt(square)
    )


def lin_regression(
    control: tuple[ArrayLike, ArrayLike], treatment: tuple[ArrayLike, ArrayLike]
) -> LinRegression:
    """Fit Lin's regression to rows, with the HC2 standard error [1]_ [2]_.

    Parameters
    ----------
    control, treatment : pair of array_like, shape (n,)
        Outcome and covariate of each unit. HC2 divides every squared residual by its own leverage,
        which no additive sums can; for a large table `lin_adjust` gives the same difference, and an
        error that comes as close as the arms are large.

    Returns
    -------
    LinRegression
        In the metric's unit.

    Raises
    ------
    NotEnoughDataError
        If an arm has fewer than three units, or a unit alone fixes its arm's slope (leverage 1).
    MomentsError
        If a value is NaN or infinite, or outcome and covariate differ in length.

    Notes
    -----
    Fixed horizon: do not peek with it.

    References
    ----------
    .. [1] W. Lin, Ann. Appl. Stat. 7, 295-318 (2013). :doi:`10.1214/12-AOAS583`
    .. [2] J. G. MacKinnon, H. White, J. Econometrics 29, 305-325 (1985).
       :doi:`10.1016/0304-4076(85)90158-7`

    Examples
    --------
    >>> a = [1.0, 2.0, 4.0, 4.0], [1.0, 2.0, 3.0, 4.0]
    >>> b = [3.0, 6.0, 7.0, 9.0], [2.0, 3.0, 4.0, 5.0]
    >>> result = lin_regression(a, b)
    >>> round(result.difference, 4), round(result.standard_error_hc2, 4)
    (2.0, 0.5495)
    """
    arms = [_columns(arm) for arm in (control, treatment)]
    n = float(len(arms[0][0])), float(len(arms[1][0]))
    if min(n) < 3:
        raise NotEnoughDataError("lin_regression", *n, "each needs three units")
    everyone = np.concatenate([x for _, x in arms])
    centre = float(everyone.mean())
    fits = [_fit(y, x, centre, n) for y, x in arms]
    (mean_c, error_c, slope_c), (mean_t, error_t, slope_t) = fits
    square = error_c + error_t
    sampling = (slope_t - slope_c) ** 2 * float(everyone.var(ddof=1)) / len(everyone)
    return LinRegression(mean_t - mean_c, math.sqrt(square), math.sqrt(square + sampling))


def _columns(arm: tuple[ArrayLike, ArrayLike]) -> tuple[Array, Array]:
    y, x = (np.asarray(column, dtype=float) for column in arm)
    if y.shape != x.shape or y.ndim != 1:
        raise MomentsError(f"outcome {y.shape} and covariate {x.shape} must be columns of units")
    if not (np.isfinite(y).all() and np.isfinite(x).all()):
        raise MomentsError("a value is not a finite number")
    return y, x


def _fit(
    y: Array, x: Array, centre: float, units: tuple[float, float]
) -> tuple[float, float, float]:
    """Return the fitted mean at ``centre``, its squared HC2 error, and the slope."""
    apart = x - x.mean()
    variation = float(apart @ apart)
    varies = variation > 1e-24 * len(x) * max(1.0, float(np.abs(x).max())) ** 2
    slope = float(apart @ y) / variation if varies else 0.0
    leverage = 1 / len(x) + (apart**2 / variation if varies else 0.0)
    if not np.all(leverage < 1 - 1e-10):
        raise NotEnoughDataError("lin_regression", *units, "one unit alone fixes its arm's slope")
    away = centre - float(x.mean())
    weight = 1 / len(x) + (away * apart / variation if varies else 0.0)
    residual = y - y.mean() - slope * apart
    error = float(np.sum(weight**2 * residual**2 / (1 - leverage)))
    return float(y.mean()) + slope * away, error, slope


def _slope(arm: CovariateMoments) -> float:
    variation = arm.covariate.variance
    # Below this the variation of x is rounding, and a quotient of it would be noise.
    return arm.covariance / variation if variation * arm.n > 1e-12 * arm.x2 else 0.0


def _residual(arm: CovariateMoments, theta: float, centre: float) -> Moments:
    """Sum up y - theta (x - centre) and its powers."""
    n, *pair = arm.sums
    constant = theta * centre
    powers = combined_powers(n, pair, (1.0, -theta), constant)
    scale = arm.s2 + theta**2 * arm.x2 + n * constant**2
    clean = without_dust(n, powers, scale)
    return Moments(n, *(float(part) for part in clean), shift=arm.shift)
