"""Adjusted p-values: each is the smallest level at which its own hypothesis is rejected.

All take p-values in the last axis, families in the others, and keep the order. They say nothing
about peeking: a family of anytime p-values stays valid at every moment under Bonferroni and Holm,
and under Benjamini-Yekutieli; Hochberg, Hommel and Benjamini-Hochberg also need dependence of a
benign kind (PRDS), which p-values of many looks need not have. When unsure use `e_bh`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stats.errors import ParameterError

Array = NDArray[np.float64]


def bonferroni(p_values: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Adjust p-values so that no true hypothesis is rejected, by Bonferroni's inequality.

    Parameters
    ----------
    p_values : array_like, shape (..., m)
        Between 0 and 1.
    weights : array_like, shape (m,), optional
        Shares of alpha, on any scale, fixed before the data. A hypothesis of weight 0 is never
        rejected: its adjusted value is 1.

    Returns
    -------
    ndarray, shape (..., m)
        ``p / share``, at most 1, in the order of ``p_values``.

    Raises
    ------
    ParameterError
        If a p-value is NaN or outside 0 to 1, or weights are negative, not finite, all zero, or
        of the wrong number.

    Notes
    -----
    Any dependence is allowed. With anytime p-values one may peek.

    Examples
    --------
    >>> [round(float(p), 4) for p in bonferroni([0.01, 0.04, 0.5])]
    [0.03, 0.12, 1.0]
    """
    p = _checked(p_values)
    return np.minimum(1.0, _divided(p, _shares(weights, p)))


