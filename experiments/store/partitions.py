"""The tables of the PostgreSQL event store, and their days: made, attached, detached, dropped.

``ids``        every event's id within its environment, for 90 days, with the day of the event
``exposures``  one partition per day (UTC) of the event's time
``tracks``     the same for tracking events
``quality``    how good the events were that came in, per environment and hour of arrival
``state``      one row: the format, and the day of the last clean-up

A day is made as a table of its own and then attached, a retired one is detached ``CONCURRENTLY``:
neither waits for a long analysis, and no batch ever waits behind them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, LiteralString

import psycopg
from psycopg import sql

from experiments.store.base import MICROSECONDS, SECONDS_PER_DAY, FullError, StoreError, date_of_day

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiments.store.connections import Connection

FORMAT = 2
SCHEMA = "flagstone_events"
KINDS = ("exposures", "tracks")
DAY_US = SECONDS_PER_DAY * MICROSECONDS
_EPOCH = dt.date(1970, 1, 1).toordinal()
# Any two numbers: what nobody else locks in this database.
_MAKING, _DRAINING = 0x666C6167_01, 0x666C6167_02

_TABLES = """
CREATE SCHEMA IF NOT EXISTS flagstone_events;
CREATE TABLE flagstone_events.ids (
    id uuid NOT NULL,
    environment_id bigint NOT NULL,
    day integer NOT NULL,
    PRIMARY KEY (id, environment_id)
);
CREATE INDEX ids_by_day ON flagstone_events.ids USING brin (day) WITH (autosummarize = on);
CREATE TABLE flagstone_events.exposures (
    environment_id bigint NOT NULL,
    time_us bigint NOT NULL CHECK (time_us BETWEEN 0 AND 253402300799999999),
    unit text NOT NULL,
    flag text NOT NULL,
    variant text NOT NULL,
    rule text,
    revision bigint,
    attributes text
) PARTITION BY RANGE (time_us);
CREATE TABLE flagstone_events.tracks (
    environment_id bigint NOT NULL,
    time_us bigint NOT NULL CHECK (time_us BETWEEN 0 AND 253402300799999999),
    unit text NOT NULL,
    name text NOT NULL,
    value double precision CHECK (abs(value) <= 1e15)
) PARTITION BY RANGE (time_us);
CREATE TABLE flagstone_events.quality (
    environment_id bigint NOT NULL,
    hour integer NOT NULL,
    kind text NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (environment_id, hour, kind)
);
CREATE TABLE flagstone_events.state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    format integer NOT NULL,
    cleaned_day integer NOT NULL
);
INSERT INTO flagstone_events.state VALUES (true, 2, 0)
"""
# Old rows say nothing. Nobody waits long behind it: rather it is tried again.
_FROM_FORMAT_1 = """
SET LOCAL lock_timeout = '2s';
ALTER TABLE flagstone_events.exposures ADD COLUMN attributes text;
UPDATE flagstone_events.state SET format = 2
"""

_MAKE_DAY: tuple[LiteralString, ...] = (
    # With the bounds as a rule of its own, attaching it reads nothing.
    """
CREATE TABLE {table} (
    LIKE {parent} INCLUDING ALL,
    CONSTRAINT whole_day CHECK (time_us >= {low} AND time_us < {high})
)""",
    # Rows lie in about the order of time: a few bytes per page find the last ten minutes.
    """
