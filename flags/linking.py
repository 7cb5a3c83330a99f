"""How entries of the audit hang together: each holds the hash of the one before it in its chain."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from flags.actor import Actor
from flags.chains import FLAG_SET, START, entry_hash
from flags.models import AuditEntry, Revision

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done to one thing: the part of an entry that differs among those of one hand."""

    action: str
    resource: str
    before: Any
    after: Any


def append_together(
    session: Session,
    deeds: Iterable[Deed],
    *,
    project_id: int,
    environment_id: int,
    actor: Actor,
    comment: str,
    revision: Revision,
    now: dt.datetime,
) -> None:
    """Add entries of flags and segments at the end of a chain, as :func:`append` would one by one.

    The end of the chain is looked up once, and they are written in batches: for what does thousands
    of things at one time while everybody waits for its lock. The notice is the caller's.
    """
    common = common_of(session, project_id, environment_id, actor, comment, revision, now)
    rows = linked(session, common, deeds)
    while batch := list(itertools.islice(rows, _BATCH)):
        session.execute(sa.insert(AuditEntry), batch)


def common_of(
    session: Session,
    project_id: int,
    environment_id: int | None,
    actor: Actor,
    comment: str,
    revision: Revision | int | None,
    now: dt.datetime,
) -> dict[str, Any]:
    """Give what all entries of one hand say alike, and which chain they belong to."""
    return {
        "project_id": project_id,
        "environment_id": environment_id,
        "chain": str(project_id) if environment_id is None else f"{project_id}.{environment_id}",
        "at": now.astimezone(dt.UTC),
        "actor": str(actor),
        "comment": comment,
        "revision": revision.number if isinstance(revision, Revision) else revision,
        FLAG_SET: _published(session, environment_id, revision),
    }


def linked(
    session: Session, common: Mapping[str, Any], deeds: Iterable[Deed]
) -> Iterator[dict[str, Any]]:
    """Give the rows of new entries, each holding the hash of the one before it."""
    session.flush()
    last = session.execute(
        sa.select(col(AuditEntry.number), col(AuditEntry.hash))
        .where(col(AuditEntry.chain) == common["chain"])
        .order_by(col(AuditEntry.number).desc())
        .limit(1)
    ).first()
    before, previous = (0, START) if last is None else (last.number, last.hash)
    for number, deed in enumerate(deeds, before + 1):
        row = {
            **common,
            "number": number,
            "action": deed.action,
            "resource": deed.resource,
            "before": deed.before,
            "after": deed.after,
            "previous_hash": previous,
        }
        previous = entry_hash({**row, "at": instant(row["at"])})
        yield {**row, "hash": previous}


def instant(at: dt.datetime) -> str:
    """Write a time as entries do, for ever in the same way: it is hashed."""
    return at.astimezone(dt.UTC).isoformat(timespec="microseconds")


def _published(
    session: Session, environment_id: int | None, revision: Revision | int | None
) -> str | None:
    """Give the hash of what a revision published: an entry's own hash then covers it too."""
    if isinstance(revision, Revision):
        return revision.etag
    if environment_id is None or revision is None:
        return None
    query = select(Revision.etag).where(
        Revision.environment_id == environment_id, Revision.number == revision
    )
    return session.exec(query).first()
