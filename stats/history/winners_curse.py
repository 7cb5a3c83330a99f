"""How large an effect is, once it was reported because it was large.

An estimate that is only looked at after it crossed a bound is too large on average. Given the
crossing, its distribution is a truncated normal one, and that can be inverted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from stats.effects.means import checked_level
from stats.errors import ParameterError

Array = NDArray[np.float64]

# Standard errors below zero at which an estimate is called -inf: so close to its bound, with no
# bound on the other side, that the data only say that they were selected.
_FAR = 1000.0
_HALVINGS = 64


@dataclass(frozen=True)
class ConditionalEstimate:
    """An effect, given that its estimate crossed a bound; in the estimate's unit.

    Parameters
    ----------
    selected : bool
        Whether it did cross. If not there is nothing to correct, and the rest is None.
    most_likely : float or None
        Conditional maximum-likelihood estimate.
    median_unbiased : float or None
        Too large as often as too small, among experiments that crossed.
    low, high : float or None
        Interval with its confidence level among experiments that crossed.
    """

    selected: bool
    most_likely: float | None = None
    median_unbiased: float | None = None
    low: float | None = None
    high: float | None = None


def conditional_estimate(
    estimate: float,
    se: float,
    *,
    upper: float,
    lower: float = math.inf,
    confidence_level: float = 0.95,
) -> ConditionalEstimate:
    """Correct an estimate for having been selected at one look [1]_ [2]_.

    Parameters
    ----------
    estimate, se : float
        Effect and standard error, in one unit.
    upper : float
        Selected when ``estimate / se >= upper``; above 0.
    lower : float, default inf
        Selected also when ``estimate / se <= -lower``; above 0. Give ``lower = upper`` for
        "significant in either direction".
    confidence_level : float, default 0.95
        Coverage of the interval, strictly between 0 and 1.

    Returns
    -------
    ConditionalEstimate
        Infinite where the estimate lies so close to its only bound (more than 1,000 standard
        errors off) that nothing but the selection speaks.

    Raises
    ------
    ParameterError
        If the estimate is not finite, ``se`` not positive and finite, or a bound not positive.

    Notes
    -----
    For one look: after several, the paths that did not stop belong to the condition too; then
    show the repeated interval and `shrink`. Near the bound the correction is large and its
    interval wide: that is what the data say. Far beyond it nothing changes.

    References
    ----------
    .. [1] H. Zhong, R. L. Prentice, Biostatistics 9, 621-634 (2008), section 3.
       :doi:`10.1093/biostatistics/kxn001`
    .. [2] M. R. Lee, M. Shen, KDD 2018, 491-499. :doi:`10.1145/3219819.3219905`

    Examples
    --------
    >>> shipped = conditional_estimate(0.030, 0.010, upper=2.18)
    >>> round(shipped.most_likely, 4), round(shipped.median_unbiased, 4)
    (0.0224, 0.0253)
    """
    if not (math.isfinite(estimate) and 0 < se < math.inf):
        raise ParameterError(f"an estimate of {estimate} with standard error {se} says nothing")
    selected, *parts = conditional_arrays(
        estimate, se, upper=upper, lower=lower, confidence_level=confidence_level
    )
    if not selected:
        return ConditionalEstimate(selected=False)
    return ConditionalEstimate(True, *(float(part) for part in parts))


def conditional_arrays(
    estimate: ArrayLike,
    se: ArrayLike,
    *,
    upper: ArrayLike,
    lower: ArrayLike = math.inf,
    confidence_level: float = 0.95,
) -> tuple[NDArray[np.bool_], Array, Array, Array, Array]:
    """Compute `conditional_estimate` for many estimates at once.

    Parameters
    ----------
    estimate, se, upper, lower : array_like
        As in `conditional_estimate`; they broadcast.
    confidence_level : float, default 0.95
        As in `conditional_estimate`.

    Returns
    -------
    tuple of ndarray
        The fields of `ConditionalEstimate`, in their order; NaN where not ``selected``. What is
        not finite, or has no positive standard error, is not selected.

    Raises
    ------
    ParameterError
        If a bound is not positive, or ``confidence_level`` out of range.

    Notes
    -----
    For one look, as `conditional_estimate`.
    """
    alpha = 1 - checked_level(confidence_level)
    b, s, u, low = np.broadcast_arrays(
        *(np.asarray(part, dtype=float) for part in (estimate, se, upper, lower))
    )
    if not ((u > 0).all() and (low > 0).all()):
        raise ParameterError("bounds are distances from zero: they must be positive")
    usable = np.isfinite(b) & (s > 0) & np.isfinite(s)
    z = np.divide(b, s, where=usable, out=np.zeros(b.shape))
    selected = usable & ((z >= u) | (z <= -low))
    # What crossed the lower bound is the mirror image of what crossed the upper one.
    side = np.where(z[selected] > 0, 1.0, -1.0)
    own = np.where(side > 0, u[selected], low[selected])
    other = np.where(side > 0, low[selected], u[selected])
    window = _Window(side * z[selected], own, other)
    solved = [
        _rising_root(window.excess_of_mean, window.z),
        *(_rising_root(window.excess_of(p), window.z) for p in (0.5, alpha / 2, 1 - alpha / 2)),
    ]
    ends = np.where(side > 0, solved[2], -solved[3]), np.where(side > 0, solved[3], -solved[2])
    results = []
    for root in (side * solved[0], side * solved[1], *ends):
        whole = np.full(b.shape, np.nan)
        whole[selected] = root * s[selected]
        results.append(whole)
    return selected, results[0], results[1], results[2], results[3]


@dataclass(frozen=True)
class _Window:
    """Scores ``z >= own`` of a normal variable that is seen when above ``own`` or below -other."""

    z: Array
    own: Array
    other: Array

    def excess_of_mean(self, mu: Array) -> Array:
        """Compute the mean score of those seen, minus ``z``: its root maximises the likelihood."""
        above, below = special.log_ndtr(mu - self.own), special.log_ndtr(-mu - self.other)
        share = special.expit(above - below)
        gap = (self.own - self.z) + _mean_excess(self.own - mu)
        # Where nothing is seen below, 0 * inf must not be formed.
        far = np.where(np.isfinite(self.other), self.other, 0.0)
        opposite = -far - _mean_excess(far + mu) - self.z
        excess: Array = share * gap + (1 - share) * opposite
        return excess

    def excess_of(self, probability: float) -> Callable[[Array], Array]:
        """Return the chance of a score above ``z`` among those seen, minus ``probability``."""

        def excess(mu: Array) -> Array:
            seen = np.logaddexp(special.log_ndtr(mu - self.own), special.log_ndtr(-mu - self.other))
            beyond: Array = np.exp(special.log_ndtr(mu - self.z) - seen)
            return beyond - probability

        return excess


def _mean_excess(t: Array) -> Array:
    """Compute E[Z - t | Z > t] of a standard normal variable, to all digits."""
    near = np.minimum(t, 50.0)
    close = math.sqrt(2 / math.pi) / special.erfcx(near / math.sqrt(2)) - near
    # Beyond, the two terms cancel; Laplace's series has 13 digits there.
    x = 1 / np.maximum(t, 50.0)
    series = x * (1 - x**2 * (2 - x**2 * (10 - x**2 * (74 - 706 * x**2))))
    excess: Array = np.where(t < 50, close, series)
    return excess


def _rising_root(function: Callable[[Array], Array], z: Array) -> Array:
    """Halve until the root of a rising function is known; -inf where it lies beyond ``_FAR``."""
    low, high = np.full(z.shape, -_FAR), z + 50.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        rising = function(middle) < 0
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    return np.where(high <= -_FAR * (1 - 1e-12), -math.inf, (low + high) / 2)
