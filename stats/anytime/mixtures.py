"""Normal mixtures: evidence and intervals that hold at every moment, scheduled or not.

All speak the language of a score: the information ``V = 1 / se**2`` and the score ``S = difference
* V``, so that ``z = S / sqrt(V)``. Under "no effect" S runs like a Brownian motion with clock V.
The evidence is the likelihood ratio averaged over effects drawn from a normal distribution with
variance ``1 / precision``; mSPRT, the asymptotic confidence sequences of GrowthBook and Eppo and
Howard's normal mixture are this formula under other names for the precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from stats.errors import ParameterError

Array = NDArray[np.float64]
Direction = Literal["both", "increase", "decrease"]

#: Share of the planned information at which an always-valid reading is sharpest by default.
DEFAULT_TUNING = 0.25
# Below it alpha**2 is no longer a number.
_SMALLEST_ALPHA = 1e-150
_NEWTON_STEPS = 60


@dataclass(frozen=True)
class AlwaysValid:
    """One difference, treatment minus control, read at any moment.

    Parameters
    ----------
    difference, low, high : float
        In the metric's unit; the interval belongs to a sequence that holds at all times together.
    log_e : float
        Natural logarithm of the evidence against "no effect" (or "no effect in that direction").
    anytime_p : float
        ``min(1, exp(-log_e))``; over several readings keep the smallest.
    """

    difference: float
    low: float
    high: float
    log_e: float
    anytime_p: float


def always_valid(
    difference: float,
    se: float,
    precision: float,
    *,
    alpha: float = 0.05,
    direction: Direction = "both",
) -> AlwaysValid:
    """Read one difference so that any number of further readings is allowed [1]_ [2]_ [3]_.

    Parameters
    ----------
    difference, se : float
        Treatment minus control and its standard error, in the metric's unit.
    precision : float
        ``1 / variance`` of the effects that the evidence is averaged over, in 1 / unit squared; see
        `planned_precision`. Fixed before the first reading.
    alpha : float, default 0.05
        One minus the coverage of the sequence of intervals.
    direction : {"both", "increase", "decrease"}
        Which effects count as evidence. With one direction the interval is open on the other side.

    Returns
    -------
    AlwaysValid
        The interval leaves 0 out exactly when the evidence passes ``1 / alpha``.

    Raises
    ------
    ParameterError
        If a number is not finite, or ``se``, ``precision`` or ``alpha`` is out of range. A standard
        error of 0 is refused: no variance was seen, so none is known.

    Notes
    -----
    One may peek: if nothing changes, the chance that the evidence ever reaches 1 / alpha is at most
    alpha. That is asymptotic: with few units use the score of `score_difference` and its gates.

    *If the effect drifts*, the intervals cover, all together, the running average of the effects of
    the units so far (each as of its time, weighted by its information; [3]_, theorem 2.5). They
    promise nothing about today's effect or tomorrow's, so never intersect intervals of different
    readings, and never read "excludes 0" as "works now".

    As the default for decisions it is wasteful: it needs 1.7 times the sample (STATISTICS.md 0).

    References
    ----------
    .. [1] H. Robbins, Ann. Math. Stat. 41, 1397-1409 (1970). :doi:`10.1214/aoms/1177696786`
    .. [2] R. Johari, P. Koomen, L. Pekelis, D. Walsh, Oper. Res. 70, 1806-1821 (2022),
       arXiv:1512.04922.
    .. [3] I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas, Ann. Stat. 52, 2613-2640
       (2024), arXiv:2103.06476.

    Examples
    --------
    >>> result = always_valid(0.012, 0.003, planned_precision(1 / 0.003**2))
    >>> round(result.low, 4), round(result.high, 4), round(result.anytime_p, 4)
    (0.0026, 0.0214, 0.0025)
    """
    checked_alpha(alpha)
    if not math.isfinite(difference):
        raise ParameterError(f"difference is {difference}: it must be a finite number")
    if not 0 < se < math.inf:
        raise ParameterError(f"se is {se}: it must be positive and finite")
    information = 1 / se / se
    if not 0 < information < math.inf:
        raise ParameterError(f"se is {se}: its information is not a finite number")
    score = difference * information
    if direction == "both":
        log_e = float(mixture_log_e(score, information, precision))
        half = se * float(mixture_critical(information, precision, alpha))
        low, high = difference - half, difference + half
    elif direction in ("increase", "decrease"):
        sign = 1 if direction == "increase" else -1
        log_e = float(half_normal_log_e(sign * score, information, precision))
        half = se * float(half_normal_critical(information, precision, alpha))
        low = difference - half if sign > 0 else -math.inf
        high = math.inf if sign > 0 else difference + half
    else:
        raise ParameterError(f"direction is {direction!r}: both, increase or decrease")
    return AlwaysValid(difference, low, high, log_e, anytime_p(log_e))


def mixture_log_e(score: ArrayLike, information: ArrayLike, precision: ArrayLike) -> Array:
    """Weigh the evidence against "no effect" in either direction, for many readings at once.

    Parameters
    ----------
    score, information, precision : array_like, shape (...)
        ``difference / se**2``, ``1 / se**2`` and the precision of the effects; they broadcast.

    Returns
    -------
    ndarray, shape (...)
        ``log(r / (V + r)) / 2 + S**2 / (2 * (V + r))``; 0 without information.

    Raises
    ------
    ParameterError
        If a score is not finite, an information negative or a precision not positive.

    Notes
    -----
    One may peek.
    """
    s, v, r = _checked(score, information, precision)
    root = np.sqrt(v + r)
    # Dividing before squaring keeps 1e200 in range.
    log_e: Array = -0.5 * np.log1p(v / r) + 0.5 * (s / root) ** 2
    return log_e


def half_normal_log_e(score: ArrayLike, information: ArrayLike, precision: ArrayLike) -> Array:
    """Weigh the evidence for an increase against "no increase", for many readings at once.

    The effects come from the upper half of the normal distribution (Howard, Ramdas, McAuliffe and
    Sekhon, Ann. Stat. 49, 1055-1080 (2021), arXiv:1810.08240). For a decrease hand in minus the
    score. Parameters, errors and peeking as in `mixture_log_e`.
    """
    s, v, r = _checked(score, information, precision)
    log_e: Array = math.log(2) - 0.5 * np.log1p(v / r) + _log_half(s / np.sqrt(v + r))
    return log_e


def mixture_critical(information: ArrayLike, precision: ArrayLike, alpha: float = 0.05) -> Array:
    """Find the ``|z|`` at which the evidence against "no effect" reaches ``1 / alpha``.

    ``critical * se`` is the half-width of the interval. Infinite without information.

    Raises
    ------
    ParameterError
        As in `mixture_log_e`, and if alpha is not between 0 and 1.
    """
    return critical_of_log(information, precision, -math.log(checked_alpha(alpha)))


def critical_of_log(information: ArrayLike, precision: ArrayLike, log_threshold: float) -> Array:
    """Find the ``|z|`` at which the two-sided log evidence reaches ``log_threshold``."""
    _, v, r = _checked(0.0, information, precision)
    with np.errstate(divide="ignore"):
        critical: Array = np.sqrt((1 + r / v) * (np.log1p(v / r) + 2 * log_threshold))
    return critical


def half_normal_critical(
    information: ArrayLike, precision: ArrayLike, alpha: float = 0.05
) -> Array:
    """Find the z at which the evidence for an increase reaches ``1 / alpha``; else as above."""
    checked_alpha(alpha)
    _, v, r = _checked(0.0, information, precision)
    goal = -math.log(alpha) - math.log(2) + 0.5 * np.log1p(v / r)
    # The logarithm is convex and rises, and is above y**2/2 - log 2 here: Newton's steps from
    # there fall to the root and cannot pass it.
    y = np.sqrt(2 * (goal + math.log(2)))
    for _ in range(_NEWTON_STEPS):
        slope = y + np.exp(-0.5 * y * y - special.log_ndtr(y)) / math.sqrt(2 * math.pi)
        step = (_log_half(y) - goal) / slope
        y = y - step
        if np.all(np.abs(step) <= 1e-15 * (1 + y)):
            break
    with np.errstate(divide="ignore"):
        critical: Array = y * np.sqrt(1 + r / v)
    return critical


def tuned_precision(information: float, alpha: float = 0.05) -> float:
    """Find the precision that makes the two-sided interval narrowest at ``information``.

    Parameters
    ----------
    information : float
        ``1 / se**2`` at the reading that matters most.
    alpha : float, default 0.05
        Level of the sequence. For one direction hand in twice its level: the bound is then
        within 0.001 % of its optimum.

    Returns
    -------
    float
        ``V / (-W(-alpha**2 / e) - 1)``, W being Lambert's lower branch (Howard et al. 2021):
        0.1218 V at 5 %.

    Raises
    ------
    ParameterError
        If the information is not positive and finite, or alpha out of range.

    Examples
    --------
    >>> round(tuned_precision(1000.0, alpha=0.05), 1)
    121.8
    """
    if not 0 < information < math.inf:
        raise ParameterError(f"information is {information}: it must be positive and finite")
    if checked_alpha(alpha) < _SMALLEST_ALPHA:
        raise ParameterError(f"alpha is {alpha}: too small to tune for")
    branch = float(special.lambertw(-(alpha**2) / math.e, -1).real)
    return information / (-branch - 1)


def planned_precision(planned_information: float, alpha: float = 0.05) -> float:
    """Tune for a quarter of the planned information: the default where nobody knows better.

    Readings are wanted early, and a sequence tuned too early loses little later. Errors as in
    `tuned_precision`.
    """
    return tuned_precision(DEFAULT_TUNING * planned_information, alpha)


def approximate_precision(information: float, alpha: float = 0.05) -> float:
    """Approximate `tuned_precision` as confseq, GrowthBook and Eppo do.

    Returns
    -------
    float
        ``V / (-2 log alpha + log(1 - 2 log alpha))``: 0.126 V at 5 %, where the exact optimum is
        0.1218 V. Two-sided; for one direction those programs hand in twice its level.

    Raises
    ------
    ParameterError
        If the information is not positive and finite, or alpha out of range.
    """
    log = -2 * math.log(checked_alpha(alpha))
    if not 0 < information < math.inf:
        raise ParameterError(f"information is {information}: it must be positive and finite")
    return information / (log + math.log1p(log))


def sample_size_precision(
    information: float, units: float, tuned_units: float, alpha: float = 0.05
) -> float:
    """Translate "tuned for so many units" (GrowthBook, Eppo) into a precision.

    Parameters
    ----------
    information : float
        ``1 / se**2`` of this reading.
    units, tuned_units : float
        Units of both arms now, and the number that the sequence was tuned for.
    alpha : float, default 0.05
        Level of the sequence.

    Returns
    -------
    float
        `approximate_precision` at the information that ``tuned_units`` will bring: ``V / (N *
        rho**2)`` in the notation of Waudby-Smith et al. (arXiv:2103.06476).

    Raises
    ------
    ParameterError
        If a number is not positive and finite.

    Notes
    -----
    The information per unit is estimated anew at each reading; one may peek as long as it settles.
    """
    if not all(0 < x < math.inf for x in (information, units, tuned_units)):
        raise ParameterError("information and units must be positive and finite")
    return approximate_precision(information / units * tuned_units, alpha)


def anytime_p(log_e: float) -> float:
    """Turn evidence into a p-value that holds at every moment."""
    return min(1.0, math.exp(min(0.0, -log_e)))


def checked_alpha(alpha: float) -> float:
    """Return ``alpha`` if it lies strictly between 0 and 1."""
    if not 0 < alpha < 1:
        raise ParameterError(f"alpha is {alpha}: it must lie between 0 and 1")
    return alpha


def _log_half(y: Array) -> Array:
    # y**2/2 + log Phi(y); on the left both terms are huge and their sum is not.
    left = np.log(special.erfcx(np.maximum(-y, 0.0) / math.sqrt(2)) / 2)
    right = 0.5 * y * y + special.log_ndtr(np.maximum(y, 0.0))
    half: Array = np.where(y < 0, left, right)
    return half


def _checked(
    score: ArrayLike, information: ArrayLike, precision: ArrayLike
) -> tuple[Array, Array, Array]:
    s, v, r = (np.asarray(x, dtype=float) for x in (score, information, precision))
    if not np.all(np.isfinite(s)):
        raise ParameterError("a score is not a finite number")
    if not np.all((v >= 0) & (v < np.inf)):
        raise ParameterError("information must be finite and not negative")
    if not np.all((r > 0) & (r < np.inf)):
        raise ParameterError("precision must be positive and finite")
    return s, v, r
