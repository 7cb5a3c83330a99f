"""Percentages of Flagsmith as ranges of buckets.

Flagsmith compares ``k / 9998 * 100`` with a percentage, ``k`` from 0 to 9997. That is a comparison
of floats; its edge is found by asking the same question of every ``k`` that could be it.
"""

from __future__ import annotations

import functools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Final

from flagstone.engine.bucketing import bucket

BUCKETS: Final = 9998
HASH: Final = "flagsmith"
HASH_OF_VALUES: Final = "flagsmith-trait"
"""Hashes a trait as Flagsmith reads it: the text ``007`` as 7, true as ``True``."""

Ranges = list[list[int]]


@functools.lru_cache(maxsize=1)
def _percentages() -> tuple[float, ...]:
    return tuple(k / BUCKETS * 100 for k in range(BUCKETS))


def buckets_up_to(percentage: float) -> int:
    """Return how many buckets are at or below a percentage."""
    return 0 if percentage != percentage else bisect_right(_percentages(), percentage)


def shares_of(weights: Sequence[float]) -> tuple[list[Ranges], Ranges]:
    """Return the ranges of each weight, one after the other, and what is left for control."""
    shares: list[Ranges] = []
    start, reached = 0.0, 0
    for weight in weights:
        start = weight + start
        end = bisect_left(_percentages(), start)
        shares.append([[reached, end]] if reached < end else [])
        reached = max(reached, end)
    return shares, [[reached, BUCKETS]] if reached < BUCKETS else []


def bucketing(salt: str, by: str | list[str] = "targetingKey", name: str = HASH) -> dict[str, Any]:
    """Return the bucketing of a salt."""
    return {"by": by, "hash": name, "salt": salt, "of": BUCKETS}


def lies_in(salt: str, unit: str, ranges: Ranges) -> bool:
    """Whether a unit's bucket lies in one of the ranges."""
    found = bucket(HASH, salt, unit, BUCKETS)
    return any(low <= found < high for low, high in ranges)
