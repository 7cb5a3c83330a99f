"""Events in PostgreSQL: the embedded store's promises, for installations of many machines.

What makes each event count exactly once is one statement in
:mod:`experiments.store.postgresql_inbox`; this module cleans up and opens snapshots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import ibis
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
from experiments.store.partitions import (
    DAY_US,
    KINDS,
    SCHEMA,
    draining,
    drop_days,
    make_days,
    prepare,
)
from experiments.store.postgresql_inbox import PostgresInbox
from experiments.store.quality import KEPT_SECONDS

# Batches of the next days never wait for a table to be made.
_DAYS_AHEAD = 3


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
    def tables(
        self,
        environment_id: int,
        *,
        since: float | None = None,
        until: float | None = None,
    ) -> Iterator[tuple[ibis.Table, ibis.Table]]:
        """Open a consistent snapshot (see :meth:`experiments.store.base.EventStore.tables`)."""
        with self._snapshot() as connection:
            backend = ibis.postgres.from_connection(connection)
            exposures, tracks = (
                _rows(backend.table(kind, database=SCHEMA), environment_id, since, until)
                for kind in KINDS
            )
            yield exposures, tracks

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        """Open a transaction that sees one moment, and can change nothing."""
        try:
            with closing(connect(self._url, statement_seconds=0)) as connection:
                prepare(connection)
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                connection.read_only = True
                # Units meet all their events: of fresh days the planner knows nothing, and a nested
                # loop over two large tables would take minutes.
                connection.execute("SET enable_nestloop = off")
                # Few groups, it believes, and sorts every row by its unit, as people sort words.
                connection.execute("SET enable_sort = off")
                connection.execute("SET jit = off")
                with connection.transaction():
                    # From here on no day can be detached, only marked for it.
                    connection.execute(
                        "LOCK TABLE ONLY flagstone_events.exposures, ONLY flagstone_events.tracks "
                        "IN ACCESS SHARE MODE"
                    )
                    # The moment is that of the first query.
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


def _rows(
    table: ibis.Table, environment_id: int, since: float | None, until: float | None
) -> ibis.Table:
    """Give an environment's rows, without days wholly outside: their partitions are not read."""
    rows = table.filter(table.environment_id == environment_id)
    if since is not None:
        rows = rows.filter(rows.time_us >= int(since * MICROSECONDS // DAY_US) * DAY_US)
    if until is not None:
        rows = rows.filter(rows.time_us < (int(until * MICROSECONDS // DAY_US) + 1) * DAY_US)
    return rows.mutate(time=rows.time_us.cast("float64") / float(MICROSECONDS)).drop("time_us")
