"""What code under test did: the exposures and tracking events that would have been sent."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from flagstone.events import Event, Met, Outbox, exposure, unit_text


@dataclass(frozen=True, slots=True)
class Exposure:
    """A unit met a variant; ``unit`` is text, as the service gets it."""

    flag: str
    variant: str
    unit: str
    rule: str | None
    time: float


@dataclass(frozen=True, slots=True)
class TrackedEvent:
    """A unit did something."""

    name: str
    unit: str
    value: float | None
    time: float


class Records:
    """Exposures and events in their order; ``refused`` counts what could never be sent.

    Every exposure is there, also what production sends once in five minutes only.
    """

    def __init__(self) -> None:
        self.exposures: list[Exposure] = []
        self.events: list[TrackedEvent] = []
        self.refused = 0
        self._lock = threading.Lock()

    @property
    def outbox(self) -> Outbox:
        """Where a client is to put what this keeps."""
        return Outbox(self._expose, self._put, self._refuse)

    def clear(self) -> None:
        """Forget everything."""
        self.exposures.clear()
        self.events.clear()
        self.refused = 0

    def exposed(self, flag: str, unit: object, variant: str | None) -> list[Exposure]:
        """Return the exposures of ``flag``; None for ``unit`` or ``variant`` means any."""
        return [
            one
            for one in self.exposures
            if one.flag == flag
            and (unit is None or one.unit == unit_text(unit))
            and (variant is None or one.variant == variant)
        ]

    def tracked(self, name: str, unit: object, value: float | None) -> list[TrackedEvent]:
        """Return the events called ``name``; None for ``unit`` or ``value`` means any."""
        return [
            one
            for one in self.events
            if one.name == name
            and (unit is None or one.unit == unit_text(unit))
            and (value is None or one.value == value)
        ]

    def _expose(self, met: Met, now: float) -> None:
        flag, _, variant, rule, *_ = met
        event = exposure(met, now)
        if event is None:
            self._refuse()
        else:
            self.exposures.append(Exposure(flag, variant, event.unit, rule, now))

    def _put(self, event: Event) -> None:
        value = event.fields.get("value")
        number = value if isinstance(value, (int, float)) else None
        self.events.append(TrackedEvent(str(event.fields["name"]), event.unit, number, event.time))

    def _refuse(self) -> None:
        with self._lock:
            self.refused += 1
