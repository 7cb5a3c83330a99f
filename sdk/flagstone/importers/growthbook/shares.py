"""GrowthBook's shares: comparisons of fractions, as ranges of whole buckets.

The vendor divides a hash by the number of buckets and compares the fraction with floats. Which
buckets such a comparison takes is found by asking it, never by a formula: rounding would move
users.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from flagstone.importers.result import CannotCarryError

Span = tuple[int, int]


class Hash(NamedTuple):
    """One of the vendor's two hashes: its name here, and how many buckets it has."""

    name: str
    of: int


_HASHES: Final[Mapping[float, Hash]] = {
    1: Hash("growthbook-1", 1_000),
    2: Hash("growthbook-2", 10_000),
}
_LEAST_SUM: Final = 0.99
_GREATEST_SUM: Final = 1.01


def hash_of(version: object, default: int) -> Hash | None:
    """Return the hash of a version; ``None`` if the vendor has none of that number."""
    return _HASHES.get(default if version is None else number(version, "hashVersion"))


def number(value: object, what: str) -> float:
    """Return a number of the file."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise CannotCarryError(f"{what} must be a number")
    return value


def interval(value: object, what: str) -> tuple[float, float]:
    """Return a pair of fractions."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise CannotCarryError(f"{what} must be a pair of numbers")
    return number(value[0], what), number(value[1], what)


def first_bucket(fraction: float, of: int) -> int:
    """Return the first bucket whose fraction is ``fraction`` or more; ``of`` if there is none."""
    return bisect_left(range(of), True, key=lambda bucket: bucket / of >= fraction)


def span(low: float, high: float, of: int) -> Span:
    """Return the buckets for which ``low <= fraction < high``."""
    start = first_bucket(low, of)
    return start, max(start, first_bucket(high, of))


def covered(coverage: float, of: int, *, inclusive: bool) -> Span:
    """Return the buckets of a forced rule: below its coverage or, inclusively, up to it."""
    if coverage == 0:
        return 0, 0  # Nobody, by the vendor's own exception.
    if inclusive:
        return 0, bisect_left(range(of), True, key=lambda bucket: bucket / of > coverage)
    return 0, first_bucket(coverage, of)


def variation_ranges(
    count: int, ranges: object, weights: object, coverage: object, *, lenient: bool
) -> list[tuple[float, float]]:
    """Return the fractions of each variation, as the vendor computes them.

    Leniently, as in the JavaScript SDK, a weight may be negative if only the sum is right.
    """
    if ranges:
        if not isinstance(ranges, list):
            raise CannotCarryError("ranges must be a list")
        return [interval(pair, "a range") for pair in ranges]
    share = 1.0 if coverage is None else min(max(number(coverage, "coverage"), 0), 1)
    found, reached = [], 0.0
    for weight in _weights(count, weights, -math.inf if lenient else 0):
        # Summed in the vendor's order: another one would end in other floats.
        found.append((reached, reached + share * weight))
        reached += weight
    return found


def _weights(count: int, weights: object, least: float) -> Sequence[float]:
    """Return the weights, or equal ones where the vendor does not take those."""
    if isinstance(weights, list) and len(weights) == count and all(map(_is_weight, weights)):
        try:
            if min(weights) >= least and _LEAST_SUM <= sum(weights) <= _GREATEST_SUM:
                return weights
        except OverflowError:
            pass
    return [1 / count] * count


def _is_weight(weight: Any) -> bool:
    try:
        is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        return is_number and math.isfinite(weight)
    except OverflowError:
        return False


def spans_of(ranges: Sequence[tuple[float, float]], of: int) -> list[list[Span]]:
    """Return the buckets of each range; of ranges that overlap, the first one takes the bucket."""
    taken: list[Span] = []
    found = []
    for low, high in ranges:
        start, end = span(low, high, of)
        found.append(_without(taken, start, end) or [(start, start)])
        taken = sorted([*taken, (start, end)])
    return found


def _without(taken: Sequence[Span], start: int, end: int) -> list[Span]:
    rest = []
    for low, high in taken:
        if start < min(low, end):
            rest.append((start, min(low, end)))
        start = max(start, high)
    if start < end:
        rest.append((start, end))
    return rest
