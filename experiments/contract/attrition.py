"""How a plan says who was lost: ``attrition = "visit"``. Not said, nothing is asked.

In a stream of events no event is a zero, not a missing outcome; so somebody has to name an event
that whoever is still there sends, whatever it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.contract.document import Reader, format_duration
from experiments.contract.reading import as_named, read_events

STAYING = " attrition"
"""Key of what is measured beside the plan's metrics: theirs begin with no space."""

_HINT = 'an event that every unit still there sends, such as attrition = "visit"'


@dataclass(frozen=True)
class Attrition:
    """Who is lost: none of ``events`` from ``from_seconds`` to ``window_seconds`` after it entered.

    Parameters
    ----------
    events : tuple of str
        Any of them will do.
    from_seconds, window_seconds : float
        From a unit's first exposure; who has not been watched to the end of it is not asked about.
    longest_seconds : float
        The longest window of the plan's metrics: the window unless another one is said.
    """

    events: tuple[str, ...]
    from_seconds: float
    window_seconds: float
    longest_seconds: float

    def to_document(self) -> Any:
        """Give what the plan says; :func:`read_attrition` reads it back."""
        said: dict[str, Any] = {}
        if self.from_seconds:
            said["from"] = format_duration(self.from_seconds)
        if self.window_seconds != self.longest_seconds:
            said["window"] = format_duration(self.window_seconds)
        events = as_named(self.events)
        return {"event": events} | said if said else events


def read_attrition(reader: Reader, longest: float, *, replayed: bool) -> Attrition | None:
    """Read an event, a list of events, or a table with ``event``, ``from`` and ``window``.

    Raises
    ------
    PlanError
        If it is none of these, or the window is longer than every metric's, so that units that
        entered last could not be asked about.
    """
    if not reader.has("attrition"):
        return None
    if replayed:
        hint = "leave it out: of a file with a row per unit, a missing row is a lost unit"
        raise reader.fault("attrition", "is not read by a replay", hint)
    given = reader.take("attrition")
    if isinstance(given, Mapping):
        item, field = Reader(given, reader.name("attrition")), "event"
    else:
        # A fault of the short form is the field's own.
        item, field = Reader({"attrition": given}, reader.path), "attrition"
    events = read_events(item, field, _HINT)
    window = item.duration("window", longest)
    start = item.duration("from", 0.0)
    if not 0 < window <= longest:
        raise item.fault(
            "window",
            "must be longer than nothing, and no longer than the longest window of a metric",
            f"at most {format_duration(longest)}: who enters last is watched that long",
        )
    if start >= window:
        raise item.fault("from", "is not before the end of the window", None)
    item.finish()
    return Attrition(events, start, window, longest)
