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

import numpy as np
from numpy.typing import NDArray
from scipy import special

from stats.errors import SpendingError
from stats.sequential.spending import Spending

Array = NDArray[np.float64]

#: Statistics above this are out of reach: a bound beyond it is reported as infinite.
CEILING = 9.0
# Paths below it are dropped. Looks are positively correlated, so dropping them changes a crossing
# probability by less than its 6e-16-th part.
_FLOOR = -8.0
#: Largest correlation of two looks that the integration grid resolves (STATISTICS.md 1.4).
MAX_CORRELATION = 0.99999

# Pairs of grid points that are computed all at once; rows of a block if there are more; standard
# deviations at which a step from look to look has no weight left (5e-23).
_WHOLE = 20_000
_BLOCK = 64
_REACH = 10.0

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
_ROOT_TWO_PI = math.sqrt(2 * math.pi)


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
    state: _Density | None = None
    total, cumulative = 0.0, []
    for bound, correlation in zip(bounds, correlations, strict=True):
        state = _Density(None, 0.0) if state is None else state.advance(correlation)
        total += state.tail(bound)[0]
        cumulative.append(total)
        state = state.cut(bound)
    return cumulative


@dataclass(frozen=True, eq=False)
class _Density:
    """Density of a look's statistic over the paths that have not crossed before.

    It is held as the density of the look before on a grid (``points``, with ``mass`` = weight times
    density) and the ``correlation`` that carries it over: the grid of this look is only laid when
    the next correlation is known, for that decides how fine it must be.
    """

    before: tuple[Array, Array] | None
    correlation: float
    bound: float = math.inf

    def cut(self, bound: float) -> _Density:
        """Drop the paths at or above ``bound``."""
        return _Density(self.before, self.correlation, bound)

    def advance(self, correlation: float) -> _Density:
        """Move to the next look."""
        if not 0 <= correlation <= 1:
            raise SpendingError(f"two looks cannot have the correlation {correlation}")
        correlation = min(correlation, MAX_CORRELATION)
        width = 2 * min(_deviation(self.correlation), _deviation(correlation))
        top = min(self.bound, CEILING)
        panels = max(1, math.ceil((top - _FLOOR) / width))
        half = (top - _FLOOR) / panels / 2
        centres = _FLOOR + half * (2 * np.arange(panels) + 1)
        points = (centres[:, None] + half * _NODES).ravel()
        mass = np.tile(half * _WEIGHTS, panels) * self.density(points)
        return _Density((points, mass), correlation)

    def density(self, z: Array) -> Array:
        """Evaluate the sub-density at ``z``."""
        if self.before is None:
            return np.exp(-z * z / 2) / _ROOT_TWO_PI
        points, mass = self.before
        deviation = _deviation(self.correlation)
        ends, starts = z / deviation, points * (self.correlation / deviation)
        if ends.size * starts.size <= _WHOLE:
            carried = _kernel(ends, starts) @ mass
        else:
            # Two nearly equal looks need a fine grid on both sides, but each point then only
            # hears from its neighbours.
            carried = np.empty_like(ends)
            for first in range(0, ends.size, _BLOCK):
                block = ends[first : first + _BLOCK]
                near = slice(*np.searchsorted(starts, (block[0] - _REACH, block[-1] + _REACH)))
                carried[first : first + _BLOCK] = _kernel(block, starts[near]) @ mass[near]
        density: Array = carried / (deviation * _ROOT_TWO_PI)
        return density

    def tail(self, u: float) -> tuple[float, float]:
        """Return the probability at or above ``u``, and the density at ``u``."""
        if u == math.inf:
            return 0.0, 0.0
        if self.before is None:
            return float(special.ndtr(-u)), math.exp(-u * u / 2) / _ROOT_TWO_PI
        points, mass = self.before
        deviation = _deviation(self.correlation)
        distance = (u - self.correlation * points) / deviation
        tail = float(mass @ special.ndtr(-distance))
        density = float(mass @ np.exp(-0.5 * distance * distance)) / (deviation * _ROOT_TWO_PI)
        return tail, density

    def quantile(self, probability: float, start: float) -> float:
        """Find the point with ``probability`` above it; ``inf`` beyond the ceiling."""
        if probability <= 0 or self.tail(CEILING)[0] > probability:
            return math.inf
        # A normal density cut from above and carried on stays log-concave, and so does its tail
        # (Prekopa): Newton steps on log(tail) overshoot to the right at most once, then fall
        # monotonically. The bisection is for tails that underflow to zero.
        low, high = _FLOOR, CEILING
        goal = math.log(probability)
        u = min(start, CEILING)
        for _ in range(100):
            tail, density = self.tail(u)
            if tail > probability:
                low = u
            else:
                high = u
            usable = tail > 0 and density > 0
            step = (math.log(tail) - goal) * tail / density if usable else math.inf
            moved = u + step if low <= u + step <= high else (low + high) / 2
            if abs(moved - u) <= 1e-13 * max(1.0, abs(u)):
                return moved
            u = moved
        return u


@dataclass(frozen=True, eq=False)
class _State:
    """A boundary up to one look; equal only to itself, so it can key the cache."""

    spending: Spending
    time: float
    bound: float
    spent: float
    charged: float
    density: _Density


def _kernel(ends: Array, starts: Array) -> Array:
    """Return exp(-(end - start)**2 / 2) for every pair."""
    kernel: Array = np.subtract.outer(ends, starts)
    np.multiply(kernel, kernel, out=kernel)
    kernel *= -0.5
    return np.exp(kernel, out=kernel)


def _deviation(correlation: float) -> float:
    """Return the standard deviation of a look's statistic given the one before."""
    return math.sqrt(1 - correlation * correlation)


# The caches hold values computed from their arguments alone: the same arguments give the same bits
# whether they come from here or are computed anew.
@lru_cache(maxsize=1024)
def _first(spending: Spending, time: float) -> _State:
    return _solve(spending, time, 0.0, _Density(None, 0.0), math.inf)


@lru_cache(maxsize=4096)
def _next(before: _State, time: float, correlation: float) -> _State:
    if time < before.time:
        raise SpendingError(f"spending time goes back from {before.time:g} to {time:g}")
    density = before.density.advance(correlation)
    return _solve(before.spending, time, before.charged, density, before.bound)


def _solve(
    spending: Spending, time: float, charged: float, density: _Density, start: float
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
