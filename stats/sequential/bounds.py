"""Bounds of a sequential test, by recursive numerical integration.

Armitage, McPherson and Rowe (1969): under the null hypothesis the statistics of consecutive looks
form a Gaussian Markov chain. The density of the last one over the paths that have not crossed yet
is carried from look to look, and each bound is the point beyond which it holds exactly the error
that the spending function releases at that look.

The lower bound of a harm test is the mirror image: minus the upper bound of the same spending.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from stats.errors import SpendingError
from stats.sequential.density import CEILING, MAX_CORRELATION, Density
from stats.sequential.spending import Spending

__all__ = ["CEILING", "MAX_CORRELATION", "Boundary", "boundary", "crossing_probabilities"]


@dataclass(frozen=True)
class Boundary:
    """Bounds of one sequential test.

    Parameters
    ----------
    bounds : tuple of float
        Upper bounds on the z scale, one per look; ``inf`` where none can be reached.
    spent : tuple of float
        Cumulative one-sided error of the spending function, one per look.
    """

    bounds: tuple[float, ...]
    spent: tuple[float, ...]


def boundary(
    spending: Spending, times: Sequence[float], correlations: Sequence[float] | None = None
) -> Boundary:
    """Compute the bounds of a one-sided sequential test that need never end [1]_ [2]_.

    Parameters
    ----------
    spending : Spending
        Error to spend, by spending time.
    times : sequence of float
        Spending time of every look so far, never falling. Fixed by the schedule.
    correlations : sequence of float, optional
        Correlation of each look's statistic with the one before (the first entry is ignored):
        ``sqrt(n_before / n_now)`` for a mean over units. Default: ``sqrt(t_before / t_now)``.
        Above ``MAX_CORRELATION`` it is cut to that.

    Returns
    -------
    Boundary
        One bound per look. ``inf`` when a look releases no error, or so little that the bound would
        lie beyond ``CEILING``; the error is then spent by a later look.

    Raises
    ------
    SpendingError
        If a time falls, or a correlation lies outside [0, 1].

    Notes
    -----
    One may peek: that is what it is for. Under the null hypothesis the chance to ever cross is at
    most ``spending.alpha``, whatever the number of looks. Results are cached by prefix, so a
    further look of a known schedule costs one step.

    References
    ----------
    .. [1] P. Armitage, C. K. McPherson, B. C. Rowe, J. R. Stat. Soc. A 132, 235-244 (1969).
       :doi:`10.2307/2343787`
    .. [2] K. K. G. Lan, D. L. DeMets, Biometrika 70, 659-663 (1983). :doi:`10.1093/biomet/70.3.659`

    Examples
    --------
    >>> from stats import Spending, SpendingShape, boundary
    >>> harm = Spending(SpendingShape.KIM_DEMETS, 0.025, epsilon=0.1, parameter=0.5)
    >>> [round(u, 3) for u in boundary(harm, [1 / 28, 2 / 28, 3 / 28]).bounds]
    [2.631, 2.815, 2.845]
    """
    if correlations is None:
        correlations = [0.0] + [math.sqrt(a / b) if b > 0 else 0.0 for a, b in pairwise(times)]
    state: _State | None = None
    bounds, spent = [], []
    for time, correlation in zip(times, correlations, strict=True):
        state = (
            _first(spending, float(time))
            if state is None
            else _next(state, float(time), float(correlation))
        )
        bounds.append(state.bound)
        spent.append(state.spent)
    return Boundary(tuple(bounds), tuple(spent))


def crossing_probabilities(bounds: Sequence[float], correlations: Sequence[float]) -> list[float]:
    """Compute the chance, under the null, to have crossed fixed upper bounds by each look.

    Parameters
    ----------
    bounds : sequence of float
        Upper bounds on the z scale; ``inf`` for a look without one.
    correlations : sequence of float
        As in `boundary`.

    Returns
    -------
    list of float
        Cumulative one-sided crossing probability, one per look.

    Raises
    ------
    SpendingError
        If a correlation lies outside [0, 1].
    """
    state: Density | None = None
    total, cumulative = 0.0, []
    for bound, correlation in zip(bounds, correlations, strict=True):
        state = Density() if state is None else state.advance(correlation)
        total += state.above(bound)[0]
        cumulative.append(total)
        state = state.cut(bound)
    return cumulative


@dataclass(frozen=True, eq=False)
class _State:
    """A boundary up to one look; equal only to itself, so it can key the cache."""

    spending: Spending
    time: float
    bound: float
    spent: float
    charged: float
    density: Density


# The caches hold values computed from their arguments alone: the same arguments give the same bits
# whether they come from here or are computed anew.
@lru_cache(maxsize=1024)
def _first(spending: Spending, time: float) -> _State:
    return _solve(spending, time, 0.0, Density(), math.inf)


@lru_cache(maxsize=4096)
def _next(before: _State, time: float, correlation: float) -> _State:
    if time < before.time:
        raise SpendingError(f"spending time goes back from {before.time:g} to {time:g}")
    density = before.density.advance(correlation)
    return _solve(before.spending, time, before.charged, density, before.bound)


def _solve(
    spending: Spending, time: float, charged: float, density: Density, start: float
) -> _State:
    spent = spending.spent(time)
    bound = density.quantile(spent - charged, start)
    # What an unattainable bound could not use is left for the next look.
    charged = charged if bound == math.inf else spent
    return _State(spending, time, bound, spent, charged, density.cut(bound))


def clear_cache() -> None:
    """Forget all bounds computed so far: for measuring, never needed for correctness."""
    _first.cache_clear()
    _next.cache_clear()
