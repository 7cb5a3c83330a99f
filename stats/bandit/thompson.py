"""Thompson sampling without the sampling: how likely each arm is best, and what it gets next.

The probabilities are one-dimensional integrals, so equal sums always give equal shares, and an
allocation can be replayed from what was stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from stats.errors import ParameterError
from stats.sums.moments import Moments

Array = NDArray[np.float64]

#: Smallest share of a batch that an arm may be promised: with less, its differences take too
#: long to become normal, and a change of fortune would never be seen.
MIN_FLOOR = 0.05

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
# Panels of the quadrature end where any arm's density or distribution function bends.
_ENDS = np.array([-8.5, -6.0, -4.5, -3.0, -1.5, 0.0, 1.5, 3.0, 4.5, 6.0, 8.5])


@dataclass(frozen=True)
class Allocation:
    """Shares of the next batch.

    Parameters
    ----------
    best_probabilities : tuple of float
        Chance of each arm to be the best, control first. Under peeking these are no error rates.
    shares : tuple of float
        Share of the next batch for each arm; they add up to 1, none is below its floor.
    informed : bool
        False when the sums say nothing yet, and all arms count as equally likely to be best.
    """

    best_probabilities: tuple[float, ...]
    shares: tuple[float, ...]
    informed: bool = True


def thompson_allocation(
    means: Sequence[float],
    sds: Sequence[float],
    *,
    sign: int = 1,
    floor: float = MIN_FLOOR,
    control_floor: float | None = None,
) -> Allocation:
    """Share out the next batch by the chance of each arm to be best [1]_.

    Parameters
    ----------
    means, sds : sequence of float
        Normal posterior of each arm's mean, control first, in one unit.
    sign : {1, -1}, default 1
        1 when up is good, -1 when down is good.
    floor : float, default 0.05
        Share promised to every arm; at least ``MIN_FLOOR``.
    control_floor : float, optional
        Share promised to control, if more than ``floor``.

    Returns
    -------
    Allocation
        ``floor + (1 - K * floor) * best_probability`` for each of K arms.

    Raises
    ------
    ParameterError
        If there are fewer than two arms, a mean is not finite or a ``sd`` not positive and
        finite, a floor is too small, or the floors add up to more than 1.

    Notes
    -----
    One may allocate after every batch; what may be *said* afterwards is `bandit_effect`.

    References
    ----------
    .. [1] W. R. Thompson, Biometrika 25, 285-294 (1933). :doi:`10.2307/2332286`

    Examples
    --------
    >>> batch = thompson_allocation([0.097, 0.102, 0.103], [0.008, 0.004, 0.007])
    >>> [round(share, 3) for share in batch.shares]
    [0.199, 0.348, 0.453]
    """
    _check_sign(sign)
    floors = _floors(len(means), floor, control_floor)
    best = best_arm_arrays([sign * mean for mean in means], sds)
    return _allocation(best, floors, informed=True)


def next_allocation(
    arms: Sequence[Moments],
    *,
    sign: int = 1,
    floor: float = MIN_FLOOR,
    control_floor: float | None = None,
) -> Allocation:
    """Share out the next batch from the sums of all batches so far.

    Parameters
    ----------
    arms : sequence of Moments
        Sums of each arm over all batches, control first.
    sign, floor, control_floor
        As in `thompson_allocation`.

    Returns
    -------
    Allocation
        Not ``informed`` while an arm has no unit or nothing varies within the arms.

    Raises
    ------
    ParameterError
        If there are fewer than two arms, or an option is out of range.

    Notes
    -----
    The posteriors are normal with a flat prior and the variance pooled within arms, so that an
    arm in which nothing happened yet is not taken to be known exactly. For the next batch only:
    units of changing times count alike here, which makes the shares follow trends, at worst, but
    would make a test of these sums wrong.

    Examples
    --------
    >>> old, new = Moments.conversions(500, 50), Moments.conversions(500, 60)
    >>> [round(share, 3) for share in next_allocation([old, new]).shares]
    [0.191, 0.809]
    """
    _check_sign(sign)
    floors = _floors(len(arms), floor, control_floor)
    n = np.array([arm.n for arm in arms])
    within = math.fsum(max(0.0, arm.s2 - arm.s1 * arm.mean) for arm in arms if arm.n > 0)
    spare = float(n.sum()) - len(arms)
    if not (n.min() > 0 and spare > 0 and within > 0):
        return _allocation(np.full(len(arms), 1 / len(arms)), floors, informed=False)
    best = best_arm_arrays([sign * arm.mean for arm in arms], np.sqrt(within / spare / n))
    return _allocation(best, floors, informed=True)


def best_arm_arrays(means: ArrayLike, sds: ArrayLike) -> Array:
    """Compute the chance of each arm to have the largest mean, for many bandits at once.

    ``P(best = j) = ∫ φ_j ∏_{l≠j} Φ_l``, by quadrature over panels that follow every arm.

    Parameters
    ----------
    means, sds : array_like, shape (..., K)
        Independent normal posteriors of K arms in the last axis.

    Returns
    -------
    ndarray, shape (..., K)
        Chances with an absolute error below 1e-9; they add up to 1.

    Raises
    ------
    ParameterError
        If K is below 2, a mean is not finite, or a ``sd`` not positive and finite.

    Examples
    --------
    >>> best_arm_arrays([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [[1.0, 1.0, 1.0]] * 2).round(3)
    array([[0.333, 0.333, 0.333],
           [0.634, 0.183, 0.183]])
    """
    m, s = np.broadcast_arrays(np.asarray(means, dtype=float), np.asarray(sds, dtype=float))
    if m.ndim == 0 or m.shape[-1] < 2:
        raise ParameterError("the best of fewer than two arms needs no bandit")
    if not (np.isfinite(m).all() and np.isfinite(s).all() and (s > 0).all()):
        raise ParameterError("means must be finite, their sds finite and positive")
    # One scale for all arms of a bandit: nothing may underflow in the metric's unit.
    m = m - m.max(axis=-1, keepdims=True)
    edges = m[..., None] + s[..., None] * _ENDS
    edges = np.sort(edges.reshape(*m.shape[:-1], -1), axis=-1)
    half = np.diff(edges)[..., None] / 2
    points = edges[..., :-1, None] + half * (1 + _NODES)
    weights = (half * _WEIGHTS).reshape(*m.shape[:-1], -1, 1)
    t = (points.reshape(*m.shape[:-1], -1, 1) - m[..., None, :]) / s[..., None, :]
    # The product over all arms but one: of those before it, times those after it.
    below = special.ndtr(t)
    before, after = np.ones_like(below), np.ones_like(below)
    before[..., 1:] = np.cumprod(below[..., :-1], axis=-1)
    after[..., -2::-1] = np.cumprod(below[..., :0:-1], axis=-1)
    best = (np.exp(-t * t / 2) * before * after * weights).sum(axis=-2) / s
    chances: Array = best / best.sum(axis=-1, keepdims=True)
    return chances


def _floors(arms: int, floor: float, control_floor: float | None) -> Array:
    floors = np.full(arms, floor)
    if arms < 2:
        raise ParameterError(f"{arms} arms: a bandit needs two")
    if control_floor is not None:
        floors[0] = control_floor
    # Written so that NaN fails.
    if not (floor >= MIN_FLOOR and floors[0] >= floor and floors.sum() <= 1 + 1e-12):
        raise ParameterError(
            f"floors of {floor} (control {floors[0]}) for {arms} arms: each arm needs at least "
            f"{MIN_FLOOR}, control no less than the others, and together at most 1"
        )
    return floors


def _allocation(best: Array, floors: Array, *, informed: bool) -> Allocation:
    shares = floors + max(0.0, 1 - float(floors.sum())) * best
    return Allocation(tuple(best.tolist()), tuple(shares.tolist()), informed)


def _check_sign(sign: int) -> None:
    if sign not in (1, -1):
        raise ParameterError(f"sign is {sign}: it must be 1 or -1")
