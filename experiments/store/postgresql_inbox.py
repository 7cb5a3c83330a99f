"""The durable front of the PostgreSQL store: psycopg and nothing else, for the data plane.

A batch is one statement, and so one transaction and one round trip: new ids go into ``ids``, and
whichever went in bring their rows along. ``ids`` is one table for all days, because a unique key of
the partitioned ones would have to contain the time: the same id with another time would be new.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import psycopg

from experiments.store.base import (
    MICROSECONDS,
    AppendResult,
    Event,
    EventError,
    FullError,
    StoreStatus,
    date_of_day,
)
from experiments.store.connections import STATEMENT_SECONDS, Connections, is_lost, translated
from experiments.store.partitions import DAY_US, KINDS, filled_days, make_days, prepare
from experiments.store.quality import QualityCounts, QualityHour, by_hour
from experiments.store.recent import LatestEvent, RecentEvents, Which

_MAX_VALUE = 1e15
_LATEST_US = 253_402_300_799_999_999

# As JSON, because it is twice as fast to write and to read as ten arrays.
_APPEND = """
WITH given AS (
    SELECT * FROM json_to_recordset(%s::json) AS given (
        id uuid, environment_id bigint, time_us bigint, unit text, flag text, variant text,
        rule text, revision bigint, name text, value double precision, attributes text)
), fresh AS (
    INSERT INTO flagstone_events.ids SELECT id, environment_id, time_us / 86400000000 FROM given
    ON CONFLICT DO NOTHING RETURNING id, environment_id
), taken AS MATERIALIZED (
    SELECT given.* FROM given JOIN fresh USING (id, environment_id)
), exposed AS (
    INSERT INTO flagstone_events.exposures
    SELECT environment_id, time_us, unit, flag, variant, rule, revision, attributes FROM taken
    WHERE flag IS NOT NULL
), tracked AS (
    INSERT INTO flagstone_events.tracks
    SELECT environment_id, time_us, unit, name, value FROM taken WHERE flag IS NULL
)
SELECT count(*) FROM fresh
"""
_RECENT = """
SELECT 'exposures', flag, coalesce(rule, ''), variant, count(*) FROM flagstone_events.exposures
WHERE environment_id = %(environment)s AND time_us >= %(since)s GROUP BY 2, 3, 4
UNION ALL
SELECT 'tracks', name, '', '', count(*) FROM flagstone_events.tracks
WHERE environment_id = %(environment)s AND time_us >= %(since)s GROUP BY 2
"""
_LATEST = """
SELECT * FROM (
    SELECT time_us, unit, flag, variant, rule, revision, NULL AS name,
           NULL::double precision AS value, attributes
    FROM flagstone_events.exposures
    WHERE environment_id = %(environment)s AND time_us >= %(since)s
      AND coalesce(%(kind)s::text, 'exposures') = 'exposures'
      AND flag = coalesce(%(flag)s::text, flag)
    UNION ALL
    SELECT time_us, unit, NULL, NULL, NULL, NULL, name, value, NULL FROM flagstone_events.tracks
    WHERE environment_id = %(environment)s AND time_us >= %(since)s
      AND coalesce(%(kind)s::text, 'tracks') = 'tracks' AND %(flag)s::text IS NULL
) AS both_kinds ORDER BY time_us DESC LIMIT %(limit)s
"""
_NOTE = """
INSERT INTO flagstone_events.quality AS kept VALUES (%s, %s, %s, %s)
ON CONFLICT (environment_id, hour, kind) DO UPDATE SET events = kept.events + excluded.events
"""
_QUALITY = """
SELECT hour, kind, events FROM flagstone_events.quality WHERE environment_id = %s AND hour >= %s
"""
# Days and ids alike; only the days' rows are events.
_STATUS = """
SELECT coalesce(sum(n_live_tup) FILTER (WHERE relname ~ '^(exposures|tracks)_'), 0),
       coalesce(sum(pg_total_relation_size(relid)), 0)
