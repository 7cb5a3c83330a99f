"""A quantile of one arm with its interval, from order statistics or a histogram.

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

from stats.effects.ratio import ratio_as_mean
from stats.errors import MomentsError, ParameterError
from stats.sums.histogram import LogHistogram
from stats.sums.ratio import RatioMoments

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
        check_shares(self.quantile, self.confidence_level)
        if not (1 <= self.n < math.inf and math.isfinite(self.value)):
            raise ParameterError("n and value must be finite, and n at least 1")
        if not self.low <= self.value <= self.high:
            raise ParameterError(f"{self.low:g}, {self.value:g}, {self.high:g} are not in order")

    @property
    def sufficient(self) -> bool:
        """Whether both ends lie inside the sample, by the normal approximation too."""
        p, z = self.quantile, two_sided_z(self.confidence_level)
        enough = self.n > z * z * max(p / (1 - p), (1 - p) / p)
        return enough and math.isfinite(self.high - self.low)

    @property
    def se(self) -> float:
        """Standard error read off the interval, infinite if that is unbounded."""
        # The width is that of the biased variance (divisor n), as for a share p (1 - p) / n.
        width = self.high - self.low
        return math.sqrt((self.n - 1) / self.n) * width / (2 * two_sided_z(self.confidence_level))


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
    check_shares(quantile, confidence_level)
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


def quantile_of_histogram(
    histogram: LogHistogram,
    quantile: float,
    *,
    at_or_below: RatioMoments | None = None,
    confidence_level: float = 0.95,
) -> QuantileEstimate:
    """Estimate a quantile from a histogram, of independent values or of rows of units [1]_.

    Parameters
    ----------
    histogram : LogHistogram
        Of all rows of one arm.
    quantile, confidence_level : float
        As in `order_statistic_ranks`.
    at_or_below : RatioMoments, optional
        If a unit can have several rows: sums over units of the rows at or below some point near
        the quantile (the pooled one of the look before), and of all rows. Default: each row is a
        unit.

    Returns
    -------
    QuantileEstimate
        ``value`` is within 0.5 % of the sample's quantile. The ends are outer edges of their
        buckets, so coverage is kept and the standard error never falls below the buckets' width.

    Raises
    ------
    MomentsError, NotEnoughDataError
        If there are no rows, or fewer than two units.
    ParameterError
        If an argument is out of range, or no row or every row is at or below the point.

    Notes
    -----
    Fixed horizon: do not peek with the interval. Rows of one unit count as the number of
    independent ones with the same variance; that number is taken at the point and used at the
    quantile, so the point need not be exact.

    References
    ----------
    .. [1] A. Deng, U. Knoblich, J. Lu, KDD 2018, 233-242, section 4.3.
       :doi:`10.1145/3219819.3219919`

    Examples
    --------
    >>> rows = LogHistogram.of(range(1, 2001))
    >>> found = quantile_of_histogram(rows, 0.5)
    >>> round(found.low), round(found.value), round(found.high)
    (949, 1003, 1049)
    """
    if not histogram.n:
        raise MomentsError("a quantile needs values")
    check_shares(quantile, confidence_level)
    rows = histogram.n
    if at_or_below is None:
        n = float(rows)
        ranks = order_statistic_ranks(rows, quantile, confidence_level=confidence_level)
        low, high = ranks.low, ranks.high
    else:
        n = rows / design_effect(at_or_below)
        margin = two_sided_z(confidence_level) * math.sqrt(quantile * (1 - quantile) / n)
        low, high = (
            math.floor(rows * (quantile - margin)),
            math.ceil(rows * (quantile + margin)) + 1,
        )
    return QuantileEstimate(
        quantile,
        n,
        histogram.quantile(quantile),
        histogram.order_statistic_bounds(low)[0] if low >= 1 else -math.inf,
        histogram.order_statistic_bounds(high)[1] if high <= rows else math.inf,
        confidence_level,
    )


def design_effect(at_or_below: RatioMoments) -> float:
    """Compute how many rows of these units weigh as much as one independent row.

    The variance of the share of rows at or below the point, by the delta method over units,
    divided by the binomial one.

    Parameters
    ----------
    at_or_below : RatioMoments
        As in `quantile_of_histogram`.

    Raises
    ------
    NotEnoughDataError
        If there are fewer than two units, or hardly any rows.
    ParameterError
        If no row or every row is at or below the point, or the share does not vary over units.

    Examples
    --------
    >>> alike = RatioMoments.of([0, 4] * 50, [4, 4] * 50)
    >>> round(design_effect(alike), 1)
    4.0
    """
    share, rows = at_or_below.ratio, at_or_below.denominator.total
    if not 0 < share < 1:
        raise ParameterError(
            f"{share:.0%} of the rows are at or below the point: it is too far out"
        )
    units = ratio_as_mean(at_or_below)
    effect = units.variance / units.n / (share * (1 - share) / rows)
    if not effect > 0:
        raise ParameterError("every unit has the same share of rows at or below the point")
    return effect


def _rank(n: int, quantile: float) -> int:
    return max(1, math.ceil(quantile * n * (1 - 1e-12)))


def two_sided_z(confidence_level: float) -> float:
    """Return the normal quantile that leaves half of ``1 - confidence_level`` beyond it."""
    return float(-special.ndtri((1 - confidence_level) / 2))


def _binomial_quantile(tail: float, n: int, p: float) -> int:
    """Find the smallest k with ``P(B <= k) >= tail``."""
    k = max(0, math.ceil(float(special.bdtrik(tail, n, p))))
    while k > 0 and float(special.bdtr(k - 1, n, p)) >= tail:
        k -= 1
    while float(special.bdtr(k, n, p)) < tail:
        k += 1
    return k


def check_shares(quantile: float, confidence_level: float) -> None:
    """Refuse what is not strictly between 0 and 1."""
    if not 0 < quantile < 1:
        raise ParameterError(f"quantile is {quantile}: it must lie between 0 and 1")
    if not 0 < confidence_level < 1:
        raise ParameterError(f"confidence_level is {confidence_level}: not between 0 and 1")
