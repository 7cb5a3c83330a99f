"""The decision statistic: a score test that small, unlucky arms cannot fool (STATISTICS.md 1.2).

With unequal arms, a small arm that misses the rare large values has a low mean *and* a tiny
variance; Welch's test then cries harm. Here the null hypothesis lends the small arm the variance
and the skewness of both arms together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stats.errors import NotEnoughDataError
from stats.sums.moments import Moments

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """Decision statistic of one difference, treatment minus control.

    Parameters
    ----------
    difference : float
        In the metric's unit.
    se : float
        Standard error that the statistic uses, in the metric's unit.
    se_welch, se_pooled : float
        From the two samples apart, and from both as one.
    kappa : float
        Skewness of the standardised difference under the null hypothesis.
    raw : float
        ``difference / se``.
    z : float
        The same with the skewness taken out, and capped: compare it with a bound.
    """

    difference: float
    se: float
    se_welch: float
    se_pooled: float
    kappa: float
    raw: float
    z: float

    def raw_at(self, z: float) -> float:
        """Find the raw score whose corrected value is ``z``: the inverse of the correction.

        Returns
        -------
        float
            Infinite, with the sign of ``z``, where the capped correction never gets there.
        """
        return float(uncorrected(z, self.kappa))

    def z_beyond(self, difference: float) -> float:
        """Compute the corrected statistic of "the true difference is ``difference``"."""
        return float(corrected((self.difference - difference) / self.se, self.kappa))

    def limit(self, z: float) -> float:
        """Find the difference that the data put exactly at ``z``: an end of the interval.

        ``limit(u)`` with the upper bound ``u`` is the lower limit, ``limit(-l)`` the upper one;
        the interval leaves 0 out exactly when the statistic crosses the bound.
        """
        return self.difference - self.raw_at(z) * self.se


def score_difference(control: Moments, treatment: Moments, *, binary: bool = False) -> Score:
    """Compute the pooled score statistic with its capped skewness correction [1]_ [2]_.

    Parameters
    ----------
    control, treatment : Moments
        Sums over units, third powers included.
    binary : bool, default False
        Whether ``y`` is 0 or 1. The null hypothesis then fixes the variance; otherwise the larger
        of pooled and Welch's is used.

    Returns
    -------
    Score
        ``z`` is standard normal under the null, and never falls as the difference rises.

    Raises
    ------
    NotEnoughDataError
        If an arm has fewer than two units, or all units are equal.

    Notes
    -----
    One may peek with ``z`` against the bounds of `boundary`, from 100 units on (and 5 events, if
    binary). With equal arms the correction vanishes.

    References
    ----------
    .. [1] C. R. Rao, Proc. Camb. Phil. Soc. 44, 50-57 (1948). :doi:`10.1017/S0305004100023987`
    .. [2] E. A. Cornish, R. A. Fisher, Rev. Inst. Int. Stat. 5, 307-320 (1938).
       :doi:`10.2307/1400905`

    Examples
    --------
    >>> nobody = score_difference(
    ...     Moments.conversions(100, 10), Moments.conversions(100, 0), binary=True
    ... )
    >>> round(nobody.z, 2)
    -3.24
    """
    if min(control.n, treatment.n) < 2:
        raise NotEnoughDataError("score", control.n, treatment.n, "each arm needs two units")
    shift = 0.0 if binary else control.shift
    parts = score_arrays(_row(control.about(shift)), _row(treatment.about(shift)), binary=binary)
    difference, se, se_welch, se_pooled, kappa, raw, z = (float(part) for part in parts)
    if not se > 0:
        raise NotEnoughDataError("score", control.n, treatment.n, "all units are equal")
    return Score(difference, se, se_welch, se_pooled, kappa, raw, z)


def score_arrays(
    control: ArrayLike, treatment: ArrayLike, *, binary: bool = False
) -> tuple[Array, Array, Array, Array, Array, Array, Array]:
    """Compute `score_difference` for many comparisons at once.

    Parameters
    ----------
    control, treatment : array_like, shape (..., 4)
        ``n, s1, s2, s3`` in the last axis, about one shift (0 if binary); the others broadcast.
    binary : bool, default False
        As in `score_difference`.

    Returns
    -------
    tuple of ndarray, shape (...)
        The fields of `Score`, in their order. Where nothing varies, ``se`` is 0 and the rest NaN:
        check ``se`` first.

    Notes
    -----
    One may peek, as with `score_difference`.
    """
    c, t = np.asarray(control, dtype=float), np.asarray(treatment, dtype=float)
    n_c, n_t = c[..., 0], t[..., 0]
    n, s1, s2, s3 = np.moveaxis(c + t, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = s1 / n
        third = s3 / n - 3 * mean * s2 / n + 2 * mean**3
        spread = np.maximum(0.0, s2 - s1 * mean)
        pooled = mean * (1 - mean) if binary else spread / (n - 1)
        difference = t[..., 1] / n_t - c[..., 1] / n_c
        se_pooled = np.sqrt(pooled * (1 / n_t + 1 / n_c))
        se_welch = np.sqrt(_squared_error(c, binary=binary) + _squared_error(t, binary=binary))
        se = se_pooled if binary else np.maximum(se_welch, se_pooled)
        kappa = third * (1 / n_t**2 - 1 / n_c**2) / se_pooled**3
        raw = difference / se
        z = corrected(raw, kappa)
    return difference, se, se_welch, se_pooled, kappa, raw, z


def corrected(raw: ArrayLike, kappa: ArrayLike) -> Array:
    """Take the skewness ``kappa`` out of raw scores: Cornish-Fisher, capped at its vertex."""
    raw, kappa = np.asarray(raw, dtype=float), np.asarray(kappa, dtype=float)
    # The parabola turns back at its vertex; left alone it would call a huge gain a harm.
    turned = kappa * raw > 3
    safe = np.where(turned, kappa, 1.0)
    return np.where(turned, 3 / (2 * safe) + safe / 6, raw - kappa / 6 * (raw * raw - 1))


def uncorrected(z: ArrayLike, kappa: ArrayLike) -> Array:
    """Find the raw scores whose corrected values are ``z``; infinite where none is."""
    z, kappa = np.asarray(z, dtype=float), np.asarray(kappa, dtype=float)
    with np.errstate(invalid="ignore"):
        square = 1 - 2 * kappa / 3 * (z - kappa / 6)
        root = 2 * (z - kappa / 6) / (1 + np.sqrt(np.maximum(square, 0.0)))
        raw = np.where(square < 0, np.copysign(np.inf, kappa), root)
    return np.where(np.isinf(z), z, raw)


def _squared_error(sums: Array, *, binary: bool) -> Array:
    n, s1, s2 = sums[..., 0], sums[..., 1], sums[..., 2]
    mean = s1 / n
    variance = mean * (1 - mean) if binary else np.maximum(0.0, s2 - s1 * mean) / (n - 1)
    error: Array = variance / n
    return error


def _row(moments: Moments) -> Array:
    return np.array([moments.n, moments.s1, moments.s2, moments.s3])
