"""Bands for quantiles that hold at every moment at once, whatever the distribution.

Both bounds limit how far the count of values at or below a quantile strays from its expectation;
read at the right order statistics, such a limit is a band for the quantile itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from scipy import optimize, special

from stats.errors import ParameterError
from stats.sums.histogram import LogHistogram

# Howard and Ramdas' own choices for double stitching: fineness of the grid of quantiles, share of
# the error by epoch, and ratio of consecutive epochs.
_DELTA, _SHARE, _RATIO = 0.5, 1.4, 2.0
_ZETA = float(special.zeta(_SHARE))
# Leading constant of the bound of the whole distribution; it must exceed sqrt(1/2).
_LEADING = 0.85
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class QuantileBand:
    """A quantile with limits that hold at every moment.

    Parameters
    ----------
    value : float
        The sample's quantile, in the metric's unit.
    low, high : float
        Limits, in the metric's unit; infinite while there are too few values.
    """

    value: float
    low: float
    high: float


def quantile_band(
    histogram: LogHistogram, quantile: float, *, alpha: float = 0.05, tuned_for: int = 1000
) -> QuantileBand:
    """Bound one quantile of one arm, at any moment, by double stitching [1]_.

    Parameters
    ----------
    histogram : LogHistogram
        One value per unit: values of one unit hang together, and the band does not know it.
    quantile : float
        Between 0 and 1, both excluded.
    alpha : float, default 0.05
        Chance that the band is ever wrong, of any quantile.
    tuned_for : int, default 1000
        Values at which the band is about narrowest for its error; fixed before the data.

    Returns
    -------
    QuantileBand
        ``low`` and ``high`` are outer edges of the histogram's buckets, so that the buckets'
        width costs no coverage.

    Raises
    ------
    ParameterError
        If an argument is out of range.
    MomentsError
        If the histogram is empty.

    Notes
    -----
    One may peek, at any moment and all quantiles at once; the sample is never too small or too
    skewed. The price is width: at a median of 20,000 values, 2.2 times the interval of one look.

    References
    ----------
    .. [1] S. R. Howard, A. Ramdas, Bernoulli 28, 1704-1728 (2022), theorem 3.
       :doi:`10.3150/21-BEJ1388`

    Examples
    --------
    >>> band = quantile_band(LogHistogram.of(range(1, 2001)), 0.5)
    >>> round(band.low), round(band.high)
    (903, 1091)
    """
    n = histogram.n
    value = histogram.quantile(quantile)
    above = stitched_count_bound(n, quantile, alpha=alpha, tuned_for=tuned_for)
    below = stitched_count_bound(n, 1 - quantile, alpha=alpha, tuned_for=tuned_for)
    low_rank = math.floor(n * quantile - below + 1)
    high_rank = math.ceil(n * quantile + above)
    return QuantileBand(
        value,
        histogram.order_statistic_bounds(low_rank)[0] if low_rank >= 1 else -math.inf,
        histogram.order_statistic_bounds(high_rank)[1] if high_rank <= n else math.inf,
    )


def quantile_difference_band(
    control: LogHistogram,
    treatment: LogHistogram,
    quantile: float,
    *,
    alpha: float = 0.05,
    tuned_for: int = 1000,
) -> QuantileBand:
    """Bound the difference of two arms' quantiles, treatment minus control, at any moment.

    Parameters
    ----------
    control, treatment : LogHistogram
        One value per unit.
    quantile, alpha, tuned_for
        As in `quantile_band`.

    Returns
    -------
    QuantileBand
        The difference and its limits, in the metric's unit.

    Raises
    ------
    ParameterError, MomentsError
        As `quantile_band`.

    Notes
    -----
    One may peek. Each arm's band is taken at ``alpha / 2`` and the two hold together (union bound),
    whatever the arms have in common.

    Examples
    --------
    >>> slow, fast = LogHistogram.of(range(1000, 3000)), LogHistogram.of(range(500, 2500))
    >>> band = quantile_difference_band(slow, fast, 0.5)
    >>> band.low < -500 < band.high < 0
    True
    """
    c = quantile_band(control, quantile, alpha=alpha / 2, tuned_for=tuned_for)
    t = quantile_band(treatment, quantile, alpha=alpha / 2, tuned_for=tuned_for)
    return QuantileBand(t.value - c.value, t.low - c.high, t.high - c.low)


def stitched_count_bound(
    n: float, quantile: float, *, alpha: float = 0.05, tuned_for: float = 1000
) -> float:
    """Bound how many values beyond ``n * quantile`` ever lie at or below the quantile [1]_.

    Parameters
    ----------
    n : float
        Values so far.
    quantile : float
        Between 0 and 1, both excluded. For too few values take ``1 - quantile``.
    alpha : float, default 0.05
        Error of both sides, all quantiles and all moments together.
    tuned_for : float, default 1000
        As in `quantile_band`; at least 1.

    Returns
    -------
    float
        A number of values.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    One may peek. The values must be independent.

    References
    ----------
    .. [1] S. R. Howard, A. Ramdas, Bernoulli 28, 1704-1728 (2022), theorem 3 with its
       δ = 1/2, s = 1.4, η = 2. :doi:`10.3150/21-BEJ1388`

    Examples
    --------
    >>> round(stitched_count_bound(20_000, 0.9, tuned_for=1000), 1)
    212.1
    """
    _check(n, alpha, tuned_for)
    if not 0 < quantile < 1:
        raise ParameterError(f"quantile is {quantile}: it must lie between 0 and 1")
    time = max(n, tuned_for)
    epochs = time / tuned_for
    log_odds = math.log(quantile) - math.log1p(-quantile)
    # The grid of quantiles is fine enough that the nearest one above is at most this one.
    nearest = quantile
    if quantile < 0.5:
        step = 2 * _DELTA * math.sqrt(_RATIO / epochs)
        nearest = min(0.5, float(special.expit(log_odds + step)))
    variance = nearest * (1 - nearest)
    place = math.sqrt(epochs) * abs(log_odds) / (2 * _DELTA) + 1
    level = (
        _SHARE * math.log(math.log(_RATIO * epochs))
        + _SHARE * math.log(place)
        + math.log(2 * _ZETA * (2 * _ZETA + 1) / (alpha * math.log(_RATIO) ** _SHARE))
    )
    spread = (_RATIO**0.25 + _RATIO**-0.25) / math.sqrt(2)
    skew = (math.sqrt(_RATIO) + 1) / 2 * (1 - 2 * quantile) / 3 * level
    rounding = _DELTA * math.sqrt(_RATIO * epochs * variance)
    return rounding + math.sqrt(spread**2 * variance * time * level + skew**2) + skew


def distribution_band(n: float, *, alpha: float = 0.05, from_n: float = 100) -> float:
    """Bound the distance of the sample's distribution function from the true one [1]_.

    Parameters
    ----------
    n : float
        Values so far.
    alpha : float, default 0.05
        Chance that the bound is ever broken, anywhere.
    from_n : float, default 100
        First number of values for which it is to hold; fixed before the data, at least 1.

    Returns
    -------
    float
        A share of the values; ``inf`` before ``from_n``.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    One may peek from ``from_n`` values on, at all values at once: the law of the iterated logarithm
    in finite samples. The values must be independent.

    References
    ----------
    .. [1] S. R. Howard, A. Ramdas, Bernoulli 28, 1704-1728 (2022), theorem 2 with A = 0.85.
       :doi:`10.3150/21-BEJ1388`

    Examples
    --------
    >>> round(distribution_band(20_000, from_n=32), 4)
    0.0191
    """
    _check(n, alpha, from_n)
    if n < from_n:
        return math.inf
    return _LEADING * math.sqrt((math.log1p(math.log(n / from_n)) + _constant(alpha)) / n)


@lru_cache(maxsize=64)
def _constant(alpha: float) -> float:
    """Find the smallest constant whose error is ``alpha``; the error falls as it rises."""
    low = high = 5.0
    while _log_error(high) > math.log(alpha):
        low, high = high, 2 * high
    if low == high:
        low = 1.0
    return float(optimize.brentq(lambda c: _log_error(c) - math.log(alpha), low, high, xtol=1e-12))


def _log_error(constant: float) -> float:
    """Minimise the union bound of theorem 2 over the ratio of its epochs, by golden section."""

    def error(ratio: float) -> float:
        root = _LEADING - math.sqrt(2 * (ratio - 1) / constant)
        square = 2 / ratio * root * root
        if ratio <= 1 or square <= 1:
            return math.inf
        return math.log(4) - square * constant + math.log1p(1 / ((square - 1) * math.log(ratio)))

    def room(ratio: float) -> float:
        return math.sqrt(ratio / 2) + math.sqrt(2 * (ratio - 1) / constant) - _LEADING

    low, high = 1.0, float(optimize.brentq(room, 1.0, 2 * _LEADING**2))
    for _ in range(60):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if error(left) < error(right):
            high = right
        else:
            low = left
    return error((low + high) / 2)


def _check(n: float, alpha: float, at_least: float) -> None:
    if not 0 <= n < math.inf:
        raise ParameterError(f"n is {n}: it must be a number of values")
    if not 0 < alpha < 1:
        raise ParameterError(f"alpha is {alpha}: it must lie between 0 and 1")
    if not 1 <= at_least < math.inf:
        raise ParameterError(f"{at_least} values to start from or tune for: at least 1")
