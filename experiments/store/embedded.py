"""The default event store: a SQLite inbox, Parquet files by day, DuckDB over both.

What makes each event count exactly once is in :mod:`experiments.store.manifest`; this module puts
the steps in order, holds the locks and opens snapshots.
"""

from __future__ import annotations

import glob
import math
import shutil
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa
import pyarrow.compute as pc

from experiments.store import manifest
from experiments.store.base import (
    MAX_AGE_SECONDS,
    MICROSECONDS,
    SECONDS_PER_DAY,
    AppendResult,
    DrainResult,
    Event,
)
from experiments.store.compaction import groups_to_merge
from experiments.store.inbox import DEFAULT_CAPACITY, Inbox, inbox_path
from experiments.store.locks import exclusive, shared
from experiments.store.manifest import ActivityKey
from experiments.store.parquet import (
    EXPOSURES,
    KINDS,
    TRACKS,
    EventFile,
    Kind,
    merge_files,
    split_by_day,
    table_of,
    write_file,
)
from experiments.store.schema import open_inbox, reading

_MINUTE_US = 60 * MICROSECONDS


class EmbeddedStore:
    """An event store in one folder; implements :class:`experiments.store.base.EventStore`.

    Any number of processes may open the same folder, append, drain and read at once.

    Parameters
    ----------
    directory : Path or str
        The folder; made on first use.
    capacity : int
        Events that may wait to be drained (see :class:`experiments.store.inbox.Inbox`).
    remember_seconds : float
        Ids of drained events are remembered this long after the event's time. The wire must
        refuse anything older, or a late repetition could count twice.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        capacity: int = DEFAULT_CAPACITY,
        remember_seconds: float = MAX_AGE_SECONDS,
    ) -> None:
        self.directory = Path(directory)
        self.inbox = Inbox(inbox_path(self.directory), capacity=capacity)
        self._remember_seconds = remember_seconds
        self._drain_lock = self.directory / "drain.lock"
        self._readers_lock = self.directory / "readers.lock"
        self._spill = self.directory / "spill"
        self._orphans_swept = False

    def append(self, events: Sequence[Event]) -> AppendResult:
        """Store a batch durably (see :meth:`experiments.store.inbox.Inbox.append`)."""
        return self.inbox.append(events)

    def close(self) -> None:
        """Close the inbox; snapshots that are open stay so."""
        self.inbox.close()

    def drain(self, now: float, *, keep_since: float | None = None) -> DrainResult:
        """Move waiting events into Parquet files, merge small files, delete what nobody needs.

        Crash-safe at every point: killed anywhere, the next drain goes on from there.

        Parameters
        ----------
        now : float
            POSIX seconds; decides only what is old.
        keep_since : float, optional
            Files of days that ended before this are dropped; ``None`` keeps all. Their events' ids
            are remembered as long as any: a late repetition stays a repetition.

        Returns
        -------
        DrainResult
            With ``busy`` if another drain is under way somewhere; this one then did nothing.
        """
        with exclusive(self._drain_lock) as alone:
            if not alone:
                return DrainResult(busy=True)
            with closing(open_inbox(self.inbox.path)) as connection:
                daily = manifest.start_of_new_day(connection, now)
                swept = self._sweep_orphans(connection, again=daily)
                try:
                    # First what a killed drain left, so that it cannot pile up.
                    manifest.retire(connection)
                    events, files = self._move(connection)
                    manifest.retire(connection)
                    today = now // SECONDS_PER_DAY
                    merged = self._merge(connection, today if daily else -math.inf)
                except BaseException:
                    self._orphans_swept = False
                    raise
                if daily:
                    manifest.prune(connection, now=now, remember_seconds=self._remember_seconds)
                dropped = 0
                if keep_since is not None:
                    oldest = int(keep_since // SECONDS_PER_DAY)
                    dropped = manifest.drop_days(connection, before_day=oldest)
                swept += self._sweep_garbage(connection)
        return DrainResult(events, files, merged, swept, dropped=dropped)

    def compact(self) -> DrainResult:
        """Merge the files of every day into as few as possible, now.

        :meth:`drain` does it by itself, step by step; this is for an operator and for tests.
        """
        with exclusive(self._drain_lock) as alone:
            if not alone:
                return DrainResult(busy=True)
            with closing(open_inbox(self.inbox.path)) as connection:
                merged = self._merge(connection, math.inf)
                swept = self._sweep_garbage(connection)
        return DrainResult(merged=merged, swept=swept)

    @contextmanager
    def relations(
        self,
        environment_id: int,
        *,
        since: float | None = None,
        until: float | None = None,
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a consistent snapshot: a connection with the views ``exposures`` and ``tracks``."""
        spill = self._spill / uuid.uuid4().hex
        # While this lock is held no file of the snapshot is deleted.
        with shared(self._readers_lock):
            self._spill.mkdir(exist_ok=True)
            files: dict[str, list[EventFile]] = {}
            waiting: dict[str, pa.Table] = {}
            with closing(open_inbox(self.inbox.path)) as connection, reading(connection):
                for kind in KINDS:
                    files[kind.name] = manifest.listed(connection, kind, since=since, until=until)
                    rows = manifest.waiting_rows(connection, kind, environment_id=environment_id)
                    waiting[kind.name] = table_of(kind, rows)
            analysis = duckdb.connect(
                config={
                    # Never fetch code over the network, never spill into the current folder.
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                    "temp_directory": str(spill),
                    "preserve_insertion_order": False,
                }
            )
            try:
                for kind in KINDS:
                    analysis.register(f"waiting_{kind.name}", waiting[kind.name])
                    paths = [self.directory / file.path for file in files[kind.name]]
                    analysis.execute(_view(kind, paths, environment_id))
                yield analysis
            finally:
                analysis.close()
                shutil.rmtree(spill, ignore_errors=True)

    @contextmanager
    def tables(
        self,
        environment_id: int,
        *,
        since: float | None = None,
        until: float | None = None,
    ) -> Iterator[tuple[ibis.Table, ibis.Table]]:
        """Open a consistent snapshot (see :meth:`experiments.store.base.EventStore.tables`)."""
        with self.relations(environment_id, since=since, until=until) as connection:
            backend = ibis.duckdb.from_connection(connection)
            yield backend.table(EXPOSURES.name), backend.table(TRACKS.name)

    def _move(self, connection: sqlite3.Connection) -> tuple[int, int]:
        if not connection.execute("SELECT waiting FROM state").fetchone()[0]:
            return 0, 0
        generation = manifest.freeze(connection)
        with reading(connection):
            tables = [
                (kind, table_of(kind, manifest.waiting_rows(connection, kind, upto=generation)))
                for kind in KINDS
            ]
        files = [
            write_file(self.directory, kind, day, part)
            for kind, table in tables
            for day, part in split_by_day(table)
        ]
        activity: Counter[ActivityKey] = Counter()
        for kind, table in tables:
            activity.update(_activity(kind, table))
        manifest.publish(connection, generation, files, activity)
        return sum(file.rows for file in files), len(files)

    def _merge(self, connection: sqlite3.Connection, whole_before_day: float) -> int:
        merged = 0
        for kind in KINDS:
            present = manifest.listed(connection, kind)
            for group in groups_to_merge(present, whole_before_day=whole_before_day):
                manifest.replace(connection, group, [merge_files(self.directory, kind, group)])
                merged += len(group)
        return merged

    def _sweep_garbage(self, connection: sqlite3.Connection) -> int:
        """Delete replaced files, if no reader anywhere holds a snapshot; else the next time."""
        paths = manifest.garbage(connection)
        if not paths:
            return 0
        with exclusive(self._readers_lock) as alone:
            if not alone:
                return 0
            for path in paths:
                (self.directory / path).unlink(missing_ok=True)
            shutil.rmtree(self._spill, ignore_errors=True)
        manifest.forget_garbage(connection, paths)
        return len(paths)

    def _sweep_orphans(self, connection: sqlite3.Connection, *, again: bool) -> int:
        """Delete files that a killed drain wrote but never listed."""
        if self._orphans_swept and not again:
            return 0
        known = {file.path for file in manifest.listed(connection)}
        known.update(manifest.garbage(connection))
        swept = 0
        for kind in KINDS:
            for path in (self.directory / kind.name).glob("*/*"):
                if path.relative_to(self.directory).as_posix() not in known:
                    with suppress(FileNotFoundError):
                        path.unlink()
                        swept += 1
        self._orphans_swept = True
        return swept


