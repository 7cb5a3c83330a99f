"""Evidence of a linear model's t or F statistic that may be read at any moment."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stats.anytime.mixtures import anytime_p, checked_alpha
from stats.errors import ParameterError


@dataclass(frozen=True)
class LinearEvidence:
    """What the statistic of a linear model says at any moment.

    Parameters
    ----------
    log_e : float
        Natural logarithm of the evidence against "these coefficients are 0".
    anytime_p : float
        ``min(1, exp(-log_e))``; over several readings keep the smallest.
    """

    log_e: float
    anytime_p: float


def linear_evidence(
    f: float, observations: float, coefficients: int, g: float, *, tested: int = 1
) -> LinearEvidence:
    """Weigh the evidence of an F statistic (the square of t for one coefficient) [1]_.

    Parameters
    ----------
    f : float
        F statistic of ``tested`` coefficients; with one, ``t**2``. A robust t may be plugged in.
    observations : float
        Rows of the model.
    coefficients : int
        Columns of the model, intercept included.
    g : float
        Observations that the prior on the effect is worth; smaller looks for larger effects.
    tested : int, default 1
        Coefficients tested together.

    Returns
    -------
    LinearEvidence

    Raises
    ------
    ParameterError
        If the statistic is negative or not finite, or degrees of freedom or g are not positive.

    Notes
    -----
    One may peek. Exact for normal errors; otherwise asymptotic.

    References
    ----------
    .. [1] M. Lindon, D. W. Ham, M. Tingley, I. Bojinov, arXiv:2210.08589.

    Examples
    --------
    >>> round(linear_evidence(4.6676**2, 5000, 2, g=1).anytime_p, 6)
    0.001346
    """
    dof, ratio = _shape(observations, coefficients, g)
    if tested < 1 or tested > coefficients:
        raise ParameterError(f"{tested} of {coefficients} coefficients cannot be tested")
    if not 0 <= f < math.inf:
        raise ParameterError(f"f is {f}: it must be finite and not negative")
    x = f * tested / dof
    log_e = 0.5 * tested * math.log(ratio) + 0.5 * (dof + tested) * (
        math.log1p(x) - math.log1p(ratio * x)
    )
    return LinearEvidence(log_e, anytime_p(log_e))


def linear_critical(observations: float, coefficients: int, g: float, alpha: float = 0.05) -> float:
    """Find the ``|t|`` of one coefficient at which the evidence reaches ``1 / alpha``.

    ``critical * se`` is the half-width of its interval, valid at all readings together. Infinite
    while there are too few observations for any t to suffice. With many observations it becomes
    ``mixture_critical(observations, g, alpha)``.

    Raises
    ------
    ParameterError
        If degrees of freedom or g are not positive, or alpha is out of range.
    """
    checked_alpha(alpha)
    dof, ratio = _shape(observations, coefficients, g)
    fallen = -math.expm1((math.log(ratio) + 2 * math.log(alpha)) / (dof + 1))
    room = observations / (g + observations) - fallen
    if room <= 0:
        return math.inf
    return math.sqrt(dof * fallen / room)


def _shape(observations: float, coefficients: int, g: float) -> tuple[float, float]:
    dof = observations - coefficients
    if not (0 < dof < math.inf and coefficients >= 1):
        raise ParameterError(f"{observations:g} observations, {coefficients} coefficients")
    if not 0 < g < math.inf:
        raise ParameterError(f"g is {g}: it must be positive and finite")
    return dof, g / (g + observations)
