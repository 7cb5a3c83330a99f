"""Take out of an outcome what a pre-period covariate already knew."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from stats.effects.lift import Lift
from stats.effects.means import checked_level, compare_means, student_quantile
from stats.errors import NotEnoughDataError, ParameterError
from stats.sums.moments import Array, CovariateMoments, Moments
from stats.sums.powers import combined_powers, without_dust


class Theta(StrEnum):
    """From which covariance the regression coefficient is taken."""

    WITHIN = "within"
    """Pooled within arms: a treatment effect cannot leak into it. The default."""
    TOTAL = "total"
    """Of all units as one sample, as in the original paper and most tools."""
    ARMS = "arms"
    """The mean of both arms' covariances over that of their variances: a small arm counts as much
    as a large one. Some tools do so for ratios."""


MINIMUM_COVERAGE = 0.5
"""Share of units with a pre-period from which on a covariate is used."""
MINIMUM_UNITS = 1000
"""Units, both arms together, from which on the error of theta can be forgotten."""


def covariate_is_worth_using(units: float, units_with_pre_period: float) -> bool:
    """Tell whether a pre-period covariate should be used: STATISTICS.md 1.1's default.

    Decide it from what is known before exposure, once per metric: never by which of both results
    is the nicer one.

    Raises
    ------
    ParameterError
        If more units have a pre-period than there are, or a number is negative.

    Examples
    --------
    >>> covariate_is_worth_using(5000, 4000), covariate_is_worth_using(5000, 1000)
    (True, False)
    """
    if not 0 <= units_with_pre_period <= units < math.inf:
        raise ParameterError(f"{units_with_pre_period:g} of {units:g} units have a pre-period")
    return units >= MINIMUM_UNITS and units_with_pre_period >= MINIMUM_COVERAGE * units


@dataclass(frozen=True)
class Adjusted:
    """Sums of ``y - theta (x - mean(x))`` in both arms, and the coefficient used.

    ``variance_reduction`` is the share of the difference's variance that is gone: the squared
    correlation of outcome and covariate, if that is the same in both arms.
    """

    control: Moments
    treatment: Moments
    theta: float
    variance_reduction: float


def adjust(
    control: CovariateMoments, treatment: CovariateMoments, *, theta: Theta = Theta.WITHIN
) -> Adjusted:
    """Reduce the variance of a mean with a pre-period covariate (CUPED [1]_).

    Parameters
    ----------
    control, treatment : CovariateMoments
        Sums over units of outcome and covariate. The covariate is known before exposure.
    theta : Theta, default Theta.WITHIN
        Definition of the coefficient Cov(y, x) / Var(x).

    Returns
    -------
    Adjusted
        Sums of the adjusted outcome, third moment included, for any method that takes `Moments`;
        ``theta`` in units of y per unit of x. The grand mean of the outcome does not change.

    Raises
    ------
    NotEnoughDataError
        If an arm has fewer than two units.

    Notes
    -----
    A covariate that does not vary gives ``theta = 0``: nothing is adjusted. One may peek with the
    result as one may with the method it is handed to.

    References
    ----------
    .. [1] A. Deng, Y. Xu, R. Kohavi, T. Walker, WSDM 2013, 123-132. :doi:`10.1145/2433396.2433413`

    Examples
    --------
    >>> a = CovariateMoments.of_pairs([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    >>> b = CovariateMoments.of_pairs([3.0, 4.0, 6.0], [2.0, 3.0, 4.0])
    >>> adjust(a, b).theta
    1.25
    """
    if min(control.n, treatment.n) < 2:
        raise NotEnoughDataError("adjust", control.n, treatment.n, "each needs two units")
    treatment = treatment.about(control.shift, control.x_shift)
    row_c, row_t, coefficient = adjust_arrays(control.sums, treatment.sums, theta=theta)
    first, second = (
        Moments(*(float(part) for part in row), shift=control.shift) for row in (row_c, row_t)
    )
    before = control.variance / control.n + treatment.variance / treatment.n
    after = first.variance / first.n + second.variance / second.n
    reduction = 1 - after / before if before > 0 else 0.0
    return Adjusted(first, second, float(coefficient), reduction)


def adjust_arrays(
    control: ArrayLike, treatment: ArrayLike, *, theta: Theta = Theta.WITHIN
) -> tuple[Array, Array, Array]:
    """Compute `adjust` for many comparisons at once.

    Parameters
    ----------
    control, treatment : array_like, shape (..., 10)
        ``CovariateMoments.sums`` in the last axis, both arms about the same shifts; the other axes
        broadcast.
    theta : Theta, default Theta.WITHIN
        As in `adjust`.

    Returns
    -------
    tuple of ndarray, shapes (..., 4), (..., 4), (...)
        Rows ``n, s1, s2, s3`` of the adjusted arms about the outcome's shift, for `score_arrays`,
        and the coefficients. NaN where an arm has fewer than two units.
    """
    c, t = (np.asarray(arm, dtype=float) for arm in (control, treatment))
    enough = (c[..., 0] >= 2) & (t[..., 0] >= 2)
    both = c + t
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = {Theta.TOTAL: ((both, 1.0),), Theta.WITHIN: ((c, 1.0), (t, 1.0))}.get(
            theta, tuple((arm, arm[..., 0] - 1) for arm in (c, t))
        )
        covariance = sum((p[..., 7] - p[..., 4] * p[..., 1] / p[..., 0]) / w for p, w in parts)
        variation = sum((p[..., 5] - p[..., 4] ** 2 / p[..., 0]) / w for p, w in parts)
        square = sum(p[..., 5] / w for p, w in parts)
        # Below this the variation of x is rounding, and a quotient of it would be noise.
        varies = variation > 1e-12 * square
        coefficient = np.where(varies, covariance / np.where(varies, variation, 1.0), 0.0)
        coefficient = np.where(enough, coefficient, np.nan)
        centre = both[..., 4] / both[..., 0]
        return _residuals(c, coefficient, centre), _residuals(t, coefficient, centre), coefficient


def _residuals(sums: Array, theta: Array, centre: Array) -> Array:
    """Sum up y - theta (x - centre) and its powers."""
    columns = np.moveaxis(sums, -1, 0)
    n, pair = columns[0], tuple(columns[1:])
    constant = theta * centre
    powers = combined_powers(n, pair, (np.ones_like(theta), -theta), constant)
    scale = pair[1] + theta**2 * pair[4] + n * constant**2
    parts = (n, *without_dust(n, powers, scale))
    return np.stack(np.broadcast_arrays(*parts), axis=-1)


def adjusted_delta_interval(
    control: CovariateMoments,
    treatment: CovariateMoments,
    *,
    theta: Theta = Theta.WITHIN,
    confidence_level: float = 0.95,
) -> tuple[Lift, float]:
    """Bound the adjusted difference over control's plain mean, as many tools show it.

    Returns
    -------
    tuple of Lift, float
        Lift with its interval, and its standard error.

    Raises
    ------
    NotEnoughDataError
        As `adjust` and `compare_means`, and if control's mean is zero.

    Notes
    -----
    Never decide with it: see `delta_interval`. `fieller_interval` of the adjusted sums agrees with
    the decision. The covariance of control's adjusted and plain means is counted.
    """
    adjusted = adjust(control, treatment, theta=theta)
    compared = compare_means(adjusted.control, adjusted.treatment)
    coupling = (control.variance - adjusted.theta * control.covariance) / control.n
    return delta_over_plain_mean(
        compared.difference,
        compared.standard_error**2,
        (control.mean, control.variance / control.n, coupling),
        (compared.degrees_of_freedom, checked_level(confidence_level)),
        (control.n, treatment.n),
    )


def delta_over_plain_mean(
    difference: float,
    squared_error: float,
    base: tuple[float, float, float],
    coverage: tuple[float, float],
    units: tuple[float, float],
) -> tuple[Lift, float]:
    """Bound an adjusted difference over an unadjusted mean.

    ``base`` is that mean, its squared error and its covariance with the adjusted mean of control;
    ``coverage`` the degrees of freedom and the confidence level.
    """
    mean, mean_error, coupling = base
    if mean == 0:
        raise NotEnoughDataError("delta interval", *units, "control's mean is 0")
    lift = difference / abs(mean)
    slope = difference / mean
    square = (squared_error + 2 * slope * coupling + slope**2 * mean_error) / mean**2
    error = math.sqrt(max(0.0, square))
    dof, level = coverage
    half = student_quantile((1 + level) / 2, dof) * error
    return Lift(lift, lift - half, lift + half), error