FROM pg_stat_user_tables WHERE schemaname = 'flagstone_events'
"""


class PostgresInbox:
    """Append events durably and idempotently; count what came in.

    Any number of processes and threads may do so at once. Nothing is opened before first use.

    Parameters
    ----------
    url : str
        ``postgresql://…``; the tables are made in the schema ``flagstone_events`` on first use.
    statement_seconds : float
        A batch that takes longer is given up with a :class:`FullError`.
    """

    def __init__(self, url: str, *, statement_seconds: float = STATEMENT_SECONDS) -> None:
        self.connections = Connections(url, statement_seconds=statement_seconds)
        self._prepared = False
        self._days: frozenset[int] = frozenset()

    def append(self, events: Sequence[Event]) -> AppendResult:
        """Store a batch; on return every event of it survives a crash.

        Raises
        ------
        FullError
            If the database is away, too slow, or full. Nothing of the batch was acknowledged; if
            the connection broke during the commit it may be stored, and a repetition says so.
        """
        if not events:
            return AppendResult(0, 0)
        rows = _rows(events)
        text = orjson.dumps(rows)
        if b"\\u0000" in text:
            # PostgreSQL's text cannot hold U+0000. Refusing it would let one odd targeting key
            # take its whole batch down; a unit keeps one name in exposures and outcomes.
            text = orjson.dumps([{k: _without_nul(v) for k, v in row.items()} for row in rows])
        accepted = self._run(text.decode(), frozenset(row["time_us"] // DAY_US for row in rows))
        return AppendResult(accepted, len(events) - accepted)

    def recent(self, environment_id: int, *, since: float) -> list[RecentEvents]:
        """Count an environment's latest events (see :func:`experiments.store.recent.recent`)."""
        minute = math.floor(since / 60) * 60 * MICROSECONDS
        rows = self._ask(_RECENT, {"environment": environment_id, "since": minute})
        return [RecentEvents(*row) for row in sorted(rows)]

    def latest(self, environment_id: int, which: Which, *, since: float) -> list[LatestEvent]:
        """Give an environment's newest events (see :func:`experiments.store.recent.latest`)."""
        parameters = {
            "environment": environment_id,
            "since": math.ceil(since * MICROSECONDS),
            "kind": which.kind,
            "flag": which.flag,
            "limit": which.limit,
        }
        rows = self._ask(_LATEST, parameters)
        return [LatestEvent(row[0] / MICROSECONDS, *row[1:]) for row in rows]

    def note(self, counts: QualityCounts) -> None:
        """Add to the counts of what came in."""
        # In one order everywhere, so that two processes never wait for each other in a circle.
        rows = [(*key, events) for key, events in sorted(counts.items())]
        try:
            with self.connections.lend() as connection:
                self._prepare(connection)
                with connection.transaction(), connection.cursor() as cursor:
                    cursor.executemany(_NOTE.encode(), rows)
        except psycopg.Error as error:
            raise translated(error) from error

    def quality(self, environment_id: int, *, since: float) -> list[QualityHour]:
        """Read an environment's counts by hour of arrival, oldest first."""
        return by_hour(self._ask(_QUALITY, (environment_id, math.floor(since / 3_600))))

    def status(self) -> StoreStatus:
        """Say what the whole store holds; of events the number that the database believes."""
        ((events, size),) = self._ask(_STATUS, ())
        try:
            with self.connections.lend() as connection:
                days = sorted({day for kind in KINDS for day in filled_days(connection, kind)})
        except psycopg.Error as error:
            raise translated(error) from error
        oldest, newest = (date_of_day(days[0]), date_of_day(days[-1])) if days else (None, None)
        return StoreStatus(int(events), False, len(days), oldest, newest, int(size), 0)

    def check(self) -> None:
        """Raise if events cannot be stored now; blocks."""
        rows = self._ask("SELECT pg_is_in_recovery() OR %s", (False,))
        if rows[0][0]:
            raise FullError("the event database may only be read")

    def close(self) -> None:
        """Close the connections."""
        self.connections.close()

    def _ask(self, query: str, parameters: Any) -> list[Any]:
        try:
            try:
                return self._fetch(query, parameters, fresh=False)
            except psycopg.Error as error:
                if not is_lost(error):
                    raise
                # It lay here while the database was restarted.
                return self._fetch(query, parameters, fresh=True)
        except psycopg.Error as error:
            raise translated(error) from error

    def _fetch(self, query: str, parameters: Any, *, fresh: bool) -> list[Any]:
        with self.connections.lend(fresh=fresh) as connection:
            self._prepare(connection)
            return connection.execute(query.encode(), parameters).fetchall()

    def _prepare(self, connection: psycopg.Connection[Any]) -> None:
        if not self._prepared:
            prepare(connection)
            self._prepared = True

    def _run(self, text: str, days: frozenset[int]) -> int:
        tries = 3
        while True:
            tries -= 1
            try:
                with self.connections.lend(fresh=tries < 2) as connection:
                    self._prepare(connection)
                    if not days <= self._days:
                        make_days(connection, days)
                        # Replaced, never changed: other threads read it meanwhile.
                        self._days |= days
                    row = connection.execute(_APPEND.encode(), (text,), prepare=True).fetchone()
                assert row is not None
                return int(row[0])
            except psycopg.Error as error:
                if tries and _is_dropped_day(error):
                    self._days = frozenset()
                elif not (tries and is_lost(error)):
                    raise translated(error) from error


def _rows(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Check what the tables would refuse; leave out repetitions; put ids in one order.

    Two batches with the same new ids wait for each other: in the same order, never in a circle.
    """
    found: dict[tuple[bytes, int], dict[str, Any]] = {}
    for event in events:
        key = (event.id, event.environment_id)
        if key in found:
            continue
        number, environment_id, time, unit, flag, variant, rule, revision, name, value, told = event
        time_us = math.floor(time * MICROSECONDS + 0.5)
        if (
            (flag is None) == (name is None)
            or (flag is None) != (variant is None)
            or len(number) != 16
            or not 0 <= time_us <= _LATEST_US
            or not (value is None or -_MAX_VALUE <= value <= _MAX_VALUE)
        ):
            raise EventError("the event breaks a rule of the store")
        found[key] = {
            "id": number.hex(),
            "environment_id": environment_id,
            "time_us": time_us,
            "unit": unit,
            "flag": flag,
            "variant": variant,
            "rule": rule,
            "revision": revision,
            "name": name,
            "value": value,
            "attributes": told,
        }
    return [found[key] for key in sorted(found)]


def _without_nul(value: Any) -> Any:
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def _is_dropped_day(error: psycopg.Error) -> bool:
    """Tell whether a row found no partition: it was dropped after this process had seen it."""
    return isinstance(error, psycopg.errors.CheckViolation) and not error.diag.constraint_name
