"""Moves between the inbox and the manifest: every step one transaction, in plain SQLite.

An event is, for a reader, either a waiting row (``generation > state.drained``) or inside a listed
file, never both: one update of ``state.drained`` in the transaction that lists the files moves all
rows of a drain at once. What is left of them is *retired* afterwards, a few thousand rows at a
time, so that nobody who appends has to wait long for the write lock.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.store.base import MICROSECONDS, SECONDS_PER_DAY
from experiments.store.parquet import DAY_US, EXPOSURES, EventFile, Kind
from experiments.store.quality import KEPT_SECONDS
from experiments.store.schema import writing

_CHUNK = 20_000
# Retired in one transaction: a few milliseconds of write lock.
_RETIRE_ROWS = 2_000
_ACTIVITY_MINUTES = 2 * 24 * 60

ActivityKey = tuple[int, int, str, str, str, str]
"""Environment, minute, kind, flag or event name, rule, variant."""


def freeze(connection: sqlite3.Connection) -> int:
    """Close the current generation: no row can join it, or an older one, any more."""
    with writing(connection):
        generation: int = connection.execute("SELECT generation FROM state").fetchone()[0]
        connection.execute("UPDATE state SET generation = generation + 1")
    return generation


def waiting_rows(
    connection: sqlite3.Connection,
    kind: Kind,
    *,
    upto: int | None = None,
    environment_id: int | None = None,
) -> Iterator[list[tuple[Any, ...]]]:
    """Read the waiting rows of a kind, in chunks, inside the caller's transaction.

    Parameters
    ----------
    connection : sqlite3.Connection
        In a transaction, so that ``state`` and the rows belong together.
    kind : Kind
        Which events, and which columns.
    upto : int, optional
        The newest generation to read.
    environment_id : int, optional
        Only this environment.
    """
    clauses = ["generation > (SELECT drained FROM state)"]
    clauses.append("flag IS NOT NULL" if kind is EXPOSURES else "name IS NOT NULL")
    parameters: list[int] = []
    if upto is not None:
        clauses.append("generation <= ?")
        parameters.append(upto)
    if environment_id is not None:
        clauses.append("environment_id = ?")
        parameters.append(environment_id)
    # Only names of ours are written into the text.
    sql = f"SELECT {', '.join(kind.columns)} FROM inbox WHERE {' AND '.join(clauses)}"  # noqa: S608
    cursor = connection.execute(sql, parameters)
    while chunk := cursor.fetchmany(_CHUNK):
        yield chunk


def publish(
    connection: sqlite3.Connection,
    generation: int,
    files: Sequence[EventFile],
    activity: Mapping[ActivityKey, int],
) -> None:
    """List a drain's files and count its generation as drained, in one transaction."""
    rows = sum(file.rows for file in files)
    with writing(connection):
        _list(connection, files)
        connection.executemany(
            "INSERT INTO activity VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET events = events + excluded.events",
            [(*key, events) for key, events in activity.items()],
        )
        connection.execute(
            "UPDATE state SET drained = ?, waiting = waiting - ?", (generation, rows)
        )


def retire(connection: sqlite3.Connection) -> None:
    """Delete drained rows from the inbox and remember their ids, a few at a time."""
    drained, retired = connection.execute("SELECT drained, retired FROM state").fetchone()
    if retired == drained:
        return
    for low, high in _ranges(connection, "inbox"):
        # Either place knows the id at every instant: the same transaction adds and deletes.
        with writing(connection):
            parameters = (low, high, drained)
            connection.execute(
                f"INSERT OR IGNORE INTO seen SELECT id, environment_id, time_us / {DAY_US} "  # noqa: S608
                "FROM inbox WHERE id > ? AND id <= ? AND generation <= ?",
                parameters,
            )
            connection.execute(
                "DELETE FROM inbox WHERE id > ? AND id <= ? AND generation <= ?", parameters
            )
    with writing(connection):
        connection.execute("UPDATE state SET retired = ?", (drained,))