def _view(kind: Kind, paths: Sequence[Path], environment_id: int) -> str:
    """Write the SQL of a view over files and waiting rows."""
    sources = [f"SELECT * FROM waiting_{kind.name}"]  # noqa: S608
    if paths:
        # DuckDB takes each path for a pattern; a folder may be called "a[1]" or "it's".
        literals = ", ".join("'" + glob.escape(str(p)).replace("'", "''") + "'" for p in paths)
        sources.append(
            # Files of older releases have fewer columns.
            f"SELECT * FROM read_parquet([{literals}], hive_partitioning = false, "  # noqa: S608
            "union_by_name = true) "
            f"WHERE environment_id = {int(environment_id)}"
        )
    shown = ", ".join(column for column in kind.columns if column != "time_us")
    return (
        f"CREATE VIEW {kind.name} AS "  # noqa: S608
        f"SELECT {shown}, time_us / {MICROSECONDS}::DOUBLE AS time "
        f"FROM ({' UNION ALL BY NAME '.join(sources)})"
    )


def _activity(kind: Kind, table: pa.Table) -> dict[ActivityKey, int]:
    """Count a drain's events per environment, minute and name."""
    by_minute = table.append_column("minute", pc.divide(table["time_us"], _MINUTE_US))
    named = ["flag", "rule", "variant"] if kind is EXPOSURES else ["name"]
    counted = by_minute.group_by(["environment_id", "minute", *named]).aggregate(
        [([], "count_all")]
    )
    counts: Counter[ActivityKey] = Counter()
    for row in counted.to_pylist():
        name, *rest = (row[column] or "" for column in named)
        rule, variant = rest or ("", "")
        counts[row["environment_id"], row["minute"], kind.name, name, rule, variant] += row[
            "count_all"
        ]
    return counts
