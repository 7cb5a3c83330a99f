"""How much error a sequential test may have used up by a given time.

The *spending time* is a planned share of the experiment: 0 at the start, 1 at the horizon. It comes
from the schedule, never from the outcomes; only then are the bounds built on it valid.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Protocol, Self

from scipy import special

from stats.errors import ParameterError, SpendingError


class SpendingFunction(Protocol):
    """What bounds are built on: any frozen value, of which equal ones spend equally.

    ``spent`` must be 0 or more, never fall, and stay at or below ``alpha``; `Bounds` checks that.
    """

    def __hash__(self) -> int: ...

    @property
    def alpha(self) -> float:
        """One-sided error over all looks."""

    def spent(self, time: float) -> float:
        """Cumulative error by a spending time; `SpendingError` for what is no time."""

    def with_alpha(self, alpha: float) -> Self:
        """Spend another error in the same manner: repeated p-values need it."""


class SpendingShape(StrEnum):
    """Which looks get most of the error."""

    OBRIEN_FLEMING = "obrien-fleming"
    """Almost nothing early: for shipping and futility."""
    KIM_DEMETS = "kim-demets"
    """``t ** parameter``; 0.5 spends much early: for harm."""
    POCOCK = "pocock"
    """``ln(1 + (e - 1) t)``: nearly equal bounds."""
    HWANG_SHIH_DECANI = "hwang-shih-decani"
    """``(1 - exp(-parameter t)) / (1 - exp(-parameter))``."""


# exp of it is still a number.
_LARGEST_GAMMA = 500.0
_NEEDS_PARAMETER = (SpendingShape.KIM_DEMETS, SpendingShape.HWANG_SHIH_DECANI)


@dataclass(frozen=True)
class Spending:
    """An alpha-spending function, with a tail that never has to end.

    ``f(t) = alpha (1 - epsilon) g(t)`` up to the horizon and ``alpha (1 - epsilon / t)`` after it:
    one part ``epsilon`` of the error is kept for looks after the horizon, however many there are.

    Parameters
    ----------
    shape : SpendingShape
        The function ``g``.
    alpha : float
        One-sided error over all looks, between 0 and 1.
    epsilon : float, default 0
        Share of ``alpha`` kept for the time after the horizon, in [0, 1). 0 is the classic design.
    parameter : float, optional
        Exponent of Kim-DeMets, gamma of Hwang-Shih-DeCani.

    Raises
    ------
    ParameterError
        If an argument is outside its range, or a parameter is missing.

    References
    ----------
    .. [1] K. K. G. Lan, D. L. DeMets, Biometrika 70, 659-663 (1983). :doi:`10.1093/biomet/70.3.659`
    .. [2] K. Kim, D. L. DeMets, Biometrika 74, 149-154 (1987). :doi:`10.1093/biomet/74.1.149`

    Examples
    --------
    >>> ship = Spending(SpendingShape.OBRIEN_FLEMING, 0.025, epsilon=0.1)
    >>> round(ship.spent(1.0), 6), round(ship.spent(2.0), 6)
    (0.0225, 0.02375)
    """

    shape: SpendingShape
    alpha: float
    epsilon: float = 0.0
    parameter: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ParameterError(f"alpha is {self.alpha}: it must lie between 0 and 1")
        if not 0 <= self.epsilon < 1:
            raise ParameterError(f"epsilon is {self.epsilon}: it must lie in [0, 1)")
        if self.shape in _NEEDS_PARAMETER and self.parameter is None:
            raise ParameterError(f"{self.shape} spending needs its parameter")
        if self.shape is SpendingShape.KIM_DEMETS and not 0 < (self.parameter or 0) < math.inf:
            raise ParameterError("the exponent of Kim-DeMets spending must be positive")
        if not abs(self.parameter or 0.0) <= _LARGEST_GAMMA:
            raise ParameterError(f"the spending parameter {self.parameter} is no use")

    def spent(self, time: float) -> float:
        """Tell the error spent by ``time``: 0 at 0, never falling, below ``alpha``.

        Parameters
        ----------
        time : float
            Spending time, at least 0; 1 is the planned horizon.

        Returns
        -------
        float
            Cumulative one-sided error.

        Raises
        ------
        SpendingError
            If ``time`` is negative, NaN or infinite.
        """
        _check_time(time)
        if time > 1:
            return self.alpha * (1 - self.epsilon / time)
        level = self.alpha * (1 - self.epsilon)
        if time == 0:
            return 0.0
        match self.shape:
            case SpendingShape.OBRIEN_FLEMING:
                # ndtr of a negative number, not 1 - ndtr: early spending is far below 1e-16.
                return float(2 * special.ndtr(special.ndtri(level / 2) / math.sqrt(time)))
            case SpendingShape.KIM_DEMETS:
                return level * math.pow(time, self.parameter or 1.0)
            case SpendingShape.POCOCK:
                return level * math.log1p((math.e - 1) * time)
            case SpendingShape.HWANG_SHIH_DECANI:
                gamma = self.parameter or 0.0
                share = math.expm1(-gamma * time) / math.expm1(-gamma) if gamma else time
                return level * share

    def with_alpha(self, alpha: float) -> Spending:
        """Spend another error in the same manner."""
        return replace(self, alpha=alpha)


@dataclass(frozen=True)
class SpendingPoints:
    """Error that a list of points says: straight lines from (0, 0) through them, then level.

    Parameters
    ----------
    points : tuple of (time, spent)
        Times rising from above 0; cumulative one-sided errors never falling, the last one above 0
        and below 1: it is alpha.

    Raises
    ------
    ParameterError
        If the points are not so.

    Examples
    --------
    >>> given = SpendingPoints(((0.5, 0.01), (1.0, 0.025)))
    >>> given.alpha, given.spent(0.25), given.spent(7.0)
    (0.025, 0.005, 0.025)
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        path = [(0.0, 0.0), *self.points]
        # Written so that NaN fails as well.
        fine = all(a[0] < b[0] < math.inf and 0 <= a[1] <= b[1] for a, b in pairwise(path)) and (
            0 < path[-1][1] < 1
        )
        if not fine:
            raise ParameterError("spending points must rise from (0, 0) to an error below 1")

    @property
    def alpha(self) -> float:
        """One-sided error over all looks."""
        return self.points[-1][1]

    def spent(self, time: float) -> float:
        """Tell the error spent by ``time``; see `Spending.spent`."""
        _check_time(time)
        place = bisect_right(self.points, time, key=lambda point: point[0])
        if place == len(self.points):
            return self.alpha
        (t0, a0), (t1, a1) = ((0.0, 0.0), *self.points)[place : place + 2]
        # Never past the point ahead, whatever the rounding.
        return min(a1, a0 + (a1 - a0) * ((time - t0) / (t1 - t0)))

    def with_alpha(self, alpha: float) -> SpendingPoints:
        """Spend another error in the same manner."""
        factor = alpha / self.alpha
        body = tuple((t, min(a * factor, alpha)) for t, a in self.points[:-1])
        return SpendingPoints((*body, (self.points[-1][0], alpha)))


