"""Many pieces of evidence (e-values) at once. They may depend on each other in any way.

An e-value has a mean of at most 1 under its null hypothesis; 20 is as rare as p = .05, or rarer.
All functions take and give natural logarithms: evidence of 100,000 units is no longer a number.
They allow peeking whenever the evidence handed in does.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stats.errors import ParameterError

Array = NDArray[np.float64]
Booleans = NDArray[np.bool_]


def average_evidence(log_e: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Weigh the evidence against "all hypotheses hold": the (weighted) mean e-value [1]_.

    Parameters
    ----------
    log_e : array_like, shape (..., m)
        Logarithms of evidence; ``-inf`` for none whatever, ``inf`` for certainty.
    weights : array_like, shape (m,), optional
        On any scale, fixed before the data.

    Returns
    -------
    ndarray, shape (...)
        Logarithm of the mean; reject at ``-log(alpha)``.

    Raises
    ------
    ParameterError
        If the evidence is NaN or there is none, or weights are negative, not finite or all zero.

    Notes
    -----
    One may peek, if one may with each part. Under arbitrary dependence no symmetric way of merging
    is better [1]_.

    References
    ----------
    .. [1] V. Vovk, R. Wang, Ann. Stat. 49, 1736-1754 (2021). :doi:`10.1214/20-AOS2020`

    Examples
    --------
    >>> import math
    >>> round(math.exp(average_evidence([math.log(2), math.log(40)])), 6)
    21.0
    """
    e = _checked(log_e)
    m = e.shape[-1]
    if m == 0:
        raise ParameterError("the mean of no evidence does not exist")
    w = np.ones(m) if weights is None else np.asarray(weights, dtype=float)
    if w.shape != (m,):
        raise ParameterError(f"evidence of {m} hypotheses but weights of shape {w.shape}")
    if not np.all((w >= 0) & (w < np.inf)) or not np.any(w > 0):
        raise ParameterError("weights must be finite, not negative and not all zero")
    counted, shares = e[..., w > 0], w[w > 0] / w.max()
    average: Array = np.logaddexp.reduce(counted + np.log(shares / shares.sum()), axis=-1)
    return average


def closed_evidence(log_e: ArrayLike) -> Array:
    """Adjust evidence so that no true hypothesis is rejected: closed testing by averages [1]_.

    Parameters
    ----------
    log_e : array_like, shape (..., m)
        As in `average_evidence`.

    Returns
    -------
    ndarray, shape (..., m)
        The least average over all sets that contain the hypothesis; never above its own evidence.
        Reject at ``-log(alpha)``: the chance of any false rejection is then at most alpha.

    Raises
    ------
    ParameterError
        If the evidence is NaN.

    Notes
    -----
    One may peek, if one may with each part. Weak against many hypotheses without effect: prefer
    `holm` for few planned tests.

    References
    ----------
    .. [1] V. Vovk, R. Wang, Ann. Stat. 49, 1736-1754 (2021), algorithm 1.
       :doi:`10.1214/20-AOS2020`

    Examples
    --------
    >>> import math
    >>> adjusted = closed_evidence([math.log(60), math.log(0.5), math.log(2)])
    >>> [round(math.exp(e), 3) for e in adjusted]
    [20.833, 0.5, 1.25]
    """
    e = _checked(log_e)
    if e.size == 0:
        return e
    rows = e.reshape(-1, e.shape[-1])
    return np.stack([_closed(row) for row in rows]).reshape(e.shape)


def _closed(e: Array) -> Array:
    ascending = np.sort(e)
    sums = np.logaddexp.accumulate(ascending)
    before = np.concatenate(([-np.inf], sums[:-1]))
    # A set shrinks its average by taking in the next smallest e while that is below the average:
    # (k + 1) e_(k+1) - sum of the k smallest < own e. The left side rises with k.
    k = np.arange(e.size)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = before - ascending  # At most log k: the k before are not larger.
        share = np.exp(np.where(np.isnan(gap), -np.inf, gap))
        levels = ascending + np.log(k + 1 - np.minimum(share, k))
    # Sorted already but for rounding.
    taken = np.searchsorted(np.maximum.accumulate(levels), e)
    sum_taken = np.where(taken > 0, before[np.minimum(taken, e.size - 1)], -np.inf)
    closed: Array = np.minimum(e, np.logaddexp(e, sum_taken) - np.log(taken + 1))
    return closed


