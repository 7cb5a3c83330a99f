"""``POST /sdk/v1/instances``: what SDK clients say of themselves, kept for people to look at.

A heartbeat is answered when it is in memory; once a second a thread writes what came, in one short
transaction. What a crash loses comes again with the next heartbeat. Evaluation never waits for any
of it, and a failing database costs it nothing.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
import orjson

from flags.database import Database
from flags.heartbeats import Heartbeat, forget, record
from web.edge.body import check_content_type, decode, parse_object
from web.edge.problems import NO_STORE, Answer, BodyError, problem, too_large
from web.edge.writer import Writer

MAX_BODY_BYTES = 64 * 1024
MAX_WAITING = 20_000

# No control characters: they are shown in terminals, and PostgreSQL stores no NUL.
_WORDS = r"^[^\x00-\x1f\x7f]*$"
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=_WORDS)]
_Words = Annotated[str, msgspec.Meta(max_length=128, pattern=_WORDS)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=_WORDS)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
# The database's integers; a revision is counted up by one.
_Revision = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Time = Annotated[float, msgspec.Meta(ge=0.0, le=253_402_300_799.0)]


class _Sdk(msgspec.Struct, forbid_unknown_fields=True):
    name: _Word
    version: _Word


class _Events(msgspec.Struct, forbid_unknown_fields=True):
    queued: _Count = 0
    spooled: _Count = 0
    sent: _Count = 0
    dropped: _Count = 0


class _Default(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    type: _Word
    value: Any = msgspec.UNSET


_Paths = Annotated[
    list[Annotated[list[_Name], msgspec.Meta(min_length=1, max_length=64)]],
    msgspec.Meta(max_length=200),
]


class _Seen(msgspec.Struct, forbid_unknown_fields=True):
    context: dict[str, Any]
    at: _Time = 0.0


class _Contexts(msgspec.Struct, forbid_unknown_fields=True):
    asked: _Paths
    seen: Annotated[list[_Seen], msgspec.Meta(max_length=20)]


class _Heartbeat(msgspec.Struct, forbid_unknown_fields=True):
    instance: UUID
    sdk: _Sdk
    started: _Time
    source: _Word
    revision: _Revision | None = None
    etag: _Words | None = None
    runtime: _Words = ""
    platform: _Words = ""
    host: _Name | None = None
    events: _Events = msgspec.field(default_factory=_Events)
    unknown_flags: Annotated[list[_Name], msgspec.Meta(max_length=500)] = []
    defaults: (
        Annotated[
            dict[_Name, Annotated[list[_Default], msgspec.Meta(max_length=20)]],
            msgspec.Meta(max_length=500),
        ]
        | None
    ) = None
    defaults_complete: bool = True
    contexts: _Contexts | None = None
    ending: bool = False


_PLACE = re.compile(r"(?P<text>.*?)(?: - at (?:`key` in )?`\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_FIELD = re.compile(r"field `([^`]*)`")


class Told(NamedTuple):
    """A few contexts that a client met: of each what ``asked`` names, and no more."""

    contexts: list[dict[str, Any]]
    asked: list[list[str]]


def parse_heartbeat(
    body: bytes, *, environment_id: int, received: float
) -> tuple[Heartbeat, Told | None]:
    """Read the body of ``POST /sdk/v1/instances``.

    Raises
    ------
    BodyError
        With the path of the first fault.
    """
    document = parse_object(body)
    try:
        told = msgspec.convert(document, _Heartbeat)
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None
    seen_at = dt.datetime.fromtimestamp(received, dt.UTC)
    # A clock that is ahead over there must not make an instance from the future.
    started_at = dt.datetime.fromtimestamp(min(told.started, received), dt.UTC)
    contexts = told.contexts
    heartbeat = Heartbeat(
        environment_id=environment_id,
        id=str(told.instance),
        sdk=f"{told.sdk.name} {told.sdk.version}",
        runtime=" on ".join(filter(None, (told.runtime, told.platform)))[:128],
        host=told.host,
        revision=told.revision,
        etag=told.etag,
        source=told.source[:16],
        started_at=started_at,
        seen_at=seen_at,
        events=msgspec.to_builtins(told.events),
        unknown_flags=told.unknown_flags,
        defaults=None if told.defaults is None else _text(document["defaults"]),
        defaults_complete=told.defaults_complete,
        ending=told.ending,
    )
    if contexts is None:
        return heartbeat, None
    return heartbeat, Told([each.context for each in contexts.seen], contexts.asked)


def _refusal(message: str) -> BodyError:
    """Turn msgspec's message into ours: what is wrong, and where."""
    found = _PLACE.fullmatch(message)
    assert found is not None  # it matches everything
    parts = [found["path"] or "", *_FIELD.findall(found["text"])]
    return BodyError(
        "invalid_field", f"{found['text']}.", field=".".join(filter(None, parts)) or "body"
    )


def _text(defaults: dict[str, Any]) -> str:
    """Write defaults so that equal ones are equal texts; control characters come out escaped."""
    return orjson.dumps(defaults, option=orjson.OPT_SORT_KEYS).decode()


class Instances(Writer):
    """The heartbeats that wait to be written."""

    WHAT = "heartbeats of SDKs"
    WRITE_SECONDS = 1.0
    RETRY_SECONDS = 5.0
    FORGET_SECONDS = 60.0

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._waiting: dict[tuple[int, str], Heartbeat] = {}

    def take(
        self,
        body: bytes,
        *,
        environment_id: int,
        received: float,
        content_type: bytes | None = None,
        content_encoding: bytes | None = None,
        seen: Callable[[Told], None] = lambda _: None,
    ) -> Answer:
        """Take one heartbeat; it is written with the next batch. ``seen`` gets its contexts."""
        try:
            check_content_type(content_type)
            plain = decode(body, content_encoding)
            if plain is None or len(plain) > MAX_BODY_BYTES:
                return too_large(MAX_BODY_BYTES)
            heartbeat, contexts = parse_heartbeat(
                plain, environment_id=environment_id, received=received
            )
        except BodyError as error:
            return problem(
                400, error.code, error.detail, field=error.field or "body", hint=error.hint
            )
        key = (heartbeat.environment_id, heartbeat.id)
        with self._lock:
            before = self._waiting.get(key)
            if before is None and len(self._waiting) >= MAX_WAITING:
                return problem(
                    503,
                    "instances_unavailable",
                    "Too many heartbeats wait to be written.",
                    headers=((b"retry-after", b"30"),),
                )
            self._waiting[key] = _joined(before, heartbeat)
        self._came.set()
        if contexts is not None:
            seen(contexts)
        return Answer(204, (NO_STORE,), b"")

    def _write(self, database: Database, now: dt.datetime, *, forgets: bool) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, {}
        try:
            with database.write() as session:
                record(session, batch.values())
                if forgets:
                    forget(session, now=now)
        except Exception:
            with self._lock:
                for key, heartbeat in batch.items():
                    newer = self._waiting.get(key)
                    self._waiting[key] = heartbeat if newer is None else _joined(heartbeat, newer)
            raise


def _joined(before: Heartbeat | None, after: Heartbeat) -> Heartbeat:
    """Give the newer one, with the defaults of the older one if it says nothing of them."""
    if before is None or after.defaults is not None:
        return after
    return replace(after, defaults=before.defaults)
