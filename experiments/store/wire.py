"""Read a batch of events off the wire: the one door that may refuse.

A batch is refused as a whole, with the path of the first fault (``events[3].unit``). The reader is
strict: no unknown field, no number in quotes, no boolean as a number, no NaN or infinity. It is
lenient in one thing, which the parser does not tell: of a key given twice the last one counts.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Annotated, Any, NoReturn
from uuid import UUID

import msgspec

from experiments.store.base import (
    MAX_AGE_SECONDS,
    SECONDS_PER_DAY,
    Event,
    EventError,
    EventTimeError,
    attributes_text,
    whole_microseconds,
)
from experiments.store.quality import refused_times

MAX_EVENTS = 1_000
MAX_BODY_BYTES = 1 << 20
MAX_UNIT_CHARACTERS = 512
MAX_NAME_CHARACTERS = 256
# Sums of cubes are taken of values; past this they would lose their meaning, then overflow.
MAX_VALUE = 1e15
MAX_AHEAD_SECONDS = 3_600.0
MAX_ATTRIBUTES = 8
MAX_ATTRIBUTE_CHARACTERS = 64

_Unit = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_UNIT_CHARACTERS)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARACTERS)]
_Revision = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Time = dt.datetime | float


class _Exposure(
    msgspec.Struct, tag="exposure", tag_field="type", forbid_unknown_fields=True, gc=False
):
    id: UUID
    time: _Time
    unit: _Unit
    flag: _Name
    variant: _Name
    rule: _Name | None = None
    revision: _Revision | None = None
    # Looked through below, so that a fault is named with the attribute.
    attributes: dict[str, Any] | None = None


class _Track(msgspec.Struct, tag="track", tag_field="type", forbid_unknown_fields=True, gc=False):
    id: UUID
    time: _Time
    unit: _Unit
    name: _Name
    value: float | None = None


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    events: Annotated[list[_Exposure | _Track], msgspec.Meta(max_length=MAX_EVENTS)]


_decoder = msgspec.json.Decoder(_Batch)


def parse_batch(
    body: bytes,
    *,
    environment_id: int,
    received: float,
    max_age_seconds: float = MAX_AGE_SECONDS,
) -> list[Event]:
    """Read the body of ``POST /sdk/v1/events``.

    Parameters
    ----------
    body : bytes
        Decoded (not compressed) JSON: ``{"events": [...]}``.
    environment_id : int
        The environment that the caller's key belongs to.
    received : float
        When the body arrived, POSIX seconds.
    max_age_seconds : float
        Events older than this are refused. A store forgets ids after that long and no sooner.

    Returns
    -------
    list of Event
        In the order of the body.

    Raises
    ------
    EventError
        With the path of the first fault. Nothing was stored.
    """
    if len(body) > MAX_BODY_BYTES:
        raise EventError(
            f"the batch has {len(body):,} bytes; at most {MAX_BODY_BYTES:,} are taken",
            hint="Send it in several batches.",
        )
    try:
        batch = _decoder.decode(body)
    except msgspec.ValidationError as error:
        _refuse(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"the body is not valid JSON: {error}"
        raise EventError(message, hint='Send {"events": [...]} in UTF-8.') from None
    except RecursionError:
        raise EventError("the body is nested too deeply") from None
    latest = received + MAX_AHEAD_SECONDS
    earliest = received - max_age_seconds
    events: list[Event] = []
    for index, item in enumerate(batch.events):
        time = item.time
        if isinstance(time, dt.datetime):
            if time.tzinfo is None:
                raise EventError(
                    "the time has no time zone",
                    field=f"events[{index}].time",
                    hint="End it with Z for UTC.",
                )
            time = time.timestamp()
        if not earliest <= time <= latest:
            times = [_posix(other.time) for other in batch.events]
            counts = refused_times(times, earliest=earliest, latest=latest)
            _refuse_time(index, time, received, max_age_seconds, counts)
        time = whole_microseconds(time)
        if isinstance(item, _Exposure):
            events.append(
                Event(
                    item.id.bytes,
                    environment_id,
                    time,
                    item.unit,
                    item.flag,
                    item.variant,
                    item.rule,
                    item.revision,
                    None,
                    None,
                    _attributes(item.attributes, index) if item.attributes else None,
                )
            )
            continue
        value = item.value
        if value is not None and not -MAX_VALUE <= value <= MAX_VALUE:
            raise EventError(
                f"{value:g} is out of range; values lie between -1e15 and 1e15",
                field=f"events[{index}].value",
                hint="Send it in a larger unit, such as seconds instead of nanoseconds.",
            )
        events.append(
            Event(
                item.id.bytes,
                environment_id,
                time,
                item.unit,
                None,
                None,
                None,
                None,
                item.name,
                value,
            )
        )
    return events


def _attributes(given: Mapping[str, Any], index: int) -> str | None:
    """Write an exposure's attributes as they are kept: as texts, an empty one not at all."""
    if len(given) > MAX_ATTRIBUTES:
        raise EventError(
            f"there are {len(given)} attributes; at most {MAX_ATTRIBUTES} are taken",
            field=f"events[{index}].attributes",
            hint="Send those by which results are to be seen, and no others.",
        )
    texts = {}
    for name, value in given.items():
        if not 1 <= len(name) <= MAX_ATTRIBUTE_CHARACTERS or not name.isprintable():
            raise EventError(
                f"an attribute's name has 1 to {MAX_ATTRIBUTE_CHARACTERS} printable characters",
                field=f"events[{index}].attributes",
            )
        text = _attribute_text(value)
        if text is None:
            raise EventError(
                f"an attribute is a text of at most {MAX_ATTRIBUTE_CHARACTERS} characters, "
                "a number between -1e15 and 1e15, true or false",
                field=f"events[{index}].attributes.{name}",
                hint="Send what people are grouped by, such as a country or a plan.",
            )
        if text:
            texts[name] = text
    return attributes_text(texts)