@dataclass(frozen=True)
class GivenSpending:
    """Error that a function says.

    Parameters
    ----------
    alpha : float
        One-sided error over all looks, between 0 and 1.
    share : callable
        Share of ``alpha`` spent by a spending time at or above 0: 0 to 1, never falling. Pure: it
        is asked once per time. A share outside [0, 1] or one that falls is refused when met.

    Raises
    ------
    ParameterError
        If ``alpha`` is outside its range.

    Notes
    -----
    Cannot be stored, since a function cannot: use `SpendingPoints` or `Spending` for that.

    Examples
    --------
    >>> GivenSpending(0.025, lambda time: min(time, 1.0) ** 3).spent(0.5)
    0.003125
    """

    alpha: float
    share: Callable[[float], float]

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ParameterError(f"alpha is {self.alpha}: it must lie between 0 and 1")

    def spent(self, time: float) -> float:
        """Tell the error spent by ``time``; see `Spending.spent`."""
        _check_time(time)
        share = float(self.share(time))
        if not 0 <= share <= 1:
            raise SpendingError(f"the share {share} of alpha at time {time:g} is none")
        return self.alpha * share

    def with_alpha(self, alpha: float) -> GivenSpending:
        """Spend another error in the same manner."""
        return replace(self, alpha=alpha)


def _check_time(time: float) -> None:
    if not 0 <= time < math.inf:
        raise SpendingError(f"spending time {time} is no time")
