"""The inbox acknowledges only what is on the disk, and counts each id once."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from experiments.store.base import AppendResult, Event, EventError, FullError, StoreError
from experiments.store.inbox import Inbox, inbox_path
from experiments.store.recent import RecentEvents, recent

NOW = 1_760_000_000.0


def event(number: int, *, environment_id: int = 1, unit: str | None = None) -> Event:
    return Event(uuid.UUID(int=number).bytes, environment_id, NOW, unit or f"u{number}", name="buy")


def stored(path: Path) -> list[tuple[bytes, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT id, unit FROM inbox ORDER BY id").fetchall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return inbox_path(tmp_path / "new folder" / "events")


def test_a_repetition_changes_nothing(path: Path) -> None:
    inbox = Inbox(path)
    batch = [event(1), event(2), event(3)]
    assert inbox.append(batch) == AppendResult(accepted=3, duplicates=0)
    assert inbox.append(batch) == AppendResult(accepted=0, duplicates=3)
    assert inbox.append([event(3), event(4)]) == AppendResult(accepted=1, duplicates=1)
    assert inbox.waiting() == 4


def test_of_two_events_with_one_id_the_first_counts(path: Path) -> None:
    inbox = Inbox(path)
    assert inbox.append([event(1, unit="first"), event(1, unit="second")]) == AppendResult(1, 1)
    assert inbox.append([event(1, unit="third")]) == AppendResult(0, 1)
    assert stored(path) == [(event(1).id, "first")]


def test_one_environment_cannot_suppress_an_event_of_another_by_its_id(path: Path) -> None:
    inbox = Inbox(path)
    assert inbox.append([event(1), event(1, environment_id=2)]) == AppendResult(2, 0)


def test_an_empty_batch_is_fine(path: Path) -> None:
    assert Inbox(path).append([]) == AppendResult(0, 0)


def test_a_full_inbox_refuses_the_whole_batch_and_says_when_to_come_back(path: Path) -> None:
    inbox = Inbox(path, capacity=3, retry_after_seconds=7)
    inbox.append([event(1), event(2)])
    with pytest.raises(FullError) as caught:
        inbox.append([event(3), event(4)])
    assert caught.value.retry_after_seconds == 7
    assert len(stored(path)) == inbox.waiting() == 2
    assert inbox.append([event(3)]) == AppendResult(1, 0)


@pytest.mark.parametrize(
    "bad",
    [
        event(9)._replace(id=b"short"),
        event(9)._replace(time=-1.0),
        event(9)._replace(time=1e300),
        event(9)._replace(name=None),
        event(9)._replace(flag="both", variant="v"),
        event(9)._replace(value=float("inf")),
    ],
)
def test_an_event_that_breaks_a_rule_takes_its_batch_down_and_nothing_else(
    path: Path, bad: Event
) -> None:
    inbox = Inbox(path)
    with pytest.raises(EventError):
        inbox.append([event(1), bad])
    assert stored(path) == []
    assert inbox.append([event(1)]) == AppendResult(1, 0)


def test_threads_that_append_at_once_lose_and_double_nothing(path: Path) -> None:
    inbox = Inbox(path)
    results: list[AppendResult] = []

    def append(worker: int) -> None:
        for start in range(0, 400, 20):
            # Neighbouring workers overlap by half: every id is sent twice.
            batch = [event(1 + worker * 200 + start + i) for i in range(20)]
            results.append(inbox.append(batch))

    threads = [threading.Thread(target=append, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stored(path)) == inbox.waiting() == sum(r.accepted for r in results) == 1000
    assert sum(r.duplicates for r in results) == 600


def test_a_bad_batch_does_not_take_down_those_that_share_its_commit(path: Path) -> None:
    inbox = Inbox(path)
    outcomes: dict[int, object] = {}

    def append(number: int, batch: list[Event]) -> None:
        try:
            outcomes[number] = inbox.append(batch)
        except EventError as error:
            outcomes[number] = error

    batches = {n: [event(n + 1)] for n in range(6)}
    batches[3].append(event(99)._replace(time=-1.0))
    threads = [threading.Thread(target=append, args=item) for item in batches.items()]
    # With the lock in our hand all six come to wait; whoever gets it then commits for all.
    with inbox._lock:
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 30
        while len(inbox._requests) < len(threads) and time.monotonic() < deadline:
            os.sched_yield()
    for thread in threads:
        thread.join()
    assert isinstance(outcomes.pop(3), EventError)
    assert outcomes == {n: AppendResult(1, 0) for n in (0, 1, 2, 4, 5)}
    assert len(stored(path)) == 5


def test_a_forked_process_may_go_on_appending(path: Path) -> None:
    inbox = Inbox(path)
    inbox.append([event(1)])
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if inbox.append([event(1), event(2)]) == AppendResult(1, 1) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert inbox.append([event(2), event(3)]) == AppendResult(1, 1)


def test_a_file_that_stays_locked_is_reported_as_busy_not_as_a_crash(
    path: Path,
) -> None:
    inbox = Inbox(path, busy_timeout_seconds=0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(FullError) as caught:
            inbox.append([event(1)])
    assert caught.value.retry_after_seconds == 1
    assert inbox.append([event(1)]) == AppendResult(1, 0)


def test_a_file_of_an_older_release_is_brought_up_to_date_with_what_waits_in_it(
    path: Path,
) -> None:
    inbox = Inbox(path)
    inbox.append([event(1)])
    inbox.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE inbox DROP COLUMN attributes")
        connection.execute("PRAGMA user_version=2")
    for _ in range(2):
        inbox = Inbox(path)
        assert inbox.waiting() == 1
        assert inbox.append([event(1)]) == AppendResult(0, 1)
        inbox.close()


def test_a_file_of_another_version_is_refused(path: Path) -> None:
    Inbox(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(StoreError, match="format 99"):
        Inbox(path)


def test_commits_wait_for_the_disk(path: Path) -> None:
    """FULL (2): a write-ahead log that is synced at every commit."""
    connection = Inbox(path)._connection
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_recent_events_are_counted_by_flag_and_name(path: Path) -> None:
    inbox = Inbox(path)
    met = Event(b"\1" * 16, 1, NOW, "u", "checkout", "new", "exp-42", 3)
    inbox.append([met, met._replace(id=b"\2" * 16), event(5), event(6, environment_id=2)])
    inbox.append([met._replace(id=b"\3" * 16, time=NOW - 3600)])
    assert recent(path, 1, since=NOW - 600) == [
        RecentEvents("exposures", "checkout", "exp-42", "new", 2),
        RecentEvents("tracks", "buy", "", "", 1),
    ]
