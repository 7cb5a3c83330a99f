"""How much error a sequential test may have used up by a given time.

The *spending time* is a planned share of the experiment: 0 at the start, 1 at the horizon. It comes
from the schedule, never from the outcomes; only then are the bounds built on it valid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from scipy import special

from stats.errors import ParameterError, SpendingError


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
        if not 0 <= time < math.inf:
            raise SpendingError(f"spending time {time} is no time")
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
