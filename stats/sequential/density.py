"""Where the paths of a sequential test are that have not crossed a bound yet.

Armitage, McPherson and Rowe (1969): the statistics of consecutive looks form a Gaussian Markov
chain, here with mean 0 and variance 1. The density of the last one over the paths that are still
inside is carried from look to look by numerical integration. A chain with other means is this one
with its bounds moved by the means, so drift needs nothing more.

This module hides one decision: the grid. Composite Gauss-Legendre of six points, panels as wide as
two standard deviations of the narrower of the two steps beside it; halving them moves bounds by
1e-8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from stats.errors import SpendingError

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
_EMPTY = np.empty(0)


@dataclass(frozen=True, eq=False)
class Density:
    """Density of a look's statistic over the paths that have not crossed before.

    It is held as the density of the look before on a grid (``points``, with ``mass`` = weight times
    density) and the ``correlation`` that carries it over: the grid of this look is only laid when
    the next correlation is known, for that decides how fine it must be. ``low`` and ``high`` are
    this look's own bounds, which cut the paths that go on.
    """

    before: tuple[Array, Array] | None = None
    correlation: float = 0.0
    low: float = -math.inf
    high: float = math.inf

    def cut(self, high: float, low: float = -math.inf) -> Density:
        """Drop the paths at or above ``high``, and those at or below ``low``."""
        return Density(self.before, self.correlation, low, high)

    def advance(self, correlation: float) -> Density:
        """Move to the next look."""
        if not 0 <= correlation <= 1:
            raise SpendingError(f"two looks cannot have the correlation {correlation}")
        correlation = min(correlation, MAX_CORRELATION)
        width = 2 * min(_deviation(self.correlation), _deviation(correlation))
        bottom, top = max(self.low, _FLOOR), min(self.high, CEILING)
        if bottom >= top:
            return Density((_EMPTY, _EMPTY), correlation)
        panels = max(1, math.ceil((top - bottom) / width))
        half = (top - bottom) / panels / 2
        centres = bottom + half * (2 * np.arange(panels) + 1)
        points = (centres[:, None] + half * _NODES).ravel()
        mass = np.tile(half * _WEIGHTS, panels) * self._at(points)
        return Density((points, mass), correlation)

    def above(self, u: float) -> tuple[float, float]:
        """Return the probability at or above ``u``, and the density at ``u``."""
        return self._tail(u, 1.0)

    def below(self, u: float) -> float:
        """Return the probability at or below ``u``."""
        return self._tail(u, -1.0)[0]

    def quantile(self, probability: float, start: float) -> float:
        """Find the point with ``probability`` above it; ``inf`` beyond the ceiling."""
        if probability <= 0 or self.above(CEILING)[0] > probability:
            return math.inf
        # A normal density cut by an interval and carried on stays log-concave, and so does its
        # tail (Prekopa): Newton steps on log(tail) overshoot to the right at most once, then fall
        # monotonically. The bisection is for tails that underflow to zero.
        low, high = _FLOOR, CEILING
        goal = math.log(probability)
        u = min(start, CEILING)
        for _ in range(100):
            tail, density = self.above(u)
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

    def _at(self, z: Array) -> Array:
        """Evaluate the sub-density at ``z``, rising."""
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

    def _tail(self, u: float, side: float) -> tuple[float, float]:
        if u == side * math.inf:
            return 0.0, 0.0
        if self.before is None:
            return float(special.ndtr(-side * u)), math.exp(-u * u / 2) / _ROOT_TWO_PI
        points, mass = self.before
        deviation = _deviation(self.correlation)
        distance = (u - self.correlation * points) / deviation
        tail = float(mass @ special.ndtr(-side * distance))
        density = float(mass @ np.exp(-0.5 * distance * distance)) / (deviation * _ROOT_TWO_PI)
        return tail, density


def _kernel(ends: Array, starts: Array) -> Array:
    """Return exp(-(end - start)**2 / 2) for every pair."""
    kernel: Array = np.subtract.outer(ends, starts)
    np.multiply(kernel, kernel, out=kernel)
    kernel *= -0.5
    return np.exp(kernel, out=kernel)


def _deviation(correlation: float) -> float:
    """Return the standard deviation of a look's statistic given the one before."""
    return math.sqrt(1 - correlation * correlation)
