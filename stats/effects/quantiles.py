"""Quantiles of two arms, from order statistics, a histogram, or shares below a fixed point.

The interval of a quantile is read from the sample's own order statistics, so it needs no density.
Rows of one unit hang together: the share of them at or below the quantile is then a ratio metric
over units, and its variance takes the place of the binomial one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from stats.errors import MomentsError, NotEnoughDataError, ParameterError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ranks:
    """Order statistics that hold a quantile between them.

    Parameters
    ----------
    low, high : int
        Ranks, counted from 1 at the smallest value. 0 and ``n + 1`` are no value: that side is
        unbounded.
    coverage : float
        Exact chance that the interval holds the quantile of a continuous distribution; more if
        values can repeat.
    """

    low: int
    high: int
    coverage: float


@dataclass(frozen=True)
class QuantileEstimate:
    """A quantile of one arm with its interval.

    Parameters
    ----------
    quantile : float
        Which one, between 0 and 1.
    n : float
        Independent values behind it; of clustered rows, the number of independent ones that would
        say as much.
    value, low, high : float
        In the metric's unit; an end without an order statistic is infinite.
    confidence_level : float, default 0.95
        Coverage of ``low`` to ``high``.

    Raises
    ------
    ParameterError
        If a number is NaN, the ends are not in order, or a share is not between 0 and 1.
    """

    quantile: float
    n: float
    value: float
    low: float
    high: float
    confidence_level: float = 0.95

    def __post_init__(self) -> None:
        _check_shares(self.quantile, self.confidence_level)
        if not (0 < self.n < math.inf and math.isfinite(self.value)):
            raise ParameterError("n and value must be finite, and n above 0")
        if not self.low <= self.value <= self.high:
            raise ParameterError(f"{self.low:g}, {self.value:g}, {self.high:g} are not in order")

    @property
    def sufficient(self) -> bool:
        """Whether both ends lie inside the sample, by the normal approximation too."""
        p, z = self.quantile, _two_sided(self.confidence_level)
        enough = self.n > z * z * max(p / (1 - p), (1 - p) / p)
        return enough and math.isfinite(self.high - self.low)

    @property
    def se(self) -> float:
        """Standard error read off the interval, infinite if that is unbounded."""
        return _se(self.n, self.low, self.high, self.confidence_level)


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


def order_statistic_ranks(n: int, quantile: float, *, confidence_level: float = 0.95) -> Ranks:
    """Find the order statistics that bound a quantile, for any distribution [1]_.

    The number of values at or below the quantile is binomial; ``low`` is its lower ``alpha / 2``
    quantile, and ``high`` its upper one plus 1.

    Parameters
    ----------
    n : int
        Independent values, at least 1.
    quantile : float
        Between 0 and 1, both excluded.
    confidence_level : float, default 0.95
        Least coverage of the two ranks, if both are values of the sample.

    Returns
    -------
    Ranks
        With ``coverage = P(low <= B <= high - 1)``.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    Fixed horizon: do not peek. `quantile_band` may be read at any time.

    References
    ----------
    .. [1] H. A. David, H. N. Nagaraja, Order Statistics, 3rd ed. (2003), section 7.1.
       :doi:`10.1002/0471722162`

    Examples
    --------
    >>> ranks = order_statistic_ranks(50, 0.5)
    >>> ranks.low, ranks.high, round(ranks.coverage, 3)
    (18, 33, 0.967)
    """
    _check_shares(quantile, confidence_level)
    if not 1 <= n < math.inf:
        raise ParameterError(f"n is {n}: there must be a value")
    tail = (1 - confidence_level) / 2
    low = _binomial_quantile(tail, n, quantile)
    # The upper quantile as a lower one of the other outcome: 1 - tail would lose tiny tails.
    high = n - _binomial_quantile(tail, n, 1 - quantile) + 1
    below = float(special.bdtr(low - 1, n, quantile)) if low >= 1 else 0.0
    above = float(special.bdtrc(high - 1, n, quantile)) if high <= n else 0.0
    return Ranks(low, high, 1 - below - above)


def quantile_of_values(
    values: ArrayLike, quantile: float, *, confidence_level: float = 0.95
) -> QuantileEstimate:
    """Estimate a quantile of independent values from their order statistics.

    Parameters
    ----------
    values : array_like
        One per unit, in any order.
    quantile, confidence_level : float
        As in `order_statistic_ranks`.

    Returns
    -------
    QuantileEstimate
        ``value`` is the smallest with at least the share ``quantile`` at or below it.

    Raises
    ------
    MomentsError
        If there are no values, or one is NaN or infinite.
    ParameterError
        If an argument is out of range.

    Notes
    -----
    Fixed horizon: do not peek with the interval.

    Examples
    --------
    >>> quantile_of_values(range(1, 51), 0.5)
    QuantileEstimate(quantile=0.5, n=50, value=25.0, low=18.0, high=33.0, confidence_level=0.95)
    """
    x = np.sort(np.asarray(values, dtype=float), axis=None)
    if not x.size or not np.isfinite(x).all():
        raise MomentsError("a quantile needs values, all of them finite")
    ranks = order_statistic_ranks(x.size, quantile, confidence_level=confidence_level)
    return QuantileEstimate(
        quantile,
        x.size,
        float(x[_rank(x.size, quantile) - 1]),
        float(x[ranks.low - 1]) if ranks.low >= 1 else -math.inf,
        float(x[ranks.high - 1]) if ranks.high <= x.size else math.inf,
        confidence_level,
    )


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
    _check_shares(control.quantile, confidence_level)
    if not (control.sufficient and treatment.sufficient):
        raise NotEnoughDataError(
            "quantile", control.n, treatment.n, "an end of its interval lies outside the sample"
        )
    if min(control.high - control.low, treatment.high - treatment.low) == 0:
        raise NotEnoughDataError("quantile", control.n, treatment.n, "the values there are equal")
    rows = [
        (arm.value, _se(arm.n, arm.low, arm.high, arm.confidence_level))
        for arm in (control, treatment)
    ]
    difference, se, z = (float(part) for part in quantile_difference_arrays(*rows))
    margin = _two_sided(confidence_level) * se
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


def _se(n: float, low: float, high: float, confidence_level: float) -> float:
    # The width is that of the biased variance (divisor n), as for a share p (1 - p) / n.
    return math.sqrt((n - 1) / n) * (high - low) / (2 * _two_sided(confidence_level))


def _rank(n: int, quantile: float) -> int:
    return max(1, math.ceil(quantile * n * (1 - 1e-12)))


def _two_sided(confidence_level: float) -> float:
    return float(-special.ndtri((1 - confidence_level) / 2))


def _binomial_quantile(tail: float, n: int, p: float) -> int:
    """Find the smallest k with ``P(B <= k) >= tail``."""
    k = max(0, math.ceil(float(special.bdtrik(tail, n, p))))
    while k > 0 and float(special.bdtr(k - 1, n, p)) >= tail:
        k -= 1
    while float(special.bdtr(k, n, p)) < tail:
        k += 1
    return k


def _check_shares(quantile: float, confidence_level: float) -> None:
    if not 0 < quantile < 1:
        raise ParameterError(f"quantile is {quantile}: it must lie between 0 and 1")
    if not 0 < confidence_level < 1:
        raise ParameterError(f"confidence_level is {confidence_level}: not between 0 and 1")
