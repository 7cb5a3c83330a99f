"""One outcome: a number with its definition, its unit and its cases, or too few cases for one."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.contract import words
from experiments.contract.money import money_text

FEW = 3
"""Fewer cases than this have no median, and no rate."""


_SPANS = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}


@dataclass(frozen=True)
class Outcome:
    """One number, and what it means.

    Parameters
    ----------
    value : float, optional
        ``None``: not enough yet.
    n, needed : int
        Cases that it rests on, and how many it takes.
    """

    key: str
    name: str
    definition: str
    unit: str
    n: int
    needed: int = FEW
    value: float | None = None

    @property
    def text(self) -> str:
        """Write the number with its unit, or say that there are too few cases."""
        if self.value is None:
            return "not enough yet"
        if self.unit == "share":
            return words.percent(self.value)
        if self.unit.startswith("money"):
            return money_text(round(self.value * 100), self.unit.removeprefix("money "))
        if self.unit in _SPANS:
            return _span(self.value * _SPANS[self.unit])
        return f"{words.plain(self.value, 3)} {self.unit}"

    def to_document(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {
            "key": self.key,
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "n": self.n,
            "needed": self.needed,
            "text": self.text,
            "definition": self.definition,
        }


def _span(seconds: float) -> str:
    """Write a stretch of time in the largest unit of which there is one."""
    unit = next((each for each, length in _SPANS.items() if abs(seconds) >= length), "seconds")
    count = words.plain(seconds / _SPANS[unit], 3)
    return f"{count} {unit.removesuffix('s') if count == '1' else unit}"


def median_of(
    key: str,
    name: str,
    definition: str,
    cases: Sequence[float],
    *,
    unit: str = "days",
    needed: int = FEW,
) -> Outcome:
    """Give the median of some cases."""
    value = statistics.median(cases) if len(cases) >= needed else None
    return Outcome(key, name, f"{definition} Median.", unit, len(cases), needed, value)


def share_of(key: str, name: str, definition: str, cases: Sequence[bool]) -> Outcome:
    """Give the share of cases that are so."""
    value = sum(cases) / len(cases) if len(cases) >= FEW else None
    return Outcome(key, name, definition, "share", len(cases), FEW, value)


def ratio_of(
    key: str, name: str, definition: str, pairs: Sequence[tuple[int | None, int | None]]
) -> Outcome:
    """Give all second amounts over all first ones, of the pairs that have both."""
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    total = sum(a for a, _b in both)
    enough = len(both) >= FEW and total > 0
    value = sum(b for _a, b in both) / total if enough else None
    return Outcome(key, name, definition, "share", len(both), FEW, value)
