"""A quantile of two arms: its difference, and whether it moved.

The difference is read off the two quantiles. Whether it moved is asked at one fixed point: an arm
with more rows above the point is the slower one, and a share of rows is a ratio metric, exact in
every sum, with the same test as any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from stats.effects.quantiles import QuantileEstimate, check_shares, two_sided_z
from stats.effects.ratio import linearised
from stats.effects.score import Score, score_difference
from stats.errors import NotEnoughDataError, ParameterError
from stats.sums.histogram import LogHistogram
from stats.sums.ratio import RatioMoments

Array = NDArray[np.float64]


@dataclass(frozen=True)
class QuantileComparison:
    """Difference of two arms' quantiles, treatment minus control, in the metric's unit.

    Parameters
    ----------
    difference, se : float
        Estimate and standard error.
    z, p_value : float
        Two-sided test of "no difference".
    low, high : float
        Two-sided interval.
    lift, lift_se : float
        The same relative to control, by the delta method, for display; NaN never: both are
        infinite when control's quantile is 0.
    """

    difference: float
    se: float
    z: float
    p_value: float
    low: float
    high: float
    lift: float
    lift_se: float

    def limit(self, z: float) -> float:
        """Find the difference that the data put at ``z``, as `Score.limit` does."""
        return self.difference - z * self.se


def compare_quantiles(
    control: QuantileEstimate, treatment: QuantileEstimate, *, confidence_level: float = 0.95
) -> QuantileComparison:
    """Compare a quantile of two arms by their outer confidence intervals [1]_.

    Each arm's standard error is its interval's width over that of a standard normal one.

    Parameters
    ----------
    control, treatment : QuantileEstimate
        Of the same quantile.
    confidence_level : float, default 0.95
        Coverage of the interval of the difference.

    Returns
    -------
    QuantileComparison
        Of the difference in the metric's unit.

    Raises
    ------
    NotEnoughDataError
        If an arm has too few values for its interval (`QuantileEstimate.sufficient`), or so many
        equal ones that its interval has no width.
    ParameterError
        If the arms' quantiles differ, or ``confidence_level`` is out of range.

    Notes
    -----
    The interval is of one look. ``z`` is asymptotically normal, and may be held against the bounds
    of `boundary` at scheduled looks; `quantile_score` is the steadier statistic for that.

    References
    ----------
    .. [1] A. Deng, U. Knoblich, J. Lu, KDD 2018, 233-242, section 4.3.
       :doi:`10.1145/3219819.3219919`

    Examples
    --------
    >>> slow = QuantileEstimate(0.9, 10_819, value=872.1, low=858.9, high=898.4)
    >>> slower = QuantileEstimate(0.9, 10_819, value=880.9, low=865.4, high=893.8)
    >>> result = compare_quantiles(slow, slower)
    >>> round(result.difference, 1), round(result.se, 1)
    (8.8, 12.4)
    """
    if control.quantile != treatment.quantile:
        raise ParameterError(f"quantiles {control.quantile} and {treatment.quantile} differ")
    check_shares(control.quantile, confidence_level)
    if not (control.sufficient and treatment.sufficient):
        raise NotEnoughDataError(
            "quantile", control.n, treatment.n, "an end of its interval lies outside the sample"
        )
    if min(control.high - control.low, treatment.high - treatment.low) == 0:
        raise NotEnoughDataError("quantile", control.n, treatment.n, "the values there are equal")
    rows = [(arm.value, arm.se) for arm in (control, treatment)]
    difference, se, z = (float(part) for part in quantile_difference_arrays(*rows))
    margin = two_sided_z(confidence_level) * se
    (c, c_se), (t, t_se) = rows
    lift, lift_se = math.inf, math.inf
    if c != 0:
        lift, lift_se = difference / c, math.hypot(t_se / c, t * c_se / (c * c))
    return QuantileComparison(
        difference,
        se,
        z,
        float(special.erfc(abs(z) / math.sqrt(2))),
        difference - margin,
        difference + margin,
        lift,
        lift_se,
    )


def quantile_difference_arrays(
    control: ArrayLike, treatment: ArrayLike
) -> tuple[Array, Array, Array]:
    """Compute differences of many quantiles at once.

    Parameters
    ----------
    control, treatment : array_like, shape (..., 2)
        Quantile and its standard error in the last axis.

    Returns
    -------
    tuple of ndarray, shape (...)
        Difference, its standard error, and ``z``; NaN where the standard error is 0.
    """
    c, t = np.asarray(control, dtype=float), np.asarray(treatment, dtype=float)
    difference = t[..., 0] - c[..., 0]
    se = np.hypot(c[..., 1], t[..., 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(se > 0, difference / se, np.nan)
    return difference, se, z


def quantile_score(control: RatioMoments, treatment: RatioMoments) -> Score:
    """Compute the decision statistic of "the treatment's quantile is larger" [1]_.

    A quantile is larger exactly when fewer rows lie at or below a point there. The point is fixed
    before the look, from the pooled histogram of the look before (never from one arm's), and the
    same for both arms.

    Parameters
    ----------
    control, treatment : RatioMoments
        Sums over units of the rows at or below the point, and of all rows, third powers included.

    Returns
    -------
    Score
        Of the share of rows above the point, treatment minus control: ``z`` is positive when the
        treatment's quantile is the larger.

    Raises
    ------
    NotEnoughDataError
        If an arm has fewer than two units or hardly any rows, or no share varies.

    Notes
    -----
    One may peek with ``z`` against the bounds of `boundary`, as with `score_difference`. No bucket
    enters it, so it has no error of the histogram; `quantile_shift` tells how far the quantile
    moved. Under the null hypothesis the shares agree at every point, so a point that moves a little
    from look to look does no harm.

    References
    ----------
    .. [1] A. Deng, U. Knoblich, J. Lu, KDD 2018, 233-242, section 4.
       :doi:`10.1145/3219819.3219919`

    Examples
    --------
    >>> fast = RatioMoments.of([3, 4, 4, 2] * 25, [4, 5, 4, 3] * 25)
    >>> slow = RatioMoments.of([2, 3, 3, 1] * 25, [4, 5, 4, 3] * 25)
    >>> result = quantile_score(fast, slow)
    >>> round(result.difference, 2), result.z > 2
    (0.25, True)
    """
    both = linearised(_above(control), _above(treatment))
    return score_difference(both.control, both.treatment)


@dataclass(frozen=True)
class QuantileShift:
    """How far a quantile moved, in step with the statistic that decides.

    Parameters
    ----------
    score : Score
        Of the share of rows above the point, treatment minus control.
    density : float
        Share of the rows per unit of the metric, near the quantile.
    """

    score: Score
    density: float

    @property
    def difference(self) -> float:
        """Treatment's quantile minus control's, in the metric's unit, to first order."""
        return self.score.difference / self.density

    @property
    def se(self) -> float:
        """Standard error of the difference, in the metric's unit."""
        return self.score.se / self.density

    def limit(self, z: float) -> float:
        """Find the difference that the data put exactly at ``z``, as `Score.limit` does."""
        return self.score.limit(z) / self.density


def quantile_shift(score: Score, pooled: LogHistogram, quantile: float) -> QuantileShift:
    """Turn a difference of shares into one of quantiles, by the density of all rows [1]_ [2]_.

    Parameters
    ----------
    score : Score
        From `quantile_score`.
    pooled : LogHistogram
        Of the rows of both arms.
    quantile : float
        The quantile that the point stands for.

    Returns
    -------
    QuantileShift
        Its interval leaves 0 out exactly when the statistic crosses the bound, which that of
        `compare_quantiles` need not do; and no bucket's width limits how narrow it gets.

    Raises
    ------
    NotEnoughDataError
        If the rows around the quantile are all in one place.
    ParameterError, MomentsError
        If ``quantile`` is out of range, or the histogram empty.

    Notes
    -----
    One may peek with ``limit`` and the bounds of `boundary`. First order: good while the quantile
    moves by some per cent; a larger move is better told by `compare_quantiles`.

    References
    ----------
    .. [1] R. R. Bahadur, Ann. Math. Stat. 37, 577-580 (1966). :doi:`10.1214/aoms/1177699450`
    .. [2] P. Hall, S. J. Sheather, J. R. Stat. Soc. B 50, 381-391 (1988): how wide around the
       quantile to look. :doi:`10.1111/j.2517-6161.1988.tb01735.x`

    Examples
    --------
    >>> rows = LogHistogram.of(range(1000, 3000))
    >>> fast = RatioMoments.of([1] * 520 + [0] * 480, [1] * 1000)
    >>> slow = RatioMoments.of([1] * 480 + [0] * 520, [1] * 1000)
    >>> round(quantile_shift(quantile_score(fast, slow), rows, 0.5).difference)
    80
    """
    check_shares(quantile, 0.95)
    n = pooled.n
    at = float(special.ndtri(quantile))
    height = math.exp(-at * at / 2) / math.sqrt(2 * math.pi)
    curve = 1.5 * height * height / (2 * at * at + 1)
    reach = max(n, 1) ** (-1 / 3) * two_sided_z(0.95) ** (2 / 3) * curve ** (1 / 3)
    reach = min(reach, quantile / 2, (1 - quantile) / 2)
    low = pooled.order_statistic_bounds(max(1, math.floor(n * (quantile - reach))))[0]
    high = pooled.order_statistic_bounds(min(n, math.ceil(n * (quantile + reach))))[1]
    if not high > low:
        raise NotEnoughDataError("quantile", n, n, "the rows around it are equal")
    density = (pooled.count_below(high) - pooled.count_below(low)) / (n * (high - low))
    return QuantileShift(score, density)


def _above(sums: RatioMoments) -> RatioMoments:
    """Count the rows above the point instead: the numerator becomes ``d - m``."""
    m1, m2, m3 = sums.m1, sums.m2, sums.m3
    d1, d2, d3 = sums.d1, sums.d2, sums.d3
    md, md2, m2d = sums.md, sums.md2, sums.m2d
    return RatioMoments(
        sums.n,
        d1 - m1,
        d2 - 2 * md + m2,
        d3 - 3 * md2 + 3 * m2d - m3,
        d1,
        d2,
        d3,
        d2 - md,
        d3 - md2,
        d3 - 2 * md2 + m2d,
        m_shift=sums.d_shift - sums.m_shift,
        d_shift=sums.d_shift,
    )
