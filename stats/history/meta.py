"""Random effects: what many experiments on one metric say about the next one."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from stats.errors import ParameterError

Array = NDArray[np.float64]


class TauMethod(enum.Enum):
    """How the variance between experiments is estimated."""

    FIXED = "fixed"
    DERSIMONIAN_LAIRD = "dersimonian_laird"
    PAULE_MANDEL = "paule_mandel"
    REML = "reml"


@dataclass(frozen=True)
class RandomEffects:
    """A population of true effects, seen through experiments.

    Parameters
    ----------
    mean, se : float
        Mean of the true effects and its standard error, in the unit of the effects.
    tau2 : float
        Variance of the true effects; 0 where the data show no more spread than chance.
    q, q_p_value : float
        Cochran's statistic, and the chance of a larger one if all true effects were equal.
    shrunk, shrunk_sd : tuple of float
        Best linear unbiased prediction of each true effect, and its standard deviation, the
        uncertainty of ``mean`` included.
    shared_sd : tuple of float
        Part of ``shrunk_sd`` that comes from ``mean``, and so is common to all predictions.
    """

    mean: float
    se: float
    tau2: float
    q: float
    q_p_value: float
    shrunk: tuple[float, ...]
    shrunk_sd: tuple[float, ...]
    shared_sd: tuple[float, ...]


def random_effects(
    effects: Sequence[float], variances: Sequence[float], *, method: TauMethod = TauMethod.REML
) -> RandomEffects:
    """Estimate the distribution of true effects behind measured ones [1]_ [2]_ [3]_.

    Parameters
    ----------
    effects : sequence of float
        One estimate per experiment, treatment minus control, all in one unit (mostly lifts).
    variances : sequence of float
        Their squared standard errors, in that unit squared.
    method : TauMethod, default REML
        DerSimonian and Laird [1]_, Paule and Mandel [2]_, restricted maximum likelihood [3]_,
        or fixed effects: no variance between experiments.

    Returns
    -------
    RandomEffects
        ``tau2`` is never negative: where the equation wants it to be, it is 0.

    Raises
    ------
    ParameterError
        If there are fewer than two experiments, as many effects as variances are not given, or
        one is not finite, or a variance not positive.

    Notes
    -----
    Over experiments that have ended, all of them: leaving out those that did not ship makes every
    number too large. REML takes the largest of all its maxima.

    References
    ----------
    .. [1] R. DerSimonian, N. Laird, Control. Clin. Trials 7, 177-188 (1986), equation 8.
       :doi:`10.1016/0197-2456(86)90046-2`
    .. [2] R. C. Paule, J. Mandel, J. Res. Nat. Bur. Stand. 87, 377-385 (1982).
       :doi:`10.6028/jres.087.022`
    .. [3] W. Viechtbauer, J. Educ. Behav. Stat. 30, 261-293 (2005).
       :doi:`10.3102/10769986030003261`

    Examples
    --------
    >>> lifts, squares = [0.027, 0.045, 0.058, -0.007], [0.0001, 0.0002, 0.0003, 0.0001]
    >>> past = random_effects(lifts, squares)
    >>> round(past.mean, 4), round(past.tau2**0.5, 4), [round(b, 3) for b in past.shrunk]
    (0.0287, 0.0252, [0.027, 0.041, 0.049, -0.002])
    """
    y, v = _checked(effects, variances)
    fixed = 1 / v
    q = _spread(y, v, 0.0)
    tau2 = _TAU[method](y, v)
    weights = 1 / (v + tau2)
    mean = float(weights @ y / weights.sum())
    square = float(1 / weights.sum())
    kept = tau2 * weights
    shrunk = kept * y + (1 - kept) * mean
    shared_sd = (1 - kept) * math.sqrt(square)
    shrunk_sd = np.hypot(np.sqrt(kept * v), shared_sd)
    return RandomEffects(
        mean,
        math.sqrt(square),
        tau2,
        q,
        float(special.chdtrc(fixed.size - 1, q)),
        tuple(shrunk.tolist()),
        tuple(shrunk_sd.tolist()),
        tuple(shared_sd.tolist()),
    )


def _checked(effects: Sequence[float], variances: Sequence[float]) -> tuple[Array, Array]:
    if len(effects) != len(variances):
        raise ParameterError(f"{len(effects)} effects but {len(variances)} variances")
    if len(effects) < 2:
        raise ParameterError(f"{len(effects)} experiments: their spread needs two")
    y, v = np.array(effects, dtype=float), np.array(variances, dtype=float)
    if not (np.isfinite(y).all() and np.isfinite(v).all() and (v > 0).all()):
        raise ParameterError("effects must be finite, their variances finite and positive")
    return y, v


def _spread(y: Array, v: Array, tau2: float) -> float:
    """Weighted sum of squares around the weighted mean: Cochran's Q when ``tau2`` is 0."""
    weights = 1 / (v + tau2)
    mean = weights @ y / weights.sum()
    return float(weights @ (y - mean) ** 2)


def _none(y: Array, v: Array) -> float:  # noqa: ARG001 - one signature for all methods
    return 0.0


def _dersimonian_laird(y: Array, v: Array) -> float:
    weights = 1 / v
    total = weights.sum()
    scale = float(total - (weights @ weights) / total)
    return max(0.0, (_spread(y, v, 0.0) - (y.size - 1)) / scale)


def _paule_mandel(y: Array, v: Array) -> float:
    def excess(tau2: float) -> float:
        return _spread(y, v, tau2) - (y.size - 1)

    # The spread falls as tau2 grows; the unweighted sum of squares is beyond every root.
    return float(optimize.brentq(excess, 0.0, _far(y), xtol=1e-300)) if excess(0.0) > 0 else 0.0


def _reml(y: Array, v: Array) -> float:
    far = _far(y)
    # The likelihood can have several maxima: the best of a grid says which one is meant.
    grid = np.concatenate([[0.0], np.geomspace(1e-8 * min(far, v.min()), far, 400)])
    best = int(np.argmax([_restricted_likelihood(y, v, tau2) for tau2 in grid]))
    low, high = grid[max(0, best - 1)], grid[min(grid.size - 1, best + 1)]
    if not _restricted_score(y, v, low) > 0 > _restricted_score(y, v, high):
        return float(grid[best])
    return float(
        optimize.brentq(lambda tau2: _restricted_score(y, v, tau2), low, high, xtol=1e-300)
    )


def _far(y: Array) -> float:
    """Return a ``tau2`` that is larger than any estimate can be; positive."""
    return float(((y - y.mean()) ** 2).sum()) * (1 + 1e-9) + 1e-300


def _restricted_likelihood(y: Array, v: Array, tau2: float) -> float:
    weights = 1 / (v + tau2)
    constant = float(np.log(weights).sum()) - math.log(float(weights.sum()))
    return 0.5 * (constant - _spread(y, v, tau2))


def _restricted_score(y: Array, v: Array, tau2: float) -> float:
    """Twice the derivative of the restricted log-likelihood ([3]_, equation 15)."""
    weights = 1 / (v + tau2)
    total = weights.sum()
    mean = weights @ y / total
    return float(weights**2 @ (y - mean) ** 2 - total + (weights @ weights) / total)


_TAU = {
    TauMethod.FIXED: _none,
    TauMethod.DERSIMONIAN_LAIRD: _dersimonian_laird,
    TauMethod.PAULE_MANDEL: _paule_mandel,
    TauMethod.REML: _reml,
}