def replace(
    connection: sqlite3.Connection, old: Sequence[EventFile], new: Sequence[EventFile]
) -> None:
    """List merged files instead of their sources, in one transaction."""
    paths = [(file.path,) for file in old]
    with writing(connection):
        _list(connection, new)
        connection.executemany("DELETE FROM files WHERE path = ?", paths)
        # Readers may have them open; see EmbeddedStore for when they are deleted.
        connection.executemany("INSERT INTO garbage VALUES (?)", paths)


def drop_days(connection: sqlite3.Connection, *, before_day: int) -> int:
    """Take every file of an older day off the list, in one transaction; count them."""
    with writing(connection):
        connection.execute(
            "INSERT OR IGNORE INTO garbage SELECT path FROM files WHERE day < ?", (before_day,)
        )
        return connection.execute("DELETE FROM files WHERE day < ?", (before_day,)).rowcount


def listed(
    connection: sqlite3.Connection,
    kind: Kind | None = None,
    *,
    since: float | None = None,
    until: float | None = None,
) -> list[EventFile]:
    """Read the manifest, oldest day first, without days wholly outside ``since`` … ``until``."""
    rows = connection.execute(
        "SELECT path, kind, day, rows, bytes FROM files "
        "WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR day >= ?2) "
        "AND (?3 IS NULL OR day <= ?3) ORDER BY day, path",
        (kind.name if kind else None, _day(since), _day(until)),
    )
    return [EventFile(*row) for row in rows]


def garbage(connection: sqlite3.Connection) -> list[str]:
    """Read the paths of files that a merge replaced."""
    return [path for (path,) in connection.execute("SELECT path FROM garbage")]


def forget_garbage(connection: sqlite3.Connection, paths: Sequence[str]) -> None:
    """Strike deleted files from the list."""
    with writing(connection):
        connection.executemany("DELETE FROM garbage WHERE path = ?", [(path,) for path in paths])


def start_of_new_day(connection: sqlite3.Connection, now: float) -> bool:
    """Tell whether this is the first drain of a day (UTC), and note that it was."""
    day = int(now // SECONDS_PER_DAY)
    if connection.execute("SELECT pruned_day FROM state").fetchone()[0] >= day:
        return False
    with writing(connection):
        connection.execute("UPDATE state SET pruned_day = ?", (day,))
    return True


def prune(connection: sqlite3.Connection, *, now: float, remember_seconds: float) -> None:
    """Forget ids of events so old that the wire refuses them, old activity and old quality."""
    oldest = _day(now - remember_seconds - SECONDS_PER_DAY)
    for low, high in _ranges(connection, "seen"):
        with writing(connection):
            connection.execute(
                "DELETE FROM seen WHERE id > ? AND id <= ? AND day < ?", (low, high, oldest)
            )
    with writing(connection):
        minute = int(now // 60) - _ACTIVITY_MINUTES
        connection.execute("DELETE FROM activity WHERE minute < ?", (minute,))
        hour = int((now - KEPT_SECONDS) // 3_600)
        connection.execute("DELETE FROM quality WHERE hour < ?", (hour,))


def _list(connection: sqlite3.Connection, files: Sequence[EventFile]) -> None:
    connection.executemany(
        "INSERT INTO files (path, kind, day, rows, bytes) VALUES (?, ?, ?, ?, ?)",
        [(file.path, file.kind, file.day, file.rows, file.bytes) for file in files],
    )


def _ranges(connection: sqlite3.Connection, table: str) -> Iterator[tuple[bytes, bytes]]:
    """Cut a table's present ids into half-open ranges of at most ``_RETIRE_ROWS`` rows or so."""
    low = b""
    # Rows that come in meanwhile are none of the caller's: without an end it could chase them.
    last = connection.execute(f"SELECT max(id) FROM {table}").fetchone()[0] or low  # noqa: S608
    while low < last:
        started = time.perf_counter()
        row = connection.execute(
            f"SELECT max(id), count(*) FROM "  # noqa: S608
            f"(SELECT id FROM {table} WHERE id > ? ORDER BY id LIMIT {_RETIRE_ROWS})",
            (low,),
        ).fetchone()
        if not row[1]:
            return
        yield low, row[0]
        low = row[0]
        # SQLite's waiters poll; without a pause as long as the work they could starve.
        time.sleep(time.perf_counter() - started)


def _day(time: float | None) -> int | None:
    return None if time is None else int(time * MICROSECONDS // DAY_US)
