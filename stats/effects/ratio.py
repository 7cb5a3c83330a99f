"""A ratio of two sums per arm: clicks per session, revenue per order, mean over rows.

The denominator is random, and rows of one unit go together; the delta method turns the ratio into
the mean of one linear residual per unit, and from there on everything is a mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stats.effects.means import MeanComparison, compare_means
from stats.errors import NotEnoughDataError
from stats.sums.moments import Array, Moments
from stats.sums.powers import combined_powers, without_dust
from stats.sums.ratio import RatioMoments

Booleans = NDArray[np.bool_]

CLEAR_OF_ZERO = 2.0
"""Standard errors between a mean denominator and zero: with fewer the expansion fails."""


@dataclass(frozen=True)
class Linearised:
    """Both arms as sums of one value per unit, whose means are the arms' ratios.

    ``ratio`` is that of both arms together: the null hypothesis, and the shift of both sums.
    """

    control: Moments
    treatment: Moments
    ratio: float


def compare_ratios(
    control: RatioMoments, treatment: RatioMoments, *, confidence_level: float = 0.95
) -> MeanComparison:
    """Estimate the difference of two ratios by the delta method [1]_.

    Parameters
    ----------
    control, treatment : RatioMoments
        Sums over units of randomisation.
    confidence_level : float, default 0.95
        Coverage of the interval, strictly between 0 and 1.

    Returns
    -------
    MeanComparison
        In units of the numerator per unit of the denominator.

    Raises
    ------
    NotEnoughDataError
        If an arm has fewer than two units or a denominator that is not clear of zero, or neither
        ratio varies.
    ParameterError
        If ``confidence_level`` is out of range.

    Notes
    -----
    Fixed horizon: do not peek with it; `linearised` serves looks. For rows clustered in units, with
    ``m`` the sum and ``d`` the number of a unit's rows, the standard errors are the cluster-robust
    ones with factor G / (G - 1).

    References
    ----------
    .. [1] A. Deng, U. Knoblich, J. Lu, KDD 2018, 233-242. :doi:`10.1145/3219819.3219919`

    Examples
    --------
    >>> a = RatioMoments.of([1.0, 2.0, 2.0, 1.0], [4.0, 5.0, 6.0, 5.0])
    >>> b = RatioMoments.of([3.0, 2.0, 2.0, 3.0], [4.0, 5.0, 6.0, 5.0])
    >>> result = compare_ratios(a, b)
    >>> round(result.difference, 3), round(result.standard_error, 4)
    (0.2, 0.1013)
    """
    return compare_means(
        ratio_as_mean(control), ratio_as_mean(treatment), confidence_level=confidence_level
    )


def ratio_as_mean(arm: RatioMoments) -> Moments:
    """Write one arm's ratio as the mean of its linearised units.

    Parameters
    ----------
    arm : RatioMoments
        Sums over units.

    Returns
    -------
    Moments
        Of ``R + (m - R d) / mean(d)`` with the arm's own ratio ``R``: its mean is ``R``, its
        variance the delta method's ``(v_m - 2 R c_md + R**2 v_d) / mean(d)**2``. Any function of
        two means at one planned look takes it: `fieller_interval`, `log_interval`.

    Raises
    ------
    NotEnoughDataError
        If the arm has fewer than two units or a denominator that is not clear of zero.

    Notes
    -----
    For looks that may be peeked at use `linearised`, where the null hypothesis fixes the ratio.
    """
    _require_denominator(arm, arm, "ratio_as_mean")
    ratio = arm.ratio
    row = _residuals(np.array(arm.sums), ratio, (arm.m_shift, arm.d_shift))
    return _moments(row, ratio)


def linearised(control: RatioMoments, treatment: RatioMoments) -> Linearised:
    """Linearise both arms under the null hypothesis of one common ratio, for the decision.

    Parameters
    ----------
    control, treatment : RatioMoments
        Sums over units, third powers included.

    Returns
    -------
    Linearised
        Sums of ``R + (m - R d) / mean(d)`` with ``R`` of both arms together and ``mean(d)`` of each
        arm: for `score_difference`, `noninferiority`, `fieller_interval`.

    Raises
    ------
    NotEnoughDataError
        If an arm has fewer than two units or a denominator that is not clear of zero.

    Notes
    -----
    One may peek with the result as one may with `score_difference`. Why this residual: with the
    common ratio its variance is that of the null hypothesis (a score test); divided by each arm's
    own mean denominator the difference of its means is ``R_T - R_C`` exactly, not to first order,
    also when the treatment changes the denominators.

    Examples
    --------
    >>> a = RatioMoments.of([1.0, 2.0, 2.0, 1.0], [4.0, 5.0, 6.0, 5.0])
    >>> b = RatioMoments.of([3.0, 2.0, 2.0, 3.0], [4.0, 5.0, 6.0, 5.0])
    >>> both = linearised(a, b)
    >>> round(both.ratio, 3), round(both.control.mean, 3), round(both.treatment.mean, 3)
    (0.4, 0.3, 0.5)
    """
    _require_denominator(control, treatment, "linearised")
    treatment = treatment.about(control.m_shift, control.d_shift)
    shifts = control.m_shift, control.d_shift
    row_c, row_t, ratio = linearised_arrays(control.sums, treatment.sums, *shifts)
    return Linearised(_moments(row_c, float(ratio)), _moments(row_t, float(ratio)), float(ratio))


def linearised_arrays(
    control: ArrayLike, treatment: ArrayLike, m_shift: ArrayLike = 0.0, d_shift: ArrayLike = 0.0
) -> tuple[Array, Array, Array]:
    """Compute `linearised` for many comparisons at once.

    Parameters
    ----------
    control, treatment : array_like, shape (..., 10)
        ``RatioMoments.sums`` in the last axis; the other axes broadcast.
    m_shift, d_shift : array_like, shape (...), default 0
        The shifts that both arms share.

    Returns
    -------
    tuple of ndarray, shapes (..., 4), (..., 4), (...)
        Rows ``n, s1, s2, s3`` of control and treatment about the common ratio, for
        `score_arrays`, and that ratio. NaN where `linearised` would raise.
    """
    c, t = np.asarray(control, dtype=float), np.asarray(treatment, dtype=float)
    m_shift, d_shift = np.asarray(m_shift, dtype=float), np.asarray(d_shift, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        n = c[..., 0] + t[..., 0]
        ratio = (n * m_shift + c[..., 1] + t[..., 1]) / (n * d_shift + c[..., 4] + t[..., 4])
        usable = _is_clear(c, d_shift) & _is_clear(t, d_shift)
        ratio = np.where(usable, ratio, np.nan)
        shifts = (m_shift, d_shift)
        return _residuals(c, ratio, shifts), _residuals(t, ratio, shifts), ratio


def _residuals(sums: Array, ratio: ArrayLike, shifts: tuple[ArrayLike, ArrayLike]) -> Array:
    """Sum up (m - R d) / mean(d) and its powers."""
    ratio, m_shift, d_shift = (np.asarray(x, dtype=float) for x in (ratio, *shifts))
    columns = np.moveaxis(sums, -1, 0)
    n, pair = columns[0], tuple(columns[1:])
    mean_d = d_shift + pair[3] / n
    weights = (1 / mean_d, -ratio / mean_d)
    constant = (m_shift - ratio * d_shift) / mean_d
    powers = combined_powers(n, pair, weights, constant)
    scale = weights[0] ** 2 * pair[1] + weights[1] ** 2 * pair[4] + n * constant**2
    parts = (n, *without_dust(n, powers, scale))
    return np.stack(np.broadcast_arrays(*parts), axis=-1)


def _is_clear(sums: Array, d_shift: Array | float) -> Booleans:
    n, d1, d2 = sums[..., 0], sums[..., 4], sums[..., 5]
    mean = d_shift + d1 / n
    squared_error = np.maximum(0.0, d2 - d1 * d1 / n) / (n - 1) / n
    clear: Booleans = (n >= 2) & (mean**2 > CLEAR_OF_ZERO**2 * squared_error)
    return clear


def _require_denominator(control: RatioMoments, treatment: RatioMoments, method: str) -> None:
    n = control.n, treatment.n
    if min(n) < 2:
        raise NotEnoughDataError(method, *n, "each needs two units")
    for arm in (control, treatment):
        if not _is_clear(np.array(arm.sums), arm.d_shift):
            raise NotEnoughDataError(method, *n, "a mean denominator is not clear of zero")


def _moments(row: Array, shift: float) -> Moments:
    n, s1, s2, s3 = (float(part) for part in row)
    return Moments(n, s1, s2, s3, shift=shift)
