"""Events in PostgreSQL: the embedded store's promises, for installations of many machines.

What makes each event count exactly once is one statement in
:mod:`experiments.store.postgresql_inbox`; this module cleans up and opens snapshots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import duckdb
import psycopg

from experiments.store.base import (
    MAX_AGE_SECONDS,
    MICROSECONDS,
    SECONDS_PER_DAY,
    AppendResult,
    DrainResult,
    Event,
)
from experiments.store.connections import Connection, connect, translated
from experiments.store.parquet import KINDS, Kind, table_of
from experiments.store.partitions import (
    DAY_US,
    draining,
    drop_days,
    make_days,
    prepare,
)
from experiments.store.postgresql_inbox import PostgresInbox
from experiments.store.quality import KEPT_SECONDS

# Batches of the next days never wait for a table to be made.
_DAYS_AHEAD = 3
_CHUNK = 20_000


class PostgresStore:
    """A store in a PostgreSQL database; implements :class:`experiments.store.base.EventStore`.

    Any number of processes on any number of machines may append, drain and read at once.

    Parameters
    ----------
    url : str
        ``postgresql://…``; the tables are made in the schema ``flagstone_events`` on first use.
    remember_seconds : float
        Ids are remembered this long after the event's time. The wire must refuse anything older,
        or a late repetition could count twice.
    """

    def __init__(self, url: str, *, remember_seconds: float = MAX_AGE_SECONDS) -> None:
        self.inbox = PostgresInbox(url)
        self._url = url
        self._remember_seconds = remember_seconds

    def append(self, events: Sequence[Event]) -> AppendResult:
        """Store a batch durably (see :meth:`PostgresInbox.append`)."""
        return self.inbox.append(events)

    def close(self) -> None:
        """Close the connections; snapshots that are open stay so."""
        self.inbox.close()

    def drain(self, now: float, *, keep_since: float | None = None) -> DrainResult:
        """Make the next days' tables, drop days past keeping, forget ids past remembering.

        Parameters
        ----------
        now : float
            POSIX seconds.
        keep_since : float, optional
            Days that ended before this are dropped; ``None`` keeps all.

        Returns
        -------
        DrainResult
            With ``busy`` if another drain is under way somewhere; this one then did nothing.
        """
        try:
            # No limit on time: forgetting ids may take long, and holds nobody up.
            with closing(connect(self._url, statement_seconds=0)) as connection:
                # Long enough for whoever appends, and no wait for whoever analyses.
                connection.execute("SET lock_timeout = '1s'")
                prepare(connection)
                with draining(connection) as alone:
                    if not alone:
                        return DrainResult(busy=True)
                    return self._drain(connection, now, keep_since)
        except psycopg.Error as error:
            raise translated(error) from error

    @contextmanager
    def relations(
        self,
        environment_id: int,
        *,
        since: float | None = None,
        until: float | None = None,
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a consistent snapshot with the views ``exposures`` and ``tracks`` (see base)."""
        with self._snapshot() as connection, duckdb.connect() as analysis:
            for kind in KINDS:
                where, bounds = _where(environment_id, since, until)
                columns = ", ".join(kind.columns)
                query = f"SELECT {columns} FROM flagstone_events.{kind.name} WHERE {where}"  # noqa: S608
                analysis.register(f"all_{kind.name}", _table(connection, kind, query, bounds))
                shown = ", ".join(column for column in kind.columns if column != "time_us")
                analysis.execute(
                    f"CREATE VIEW {kind.name} AS SELECT {shown}, "  # noqa: S608
                    f"time_us / {MICROSECONDS}::DOUBLE AS time FROM all_{kind.name}"
                )
            yield analysis

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        """Open a transaction that sees one moment, and can change nothing."""
        try:
            with closing(connect(self._url, statement_seconds=0)) as connection:
                prepare(connection)
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                connection.read_only = True
                with connection.transaction():
                    # The moment is that of the first statement, and no detachment may pass it.
                    connection.execute("SELECT FROM flagstone_events.state")
                    yield connection
        except psycopg.Error as error:
            raise translated(error) from error

    def _drain(self, connection: Connection, now: float, keep_since: float | None) -> DrainResult:
        today = int(now // SECONDS_PER_DAY)
        oldest = None if keep_since is None else int(keep_since // SECONDS_PER_DAY)
        make_days(connection, range(today, today + _DAYS_AHEAD))
        dropped = 0 if oldest is None else drop_days(connection, before_day=oldest)
        row = connection.execute("SELECT cleaned_day FROM flagstone_events.state").fetchone()
        if row is not None and row[0] < today:
            _forget(connection, now=now, remember_seconds=self._remember_seconds)
            connection.execute("UPDATE flagstone_events.state SET cleaned_day = %s", (today,))
        return DrainResult(dropped=dropped)


def _forget(connection: Connection, *, now: float, remember_seconds: float) -> None:
    """Forget ids of events so old that the wire refuses them, and last month's quality."""
    oldest = int((now - remember_seconds - SECONDS_PER_DAY) * MICROSECONDS // DAY_US)
    connection.execute("DELETE FROM flagstone_events.ids WHERE day < %s", (oldest,))
    hour = int((now - KEPT_SECONDS) // 3_600)
    connection.execute("DELETE FROM flagstone_events.quality WHERE hour < %s", (hour,))


def _where(
    environment_id: int, since: float | None, until: float | None
) -> tuple[str, dict[str, Any]]:
    """Write the condition that leaves out whole days outside, as the files' manifest does."""
    clauses = ["environment_id = %(environment)s"]
    bounds: dict[str, Any] = {"environment": environment_id}
    if since is not None:
        clauses.append("time_us >= %(since)s")
        bounds["since"] = int(since * MICROSECONDS // DAY_US) * DAY_US
    if until is not None:
        clauses.append("time_us < %(until)s")
        bounds["until"] = (int(until * MICROSECONDS // DAY_US) + 1) * DAY_US
    return " AND ".join(clauses), bounds


def _table(connection: Connection, kind: Kind, query: str, bounds: dict[str, Any]) -> Any:
    with connection.cursor(f"read_{kind.name}") as cursor:
        cursor.execute(query.encode(), bounds)

        def chunks() -> Iterator[list[tuple[Any, ...]]]:
            while rows := cursor.fetchmany(_CHUNK):
                yield rows

        return table_of(kind, chunks())
