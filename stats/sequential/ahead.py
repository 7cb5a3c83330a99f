"""Where a running test is heading: for display, never for a decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from stats.errors import ParameterError, SpendingError
from stats.sequential.density import MAX_CORRELATION, Density
from stats.sequential.drift import Crossings

# Nodes and weights of the standard normal law: the uncertainty of the drift.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(21)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@dataclass(frozen=True)
class LookAhead:
    """Chances of the looks still to come, given the statistic now.

    Parameters
    ----------
    observed, planned, zero : Crossings
        If the drift is as observed so far, as planned (the MDE), or none.
    predicted : tuple of float
        Chance to have crossed the upper bound by each of the looks, averaged over the drifts that
        the data leaves open (flat prior).
    """

    observed: Crossings
    planned: Crossings
    zero: Crossings
    predicted: tuple[float, ...]

    def crossed_by(self, probability: float) -> float | None:
        """Information by which the upper bound is crossed with this predicted probability.

        None if no look to come gets there. Information is in shares of the horizon.

        Raises
        ------
        ParameterError
            If the probability lies outside (0, 1).
        """
        if not 0 < probability < 1:
            raise ParameterError(f"the probability is {probability}")
        for time, chance in zip(self.observed.information, self.predicted, strict=True):
            if chance >= probability:
                return time
        return None


def conditional_crossings(
    statistic: float,
    information: float,
    coming: Sequence[float],
    upper: Sequence[float] | None = None,
    lower: Sequence[float] | None = None,
    *,
    drift: float,
    correlations: Sequence[float] | None = None,
) -> Crossings:
    """Compute where the paths of a test end, given its statistic now [1]_.

    Parameters
    ----------
    statistic : float
        On the z scale, at the last look; whether it has crossed a bound does not matter here.
    information : float
        Information at the last look, above 0, in shares of the horizon.
    coming : sequence of float
        Information at the looks to come, rising, after ``information``.
    upper, lower : sequence of float, optional
        Their bounds, as in `crossings`: those of `boundary` for the whole schedule.
    drift : float
        Mean of the statistic at information 1.
    correlations : sequence of float, optional
        Of every coming look with the look before it, the first with the last look.
        Default: ``sqrt(information_before / information_now)``.

    Returns
    -------
    Crossings
        First crossing chances of the looks to come; `upper_by` is the conditional power.

    Raises
    ------
    ParameterError
        If a number is not finite, the information does not rise, or numbers of looks differ.
    SpendingError
        If a correlation lies outside [0, 1].

    Notes
    -----
    A display. To stop for a low value is harmless to alpha, but the futility test is the one with
    known error; to stop for a high one, or to extend because of it, is not.

    References
    ----------
    .. [1] J. M. Lachin, Stat. Med. 24, 2747-2764 (2005). :doi:`10.1002/sim.2151`

    Examples
    --------
    >>> bounds = [1.96]
    >>> round(conditional_crossings(2.0, 0.5, [1.0], bounds, drift=2.83).upper_by(), 3)
    0.891
    """
    times = [information, *coming]
    rises = all(a < b for a, b in pairwise(times))
    if not coming or not rises or not (information > 0 and times[-1] < math.inf):
        raise ParameterError("looks to come must have more and more information, above 0")
    if not (math.isfinite(statistic) and math.isfinite(drift)):
        raise ParameterError(f"statistic {statistic} and drift {drift} must be finite")
    steps = correlations
    if steps is None:
        steps = [math.sqrt(a / b) for a, b in pairwise(times)]
    highs = [math.inf] * len(coming) if upper is None else upper
    lows = [-math.inf] * len(coming) if lower is None else lower
    if not len(coming) == len(highs) == len(lows) == len(steps):
        raise ParameterError(f"{len(coming)} looks need as many bounds and correlations")
    if any(map(math.isnan, (*highs, *lows))):
        raise ParameterError("a bound is NaN")
    # Given the statistic now, those to come are a chain again, with other means and deviations.
    apart = statistic - drift * math.sqrt(information)
    state: Density | None = None
    tie, deviation = 1.0, 0.0
    ups, downs = [], []
    for t, high, low, step in zip(coming, highs, lows, steps, strict=True):
        if not 0 <= step <= 1:
            raise SpendingError(f"two looks cannot have the correlation {step}")
        link = min(step, MAX_CORRELATION)
        before, tie = deviation, tie * link
        deviation = math.sqrt(1 - tie * tie)
        state = Density() if state is None else state.advance(link * before / deviation)
        mean = drift * math.sqrt(t) + tie * apart
        above, below = (high - mean) / deviation, (low - mean) / deviation
        ups.append(state.above(above)[0])
        downs.append(state.below(min(below, above)))
        state = state.cut(above, below)
    return Crossings(tuple(coming), tuple(ups), tuple(downs))


def look_ahead(
    statistic: float,
    information: float,
    coming: Sequence[float],
    upper: Sequence[float],
    lower: Sequence[float] | None = None,
    *,
    planned_drift: float,
    correlations: Sequence[float] | None = None,
) -> LookAhead:
    """Look ahead from the last look: as observed, as planned, without an effect, and on average.

    Parameters
    ----------
    statistic, information, coming, upper, lower, correlations
        As in `conditional_crossings`.
    planned_drift : float
        Mean of the statistic at information 1 if the effect is the MDE.

    Returns
    -------
    LookAhead
        Three conditional powers per look to come, and the predicted one.

    Raises
    ------
    ParameterError, SpendingError
        As `conditional_crossings`.

    Notes
    -----
    A display; see `conditional_crossings`. The predicted chances are Bayesian, with a flat prior
    on the drift: they promise too much after a lucky start.

    Examples
    --------
    >>> ahead = look_ahead(2.0, 0.5, [0.75, 1.0], [2.36, 2.01], planned_drift=2.8)
    >>> [round(c.upper_by(), 2) for c in (ahead.observed, ahead.planned, ahead.zero)]
    [0.89, 0.88, 0.23]
    >>> ahead.crossed_by(0.5), ahead.crossed_by(0.95)
    (0.75, None)
    """

    def under(drift: float) -> Crossings:
        return conditional_crossings(
            statistic, information, coming, upper, lower, drift=drift, correlations=correlations
        )

    if not information > 0:
        raise ParameterError(f"the information is {information}: there is nothing to go on")
    centre, spread = statistic / math.sqrt(information), 1 / math.sqrt(information)
    paths = [list(accumulate(under(centre + spread * node).upper)) for node in _NODES.tolist()]
    predicted = (_WEIGHTS @ np.array(paths)).tolist()
    return LookAhead(under(centre), under(planned_drift), under(0.0), tuple(predicted))
