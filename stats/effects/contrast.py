"""Tests against a share of control's mean: not worse than a margin, not as good as the MDE.

Control's mean is a random number. Written as a contrast ``m_T - (1 - margin) m_C`` its variance is
counted; with the margin plugged in as ``margin * m_C`` it would not be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from stats.errors import NotEnoughDataError, ParameterError
from stats.sums.moments import Moments


@dataclass(frozen=True)
class Contrast:
    """A linear contrast of two means, positive meaning good, with its standard error and ratio."""

    value: float
    se: float
    z: float


def noninferiority(
    control: Moments, treatment: Moments, *, margin: float, sign: int = 1, binary: bool = False
) -> Contrast:
    """Contrast "the treatment loses less than ``margin`` of control's mean".

    Parameters
    ----------
    control, treatment : Moments
        Sums over units.
    margin : float
        Largest tolerated loss, as a share of control's mean; above 0.
    sign : {1, -1}, default 1
        1 when up is good, -1 when down is good.
    binary : bool, default False
        Whether ``y`` is 0 or 1 (variance with divisor ``n``, as in `score_difference`).

    Returns
    -------
    Contrast
        ``value`` in the metric's unit; shown not inferior when ``z`` reaches an upper bound.

    Raises
    ------
    NotEnoughDataError
        If an arm has fewer than two units, or the contrast has no variance.
    ParameterError
        If the margin is not positive.

    Notes
    -----
    One may peek with ``z`` against the bounds of `boundary`. STATISTICS.md 1.11; the contrast is
    that of Fieller (1954).

    Examples
    --------
    >>> a, b = Moments.conversions(1000, 100), Moments.conversions(1000, 98)
    >>> round(noninferiority(a, b, margin=0.1, binary=True).z, 3)
    0.63
    """
    return _contrast(control, treatment, _positive(margin, "margin"), sign, binary=binary)


def futility(
    control: Moments, treatment: Moments, *, mde: float, sign: int = 1, binary: bool = False
) -> Contrast:
    """Contrast "the treatment gains at least ``mde`` of control's mean".

    Parameters and conditions are as in `noninferiority`, with ``mde`` in place of ``margin``:
    futile when ``z`` falls to minus an upper bound.
    """
    return _contrast(control, treatment, -_positive(mde, "mde"), sign, binary=binary)


def _contrast(
    control: Moments, treatment: Moments, allowance: float, sign: int, *, binary: bool
) -> Contrast:
    if min(control.n, treatment.n) < 2:
        raise NotEnoughDataError("contrast", control.n, treatment.n, "each arm needs two units")
    # A share of the mean's absolute value: of a negative mean, a margin still allows a loss.
    of_control = -sign + allowance * math.copysign(1.0, control.mean)
    value = sign * treatment.mean + of_control * control.mean
    variance_c, variance_t = (
        arm.mean * (1 - arm.mean) if binary else arm.variance for arm in (control, treatment)
    )
    square = variance_t / treatment.n + of_control**2 * variance_c / control.n
    if not square > 0:
        raise NotEnoughDataError("contrast", control.n, treatment.n, "neither sample varies")
    se = math.sqrt(square)
    return Contrast(value, se, value / se)


def _positive(value: float, name: str) -> float:
    if not 0 < value < math.inf:
        raise ParameterError(f"{name} is {value}: it must be a positive number")
    return value
