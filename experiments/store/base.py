"""The words that all event stores share: events, what became of them, and errors.

Errors::

    FlagstoneError
    ├── InvalidInputError
    │   └── EventError           a batch cannot be understood; nothing of it was stored
    │       └── EventTimeError   an event of it is too old, or too far in the future
    └── StoreError               the store cannot do it now
        └── FullError            it holds as much as it may; try again after a while
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from flags.errors import FlagstoneError, InvalidInputError

SECONDS_PER_DAY = 86_400
MICROSECONDS = 1_000_000
_EPOCH = dt.date(1970, 1, 1).toordinal()
# A store may forget the id of an event that is older, so nothing older may come in.
MAX_AGE_SECONDS = 90.0 * SECONDS_PER_DAY


class EventError(InvalidInputError):
    """An event, or the batch around it, cannot be understood."""

    code = "invalid_event"


class EventTimeError(EventError):
    """An event's time lies too far from now, before or after.

    Parameters
    ----------
    message, field, hint
        As of any error.
    counts : mapping of str to int
        How many events of the batch are ``too_old`` and ``too_far_ahead``.
    """

    def __init__(self, message: str, *, field: str, hint: str, counts: Mapping[str, int]) -> None:
        super().__init__(message, field=field, hint=hint)
        self.counts = counts


class StoreError(FlagstoneError):
    """The event store cannot do what was asked, through no fault of the batch."""

    code = "store_unavailable"


class FullError(StoreError):
    """The store cannot take the batch now; nothing of it was stored.

    Parameters
    ----------
    message : str
        One sentence that says what is wrong.
    retry_after_seconds : int
        When to try again; the data plane sends it as ``Retry-After``.
    """

    code = "store_full"

    def __init__(self, message: str, *, retry_after_seconds: int = 5) -> None:
        super().__init__(message, hint=f"Send it again in {retry_after_seconds} seconds.")
        self.retry_after_seconds = retry_after_seconds


class Event(NamedTuple):
    """An exposure (``flag`` is set) or a tracking event (``name`` is set).

    A named tuple in the order of the inbox's columns: it is bound to SQLite as it is.

    Parameters
    ----------
    id : bytes
        Sixteen bytes of a UUID, chosen by the sender; a repetition is recognised by it.
    environment_id : int
        The environment that the event belongs to.
    time : float
        POSIX seconds; kept to the microsecond.
    unit : str
        Targeting key of the unit.
    flag, variant, rule, revision
        What the unit met; ``None`` in a tracking event.
    name, value
        What the unit did, and an optional number; ``None`` in an exposure.
    attributes : str, optional
        Of an exposure: what its sender says of the unit, as :func:`attributes_text` writes it.
    """

    id: bytes
    environment_id: int
    time: float
    unit: str
    flag: str | None = None
    variant: str | None = None
    rule: str | None = None
    revision: int | None = None
    name: str | None = None
    value: float | None = None
    attributes: str | None = None


def attributes_text(values: Mapping[str, str]) -> str | None:
    """Write attributes as every store keeps them: one JSON object of texts, by name.

    Equal attributes are equal texts, so that a column of them has few different values.
    """
    if not values:
        return None
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def date_of_day(day: int) -> dt.date:
    """Give the date of a day counted from 1970-01-01."""
    return dt.date.fromordinal(_EPOCH + day)


def whole_microseconds(time: float) -> float:
    """Round POSIX seconds to the microsecond, as the store does.

    Waiting rows and drained rows must give equal times to the last bit; so both keep an integer
    count of microseconds, and this is the number that comes back.
    """
    # Halves upwards, as SQLite's round() does; Python's own would go to the even neighbour.
    return math.floor(time * MICROSECONDS + 0.5) / MICROSECONDS


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What became of a batch: all of it is durable, or an error was raised.

    Parameters
    ----------
    accepted : int
        Events stored by this call.
    duplicates : int
        Events whose id the store already had; they changed nothing.
    """

    accepted: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class DrainResult:
    """What one drain did.

    Parameters
    ----------
    events : int
        Events moved from the inbox to files.
    files : int
        Files written for them.
    merged : int
        Small files that were merged into larger ones.
    swept : int
        Files deleted: leftovers of a crash, and files that a merge replaced.
    busy : bool
        Another process was draining; this call did nothing.
    dropped : int
        Files or tables of whole days that were too old to be kept.
    """

    events: int = 0
    files: int = 0
    merged: int = 0
    swept: int = 0
    busy: bool = False
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What a store holds.

    Parameters
    ----------
    events : int
        All of them, waiting or not.
    exact : bool
        Whether ``events`` is counted, or what the database believes.
    days : int
        Days with drained events.
    oldest, newest : date, optional
        The first and the last of them (UTC).
    bytes : int
        On the disk, with the ids that are remembered.
    waiting : int
        Events that are not in files yet; always 0 in PostgreSQL.
    """

    events: int
    exact: bool
    days: int
    oldest: dt.date | None
    newest: dt.date | None
    bytes: int
    waiting: int
