"""What a plan states of today where nothing is measured yet: traffic, and each metric's baseline.

A stated number is a claim of the plan's author, sealed with it. It fills a gap and never replaces a
measurement, and whoever shows it says "stated, not measured" beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.contract.document import Reader


@dataclass(frozen=True)
class StatedBaseline:
    """A metric as its author expects it today.

    Parameters
    ----------
    baseline : float
        Rate of a conversion, mean per unit of anything else, in the metric's unit.
    deviation : float, optional
        Standard deviation over units; conversions have none of their own.
    """

    baseline: float
    deviation: float | None = None

    def to_document(self) -> dict[str, float]:
        """Give it as plain data."""
        deviation = {} if self.deviation is None else {"sd": self.deviation}
        return {"baseline": self.baseline} | deviation


@dataclass(frozen=True)
class Expected:
    """The table ``[expected]`` of a plan.

    Parameters
    ----------
    units_per_day : float, optional
        New units of the audience on a day of the policy, whether or not they take part.
    metrics : mapping of str to StatedBaseline
        By the metric's key.
    """

    units_per_day: float | None = None
    metrics: Mapping[str, StatedBaseline] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """Give the table as plain data, without what was not said."""
        document: dict[str, Any] = {}
        if self.units_per_day is not None:
            document["units_per_day"] = self.units_per_day
        if self.metrics:
            document["metrics"] = {key: each.to_document() for key, each in self.metrics.items()}
        return document


def read_expected(reader: Reader, binary: Mapping[str, bool]) -> Expected | None:
    """Read ``[expected]``; ``None`` if the plan states nothing.

    Parameters
    ----------
    binary : mapping of str to bool
        The plan's metrics, and whether a unit's outcome is 0 or 1.

    Raises
    ------
    PlanError
        If a metric is not the plan's, or a number is outside its range.
    """
    if not reader.has("expected"):
        return None
    table = Reader(reader.take("expected"), reader.name("expected"))
    units = table.number("units_per_day", None, above=0, most=1e12)
    found: dict[str, StatedBaseline] = {}
    if table.has("metrics"):
        metrics = Reader(table.take("metrics"), table.name("metrics"))
        for key, is_binary in binary.items():
            if metrics.has(key):
                item = Reader(metrics.take(key), metrics.name(key))
                found[key] = _read_baseline(item, binary=is_binary)
        metrics.finish()
    table.finish()
    return Expected(units, found)


def _read_baseline(item: Reader, *, binary: bool) -> StatedBaseline:
    if binary:
        hint = "the share of units that do it today, such as baseline = 0.11"
        stated = StatedBaseline(item.number("baseline", above=0, below=1, hint=hint))
    else:
        hint = "the mean per unit today, such as baseline = 24.5"
        baseline = item.number("baseline", hint=hint)
        if baseline == 0:
            raise item.fault("baseline", "is 0", "effects are relative to it: it cannot be 0")
        hint = "the standard deviation over units, such as sd = 60"
        stated = StatedBaseline(baseline, item.number("sd", above=0, hint=hint))
    item.finish()
    return stated
