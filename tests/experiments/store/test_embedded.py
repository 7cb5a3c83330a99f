"""Events move from the inbox to files, and no reader ever sees one twice or misses one."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from experiments.store import manifest
from experiments.store.base import (
    SECONDS_PER_DAY,
    AppendResult,
    DrainResult,
    Event,
    FullError,
    whole_microseconds,
)
from experiments.store.compaction import FAN_IN, MAX_ROWS, groups_to_merge
from experiments.store.embedded import EmbeddedStore
from experiments.store.locks import exclusive, shared
from experiments.store.parquet import EventFile
from experiments.store.recent import RecentEvents, recent

DAY = SECONDS_PER_DAY
NOW = 20_000.5 * DAY  # noon of some day
Row = tuple[object, ...]


def exposure(number: int, *, time: float = NOW, environment_id: int = 1) -> Event:
    key = uuid.UUID(int=number).bytes
    return Event(key, environment_id, time, f"u{number}", "checkout", "new", "exp-42", 17)


def track(number: int, *, time: float = NOW, value: float | None = 2.5) -> Event:
    return Event(uuid.UUID(int=number).bytes, 1, time, f"u{number}", name="buy", value=value)


def expected(events: Iterable[Event]) -> Counter[Row]:
    return Counter(
        (e.unit, e.flag or e.name, e.variant, e.rule, e.revision, e.value, e.time) for e in events
    )


def seen_by(store: EmbeddedStore, environment_id: int = 1) -> Counter[Row]:
    with store.relations(environment_id) as connection:
        return Counter(
            connection.execute(
                "SELECT unit, flag, variant, rule, revision, NULL, time FROM exposures UNION ALL "
                "SELECT unit, name, NULL, NULL, NULL, value, time FROM tracks"
            ).fetchall()
        )


def files_of(store: EmbeddedStore) -> list[Path]:
    return sorted(p for k in ("exposures", "tracks") for p in (store.directory / k).glob("*/*"))


def listed(store: EmbeddedStore) -> list[Path]:
    with closing(sqlite3.connect(store.inbox.path)) as connection:
        return sorted(store.directory / file.path for file in manifest.listed(connection))


def count(store: EmbeddedStore, table: str) -> int:
    with closing(sqlite3.connect(store.inbox.path)) as connection:
        number: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return number


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    # A name that is a pattern to DuckDB, and ends a string in SQL.
    opened = EmbeddedStore(tmp_path / "it's [a-z]* store?")
    yield opened
    opened.close()


def test_waiting_and_drained_events_look_the_same(store: EmbeddedStore) -> None:
    odd = [
        exposure(1, time=NOW + 0.123456),
        exposure(2)._replace(rule=None, revision=None, unit="\0'\"𝔘"),
        track(3, time=NOW + 1 / 3),
        track(4, value=None),
        track(5, value=-1e15, time=0.0),
        track(6, value=5e-324),
    ]
    store.append(odd)
    waiting = seen_by(store)
    assert store.drain(NOW).events == len(odd)
    assert count(store, "inbox") == store.inbox.waiting() == 0
    assert seen_by(store) == waiting
    assert waiting == expected([e._replace(time=whole_microseconds(e.time)) for e in odd])


def test_times_are_kept_to_the_nearest_microsecond(store: EmbeddedStore) -> None:
    """One rule at the wire, in waiting rows and in files; rounding again changes nothing."""
    times = [NOW + k * 0.7310585 for k in range(500)] + [NOW + k / 2**22 for k in range(500)]
    rounded = [whole_microseconds(time) for time in times]
    assert [whole_microseconds(time) for time in rounded] == rounded
    assert max(abs(a - b) for a, b in zip(times, rounded, strict=True)) < 1e-6
    store.append([exposure(n, time=time) for n, time in enumerate(times)])
    wanted = expected([exposure(n, time=time) for n, time in enumerate(rounded)])
    assert seen_by(store) == wanted
    store.drain(NOW)
    assert seen_by(store) == wanted


def test_a_snapshot_shows_one_environment_only(store: EmbeddedStore) -> None:
    mine, other = [exposure(1), track(2)], [exposure(3, environment_id=2)]
    store.append([*mine, *other])
    assert seen_by(store) == expected(mine)
    store.drain(NOW)
    assert seen_by(store) == expected(mine)
    assert seen_by(store, 2) == expected(other)
    assert seen_by(store, 3) == Counter()


def test_a_repetition_changes_nothing_even_after_the_event_was_drained(
    store: EmbeddedStore,
) -> None:
    events = [exposure(1), track(2), exposure(3)]
    store.append(events)
    store.drain(NOW)
    assert store.append([*events, exposure(4)]) == AppendResult(1, 3)
    store.drain(NOW)
    assert store.append([*events, exposure(4)]) == AppendResult(0, 4)
    assert seen_by(store) == expected([*events, exposure(4)])


def test_files_are_cut_by_kind_and_by_day_of_the_event(store: EmbeddedStore) -> None:
    events = [exposure(1), exposure(2, time=NOW - DAY), track(3), exposure(4, time=NOW - DAY)]
    store.append(events)
    assert store.drain(NOW) == DrainResult(events=4, files=3)
    folders = sorted(p.parent.relative_to(store.directory).as_posix() for p in files_of(store))
    assert folders == ["exposures/2024-10-03", "exposures/2024-10-04", "tracks/2024-10-04"]


def test_files_of_an_older_release_are_read_and_merged_with_new_ones(
    store: EmbeddedStore,
) -> None:
    store.append([exposure(1)])
    store.drain(NOW)
    for path in store.directory.glob("exposures/*/*.parquet"):
        pq.write_table(pq.ParquetFile(path).read().drop_columns(["attributes"]), path)

    def seen() -> list[Row]:
        with store.relations(1) as connection:
            query = "SELECT unit, attributes FROM exposures ORDER BY unit"
            return connection.execute(query).fetchall()

    assert seen() == [("u1", None)]
    store.append([exposure(2)._replace(attributes='{"country":"DE"}')])
    told = [("u1", None), ("u2", '{"country":"DE"}')]
    assert seen() == told
    store.drain(NOW)
    assert seen() == told
    assert store.compact().merged == 2
    assert seen() == told


def test_an_idle_drain_writes_nothing(store: EmbeddedStore) -> None:
    assert store.drain(NOW) == DrainResult()
    store.append([exposure(1)])
    store.drain(NOW)
    before = files_of(store)
    assert store.drain(NOW) == DrainResult()
    assert files_of(store) == before


def test_days_outside_the_question_are_not_read(store: EmbeddedStore) -> None:
    days = [exposure(n, time=NOW + n * DAY) for n in range(4)]
    store.append(days)
    store.drain(NOW + 4 * DAY)
    with store.relations(1, since=NOW + DAY, until=NOW + 2 * DAY) as connection:
        units = connection.execute("SELECT unit FROM exposures ORDER BY unit").fetchall()
    assert units == [("u1",), ("u2",)]


def test_two_drains_at_once_do_not_double(store: EmbeddedStore) -> None:
    events = [exposure(n) for n in range(50)]
    store.append(events)
    with exclusive(store.directory / "drain.lock") as alone:
        assert alone
        assert store.drain(NOW) == DrainResult(busy=True)
        assert store.compact() == DrainResult(busy=True)
        assert EmbeddedStore(store.directory).drain(NOW).busy
    results: list[DrainResult] = []
    threads = [threading.Thread(target=lambda: results.append(store.drain(NOW))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result.events for result in results) == 50
    assert seen_by(store) == expected(events)


def test_an_open_snapshot_stays_as_it_was_whatever_happens_meanwhile(
    store: EmbeddedStore,
) -> None:
    first = [exposure(n) for n in range(3)]
    for event in first:
        store.append([event])
        store.drain(NOW)
    with store.relations(1) as connection:
        store.append([exposure(3)])
        store.drain(NOW)
        result = store.compact()
        # The merged files are off the list, but this reader may still open them.
        assert (result.merged, result.swept) == (4, 0)
        # Nor does a process that starts up now take them for a crash's leftovers.
        assert EmbeddedStore(store.directory).drain(NOW).swept == 0
        assert len(files_of(store)) == 5
        units = connection.execute("SELECT unit FROM exposures ORDER BY unit").fetchall()
        assert units == [("u0",), ("u1",), ("u2",)]
    assert store.drain(NOW).swept == 4
    assert files_of(store) == listed(store)
    assert seen_by(store) == expected([*first, exposure(3)])


def test_small_files_of_a_day_are_merged_into_one(store: EmbeddedStore) -> None:
    events = [exposure(n) for n in range(FAN_IN)] + [track(100 + n) for n in range(3)]
    results = []
    for event in events:
        store.append([event])
        results.append(store.drain(NOW))
    assert [r.merged for r in results] == [0] * (FAN_IN - 1) + [FAN_IN] + [0] * 3
    assert len(files_of(store)) == 4
    assert seen_by(store) == expected(events)
    # The day is over: what is left of it becomes one file per kind.
    assert store.drain(NOW + DAY).merged == 3
    assert len(files_of(store)) == 2
    assert seen_by(store) == expected(events)


def _files(rows: list[int], day: int = 1) -> list[EventFile]:
    return [EventFile(f"{day}-{n}", "exposures", day, r, 1) for n, r in enumerate(rows)]


def test_a_row_is_rewritten_once_per_size_however_many_drains_there_are() -> None:
    files: list[EventFile] = []
    rewritten = 0
    drains = 8 * 8 * 8 * 8
    for number in range(drains):
        files.append(EventFile(f"{number}", "exposures", 1, 500, 1))
        for group in list(groups_to_merge(files)):
            rows = sum(file.rows for file in group)
            rewritten += rows
            files = [file for file in files if file not in group]
            files.append(EventFile(f"m{number}", "exposures", 1, rows, 1))
    assert sum(file.rows for file in files) == drains * 500
    assert len(files) < 4 * FAN_IN
    assert rewritten <= 4 * drains * 500


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [
        ([5], []),
        ([5, 7], [2]),
        ([MAX_ROWS, 5], []),
        ([MAX_ROWS, 5, 6], [2]),
        ([1_000_000, 3], []),
        ([1_000_000, 200_000], [2]),
        ([1_000_000, *[1] * 7], [8]),
        ([MAX_ROWS // 2 + 1] * 3, []),
    ],
)
def test_a_day_that_is_over_is_merged_if_that_is_worth_the_writing(
    rows: list[int], sizes: list[int]
) -> None:
    groups = list(groups_to_merge(_files(rows), whole_before_day=2))
    assert [len(group) for group in groups] == sizes


def test_files_of_different_days_are_never_merged() -> None:
    files = _files([1] * 5, day=1) + _files([1] * 5, day=2)
    groups = list(groups_to_merge(files, whole_before_day=3))
    assert [{file.day for file in group} for group in groups] == [{1}, {2}]


def test_files_that_are_not_listed_are_ignored_and_swept(store: EmbeddedStore) -> None:
    events = [exposure(1), exposure(2)]
    store.append(events)
    store.drain(NOW)
    (real,) = files_of(store)
    for name in ("left-by-a-crash.parquet", "half-written.tmp"):
        (real.parent / name).write_bytes(real.read_bytes())
    assert seen_by(store) == expected(events)
    # A process that starts up sweeps; so does the first drain of a day.
    assert EmbeddedStore(store.directory).drain(NOW).swept == 2
    (real.parent / "another.parquet").write_bytes(b"?")
    assert store.drain(NOW).swept == 0
    assert store.drain(NOW + DAY).swept == 1
    assert files_of(store) == [real]


def test_ids_are_remembered_for_as_long_as_the_wire_lets_their_events_in(
    tmp_path: Path,
) -> None:
    store = EmbeddedStore(tmp_path, remember_seconds=10 * DAY)
    store.append([exposure(1, time=NOW), exposure(2, time=NOW + 5 * DAY)])
    store.drain(NOW + 5 * DAY)
    store.drain(NOW + 10 * DAY)
    assert count(store, "seen") == 2
    store.drain(NOW + 12 * DAY)
    assert count(store, "seen") == 1
    assert store.append([exposure(2, time=NOW + 5 * DAY)]) == AppendResult(0, 1)


def test_draining_makes_room(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, capacity=3)
    store.append([exposure(n) for n in range(3)])
    with pytest.raises(FullError):
        store.append([exposure(3)])
    store.drain(NOW)
    assert store.append([exposure(3)]) == AppendResult(1, 0)


def test_a_drain_that_fails_midway_is_taken_up_by_the_next(store: EmbeddedStore) -> None:
    events = [exposure(n) for n in range(20)]
    store.append(events)
    (store.directory / "exposures").write_bytes(b"in the way")
    with pytest.raises(FileExistsError):
        store.drain(NOW)
    assert seen_by(store) == expected(events)
    store.append([exposure(20)])
    (store.directory / "exposures").unlink()
    assert store.drain(NOW).events == 21
    assert seen_by(store) == expected([*events, exposure(20)])


def test_recent_events_are_counted_once_whether_drained_or_not(store: EmbeddedStore) -> None:
    store.append([exposure(1), exposure(2), track(3)])
    store.drain(NOW)
    store.append([exposure(4, time=NOW + 60), exposure(5, time=NOW - 7200)])
    counts = [
        RecentEvents("exposures", "checkout", "exp-42", "new", 3),
        RecentEvents("tracks", "buy", "", "", 1),
    ]
    assert recent(store.inbox.path, 1, since=NOW - 600) == counts
    store.drain(NOW)
    assert recent(store.inbox.path, 1, since=NOW - 600) == counts
    store.drain(NOW + 4 * DAY)
    assert recent(store.inbox.path, 1, since=NOW - 600) == []


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads names of open files")
def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_before_it_is_listed(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut is not at hand; so this checks the order of what would survive one."""
    steps: list[tuple[str, Path]] = []
    fsync, replace, publish = os.fsync, os.replace, manifest.publish

    def traced_fsync(descriptor: int) -> None:
        steps.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def traced_replace(source: Path, target: Path) -> None:
        steps.append(("rename", Path(target)))
        replace(source, target)

    def traced_publish(*arguments: Any) -> None:
        steps.append(("publish", store.directory))
        publish(*arguments)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "replace", traced_replace)
    monkeypatch.setattr(manifest, "publish", traced_publish)
    store.append([exposure(1)])
    store.drain(NOW)
    (file,) = files_of(store)
    folder = file.parent
    assert steps == [
        ("sync", store.directory),  # the entry of exposures/
        ("sync", folder.parent),  # the entry of the day
        ("sync", file.with_suffix(".tmp")),
        ("rename", file),
        ("sync", folder),
        ("publish", store.directory),
    ]


