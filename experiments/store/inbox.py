"""The durable front of the embedded store: SQLite and nothing else, for the data plane.

An event is acknowledged when the transaction that holds it is on the disk. Its id is the primary
key, so a repetition changes nothing; ids of events that have left for Parquet files stay behind in
``seen``. Any number of processes and threads may append at once.
"""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from experiments.store.base import (
    AppendResult,
    Event,
    FullError,
    StoreError,
    StoreStatus,
    date_of_day,
)
from experiments.store.quality import QualityCounts, QualityHour, by_hour
from experiments.store.recent import LatestEvent, RecentEvents, Which, latest, recent
from experiments.store.schema import BUSY_TIMEOUT_SECONDS, open_inbox, reading, writing

INBOX_NAME = "inbox.sqlite3"
DEFAULT_CAPACITY = 2_000_000
# Batches that arrive while a commit is under way share the next one; this bounds its length.
_MAX_EVENTS_PER_COMMIT = 20_000

# The generation is an integer of ours, written into the text: bound, it would cost 5 % more.
_INSERT = """
INSERT INTO inbox (id, environment_id, time_us, unit, flag, variant, rule, revision, name, value,
                   attributes, generation)
SELECT ?1, ?2, CAST(round(?3 * 1000000.0) AS INTEGER), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,
       {generation}
WHERE NOT EXISTS (SELECT 1 FROM seen WHERE id = ?1 AND environment_id = ?2)
ON CONFLICT DO NOTHING
"""
_NOTE = """
INSERT INTO quality VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET events = events + excluded.events
"""
_QUALITY = "SELECT hour, kind, events FROM quality WHERE environment_id = ? AND hour >= ?"
_STATUS = """
SELECT count(DISTINCT day), coalesce(sum(rows), 0), coalesce(sum(bytes), 0), min(day), max(day)
FROM files
"""


def inbox_path(directory: Path | str) -> Path:
    """Return the path of the inbox inside the store's directory."""
    return Path(directory) / INBOX_NAME


