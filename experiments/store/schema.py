"""The tables of the inbox's SQLite file, and the one way to open it.

``inbox``     events as they arrived; with ``generation <= state.drained`` they are in files too
``seen``      ids of events that left the inbox, so that a repetition is still recognised
``files``     the manifest: a Parquet file that is not listed here does not exist for readers
``garbage``   files that a merge replaced; deleted when no reader can have them open
``activity``  exposures and tracking events per minute of what was drained, for the console
``quality``   how good the events were that came in, per environment and hour of arrival
``state``     one row: the current generation, the last drained one, events waiting
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments.store.base import EventError, FullError, StoreError

SCHEMA_VERSION = 3
BUSY_TIMEOUT_SECONDS = 10.0

_SCHEMA = """
CREATE TABLE inbox (
    id BLOB NOT NULL,
    environment_id INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    time_us INTEGER NOT NULL,
    unit TEXT NOT NULL,
    flag TEXT,
    variant TEXT,
    rule TEXT,
    revision INTEGER,
    name TEXT,
    value REAL,
    attributes TEXT,
    PRIMARY KEY (id, environment_id),
    CHECK (length(id) = 16),
    CHECK (time_us BETWEEN 0 AND 253402300799999999),
    CHECK ((flag IS NULL) <> (name IS NULL) AND (flag IS NULL) = (variant IS NULL)),
    CHECK (value IS NULL OR abs(value) <= 1e15)
) WITHOUT ROWID;
CREATE TABLE seen (
    id BLOB NOT NULL,
    environment_id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    PRIMARY KEY (id, environment_id)
) WITHOUT ROWID;
CREATE TABLE files (
    path TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    day INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE garbage (path TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE activity (
    environment_id INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    rule TEXT NOT NULL,
    variant TEXT NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (environment_id, minute, kind, name, rule, variant)
) WITHOUT ROWID;
CREATE TABLE state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    generation INTEGER NOT NULL,
    drained INTEGER NOT NULL,
    retired INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    pruned_day INTEGER NOT NULL
);
INSERT INTO state VALUES (1, 1, 0, 0, 0, 0);
"""
_QUALITY = """
CREATE TABLE quality (
    environment_id INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    kind TEXT NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (environment_id, hour, kind)
) WITHOUT ROWID
"""


def open_inbox(
    path: Path, *, busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS
) -> sqlite3.Connection:
    """Open the file, make it on first use, and refuse one of another version.

    The connection commits nothing by itself (see :func:`writing` and :func:`reading`) and may be
    handed from thread to thread, one at a time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        path, timeout=busy_timeout_seconds, isolation_level=None, check_same_thread=False
    )
    try:
        _enter_wal(connection)
        # FULL, not NORMAL: a commit is on the disk before it is acknowledged.
        connection.execute("PRAGMA synchronous=FULL")
        if _version(connection) < SCHEMA_VERSION:
            with writing(connection):
                # Another process may have made the tables while this one waited for the lock.
                found = _version(connection)
                if found == 0:
                    for statement in _SCHEMA.split(";"):
                        connection.execute(statement)
                if found < 2:
                    connection.execute(_QUALITY)
                if 0 < found < SCHEMA_VERSION:
                    connection.execute("ALTER TABLE inbox ADD COLUMN attributes TEXT")
                if found < SCHEMA_VERSION:
                    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        version = _version(connection)
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"the event store at {path} has format {version}; this release reads "
                f"{SCHEMA_VERSION}",
                hint="Use the release that wrote it, or another data directory.",
            )
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One durable transaction that starts with the write lock in hand."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except sqlite3.OperationalError as error:
        raise _translated(error) from error
    except sqlite3.IntegrityError as error:
        raise EventError(f"the event breaks a rule of the store: {error}") from error


@contextmanager
def reading(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One consistent snapshot; it never blocks a writer."""
    connection.execute("BEGIN")
    try:
        yield connection
    finally:
        connection.execute("ROLLBACK")


def _translated(error: sqlite3.OperationalError) -> Exception:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        return FullError("the disk of the event store is full", retry_after_seconds=60)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return FullError("the event store is busy", retry_after_seconds=1)
    return error


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _enter_wal(connection: sqlite3.Connection) -> None:
    # The busy timeout does not cover this switch; two processes that open a new file can collide.
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
