"""Futility bounds of a classic design: beta spent as alpha is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from scipy import optimize

from stats.errors import ParameterError
from stats.sequential.density import Density
from stats.sequential.spending import SpendingFunction

# No design needs a drift above it.
_LARGEST = 40.0


@dataclass(frozen=True)
class FutilityBounds:
    """Lower bounds of a design, and the drift it is sized for.

    Parameters
    ----------
    bounds : tuple of float
        One per look on the z scale; ``-inf`` where none can be reached. The last one equals the
        upper bound.
    drift : float
        Mean of the statistic at information 1 for which the chance to miss is beta.
    """

    bounds: tuple[float, ...]
    drift: float


def futility_bounds(
    upper: Sequence[float], information: Sequence[float], beta: SpendingFunction
) -> FutilityBounds:
    """Compute bounds below which an effect of the design's size is given up [1]_ [2]_.

    At the drift that is solved for, the chance to have fallen to the lower bound by each look,
    without a crossing before, is what ``beta`` has spent; at the last look both bounds meet.

    Parameters
    ----------
    upper : sequence of float
        Upper bounds, one per look, computed without regard to the lower ones: they are then not
        binding, and going on below them costs no alpha.
    information : sequence of float
        Share of the final information at each look, rising, the last one 1.
    beta : SpendingFunction
        Error of the second kind to spend; its value at 1 is one minus the power.

    Returns
    -------
    FutilityBounds
        The lower bounds and the drift.

    Raises
    ------
    ParameterError
        If the information does not rise to 1, the numbers of looks differ, the last upper bound is
        not finite, or no drift gives this beta.
    SpendingError
        If ``beta`` falls.

    Notes
    -----
    One may peek, at these looks and no others. The decision rule of an open-ended test tests
    "the effect is below the MDE" instead, which needs no last look.

    References
    ----------
    .. [1] S. Pampallona, A. A. Tsiatis, K. Kim, Drug Inf. J. 35, 1113-1121 (2001).
       :doi:`10.1177/009286150103500408`
    .. [2] G. Wassmer, W. Brannath, Group Sequential and Confirmatory Adaptive Designs, 2.4 (2016).

    Examples
    --------
    >>> quarters = [0.25, 0.5, 0.75, 1.0]
    >>> ship = boundary(Spending(SpendingShape.OBRIEN_FLEMING, 0.025), quarters).bounds
    >>> given_up = futility_bounds(ship, quarters, Spending(SpendingShape.OBRIEN_FLEMING, 0.2))
    >>> [round(low, 3) for low in given_up.bounds], round(given_up.drift, 3)
    ([-0.82, 0.61, 1.402, 2.014], 2.984)
    """
    times = [float(t) for t in information]
    rises = all(a < b for a, b in pairwise(times))
    if not times or not rises or times[0] <= 0 or abs(times[-1] - 1) > 1e-9:
        raise ParameterError("the information of a classic design rises from above 0 to 1")
    if len(upper) != len(times) or not math.isfinite(upper[-1]) or any(map(math.isnan, upper)):
        raise ParameterError("there must be an upper bound for each look, and a finite last one")
    spent = [beta.spent(t) for t in times]

    def excess(drift: float) -> float:
        """Tell by how much the chance to miss exceeds beta."""
        return _miss(upper, times, spent, drift)[1] - spent[-1]

    if excess(0.0) <= 0 or excess(_LARGEST) >= 0:
        raise ParameterError(f"no drift is missed with the chance {spent[-1]:g}")
    drift = float(optimize.brentq(excess, 0.0, _LARGEST, xtol=1e-11))
    return FutilityBounds(tuple(_miss(upper, times, spent, drift)[0]), drift)


def _miss(
    upper: Sequence[float], times: Sequence[float], spent: Sequence[float], drift: float
) -> tuple[list[float], float]:
    """Return lower bounds that spend ``spent``, the last one the upper; and the chance to miss."""
    # The recursion runs on minus the statistic, so the lower bound is a quantile of the upper tail.
    state: Density | None = None
    bounds: list[float] = []
    charged, before, start = 0.0, 0.0, 0.0
    for high, t, error in zip(upper, times, spent, strict=True):
        mean = drift * math.sqrt(t)
        state = Density() if state is None else state.advance(math.sqrt(before / t))
        start = state.quantile(error - charged, start if math.isfinite(start) else 0.0)
        low = min(mean - start, high)
        if t == times[-1]:
            low = high
        missed = state.above(mean - low)[0]
        charged += missed
        bounds.append(low)
        state, before = state.cut(mean - low, mean - high), t
    return bounds, charged
