"""One way to a session: SQLite by default, PostgreSQL for production, the same promises on both.

A write transaction on SQLite starts with ``BEGIN IMMEDIATE`` (with the driver's default, concurrent
read-modify-write transactions silently lose updates); on PostgreSQL it runs READ COMMITTED, and
writers lock the row that they read (see :func:`flags.revisions.lock_environment`). Every edited
table also carries a ``version`` column that SQLAlchemy checks, so that a forgotten lock becomes an
error and never a lost update.
"""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.pool import NullPool
from sqlmodel import Session, SQLModel

from flags.errors import VersionConflictError

# Without names, a constraint cannot be altered by a migration on SQLite.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

BUSY_TIMEOUT_SECONDS = 30
# Where a reading session keeps what was found at its moment.
_SEEN = "flagstone.seen"

Found = TypeVar("Found")


class UtcDateTime(sa.types.TypeDecorator[dt.datetime]):
    """An aware datetime in UTC, the same on SQLite (which keeps none) and PostgreSQL."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: dt.datetime | None, dialect: sa.Dialect
    ) -> dt.datetime | None:
        """Refuse a naive time; store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            msg = "a naive datetime cannot be stored; give it a time zone"
            raise ValueError(msg)
        value = value.astimezone(dt.UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(
        self,
        value: dt.datetime | None,
        dialect: sa.Dialect,  # noqa: ARG002  SQLAlchemy's signature
    ) -> dt.datetime | None:
        """Give back an aware UTC time."""
        if value is None:
            return None
        if value.tzinfo is None:
            return value.replace(tzinfo=dt.UTC)
        return value.astimezone(dt.UTC)


def normalise_url(url: str) -> str:
    """Point a PostgreSQL address at psycopg 3; leave SQLite alone."""
    parsed = make_url(url)
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)


class Database:
    """Engine and transactions of one control-plane database.

    Parameters
    ----------
    url : str
        ``sqlite:////path/to/file.db`` or ``postgresql://…``.
    pool_size : int
        PostgreSQL connections kept open by this process. SQLite opens one per transaction.
    """

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        self.url = normalise_url(url)
        self.is_sqlite = make_url(self.url).get_backend_name() == "sqlite"
        # What a statement carries may be a secret, and its error is logged.
        options: dict[str, Any] = {"json_deserializer": _read_json, "hide_parameters": True}
        if self.is_sqlite:
            options["poolclass"] = NullPool
            options["connect_args"] = {"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False}
        else:
            options["pool_size"] = pool_size
            options["pool_pre_ping"] = True
        self.engine = sa.create_engine(self.url, **options)
        self._write_engine = self._read_engine = self.engine
        if not self.is_sqlite:
            # One reading session sees one moment, as it does on SQLite by itself.
            self._read_engine = self.engine.execution_options(isolation_level="REPEATABLE READ")
        else:
            # Both engines share the file; only the writing one begins with the write lock in hand.
            self._write_engine = sa.create_engine(self.url, **options)
            for engine, begin in ((self.engine, "BEGIN"), (self._write_engine, "BEGIN IMMEDIATE")):
                sa.event.listen(engine, "connect", _configure_sqlite)
                sa.event.listen(engine, "begin", _begin_with(begin))

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session for reading: it sees one moment, and nothing it does is kept."""
        with Session(self._read_engine, expire_on_commit=False, info={_SEEN: {}}) as session:
            # Closing undoes whatever was done; a rollback here would also empty the rows read.
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Give a session whose changes are committed at the end, or all undone by an exception.

        Raises
        ------
        VersionConflictError
            If a row was edited that somebody else had changed since it was read.
        """
        try:
            with Session(self._write_engine, expire_on_commit=False) as session, session.begin():
                yield session
        except StaleDataError as error:
            raise VersionConflictError(
                "somebody else changed this at the same time",
                hint="read it again, and decide anew",
            ) from error

    def create_all(self) -> None:
        """Create every table known to the metadata (tests; the service runs migrations)."""
        SQLModel.metadata.create_all(self._write_engine)

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()
        self._write_engine.dispose()


def once(session: Session, name: Hashable, find: Callable[[], Found]) -> Found:
    """Give what ``find`` finds; a reading session asks once, since it sees one moment.

    Parameters
    ----------
    session : Session
        From :meth:`Database.read` or :meth:`Database.write`; one that writes asks every time.
    name : hashable
        What is asked for.
    find : callable
        Asks the database. What it raises is not kept.
    """
    seen = session.info.get(_SEEN)
    if seen is None:
        return find()
    if name not in seen:
        seen[name] = find()
    found: Found = seen[name]
    return found


def ask_again(session: Session) -> None:
    """Let :func:`once` forget: from here on the session is to find something else."""
    session.info.get(_SEEN, {}).clear()


def _read_json(text: str | bytes) -> Any:
    # Three times as fast, and a change reads every flag of its environment. What orjson will not
    # read (NaN, half a surrogate pair) the standard library wrote, so it can read it.
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not open transactions by itself: BEGIN is ours (see the module's text).
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}")
    _use_write_ahead_log(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _use_write_ahead_log(cursor: Any) -> None:
    # The switch needs the whole file for itself and, unlike everything else, does not wait for it:
    # of four processes that open a new file together, one in thirty was refused.
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def _begin_with(statement: str) -> Any:
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(statement)

    return begin
