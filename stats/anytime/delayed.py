"""Always-valid tests that start late: what is not read early may be spent afterwards."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from stats.anytime.mixtures import Array, checked_alpha, critical_of_log
from stats.errors import ParameterError


@dataclass(frozen=True)
class DelayedStart:
    """A normal mixture whose first reading comes at ``start`` (information).

    Parameters
    ----------
    precision, start : float
        As in `mixture_critical`; information of the first reading.
    log_threshold : float
        Log evidence at which to reject: less than ``-log(alpha)``.
    """

    precision: float
    start: float
    log_threshold: float

    def critical(self, information: ArrayLike) -> Array:
        """Find the ``|z|`` to pass at ``information``; infinite before the start."""
        v = np.asarray(information, dtype=float)
        late = critical_of_log(np.maximum(v, self.start), self.precision, self.log_threshold)
        bounds: Array = np.where(v >= self.start, late, np.inf)
        return bounds


def delayed_start(precision: float, start: float, alpha: float = 0.05) -> DelayedStart:
    """Calibrate a two-sided normal mixture that is first read at ``start`` [1]_ [2]_.

    Parameters
    ----------
    precision : float
        ``1 / variance`` of the effects, in 1 / unit squared.
    start : float
        Information ``1 / se**2`` of the first reading.
    alpha : float, default 0.05
        Two-sided error over all readings from then on.

    Returns
    -------
    DelayedStart
        For a Brownian motion the error is exactly ``alpha``.

    Raises
    ------
    ParameterError
        If precision or start is not positive and finite, or alpha out of range.

    Notes
    -----
    One may peek from ``start`` on, never before. The gain is large only if the mixture was tuned
    for far earlier than the start: ``precision`` well below ``start``.

    References
    ----------
    .. [1] H. Robbins, D. Siegmund, Ann. Math. Stat. 41, 1410-1429 (1970).
       :doi:`10.1214/aoms/1177696787`
    .. [2] A. Bibaut, N. Kallus, M. Lindon, arXiv:2212.14411 (2022); I. Waudby-Smith et al.,
       arXiv:2311.03343 (2023).

    Examples
    --------
    >>> test = delayed_start(precision=0.1, start=1.0, alpha=0.025)
    >>> round(test.log_threshold, 4), round(float(test.critical(1.0)), 4)
    (3.3375, 3.1591)
    """
    checked_alpha(alpha)
    if not all(0 < x < math.inf for x in (precision, start)):
        raise ParameterError("precision and start must be positive and finite")

    def excess(log_threshold: float) -> float:
        z = float(critical_of_log(start, precision, log_threshold))
        inner = z * math.sqrt(precision / (precision + start))
        # Above at the start, or reached from below with chance M / c.
        return (
            2 * float(special.ndtr(-z))
            + math.exp(-log_threshold) * math.erf(inner / math.sqrt(2))
            - alpha
        )

    lowest = -0.5 * math.log1p(start / precision)
    log_threshold = float(
        optimize.brentq(excess, lowest, -math.log(alpha), xtol=1e-14, rtol=1e-14)
        if excess(-math.log(alpha)) < 0
        else -math.log(alpha)
    )
    return DelayedStart(precision, start, log_threshold)


def delayed_critical(information: ArrayLike, start: float, alpha: float = 0.05) -> Array:
    """Find the ``|z|`` to pass with no tuning at all: the limit of vanishing precision [1]_.

    Parameters
    ----------
    information : array_like, shape (...)
        ``1 / se**2`` of each reading.
    start : float
        Information of the first reading.
    alpha : float, default 0.05
        Two-sided error over all readings.

    Returns
    -------
    ndarray, shape (...)
        ``sqrt(a**2 + log(V / start))``, a being 2.7955 at 5 %; infinite before the start.

    Raises
    ------
    ParameterError
        If an information is negative or NaN, start not positive and finite, or alpha out of range.

    Notes
    -----
    One may peek from ``start`` on: the error is exactly alpha for a Brownian motion.

    References
    ----------
    .. [1] H. Robbins, D. Siegmund, Ann. Math. Stat. 41, 1410-1429 (1970).
       :doi:`10.1214/aoms/1177696787`

    Examples
    --------
    >>> [round(float(z), 3) for z in delayed_critical([1.0, 10.0], start=1.0)]
    [2.795, 3.181]
    """
    checked_alpha(alpha)
    if not 0 < start < math.inf:
        raise ParameterError(f"start is {start}: it must be positive and finite")
    v = np.asarray(information, dtype=float)
    if not np.all((v >= 0) & (v < np.inf)):
        raise ParameterError("information must be finite and not negative")

    def excess(a: float) -> float:
        tail = float(special.log_ndtr(-a))
        density = math.log(a) - a * a / 2 - math.log(2 * math.pi) / 2 if a > 0 else -math.inf
        return math.log(2) + float(np.logaddexp(tail, density)) - math.log(alpha)

    a = optimize.brentq(excess, 0.0, 60.0, xtol=1e-14)
    late = np.sqrt(a * a + np.log(np.maximum(v, start) / start))
    critical: Array = np.where(v >= start, late, np.inf)
    return critical
