"""Read flag sets and keys from the database: the only place of the data plane that does.

What did not change is taken over from the previous state, so that one edit compiles one flag set.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import sqlite3
import threading
import zlib
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from flags.database import Database
from flags.models import Environment, Project, Revision
from web.auth.models import Token
from web.edge.state import Key, Snapshot, State, empty_document, make_snapshot

logger = logging.getLogger("flagstone.edge")

CLOSE_SECONDS = 1.0

_HEADS: Any = (
    sa.select(
        col(Environment.id),
        col(Environment.key),
        col(Environment.sample_contexts),
        col(Project.key).label("project"),
        col(Revision.number),
        col(Revision.etag),
        col(Revision.created_at),
    )
    .join(Project, col(Project.id) == col(Environment.project_id))
    .outerjoin(
        Revision,
        sa.and_(
            col(Revision.environment_id) == col(Environment.id),
            col(Revision.number) == col(Environment.revision),
        ),
    )
)
_KEYS = sa.select(
    col(Token.secret_hash),
    col(Token.kind),
    col(Token.environment_id),
    col(Token.expires_at),
    col(Token.old_secret_hash),
    col(Token.old_secret_until),
).where(col(Token.kind).in_(("srv", "cli")), col(Token.revoked_at).is_(None))


class Loader:
    """The newest state of one database, read over one connection of its own.

    Safe to call from several threads; a call returns after a read that began after the call.

    Parameters
    ----------
    database : Database
        The control plane.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.state = State()
        self._lock = threading.Lock()
        self._connection: sa.Connection | None = None

    def load(self) -> State:
        """Read what changed and return the new state, or the same object if nothing did."""
        with self._lock:
            connection = self._connect()
            try:
                self.state = _read(connection, self.state)
                connection.rollback()
            except BaseException:
                self._drop()
                raise
            return self.state

    def data_version(self) -> int:
        """Give SQLite's number that moves with every commit of another connection."""
        with self._lock:
            connection = self._connect()
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            # Past SQLAlchemy, whose transaction would cost ten times the question itself.
            row = driver.execute("PRAGMA data_version").fetchone()
            return int(row[0])

    def close(self) -> None:
        """Close the connection; a read that hangs keeps its own."""
        if self._lock.acquire(timeout=CLOSE_SECONDS):
            try:
                self._drop()
            finally:
                self._lock.release()

    def _connect(self) -> sa.Connection:
        if self._connection is None:
            self._connection = self.database.engine.connect()
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()


def _read(connection: sa.Connection, previous: State) -> State:
    snapshots: dict[int, Snapshot] = {}
    failures: dict[int, str] = {}
    sampled: set[int] = set()
    for row in connection.execute(_HEADS):
        if row.sample_contexts:
            sampled.add(row.id)
        try:
            snapshots[row.id] = _snapshot(connection, row, previous.snapshots.get(row.id))
        except sa.exc.SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001  one bad document must not stop the others
            failures[row.id] = f"{row.project}/{row.key} revision {row.number}: {error}"
            if row.id in previous.snapshots:
                snapshots[row.id] = previous.snapshots[row.id]
            if previous.failures.get(row.id) != failures[row.id]:
                logger.error("unusable flag set, the last good one stays: %s", failures[row.id])
    keys = {}
    for row in connection.execute(_KEYS):
        over = _timestamp(row.expires_at)
        keys[row.secret_hash] = Key(row.kind, row.environment_id, over)
        if row.old_secret_hash is not None:
            # Rotated: the secret before is good for a while longer, never longer than the key.
            until = _timestamp(row.old_secret_until) or 0.0
            last = until if over is None else min(until, over)
            keys[row.old_secret_hash] = Key(row.kind, row.environment_id, last)
    unchanged = (
        previous.loaded
        and keys == previous.keys
        and failures == previous.failures
        and sampled == previous.sampled
        and snapshots.keys() == previous.snapshots.keys()
        and all(snapshots[number] is previous.snapshots[number] for number in snapshots)
    )
    if unchanged:
        return previous
    return State(
        snapshots=MappingProxyType(snapshots),
        keys=MappingProxyType(keys),
        failures=MappingProxyType(failures),
        sampled=frozenset(sampled),
        loaded=True,
    )


def _snapshot(connection: sa.Connection, row: Any, previous: Snapshot | None) -> Snapshot:
    flag_set_id = f"{row.project}/{row.key}"
    version, etag = row.number or 0, row.etag or "0"
    if (
        previous is not None
        and (previous.version, previous.etag) == (version, etag)
        and previous.flag_set_id == flag_set_id
    ):
        return previous
    if row.number is None:
        body = empty_document(row.key)
        etag = hashlib.sha256(body).hexdigest()[:32]
        if previous is not None and previous.etag == etag:
            return previous
    else:
        blob = connection.execute(
            sa.select(col(Revision.flag_set)).where(
                col(Revision.environment_id) == row.id, col(Revision.number) == row.number
            )
        ).scalar_one()
        body = zlib.decompress(blob)
    return make_snapshot(
        environment_id=row.id,
        flag_set_id=flag_set_id,
        version=version,
        etag=etag,
        body=body,
        modified_at=_timestamp(row.created_at),
    )


def _timestamp(moment: dt.datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
