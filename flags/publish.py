"""The only crossing from rows to a flag set: build, validate, number, store, announce.

Nothing that the engine would refuse ever becomes a revision: the built document is parsed strictly
first, and a refusal leaves the transaction to be undone as a whole.
"""

from __future__ import annotations

import datetime as dt
import zlib
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from flags.actor import Actor
from flags.canonical import canonical_bytes, digest
from flags.conditions import as_input_error
from flags.models import Environment, FlagEnvironment, FlagRow, Revision, SegmentRow
from flags.workspace import FlagCopy, SegmentCopy
from flagstone.engine import FlagSet, FlagSetError, parse_flag_set

__all__ = [
    "CHANNEL",
    "build_document",
    "canonical_bytes",
    "etag_of",
    "flag_set_document",
    "publish",
    "validate",
]

CHANNEL = "flagstone"
SCHEMA = 1


def etag_of(data: bytes) -> str:
    """Give the etag of a flag set's canonical bytes."""
    return digest(data)


def load_flags(session: Session, environment: Environment) -> dict[str, FlagCopy]:
    """Give copies of every flag of an environment, archived ones included, by key.

    Reads columns and not rows: cheaper, and never stale.
    """
    found = session.execute(
        sa.select(
            col(FlagRow.key),
            col(FlagRow.type),
            col(FlagRow.name),
            col(FlagRow.description),
            col(FlagRow.owner),
            col(FlagRow.client),
            col(FlagRow.archived),
            col(FlagRow.expires),
            col(FlagRow.kind),
            col(FlagRow.flag_metadata).label("metadata"),
            col(FlagRow.variants),
            col(FlagEnvironment.state),
            col(FlagEnvironment.flag_version).label("version"),
        )
        .join(FlagEnvironment, col(FlagEnvironment.flag_id) == col(FlagRow.id))
        .where(col(FlagEnvironment.environment_id) == environment.id)
        .order_by(col(FlagRow.key))
    )
    return {row["key"]: FlagCopy(**row) for row in found.mappings()}


def load_segments(session: Session, environment: Environment) -> dict[str, SegmentCopy]:
    """Give copies of every segment of an environment, by key."""
    found = session.execute(
        sa.select(col(SegmentRow.key), col(SegmentRow.name), col(SegmentRow.condition))
        .where(col(SegmentRow.environment_id) == environment.id)
        .order_by(col(SegmentRow.key))
    )
    return {row["key"]: SegmentCopy(**row) for row in found.mappings()}


def flag_set_document(
    environment_key: str,
    version: int,
    flags: dict[str, FlagCopy],
    segments: dict[str, SegmentCopy],
) -> dict[str, Any]:
    """Give the flag set that copies make; archived flags are not in it."""
    return {
        "schema": SCHEMA,
        "environment": environment_key,
        "version": version,
        "flags": {key: flag.document() for key, flag in flags.items() if not flag.archived},
        "segments": {key: segment.condition for key, segment in segments.items()},
    }


def build_document(session: Session, environment: Environment) -> dict[str, Any]:
    """Give the flag set that the environment's rows make now, under its present number."""
    return flag_set_document(
        environment.key,
        environment.revision,
        load_flags(session, environment),
        load_segments(session, environment),
    )


def validate(document: dict[str, Any]) -> FlagSet:
    """Read a flag set; refuse one that an SDK would not understand."""
    try:
        return parse_flag_set(document, strict=True)
    except FlagSetError as error:
        raise as_input_error(error) from None


def publish(
    session: Session, environment: Environment, actor: Actor, comment: str, now: dt.datetime
) -> Revision:
    """Make the next revision of an environment out of its rows.

    The caller holds the environment's lock (:func:`flags.revisions.lock_environment`), and this is
    part of its transaction: the revision, the rows and the announcement appear together or never.

    Raises
    ------
    InvalidInputError
        If the rows make no valid flag set.
    """
    session.flush()
    environment.revision += 1
    document = build_document(session, environment)
    validate(document)
    data = canonical_bytes(document)
    assert environment.id is not None
    last = session.exec(
        select(Revision.created_at).where(
            Revision.environment_id == environment.id, Revision.number == environment.revision - 1
        )
    ).first()
    revision = Revision(
        environment_id=environment.id,
        number=environment.revision,
        etag=etag_of(data),
        flag_set=zlib.compress(data),
        actor=str(actor),
        comment=comment,
        # A writer that waited for the lock brings an older time than the one it waited for.
        created_at=now if last is None else max(now, last),
    )
    session.add(revision)
    session.flush()
    if session.get_bind().dialect.name == "postgresql":
        session.execute(
            sa.text("SELECT pg_notify(:channel, :payload)"),
            {"channel": CHANNEL, "payload": f"{environment.id}:{revision.number}"},
        )
    return revision