def test_rows_are_retired_by_range_without_touching_those_that_came_later(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    """Random ids: rows of the next generation lie between those that are being retired."""
    numbers = list(range(12_000))
    random.Random(4).shuffle(numbers)
    store.append([exposure(n) for n in numbers[:9_000]])
    with closing(sqlite3.connect(store.inbox.path, isolation_level=None)) as connection:
        generation = manifest.freeze(connection)
        store.append([exposure(n) for n in numbers[9_000:]])
        rows = manifest.waiting_rows(connection, manifest.EXPOSURES, upto=generation)
        assert sum(len(chunk) for chunk in rows) == 9_000
        manifest.publish(connection, generation, [EventFile("x", "exposures", 1, 9_000, 1)], {})
        manifest.retire(connection)
    assert (count(store, "seen"), count(store, "inbox")) == (9_000, 3_000)
    assert store.inbox.waiting() == 3_000
    assert store.append([exposure(n) for n in numbers]) == AppendResult(0, 12_000)


def test_an_exclusive_lock_waits_for_nobody_and_shared_ones_share(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with shared(path), shared(path), exclusive(path) as alone:
        assert not alone
    with exclusive(path) as alone, exclusive(path) as second:
        assert alone
        assert not second
    with exclusive(path) as alone:
        assert alone
