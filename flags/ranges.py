"""Weights and coverage, as authors see them, to and from the bucket ranges that are stored.

Every variant owns a *slot*: its share of all buckets, cut once by the weights. Coverage fills each
slot from its start: ``[slot start, slot start + coverage x slot width)``. So widening a rollout
only ever appends buckets at the end of a slot, and never moves a unit that was in. A slot filled to
nothing is kept as the empty range ``[start, start)``, so that coverage 0 remembers its weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from flags.errors import InvalidInputError

BUCKETS = 10_000
MAX_WEIGHT = 1_000_000


def ranges_for(
    weights: Mapping[str, int], coverage: float, of: int = BUCKETS
) -> list[dict[str, Any]]:
    """Give the ``to`` of a split: for each variant its half-open integer ranges.

    Parameters
    ----------
    weights : mapping of str to int
        Variants in order, each with its weight out of the sum.
    coverage : float
        Share of the units that the rule takes in, 0 to 1.
    of : int
        Number of buckets.

    Raises
    ------
    InvalidInputError
        With ``field`` ``weights`` or ``coverage``.
    """
    _check_weights(weights)
    share = check_coverage(coverage)
    total = sum(weights.values())
    to = []
    before = 0
    for variant, weight in weights.items():
        start = _rounded(Fraction(of * before, total))
        before += weight
        width = _rounded(Fraction(of * before, total)) - start
        to.append({"variant": variant, "ranges": [[start, start + _rounded(share * width)]]})
    return to


def read_split(split: Mapping[str, Any]) -> tuple[dict[str, int], float] | None:
    """Give the weights and the coverage of a split, or ``None`` if it was not laid out by them.

    ``ranges_for(weights, coverage, of)`` gives back the same ranges exactly. Weights come back as
    percentages where those are exact, else as the smallest whole numbers that are.
    """
    of = split.get("of", BUCKETS)
    to = split.get("to")
    if not isinstance(of, int) or not isinstance(to, Sequence) or not to:
        return None
    starts, ends, names = [], [], []
    for entry in to:
        ranges = entry["ranges"]
        if len(ranges) != 1 or entry["variant"] in names:
            return None
        start, end = ranges[0]
        starts.append(start)
        ends.append(end)
        names.append(entry["variant"])
    widths = [after - start for start, after in zip(starts, [*starts[1:], of], strict=True)]
    filled = [end - start for start, end in zip(starts, ends, strict=True)]
    if starts[0] != 0 or any(not 0 <= f <= w for f, w in zip(filled, widths, strict=True)):
        return None
    coverage = _coverage_of(filled, widths)
    if coverage is None:
        return None
    return dict(zip(names, _simple_weights(starts, widths, of), strict=True)), coverage


def check_coverage(coverage: float) -> Fraction:
    """Give the exact decimal that the caller wrote, between 0 and 1."""
    if isinstance(coverage, bool) or not math.isfinite(coverage) or not 0 <= coverage <= 1:
        raise InvalidInputError(
            f"coverage is between 0 and 1, not {coverage!r}",
            field="coverage",
            hint="0.25 takes in 25 % of the units",
        )
    # 0.29 means 29/100, not the binary float a hair below it: its text is what people meant.
    return Fraction(repr(float(coverage)))


def _check_weights(weights: Mapping[str, int]) -> None:
    if not weights:
        raise InvalidInputError("a split needs at least one variant", field="weights")
    for variant, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int):
            raise InvalidInputError("a weight is a whole number", field=f"weights.{variant}")
        if not 0 <= weight <= MAX_WEIGHT:
            raise InvalidInputError(
                f"a weight is between 0 and {MAX_WEIGHT}", field=f"weights.{variant}"
            )
    if not any(weights.values()):
        raise InvalidInputError("at least one weight must be above 0", field="weights")


def _rounded(number: Fraction) -> int:
    return math.floor(number + Fraction(1, 2))


def _coverage_of(filled: list[int], widths: list[int]) -> float | None:
    """Give the shortest decimal that fills every slot as it is filled."""
    slots = [(f, w) for f, w in zip(filled, widths, strict=True) if w]
    lowest = max(Fraction(2 * f - 1, 2 * w) for f, w in slots)
    share = Fraction(sum(filled), sum(widths))
    for digits in range(18):
        for exact in (round(share, digits), Fraction(math.ceil(lowest * 10**digits), 10**digits)):
            coverage = min(max(float(exact), 0.0), 1.0)
            written = Fraction(repr(coverage))
            if all(_rounded(written * w) == f for f, w in slots):
                return coverage
    return None


def _simple_weights(starts: list[int], widths: list[int], of: int) -> list[int]:
    for total in (100, *range(1, 100), 1000):
        weights = [_rounded(Fraction(width * total, of)) for width in widths]
        if sum(weights) == total and _starts(weights, of) == starts:
            return weights
    divisor = math.gcd(*widths)
    return [width // divisor for width in widths]


def _starts(weights: list[int], of: int) -> list[int]:
    total = sum(weights)
    return [_rounded(Fraction(of * sum(weights[:i]), total)) for i in range(len(weights))]