def e_bh(log_e: ArrayLike, alpha: float = 0.05) -> Booleans:
    """Choose what to report so that few of it is false: the e-BH method [1]_.

    Parameters
    ----------
    log_e : array_like, shape (..., m)
        As in `average_evidence`.
    alpha : float, default 0.05
        Bound on the false discovery rate.

    Returns
    -------
    ndarray of bool, shape (..., m)
        The hypotheses with the k largest e-values, for the largest k with
        ``k * e_(k) >= m / alpha``.

    Raises
    ------
    ParameterError
        If the evidence is NaN, or alpha is not between 0 and 1.

    Notes
    -----
    One may peek, if one may with each part; any dependence is allowed.

    References
    ----------
    .. [1] R. Wang, A. Ramdas, J. R. Stat. Soc. B 84, 822-852 (2022), arXiv:2009.02824.

    Examples
    --------
    >>> import math
    >>> e_bh([math.log(45), math.log(35), 0.0]).tolist()
    [True, True, False]
    """
    if not 0 < alpha < 1:
        raise ParameterError(f"alpha is {alpha}: it must lie between 0 and 1")
    return e_bh_log_q(log_e) <= math.log(alpha)


def e_bh_log_q(log_e: ArrayLike) -> Array:
    """Find the smallest level at which `e_bh` reports each hypothesis, as a logarithm, at most 0.

    Raises
    ------
    ParameterError
        If the evidence is NaN.
    """
    e = _checked(log_e)
    m = e.shape[-1]
    if m == 0:
        return e
    order = np.argsort(-e, axis=-1, kind="stable")
    steps = np.log(m) - np.log(np.arange(1, m + 1)) - np.take_along_axis(e, order, -1)
    running = np.minimum.accumulate(steps[..., ::-1], axis=-1)[..., ::-1]
    log_q = np.empty_like(e)
    np.put_along_axis(log_q, order, np.minimum(0.0, running), -1)
    return log_q


def evidence_of_p(p_values: ArrayLike) -> Array:
    """Turn p-values into log evidence, to join them with other evidence [1]_.

    Parameters
    ----------
    p_values : array_like, shape (...)
        Between 0 and 1.

    Returns
    -------
    ndarray, shape (...)
        Logarithm of ``(1 - p + p log p) / (p (log p)**2)``, the mean of ``k p**(k-1)`` over k from
        0 to 1; ``inf`` at 0. p = .05 is worth 1.8, p = .001 is worth 20.8.

    Raises
    ------
    ParameterError
        If a p-value is NaN or outside 0 to 1.

    Notes
    -----
    One may peek with the evidence of anytime p-values, and only of those.

    References
    ----------
    .. [1] V. Vovk, R. Wang, Ann. Stat. 49, 1736-1754 (2021), equation 2.
       :doi:`10.1214/20-AOS2020`

    Examples
    --------
    >>> import math
    >>> round(math.exp(evidence_of_p(0.001)), 1)
    20.8
    """
    p = np.asarray(p_values, dtype=float)
    if not np.all((p >= 0) & (p <= 1)):
        raise ParameterError("a p-value is outside 0 to 1")
    with np.errstate(divide="ignore"):
        x = -np.log(p)
    near = np.minimum(x, 0.1)
    # (e^x - 1 - x) / x^2: a series near p = 1, where the difference cancels.
    series = 0.5 + near / 6 * (1 + near / 4 * (1 + near / 5 * (1 + near / 6 * (1 + near / 7))))
    far = np.clip(x, 0.1, 1e4)
    log_e = far - 2 * np.log(far) + np.log1p(-(1 + far) * np.exp(-far))
    evidence: Array = np.where(x < 0.1, np.log(series), np.where(p == 0, np.inf, log_e))
    return evidence


def _checked(log_e: ArrayLike) -> Array:
    e = np.asarray(log_e, dtype=float)
    if e.ndim == 0:
        raise ParameterError("evidence must be a sequence")
    if np.any(np.isnan(e)):
        raise ParameterError("evidence is not a number")
    return e
