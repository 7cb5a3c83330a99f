"""Tails of the beta distribution, far beyond where the probability itself is a number."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Array = NDArray[np.float64]

# Below this logarithm SciPy's value nears the end of its range; ours converges at once there.
_FAR = -230.0
_TINY = 1e-300
_STEPS = 10_000


def log_beta_above(a: ArrayLike, b: ArrayLike, q: ArrayLike) -> Array:
    """Compute ``log P(Beta(a, b) > q)`` for arrays that broadcast; q strictly between 0 and 1."""
    a, b, q = np.broadcast_arrays(
        np.asarray(a, dtype=float), np.asarray(b, dtype=float), np.asarray(q, dtype=float)
    )
    below = special.betainc(a, b, q)
    log = np.array(np.log1p(-np.minimum(below, 0.5)))
    rare = below > 0.5
    if np.any(rare):
        above = special.betaincc(a[rare], b[rare], q[rare])
        log[rare] = np.log(np.maximum(above, _TINY))
    far = log < _FAR
    if np.any(far):
        log[far] = _log_far_tail(b[far], a[far], q[far])
    return log


def _log_far_tail(b: Array, a: Array, q: Array) -> Array:
    """Expand ``I_x(b, a)`` at x = 1 - q as a continued fraction (DLMF 8.17.22), in logarithms."""
    x = 1 - q
    c = np.ones_like(x)
    d = 1 / (1 - (a + b) * x / (b + 1))
    value = d.copy()
    for m in range(1, _STEPS):
        even = m * (a - m) * x / ((b + 2 * m - 1) * (b + 2 * m))
        odd = -(b + m) * (a + b + m) * x / ((b + 2 * m) * (b + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _nonzero(1 + term * d)
            c = _nonzero(1 + term / c)
            value = value * (c * d)
        if np.all(np.abs(c * d - 1) < 1e-15):
            break
    log: Array = b * np.log1p(-q) + a * np.log(q) - np.log(b) - special.betaln(a, b) + np.log(value)
    return log


def _nonzero(value: Array) -> Array:
    return np.where(np.abs(value) < _TINY, _TINY, value)