def _attribute_text(value: object) -> str | None:
    """Give a value as text, ``None`` if it is none that is taken."""
    if isinstance(value, str):
        # A text of PostgreSQL cannot hold U+0000, and no country is called so.
        text = value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        return text if len(text) <= MAX_ATTRIBUTE_CHARACTERS else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, int | float) or not -MAX_VALUE <= value <= MAX_VALUE:
        return None
    # 3 and 3.0 are one number, whichever language sent it.
    return str(int(value)) if value == int(value) else repr(value)


def _posix(time: _Time) -> float:
    if isinstance(time, float):
        return time
    # Only to be counted: without a zone it is refused by itself, if its turn comes.
    return (time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp()


def _refuse_time(
    index: int,
    time: float,
    received: float,
    max_age_seconds: float,
    counts: Mapping[str, int],
) -> NoReturn:
    field = f"events[{index}].time"
    ahead = time - received
    if ahead > 0:
        # A clock in milliseconds is the usual reason, and lands some 50,000 years ahead.
        hint = (
            "Times are POSIX seconds; this looks like milliseconds."
            if time > 1e11
            else "Check the sender's clock."
        )
        raise EventTimeError(
            f"the time is {ahead:,.0f} seconds in the future; at most {MAX_AHEAD_SECONDS:,.0f} "
            "are allowed",
            field=field,
            hint=hint,
            counts=counts,
        )
    raise EventTimeError(
        f"the event is {-ahead / SECONDS_PER_DAY:,.1f} days old; at most "
        f"{max_age_seconds / SECONDS_PER_DAY:,.0f} are allowed",
        field=field,
        hint="Drop it: repetitions of so old an event could not be told apart any more.",
        counts=counts,
    )


_PATH = re.compile(r"^(?P<message>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_NAMED_FIELD = re.compile(r"field `(?P<name>[^`]*)`$")


def _refuse(text: str) -> NoReturn:
    """Turn the parser's words into ours: a path such as ``events[3].unit``, then the message."""
    match = _PATH.match(text)
    message, path = (match["message"], match["path"] or "") if match else (text, "")
    named = _NAMED_FIELD.search(message)
    if named:
        path = f"{path}.{named['name']}" if path else named["name"]
    hint = "An event is of type exposure or track." if path.endswith(".type") else None
    raise EventError(message[:1].lower() + message[1:], field=path or None, hint=hint) from None
