"""The audit: who changed which fields of what, when and why. Append-only, each entry hashed.

Each environment has a chain of its own, and each project one for what is not an environment's, so
that two environments never wait for each other. Within a chain, an entry holds the hash of the one
before it: to alter, insert, drop or reorder entries is to break the chain at that place. (What a
chain cannot show is that its newest entries are missing; keep a copy of the last hash elsewhere.)
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from flags.actor import Actor
from flags.canonical import canonical_bytes, digest
from flags.models import AuditEntry, Project, Revision

START = "0" * 64

_HASHED = (
    "chain",
    "number",
    "project_id",
    "environment_id",
    "at",
    "actor",
    "action",
    "resource",
    "comment",
    "before",
    "after",
    "revision",
    "previous_hash",
)


@dataclass(frozen=True, slots=True)
class BrokenEntry:
    """The first entry of a chain that does not hold."""

    chain: str
    number: int
    reason: str

    def __str__(self) -> str:
        """Give one sentence."""
        return f"entry {self.number} of chain {self.chain}: {self.reason}"


def append(
    session: Session,
    *,
    project_id: int,
    environment_id: int | None = None,
    actor: Actor,
    action: str,
    resource: str,
    before: Any = None,
    after: Any = None,
    comment: str = "",
    revision: int | None = None,
    now: dt.datetime,
) -> AuditEntry:
    """Add an entry at the end of its chain.

    An environment's chain is guarded by the lock of the environment, which the caller holds. For a
    project's chain, the project is locked here.

    Parameters
    ----------
    action, resource : str
        What was done, to what: ``turn_on``, ``flag:checkout``.
    before, after : JSON
        The changed fields (:func:`flags.diff.differences`); ``None`` where there was nothing.
    """
    if environment_id is None:
        session.execute(
            sa.select(col(Project.id))
            .where(col(Project.id) == project_id)
            .with_for_update(key_share=True)
        )
    chain = str(project_id) if environment_id is None else f"{project_id}.{environment_id}"
    session.flush()
    last = session.execute(
        sa.select(col(AuditEntry.number), col(AuditEntry.hash))
        .where(col(AuditEntry.chain) == chain)
        .order_by(col(AuditEntry.number).desc())
        .limit(1)
    ).first()
    entry = AuditEntry(
        project_id=project_id,
        environment_id=environment_id,
        chain=chain,
        number=1 if last is None else last.number + 1,
        at=now.astimezone(dt.UTC),
        actor=str(actor),
        action=action,
        resource=resource,
        comment=comment,
        before=before,
        after=after,
        revision=revision,
        previous_hash=START if last is None else last.hash,
        hash="",
    )
    entry.hash = entry_hash(entry_document(entry))
    session.add(entry)
    return entry


def entries(
    session: Session,
    project_id: int,
    *,
    environment_id: int | None = None,
    resource: str | None = None,
    before_id: int | None = None,
    limit: int | None = 100,
) -> list[AuditEntry]:
    """Give entries of a project, newest first; ``before_id`` for paging, ``limit=None`` for all."""
    query = select(AuditEntry).where(AuditEntry.project_id == project_id)
    if environment_id is not None:
        query = query.where(AuditEntry.environment_id == environment_id)
    if resource is not None:
        query = query.where(AuditEntry.resource == resource)
    if before_id is not None:
        query = query.where(col(AuditEntry.id) < before_id)
    return list(session.exec(query.order_by(col(AuditEntry.id).desc()).limit(limit)))


def entry_document(entry: AuditEntry) -> dict[str, Any]:
    """Give an entry as JSON, complete: what ``audit verify`` reads offline."""
    document = {name: getattr(entry, name) for name in _HASHED}
    at: dt.datetime = document["at"]
    document["at"] = at.astimezone(dt.UTC).isoformat(timespec="microseconds")
    return {**document, "hash": entry.hash}


def entry_hash(document: Mapping[str, Any]) -> str:
    """Give the hash that an entry's document must carry."""
    return digest(canonical_bytes({name: document[name] for name in _HASHED}))


def verify_chain(found: Iterable[AuditEntry | Mapping[str, Any]]) -> BrokenEntry | None:
    """Give the first entry that does not hold, or ``None``.

    Takes entries of any number of chains in any order, each chain complete from its first entry;
    rows or their documents.
    """
    documents = [
        entry_document(entry) if isinstance(entry, AuditEntry) else entry for entry in found
    ]
    previous: dict[str, tuple[int, str]] = {}
    for document in sorted(documents, key=lambda each: (each["chain"], each["number"])):
        chain, number = document["chain"], document["number"]
        last_number, last_hash = previous.get(chain, (0, START))
        reason = None
        if number != last_number + 1:
            reason = f"follows entry {last_number}; entries between are missing or doubled"
        elif document["previous_hash"] != last_hash:
            reason = "does not continue the entry before it"
        elif document["hash"] != entry_hash(document):
            reason = "its content was altered after it was written"
        if reason is not None:
            return BrokenEntry(chain, number, reason)
        previous[chain] = (number, document["hash"])
    return None


def _refuse(_mapper: Any, _connection: Any, target: Any) -> None:
    msg = f"{type(target).__name__} is append-only"
    raise TypeError(msg)


for _table in (AuditEntry, Revision):
    sa.event.listen(_table, "before_update", _refuse)
    sa.event.listen(_table, "before_delete", _refuse)
