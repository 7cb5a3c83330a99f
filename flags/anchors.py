"""Whether what is stored is what the audit says was published.

An entry that made a revision holds the hash of that revision's flag set, and is itself hashed into
its chain. So a byte of a stored flag set cannot change unseen, and neither can the rows that the
next revision will be made of: they must make the newest one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from flags.canonical import canonical_bytes, digest
from flags.chains import BrokenEntry
from flags.errors import FlagstoneError
from flags.models import AuditEntry, Environment
from flags.publish import build_document
from flags.revisions import get_revision, unpack

_Reading = Callable[[], AbstractContextManager[Session]]


def find_altered(project_id: int, reading: _Reading) -> BrokenEntry | None:
    """Give the first entry whose flag set is not stored as it was published, or ``None``.

    Only worth asking once the chains themselves hold. Each flag set is read in a session of its
    own; entries from before flag sets were hashed are passed over.
    """
    with reading() as session:
        anchors = _anchors(session, project_id)
    for chain, number, environment_id, revision, wanted in anchors:
        with reading() as session:
            found = _hash_of(session, environment_id, revision)
        if found != wanted:
            reason = f"the flag set of revision {revision} is not the one that it published"
            return BrokenEntry(chain, number, reason)
    with reading() as session:
        for environment in session.exec(
            select(Environment).where(Environment.project_id == project_id).order_by("id")
        ):
            newest = session.exec(
                select(AuditEntry)
                .where(
                    AuditEntry.environment_id == environment.id,
                    AuditEntry.revision == environment.revision,
                    col(AuditEntry.flag_set_hash).is_not(None),
                )
                .order_by(col(AuditEntry.number))
                .limit(1)
            ).first()
            if newest is not None and _rows_hash(session, environment) != newest.flag_set_hash:
                reason = (
                    f"the flags of {environment.key} are not stored as revision "
                    f"{environment.revision} published them"
                )
                return BrokenEntry(newest.chain, newest.number, reason)
    return None


def _anchors(session: Session, project_id: int) -> list[Any]:
    """Give each revision's first entry that holds a hash, in the order in which they were made."""
    number = sa.func.min(col(AuditEntry.number))
    chain = col(AuditEntry.chain)
    told = (
        col(AuditEntry.environment_id),
        col(AuditEntry.revision),
        col(AuditEntry.flag_set_hash),
    )
    query = (
        sa.select(chain, number, *told)
        .where(col(AuditEntry.project_id) == project_id, told[-1].is_not(None))
        .group_by(chain, *told)
        .order_by(chain, number)
    )
    return list(session.execute(query))


def _hash_of(session: Session, environment_id: int | None, number: int | None) -> str | None:
    if environment_id is None or number is None:
        return None
    try:
        return digest(unpack(get_revision(session, environment_id, number)))
    except (FlagstoneError, zlib.error, ValueError, TypeError):
        return None


def _rows_hash(session: Session, environment: Environment) -> str | None:
    try:
        return digest(canonical_bytes(build_document(session, environment)))
    except (FlagstoneError, ValueError, TypeError, KeyError, AttributeError):
        return None
