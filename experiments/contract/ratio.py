"""What a ratio of a plan divides by what: clicks per session, revenue per order.

Both halves are sums over one unit's events within the window; the metric of an arm is the sum of
all numerators over the sum of all denominators, so that a busy unit weighs more than a quiet one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from experiments.contract.document import Reader
from experiments.contract.reading import as_named, named, read_events

ADDS = ("count", "value")


@dataclass(frozen=True)
class Ratio:
    """The halves of a ratio; its numerator's event is the metric's own.

    Parameters
    ----------
    numerator, denominator : {"count", "value"}
        Whether a half adds up the unit's events, or their values (an event without one adds 0).
    denominator_events : tuple of str
        Names of the events below the line; they may be those above it.
    denominator_column : str, optional
        Column of a replayed file with one row per unit.
    """

    numerator: str
    denominator_events: tuple[str, ...]
    denominator: str
    denominator_column: str | None = None

    @property
    def denominator_event(self) -> str:
        """Name what is below the line."""
        return named(self.denominator_events)

    def to_document(self) -> dict[str, Any]:
        """Give the fields of the metric's table that describe the ratio."""
        document: dict[str, Any] = {
            "numerator": self.numerator,
            "denominator_event": as_named(self.denominator_events),
            "denominator": self.denominator,
        }
        if self.denominator_column is not None:
            document["denominator_column"] = self.denominator_column
        return document

    def numerator_of(self, event: str) -> str:
        """Name what stands above the line: ``purchase``, ``value of purchase``."""
        return _half(self.numerator, event)

    def unit(self, event: str) -> str:
        """Name the ratio's unit: ``value of purchase per session``."""
        below = _half(self.denominator, self.denominator_event)
        return f"{self.numerator_of(event)} per {below}"


def read_ratio(item: Reader, kind: str, events: tuple[str, ...]) -> Ratio | None:
    """Read the halves of a ratio; other kinds have none, and may not name any.

    Raises
    ------
    PlanError
        If a half is missing, or both are the same.
    """
    if kind != "ratio":
        return None
    hint = "the event that it is divided by, such as session"
    ratio = Ratio(
        numerator=item.choice("numerator", ADDS, "count"),
        denominator_events=read_events(item, "denominator_event", hint),
        denominator=item.choice("denominator", ADDS, "count"),
        denominator_column=item.text("denominator_column", None),
    )
    same = set(events) == set(ratio.denominator_events)
    if same and ratio.numerator == ratio.denominator:
        raise item.fault(
            "denominator_event",
            "divides the event by itself: that is always 1",
            'name another event, or numerator = "value" for the mean value of this one',
        )
    if item.has("covariate"):
        raise item.fault(
            "covariate", "is for means and counts", "a ratio is not adjusted yet: leave it out"
        )
    return ratio


def _half(adds: str, event: str) -> str:
    return f"value of {event}" if adds == "value" else event
