"""A copy of an event folder in use has every event that was there, once."""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from experiments.store.backup import copy_events, copy_sqlite
from experiments.store.base import SECONDS_PER_DAY, Event
from experiments.store.compaction import FAN_IN
from experiments.store.embedded import EmbeddedStore

NOW = 20_000.5 * SECONDS_PER_DAY


def track(number: int) -> Event:
    return Event(uuid.UUID(int=number).bytes, 1, NOW, f"u{number}", name="buy", value=1.0)


def units(store: EmbeddedStore) -> Counter[str]:
    with store.relations(1) as connection:
        return Counter(unit for (unit,) in connection.execute("SELECT unit FROM tracks").fetchall())


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    """A folder with a file fewer than are merged, and one event that waits."""
    store = EmbeddedStore(tmp_path / "events")
    for number in range(FAN_IN - 1):
        store.append([track(number)])
        store.drain(NOW)
    store.append([track(100)])
    return store


def test_a_copy_has_drained_and_waiting_events(store: EmbeddedStore, tmp_path: Path) -> None:
    assert copy_events(store.directory, tmp_path / "copy") == FAN_IN - 1
    copy = EmbeddedStore(tmp_path / "copy")
    assert units(copy) == units(store)
    # And goes on by itself: what comes again is a repetition there too.
    copy.append([track(0), track(101)])
    copy.drain(NOW)
    assert units(copy) == units(store) + Counter(["u101"])


def test_a_merge_meanwhile_takes_no_file_away(
    store: EmbeddedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, plain, merged = units(store), shutil.copyfile, []

    def copyfile(source: Path, target: Path) -> Any:
        if not merged:
            # Every file that the copied list names is replaced before the first one is read.
            merged.append(store.drain(NOW).merged)
        return plain(source, target)

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    copy_events(store.directory, tmp_path / "copy")
    assert merged == [FAN_IN]
    assert units(EmbeddedStore(tmp_path / "copy")) == before == units(store)


def test_a_folder_without_events_is_copied_as_one(tmp_path: Path) -> None:
    assert copy_events(tmp_path / "none", tmp_path / "copy") == 0
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_writer_meanwhile_is_no_part_of_the_copy(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE t (n)")
        writer.execute("INSERT INTO t VALUES (1)")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO t VALUES (2)")
        copy_sqlite(tmp_path / "a.db", tmp_path / "b.db")
        writer.execute("COMMIT")
    with closing(sqlite3.connect(tmp_path / "b.db")) as copy:
        assert copy.execute("SELECT n FROM t").fetchall() == [(1,)]
