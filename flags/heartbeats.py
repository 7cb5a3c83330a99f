"""Keep what SDK clients say of themselves: one row for each, the newest word counts.

The data plane writes here, so this imports nothing but tables. Reading is in
:mod:`flags.instances`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, func

from flags.models import SdkInstance

HEARTBEAT_SECONDS = 30.0
# Three heartbeats missed: it has ended, or cannot reach us.
SILENT_AFTER = dt.timedelta(seconds=3 * HEARTBEAT_SECONDS)
FORGOTTEN_AFTER = dt.timedelta(days=1)
# What lived for a moment (a job, a worker of one task) is not kept for a day.
FORGOTTEN_AT_LEAST_AFTER = dt.timedelta(minutes=10)

# On PostgreSQL, whoever waits for clients to follow is told here that some were heard.
CHANNEL = "flagstone_instances"

_TABLE: Any = SdkInstance.__table__  # type: ignore[attr-defined]
_KEPT_IF_NOT_TOLD = ("defaults", "defaults_hash")
_KEY = ("environment_id", "id")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What one client said about itself; ``defaults`` is None where it is as said before.

    ``ending`` is its last word.
    """

    environment_id: int
    id: str
    sdk: str
    runtime: str
    host: str | None
    revision: int | None
    etag: str | None
    source: str
    started_at: dt.datetime
    seen_at: dt.datetime
    events: dict[str, int]
    unknown_flags: list[str]
    defaults: str | None
    defaults_complete: bool
    ending: bool = False

    @property
    def forgotten_at(self) -> dt.datetime:
        """When the row may go, if nothing more is heard: the longer it lived, the later."""
        lived = self.seen_at - self.started_at
        return self.seen_at + min(max(lived, FORGOTTEN_AT_LEAST_AFTER), FORGOTTEN_AFTER)


def record(session: Session, heartbeats: Iterable[Heartbeat]) -> None:
    """Keep the newest heartbeat of each client; forget those that said goodbye."""
    rows, ended = [], []
    for heartbeat in heartbeats:
        if heartbeat.ending:
            ended.append((heartbeat.environment_id, heartbeat.id))
        else:
            rows.append(_row(heartbeat))
    if ended:
        named = sa.tuple_(*(_TABLE.c[name] for name in _KEY))
        session.execute(sa.delete(_TABLE).where(named.in_(ended)))
    if (rows or ended) and session.get_bind().dialect.name == "postgresql":
        session.execute(sa.text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})
    if not rows:
        return
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement: Any = insert(_TABLE)
    new = statement.excluded
    changed = {
        name: func.coalesce(new[name], _TABLE.c[name]) if name in _KEPT_IF_NOT_TOLD else new[name]
        for name in rows[0]
        if name not in _KEY
    }
    session.execute(
        statement.on_conflict_do_update(
            index_elements=list(_KEY),
            set_=changed,
            # Several web processes write, and the one that heard first may write last.
            where=new["seen_at"] >= _TABLE.c.seen_at,
        ),
        # In one order everywhere, or two processes could wait for each other.
        sorted(rows, key=lambda row: (row["environment_id"], row["id"])),
    )


def forget(session: Session, *, now: dt.datetime) -> None:
    """Remove clients that were not heard of for long."""
    session.execute(sa.delete(SdkInstance).where(col(SdkInstance.forgotten_at) < now))


def hash_of(defaults: str) -> str:
    """Name a text of defaults."""
    return hashlib.blake2b(defaults.encode(), digest_size=16).hexdigest()


def _row(heartbeat: Heartbeat) -> dict[str, Any]:
    row = {field.name: getattr(heartbeat, field.name) for field in fields(heartbeat)}
    del row["ending"]
    row["forgotten_at"] = heartbeat.forgotten_at
    row["defaults_hash"] = None if heartbeat.defaults is None else hash_of(heartbeat.defaults)
    return row