class Inbox:
    """Append events durably and idempotently.

    Parameters
    ----------
    path : Path or str
        The SQLite file (see :func:`inbox_path`); made on first use, with its folder.
    capacity : int
        Events that may wait to be drained; beyond it :class:`FullError` is raised.
    retry_after_seconds : int
        What a :class:`FullError` for lack of room tells the sender.
    busy_timeout_seconds : float
        How long to wait for other processes' commits before a :class:`FullError` says so.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        capacity: int = DEFAULT_CAPACITY,
        retry_after_seconds: int = 5,
        busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS,
    ) -> None:
        self.path = Path(path)
        self.capacity = capacity
        self.retry_after_seconds = retry_after_seconds
        self._busy_timeout_seconds = busy_timeout_seconds
        self._start()
        self._connect()

    def append(self, events: Sequence[Event]) -> AppendResult:
        """Store a batch; on return every event of it survives a crash.

        Blocks for one commit (about a millisecond); call it from a thread, not from an event loop.
        Threads that call it at the same time share commits.

        Parameters
        ----------
        events : sequence of Event
            At most a few thousand. Of two events with one id the first counts.

        Returns
        -------
        AppendResult
            ``accepted`` and ``duplicates`` sum to the number of events.

        Raises
        ------
        FullError
            If too many events wait already, the disk is full or the file stays locked. Nothing of
            the batch was stored.
        """
        if not events:
            return AppendResult(0, 0)
        if os.getpid() != self._pid:
            # After a fork neither the lock nor the connection is ours to use, or even to close.
            self._inherited = self._connection
            self._start()
            self._connect()
        request = _Request(events)
        self._requests.append(request)
        with self._lock:
            # The thread before us may have committed our batch along with its own.
            while not request.done:
                self._commit_waiting()
        if request.error is not None:
            raise request.error
        return AppendResult(request.accepted, len(events) - request.accepted)

    def recent(self, environment_id: int, *, since: float) -> list[RecentEvents]:
        """Count an environment's latest events (see :func:`experiments.store.recent.recent`)."""
        return recent(self.path, environment_id, since=since)

    def latest(self, environment_id: int, which: Which, *, since: float) -> list[LatestEvent]:
        """Give an environment's newest events (see :func:`experiments.store.recent.latest`)."""
        return latest(self.path, environment_id, which, since=since)

    def note(self, counts: QualityCounts) -> None:
        """Add to the counts of how good the events were that came in."""
        rows = [(*key, events) for key, events in counts.items()]
        with closing(self._open()) as connection, writing(connection):
            connection.executemany(_NOTE, rows)

    def quality(self, environment_id: int, *, since: float) -> list[QualityHour]:
        """Read an environment's counts by hour of arrival, oldest first."""
        parameters = (environment_id, math.floor(since / 3_600))
        with closing(self._open()) as connection, reading(connection):
            return by_hour(connection.execute(_QUALITY, parameters).fetchall())

    def status(self) -> StoreStatus:
        """Say what the whole store holds."""
        with closing(self._open()) as connection, reading(connection):
            days, rows, size, *ends = connection.execute(_STATUS).fetchone()
            waiting: int = connection.execute("SELECT waiting FROM state").fetchone()[0]
        oldest, newest = (None if day is None else date_of_day(day) for day in ends)
        own = self.path.parent.glob(f"{self.path.name}*")
        size += sum(path.stat().st_size for path in own)
        return StoreStatus(rows + waiting, True, days, oldest, newest, size, waiting)

    def check(self) -> None:
        """Raise if the file cannot be written now; blocks."""
        with closing(self._open()) as connection, writing(connection):
            pass

    def waiting(self) -> int:
        """Count the events that are not in Parquet files yet."""
        with self._lock:
            count: int = self._connection.execute("SELECT waiting FROM state").fetchone()[0]
        return count

    def close(self) -> None:
        """Close the file; appending afterwards is an error."""
        with self._lock:
            self._connection.close()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._requests: deque[_Request] = deque()

    def _connect(self) -> None:
        self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        return open_inbox(self.path, busy_timeout_seconds=self._busy_timeout_seconds)

    def _commit_waiting(self) -> None:
        group = [self._requests.popleft()]
        size = len(group[0].events)
        while self._requests and size < _MAX_EVENTS_PER_COMMIT:
            group.append(self._requests.popleft())
            size += len(group[-1].events)
        self._commit(group)
        if len(group) > 1 and any(request.error is not None for request in group):
            # One batch that cannot be stored must not take its neighbours down.
            for request in group:
                request.error = None
                self._commit([request])
        for request in group:
            request.done = True

    def _commit(self, group: list[_Request]) -> None:
        """Store the group in one transaction, or note its error in every request of it."""
        try:
            with writing(self._connection):
                generation, waiting = self._connection.execute(
                    "SELECT generation, waiting FROM state"
                ).fetchone()
                insert = _INSERT.format(generation=int(generation))
                stored = 0
                for request in group:
                    if waiting + stored + len(request.events) > self.capacity:
                        raise FullError(
                            f"{waiting + stored:,} events wait to be drained; "
                            f"the limit is {self.capacity:,}",
                            retry_after_seconds=self.retry_after_seconds,
                        )
                    cursor = self._connection.executemany(insert, request.events)
                    request.accepted = cursor.rowcount
                    stored += request.accepted
                if stored:
                    self._connection.execute("UPDATE state SET waiting = waiting + ?", (stored,))
        except Exception as error:  # noqa: BLE001  raised again in the thread that waits for it
            for request in group:
                request.error = error
        except BaseException:
            # An interrupt is for this thread only; the others must not wait for ever.
            for request in group:
                request.error = StoreError("the event store was interrupted")
                request.done = True
            raise


class _Request:
    """One batch on its way into a commit, and what became of it."""

    __slots__ = ("accepted", "done", "error", "events")

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self.accepted = 0
        self.done = False
        self.error: Exception | None = None