CREATE INDEX ON {table} USING brin (time_us) WITH (pages_per_range = 32, autosummarize = on)
""",
    # Unlike CREATE TABLE … PARTITION OF, this does not wait until nobody reads the parent.
    "ALTER TABLE {parent} ATTACH PARTITION {table} FOR VALUES FROM ({low}) TO ({high})",
    "ALTER TABLE {table} DROP CONSTRAINT whole_day",
)


def prepare(connection: Connection) -> None:
    """Make the tables on first use; refuse those of another release."""
    if not _exists(connection, "state"):
        with _making(connection):
            # Another process may have made them while this one waited for the lock.
            if not _exists(connection, "state"):
                connection.execute(_TABLES.encode())
    found = _format(connection)
    if found == 1:
        with _making(connection):
            # Another process may have done it while this one waited for the lock.
            if _format(connection) == 1:
                connection.execute(_FROM_FORMAT_1.encode())
        found = _format(connection)
    if found != FORMAT:
        raise StoreError(
            f"the event tables have format {found}; this release reads {FORMAT}",
            hint="Use the release that wrote them, or another database.",
        )


def make_days(connection: Connection, days: Iterable[int]) -> None:
    """Make and attach whatever days are missing; safe from any number of processes at once.

    Parameters
    ----------
    connection : Connection
        Outside a transaction.
    days : iterable of int
        Days since 1970-01-01 (UTC).
    """
    wanted = sorted(days)
    with _making(connection):
        there = {day for kind in KINDS for day in wanted if _exists(connection, _name(kind, day))}
        attached = [set(attached_days(connection, kind)) for kind in KINDS]
        for day in wanted:
            if all(day in known for known in attached):
                continue
            if day in there:
                # It was detached to be dropped: whoever does so is not through yet.
                raise FullError("a day of events is just being dropped", retry_after_seconds=2)
            for kind in KINDS:
                _make_day(connection, kind, day)


def attached_days(connection: Connection, kind: str) -> list[int]:
    """Read the days that a kind has, oldest first."""
    rows = connection.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent = %s::regclass AND NOT inhdetachpending",
        (f"{SCHEMA}.{kind}",),
    )
    return sorted(_day(name) for (name,) in rows)


def filled_days(connection: Connection, kind: str) -> list[int]:
    """Read the days of a kind that have rows, oldest first."""
    return [
        day
        for day in attached_days(connection, kind)
        if connection.execute(
            sql.SQL("SELECT FROM {} LIMIT 1").format(sql.Identifier(SCHEMA, _name(kind, day)))
        ).fetchone()
        is not None
    ]


def drop_days(connection: Connection, *, before_day: int) -> int:
    """Drop whole days that are older; what somebody still reads is left for the next time.

    Returns
    -------
    int
        Tables dropped.
    """
    dropped = 0
    for kind in KINDS:
        # The one that was interrupted first: of each kind only one may be on its way out.
        finished = all(
            _detach(connection, kind, name, "FINALIZE") for name in _pending(connection, kind)
        )
        old = [day for day in attached_days(connection, kind) if day < before_day]
        for day in old if finished else ():
            if not _detach(connection, kind, _name(kind, day), "CONCURRENTLY"):
                break
        for name in _detached(connection, kind):
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(SCHEMA, name)))
            dropped += 1
    return dropped


@contextmanager
def draining(connection: Connection) -> Iterator[bool]:
    """Try to be the only one who cleans up, without waiting; let go when the process dies."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_DRAINING,)).fetchone()
    alone = bool(row and row[0])
    try:
        yield alone
    finally:
        if alone and not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_DRAINING,))


@contextmanager
def _making(connection: Connection) -> Iterator[None]:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))
        yield


def _make_day(connection: Connection, kind: str, day: int) -> None:
    low, high = day * DAY_US, (day + 1) * DAY_US
    table, parent = sql.Identifier(SCHEMA, _name(kind, day)), sql.Identifier(SCHEMA, kind)
    named = {"table": table, "parent": parent, "low": sql.Literal(low), "high": sql.Literal(high)}
    for text in _MAKE_DAY:
        connection.execute(sql.SQL(text).format(**named))


def _detach(connection: Connection, kind: str, name: str, how: LiteralString) -> bool:
    statement = sql.SQL("ALTER TABLE {parent} DETACH PARTITION {table} " + how)
    parent, table = sql.Identifier(SCHEMA, kind), sql.Identifier(SCHEMA, name)
    try:
        connection.execute(statement.format(parent=parent, table=table))
    except psycopg.errors.LockNotAvailable:
        # An analysis reads it. It is on its way out already; the next clean-up finishes.
        return False
    return True


def _pending(connection: Connection, kind: str) -> list[str]:
    """Name the day's table whose detachment was interrupted."""
    rows = connection.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent = %s::regclass AND inhdetachpending",
        (f"{SCHEMA}.{kind}",),
    )
    return [name for (name,) in rows]


def _detached(connection: Connection, kind: str) -> list[str]:
    """Name every day's table that is on its own."""
    rows = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' "
        "AND relname ~ %s AND NOT EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = pg_class.oid)",
        (SCHEMA, f"^{kind}_[0-9]{{8}}$"),
    )
    return [name for (name,) in rows]


def _format(connection: Connection) -> int | None:
    row = connection.execute("SELECT format FROM flagstone_events.state").fetchone()
    return None if row is None else int(row[0])


def _exists(connection: Connection, name: str) -> bool:
    # Not to_regclass: it asks a cache, which in a transaction may not know the newest table yet.
    query = """
SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %s AND relname = %s
"""
    return connection.execute(query, (SCHEMA, name)).fetchone() is not None


def _name(kind: str, day: int) -> str:
    return f"{kind}_{date_of_day(day):%Y%m%d}"


def _day(name: str) -> int:
    return dt.datetime.strptime(name[-8:], "%Y%m%d").date().toordinal() - _EPOCH