def holm(p_values: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Adjust p-values by Holm's step-down method [1]_: never weaker than Bonferroni.

    Parameters, errors and notes as in `bonferroni`.

    Returns
    -------
    ndarray, shape (..., m)
        In the order of ``p / weight``: the running maximum of ``p / share`` times the shares not
        yet rejected.

    References
    ----------
    .. [1] S. Holm, Scand. J. Stat. 6, 65-70 (1979); weighted version in section 4.

    Examples
    --------
    >>> [round(float(p), 4) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    p = _checked(p_values)
    shares = _shares(weights, p)
    scaled = _divided(p, shares)
    order = np.argsort(scaled, axis=-1, kind="stable")
    # Summed from the end, what is left never drifts below the last share.
    sorted_shares = np.take_along_axis(np.broadcast_to(shares, p.shape), order, -1)
    left = np.cumsum(sorted_shares[..., ::-1], axis=-1)[..., ::-1]
    sorted_p = np.take_along_axis(p, order, -1)
    steps = np.minimum(1.0, _divided(sorted_p * left, sorted_shares))
    return _unsorted(np.maximum.accumulate(steps, axis=-1), order)


def hochberg(p_values: ArrayLike) -> Array:
    """Adjust p-values by Hochberg's step-up method [1]_: Holm's bounds, read from the largest.

    Parameters and errors as in `bonferroni`, without weights. Needs PRDS; uniformly better than
    Holm then, and worse than `hommel`.

    References
    ----------
    .. [1] Y. Hochberg, Biometrika 75, 800-802 (1988). :doi:`10.1093/biomet/75.4.800`

    Examples
    --------
    >>> [round(float(p), 4) for p in hochberg([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    p = _checked(p_values)
    return _step_up(p, np.arange(p.shape[-1], 0, -1.0))


def hommel(p_values: ArrayLike) -> Array:
    """Adjust p-values by Hommel's method [1]_ [2]_: closed testing with Simes' test.

    Parameters and errors as in `bonferroni`, without weights. Needs PRDS (Simes' inequality). Time
    grows with the square of m.

    References
    ----------
    .. [1] G. Hommel, Biometrika 75, 383-386 (1988). :doi:`10.1093/biomet/75.2.383`
    .. [2] S. P. Wright, Biometrics 48, 1005-1013 (1992). :doi:`10.2307/2532694`

    Examples
    --------
    >>> [round(float(p), 4) for p in hommel([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    p = _checked(p_values)
    m = p.shape[-1]
    if m == 0:
        return p
    order = np.argsort(p, axis=-1, kind="stable")
    q = np.take_along_axis(p, order, -1)
    adjusted = q.copy()
    for size in range(1, m + 1):
        # The hardest intersection of ``size`` hypotheses that contains a given one consists of it
        # and the largest others. A hypothesis among those needs no care: a smaller set of the
        # largest, an earlier round, was harder still.
        ranks = np.arange(2, size + 1)
        largest = size * q[..., m - size + 1 :] / ranks
        others = largest.min(axis=-1, keepdims=True) if size > 1 else np.ones_like(q[..., :1])
        adjusted = np.maximum(adjusted, np.minimum(size * q, others))
    return _unsorted(np.minimum(1.0, adjusted), order)


def benjamini_hochberg(p_values: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Adjust p-values so that few rejections are false: the false discovery rate [1]_ [2]_.

    Parameters and errors as in `bonferroni`. Weights are scaled to a mean of 1 [2]_; a hypothesis
    of weight above 1 may then get an adjusted value below its p-value.

    Notes
    -----
    Needs PRDS (independence is enough).

    References
    ----------
    .. [1] Y. Benjamini, Y. Hochberg, J. R. Stat. Soc. B 57, 289-300 (1995).
       :doi:`10.1111/j.2517-6161.1995.tb02031.x`
    .. [2] C. R. Genovese, K. Roeder, L. Wasserman, Biometrika 93, 509-524 (2006).
       :doi:`10.1093/biomet/93.3.509`

    Examples
    --------
    >>> [round(float(p), 4) for p in benjamini_hochberg([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    p = _checked(p_values)
    m = p.shape[-1]
    scaled = p if weights is None else _divided(p, m * _shares(weights, p))
    return _step_up(scaled, m / np.arange(1.0, m + 1))


def benjamini_yekutieli(p_values: ArrayLike) -> Array:
    """Adjust p-values for the false discovery rate under any dependence [1]_.

    Parameters and errors as in `bonferroni`, without weights. With anytime p-values one may peek.

    References
    ----------
    .. [1] Y. Benjamini, D. Yekutieli, Ann. Stat. 29, 1165-1188 (2001).
       :doi:`10.1214/aos/1013699998`

    Examples
    --------
    >>> [round(float(p), 4) for p in benjamini_yekutieli([0.01, 0.04, 0.03])]
    [0.055, 0.0733, 0.0733]
    """
    p = _checked(p_values)
    m = p.shape[-1]
    ranks = np.arange(1.0, m + 1)
    return _step_up(p, float(np.sum(1 / ranks)) * m / ranks)


def _step_up(p: Array, factors: Array) -> Array:
    """Multiply the sorted values, then take the running minimum from the largest on."""
    order = np.argsort(p, axis=-1, kind="stable")
    steps = np.take_along_axis(p, order, -1) * factors
    running = np.minimum.accumulate(steps[..., ::-1], axis=-1)[..., ::-1]
    return _unsorted(np.minimum(1.0, running), order)


def _unsorted(values: Array, order: NDArray[np.intp]) -> Array:
    back = np.empty_like(values)
    np.put_along_axis(back, order, values, -1)
    return back


def _divided(p: Array, shares: Array) -> Array:
    """Divide by shares of alpha; nothing is proved with a share of zero, not even by p = 0."""
    shares = np.broadcast_to(shares, p.shape)
    divided: Array = np.divide(p, shares, out=np.full(p.shape, np.inf), where=shares > 0)
    return divided


def _shares(weights: ArrayLike | None, p: Array) -> Array:
    m = p.shape[-1]
    if weights is None:
        return np.full(m, 1 / m) if m else np.empty(0)
    w = np.asarray(weights, dtype=float)
    if w.shape != (m,):
        raise ParameterError(f"{m} p-values but weights of shape {w.shape}")
    if not np.all((w >= 0) & (w < np.inf)) or not np.any(w > 0):
        raise ParameterError("weights must be finite, not negative and not all zero")
    scaled = w / w.max()
    shares: Array = scaled / scaled.sum()
    return shares


def _checked(p_values: ArrayLike) -> Array:
    p = np.asarray(p_values, dtype=float)
    if p.ndim == 0:
        raise ParameterError("p-values must be a sequence")
    if not np.all((p >= 0) & (p <= 1)):
        raise ParameterError("a p-value is outside 0 to 1")
    return p
