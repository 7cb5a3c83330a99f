"""What a line of the calibration is: a simulation, what it found, and what it must find."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.calibrations.peer import GbStats

Array = NDArray[np.float64]

_INFINITE = math.inf


@dataclass(frozen=True)
class Finding:
    """One number, the limits it must keep, and what gbstats makes of the same data.

    With fewer replicas than the document asks for, the limits are already the wider ones.
    """

    what: str
    value: float
    se: float = 0.0
    at_least: float = -_INFINITE
    at_most: float = _INFINITE
    peer: str = ""

    @property
    def ok(self) -> bool:
        """Whether the limits are kept; never with NaN."""
        return self.at_least <= self.value <= self.at_most


@dataclass(frozen=True)
class Run:
    """How a line is to be simulated: with how many replicas, from which seed, beside whom."""

    line: str
    replicas: int
    full: int
    seed: int
    gbstats: GbStats | None = None

    def rng(self, *scenario: int) -> np.random.Generator:
        """Give one scenario its own chance, whichever other lines are run."""
        return np.random.default_rng([self.seed, zlib.crc32(self.line.encode()), *scenario])

    def parts(self, size: int) -> Iterator[int]:
        """Divide the replicas into parts that fit into memory."""
        for start in range(0, self.replicas, size):
            yield min(size, self.replicas - start)

    def share(
        self,
        what: str,
        hits: ArrayLike,
        *,
        at_least: float = -_INFINITE,
        at_most: float = _INFINITE,
        peer: ArrayLike | None = None,
    ) -> Finding:
        """Report the share of replicas in which something happened."""
        hit = np.asarray(hits, dtype=float)
        theirs = np.asarray(0.0 if peer is None else peer, dtype=float)
        text = "" if peer is None else shown(float(theirs.mean()), _share_se(theirs))
        low, high = self.widened(at_least, -1), self.widened(at_most, 1)
        return Finding(what, float(hit.mean()), _share_se(hit), low, high, text)

    def widened(self, limit: float, side: int) -> float:
        """Widen the limit of a share: a share near it has its spread, one of 0 none of its own."""
        if not 0 < limit < 1:
            return limit
        return limit + side * self._slack(math.sqrt(limit * (1 - limit)))

    def mean(
        self,
        what: str,
        values: ArrayLike,
        *,
        at_most: float,
        scale: float = 1.0,
        peer: ArrayLike | None = None,
    ) -> Finding:
        """Report a mean over the replicas."""
        x = np.asarray(values, dtype=float) * scale
        text = ""
        if peer is not None:
            theirs = np.asarray(peer, dtype=float) * scale
            text = shown(float(theirs.mean()), _mean_se(theirs))
        limit = at_most + self._slack(float(x.std()))
        return Finding(what, float(x.mean()), _mean_se(x), at_most=limit, peer=text)

    def median(
        self, what: str, values: ArrayLike, *, at_most: float, peer: ArrayLike | None = None
    ) -> Finding:
        """Report a median over the replicas; its standard error is that of order statistics."""
        x = np.sort(np.asarray(values, dtype=float))
        text = "" if peer is None else shown(float(np.median(np.asarray(peer, dtype=float))))
        half = math.sqrt(x.size) / 2
        low, high = (x[int(np.clip(x.size / 2 + side * half, 0, x.size - 1))] for side in (-1, 1))
        se = float(high - low) / 2 if math.isfinite(high) else 0.0
        limit = at_most + (3 * se if self.replicas < self.full else 0.0)
        return Finding(what, float(np.median(x)), se, at_most=limit, peer=text)

    def _slack(self, deviation: float) -> float:
        """Return three standard errors; the document's limits hold those of its own replicas."""
        if self.replicas >= self.full:
            return 0.0
        return 3 * deviation / math.sqrt(self.replicas)


@dataclass(frozen=True)
class Line:
    """One id of the document."""

    id: str
    what: str
    simulate: Callable[[Run], Iterator[Finding]]
    replicas: int = 10_000

    def run(self, replicas: int | None, seed: int, gbstats: GbStats | None) -> list[Finding]:
        """Simulate; fewer replicas than the document's widen the limits."""
        number = self.replicas if replicas is None else min(replicas, self.replicas)
        return list(self.simulate(Run(self.id, number, self.replicas, seed, gbstats)))


def shown(value: float, se: float | None = None) -> str:
    """Write a number and its standard error with the digits that mean something."""
    text = f"{value:.4f}" if abs(value) < 10 else f"{value:,.0f}"
    if se is None or se == 0:
        return text
    return f"{text} ± {se:.4f}" if abs(value) < 10 else f"{text} ± {se:,.0f}"


def _share_se(hits: Array) -> float:
    # Of no hits, or of nothing but hits, one could have been different.
    share, n = float(hits.mean()), hits.size
    return math.sqrt(max(share * (1 - share), 1 / n * (1 - 1 / n)) / n)


def _mean_se(values: Array) -> float:
    return float(values.std()) / math.sqrt(values.size)
