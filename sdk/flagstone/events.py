"""Exposures and tracking events on their way: a bounded queue, and a memory against floods.

``put`` and ``expose`` are called by the application's threads and may be interrupted by a
finaliser or a signal handler that calls them again: hence the re-entrant lock, held for
microseconds.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, TypeAlias

BATCH_EVENTS = 500
# What the service takes; refused here, an event costs no round trip.
MAX_UNIT_CHARACTERS = 512
MAX_NAME_CHARACTERS = 256
MAX_VALUE = 1e15
MAX_ATTRIBUTES = 8
MAX_ATTRIBUTE_CHARACTERS = 64
MEMORY_EXPOSURES = 50_000

# flag key, unit as the caller gave it, variant, rule; and, no part of identity, revision and what
# of the context goes along
Met: TypeAlias = tuple[str, object, str, str | None, int, Mapping[str, object] | None]


_NOTHING_YET: Mapping[object, float] = {}


class Event(NamedTuple):
    """One exposure or tracking event; the sender gives it its identifier."""

    type: str
    time: float
    unit: str
    fields: Mapping[str, object]


class Outbox(NamedTuple):
    """Where exposures and events go: each of these returns at once.

    ``expose`` takes what was met and when, ``put`` an event, ``refuse`` counts one that could
    never be sent. What stands in ``recent`` (flag, unit, variant, rule → POSIX seconds) and is
    younger than ``window_seconds`` need not be exposed again. ``attributes`` names what of a
    context goes along with an exposure: nothing, unless somebody asked for it.
    """

    expose: Callable[[Met, float], object]
    put: Callable[[Event], object]
    refuse: Callable[[], object]
    recent: Mapping[object, float] = _NOTHING_YET
    window_seconds: float = 0.0
    attributes: tuple[str, ...] = ()


class EventQueue:
    """At most ``size`` events that are not yet settled, and the counts of all others.

    An event is *settled* when the service has stored or refused it, or when it is on the disk.
    Order is kept, so that "everything up to the n-th is settled" is one comparison.
    """

    def __init__(self, size: int, wake: Callable[[], None]) -> None:
        self._size = size
        self._wake = wake
        self._waiting: deque[Event] = deque()
        self._lock = threading.RLock()
        self._settling = threading.Condition(self._lock)
        self._closed = False
        self.first_at = 0.0
        self.accepted = 0
        self.settled = 0
        self.dropped = 0
        self.invalid = 0

    @property
    def waiting(self) -> int:
        """How many events wait to be taken."""
        return len(self._waiting)

    @property
    def unsettled(self) -> int:
        """How many events wait or are under way."""
        return self.accepted - self.settled

    @property
    def crowded(self) -> bool:
        """Whether so many events wait that there may soon be no room."""
        return len(self._waiting) * 2 > self._size

    def put(self, event: Event) -> bool:
        """Append ``event``; a full or closed queue counts it as dropped and returns False."""
        with self._lock:
            if self._closed or self.accepted - self.settled >= self._size:
                self.dropped += 1
                return False
            if not self._waiting:
                self.first_at = time.monotonic()
            self._waiting.append(event)
            self.accepted += 1
            count = len(self._waiting)
        if count == 1 or count == BATCH_EVENTS:
            self._wake()
        return True

    def refuse(self) -> None:
        """Count an event that could never be sent."""
        with self._lock:
            self.invalid += 1

    def take(self, limit: int) -> list[Event]:
        """Remove and return the oldest events."""
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    def settle(self, count: int) -> None:
        """Say that the ``count`` oldest events have been stored or refused."""
        with self._settling:
            self.settled += count
            self._settling.notify_all()

    def wait(self, reached: Callable[[], bool], deadline: float) -> bool:
        """Wait until ``reached()``, asked after each ``settle``, at most until ``deadline``."""
        with self._settling:
            while not reached():
                left = deadline - time.monotonic()
                if left <= 0.0:
                    return False
                self._settling.wait(left)
        return True

    def close(self) -> None:
        """Take no further event."""
        self._closed = True


class ExposureMemory:
    """Which exposures were recorded of late: the one recorded first is forgotten first.

    ``recent`` is read without the lock; what is read there is at worst a moment old, and
    :meth:`record` looks again.
    """

    def __init__(self, size: int, window_seconds: float, attributes: tuple[str, ...] = ()) -> None:
        self._size = size
        self._attributes = attributes
        self.window_seconds = window_seconds
        self.recent: OrderedDict[object, float] = OrderedDict()
        self._lock = threading.RLock()

    def outbox(self, queue: EventQueue) -> Outbox:
        """Return where exposures go that are to be remembered here."""
        return Outbox(
            partial(self.record, queue),
            queue.put,
            queue.refuse,
            self.recent,
            self.window_seconds,
            self._attributes,
        )

    def record(self, queue: EventQueue, met: Met, now: float) -> None:
        """Queue an exposure unless the same one was queued within the window."""
        key = met[:4]
        recent = self.recent
        with self._lock:
            recorded = recent.get(key)
            if recorded is not None and abs(now - recorded) < self.window_seconds:
                return
            event = exposure(met, now)
            if event is None:
                queue.refuse()
            elif queue.put(event):  # one that found no room is tried again when it is next seen
                recent[key] = now
                if recorded is not None:
                    recent.move_to_end(key)
                elif len(recent) > self._size:
                    recent.popitem(last=False)

    def after_fork(self) -> None:
        """Replace the lock, whose owner may not exist here; what the parent recorded it sends."""
        self._lock = threading.RLock()


def unit_text(unit: object) -> str | None:
    """Return a unit as the engine prints it, None if it is not one."""
    if isinstance(unit, str):
        return unit if _sendable(unit, MAX_UNIT_CHARACTERS) else None
    if isinstance(unit, bool):
        return None
    if isinstance(unit, int):
        return str(unit)
    if isinstance(unit, float) and unit.is_integer():
        return str(int(unit))
    return None


def exposure(met: Met, now: float) -> Event | None:
    """Return the event that says: this unit met this variant; None if the unit is no unit."""
    flag_key, raw_unit, variant, rule_id, revision, attributes = met
    unit = unit_text(raw_unit)
    if not unit:
        return None
    fields: dict[str, object] = {"flag": flag_key, "variant": variant, "revision": revision}
    if rule_id is not None:
        fields["rule"] = rule_id
    if attributes:
        fields["attributes"] = attributes
    return Event("exposure", now, unit, fields)


def chosen(names: tuple[str, ...], context: Mapping[str, Any]) -> dict[str, object]:
    """Return what ``context`` says of ``names``, as far as the service takes it.

    Text of 1 to 64 characters, finite numbers and booleans; all else says nothing.
    """
    found: dict[str, object] = {}
    for name in names:
        value = context.get(name)
        if isinstance(value, str):
            if value and _sendable(value, MAX_ATTRIBUTE_CHARACTERS):
                found[name] = value
        elif isinstance(value, (bool, int, float)) and -MAX_VALUE <= value <= MAX_VALUE:
            found[name] = value
    return found


def tracking_event(
    name: object, context_or_unit: object, value: object, at: datetime | float | None, now: float
) -> Event:
    """Return the event that says: this unit did this; a ValueError names what cannot be sent."""
    if not isinstance(name, str) or not name or not _sendable(name, MAX_NAME_CHARACTERS):
        raise ValueError(f"the name must be a string of 1 to {MAX_NAME_CHARACTERS} characters")
    if isinstance(context_or_unit, Mapping):
        context_or_unit = context_or_unit.get("targetingKey")
    unit = unit_text(context_or_unit)
    if not unit:
        raise ValueError("there is no usable unit: pass it, or a context with a targetingKey")
    fields: dict[str, object] = {"name": name}
    if value is not None:
        fields["value"] = number = _number(value, "value")
        if abs(number) > MAX_VALUE:
            raise ValueError(f"the value must lie between -{MAX_VALUE:g} and {MAX_VALUE:g}")
    return Event("track", now if at is None else _seconds(at), unit, fields)


def _seconds(at: datetime | float) -> float:
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise ValueError("the time has no time zone")
        return at.timestamp()
    return float(_number(at, "time"))


def _number(value: object, name: str) -> int | float:
    import numbers

    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"the {name} must be a number, not {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"the {name} must be finite")
    return int(value) if isinstance(value, numbers.Integral) and abs(number) < 2**53 else number


def _sendable(text: str, longest: int) -> bool:
    """Whether ``text`` is valid Unicode (JSON can carry a lone surrogate) and not too long."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return len(text) <= longest
