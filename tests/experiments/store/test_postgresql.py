"""What only the PostgreSQL store has to get right: a server that dies, is slow, or forgets."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from experiments.store import partitions
from experiments.store.base import SECONDS_PER_DAY, AppendResult, Event, FullError
from experiments.store.connections import connect
from experiments.store.postgresql import PostgresStore
from experiments.store.postgresql_inbox import PostgresInbox

pytestmark = pytest.mark.postgresql

DAY = SECONDS_PER_DAY
NOW = 20_000.5 * DAY


def exposure(number: int, *, time: float = NOW) -> Event:
    return Event(uuid.UUID(int=number).bytes, 1, time, f"u{number}", "checkout", "new", "r", 1)


def units_of(store: PostgresStore) -> list[str]:
    with store.tables(1) as (exposures, _):
        return sorted(exposures.unit.to_pyarrow().to_pylist())


@pytest.fixture
def store(postgresql_url: str) -> Iterator[PostgresStore]:
    opened = PostgresStore(postgresql_url)
    yield opened
    opened.close()


def test_a_database_that_is_away_asks_to_come_back_and_does_not_say_where_it_is() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        inbox = PostgresInbox(f"postgresql://secret@127.0.0.1:{port}/events")
        with pytest.raises(FullError) as raised:
            inbox.append([exposure(1)])
        with pytest.raises(FullError):
            inbox.check()
        with pytest.raises(FullError):
            inbox.note({(1, 1, "late"): 1})
    assert raised.value.retry_after_seconds >= 1
    assert str(port) not in raised.value.message
    assert "secret" not in raised.value.message


def test_a_database_that_is_too_slow_is_not_waited_for(
    store: PostgresStore, postgresql_url: str
) -> None:
    store.append([exposure(1)])
    inbox = PostgresInbox(postgresql_url, statement_seconds=2.0)
    with psycopg.connect(postgresql_url) as other:
        other.execute("LOCK TABLE flagstone_events.ids")
        with pytest.raises(FullError, match="too slow"):
            inbox.append([exposure(2)])
    assert inbox.append([exposure(2)]) == AppendResult(1, 0)
    inbox.close()


def test_connections_that_died_while_they_lay_idle_are_replaced(
    store: PostgresStore, postgresql_url: str
) -> None:
    store.append([exposure(1)])
    with psycopg.connect(postgresql_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = 'flagstone events'"
        )
    assert store.append([exposure(1), exposure(2)]) == AppendResult(1, 1)


def test_a_new_day_does_not_wait_for_an_analysis(store: PostgresStore, postgresql_url: str) -> None:
    store.append([exposure(1)])
    inbox = PostgresInbox(postgresql_url, statement_seconds=20.0)
    with store.tables(1) as (exposures, _):
        assert exposures.count().to_pyarrow().as_py() == 1
        assert inbox.append([exposure(2, time=NOW + 9 * DAY)]) == AppendResult(1, 0)
    inbox.close()


def test_an_event_of_a_day_that_another_process_dropped_makes_it_anew(
    store: PostgresStore, postgresql_url: str
) -> None:
    store.append([exposure(1)])
    other = PostgresStore(postgresql_url)
    other.drain(NOW, keep_since=NOW + DAY)
    assert store.append([exposure(1), exposure(2)]) == AppendResult(1, 1)
    assert units_of(store) == ["u2"]


def test_a_character_that_text_cannot_hold_does_not_refuse_its_batch(store: PostgresStore) -> None:
    odd = exposure(1)._replace(unit="a\0b", rule="\0")
    assert store.append([odd, exposure(2)]) == AppendResult(2, 0)
    assert units_of(store) == ["a\N{REPLACEMENT CHARACTER}b", "u2"]


def test_tables_of_an_older_release_are_brought_up_to_date_while_it_goes_on(
    store: PostgresStore, postgresql_url: str
) -> None:
    store.append([exposure(1)])
    with connect(postgresql_url) as connection:
        connection.execute("ALTER TABLE flagstone_events.exposures DROP COLUMN attributes")
        connection.execute("UPDATE flagstone_events.state SET format = 1")
    newer = PostgresStore(postgresql_url)
    newer.append([exposure(2)._replace(attributes='{"country":"DE"}')])
    newer.append([exposure(3, time=NOW + DAY)._replace(attributes='{"country":"FR"}')])
    with newer.tables(1) as (exposures, _):
        told = {row["unit"]: row["attributes"] for row in exposures.to_pyarrow().to_pylist()}
    assert told == {"u1": None, "u2": '{"country":"DE"}', "u3": '{"country":"FR"}'}
    newer.close()


def test_only_one_cleans_up_at_a_time(store: PostgresStore, postgresql_url: str) -> None:
    store.drain(NOW)
    with (
        contextlib.closing(connect(postgresql_url)) as other,
        partitions.draining(other) as alone,
    ):
        assert alone
        assert store.drain(NOW).busy
    assert not store.drain(NOW).busy


def test_days_ahead_are_made_before_anybody_needs_them(
    store: PostgresStore, postgresql_url: str
) -> None:
    store.drain(NOW)
    with contextlib.closing(connect(postgresql_url)) as connection:
        assert partitions.attached_days(connection, "tracks") == [20_000, 20_001, 20_002]


def test_a_day_outside_the_question_is_not_read(store: PostgresStore) -> None:
    store.append([exposure(n, time=NOW + n * DAY) for n in range(5)])
    with store.tables(1, since=NOW + DAY, until=NOW + 2 * DAY) as (exposures, _):
        sql = exposures.compile()
        text = "\n".join(row[0] for row in exposures.get_backend().raw_sql(f"EXPLAIN {sql}"))
        assert text.count("Seq Scan") == 2, text


def test_a_child_of_a_fork_opens_connections_of_its_own(store: PostgresStore) -> None:
    store.append([exposure(1)])
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if store.append([exposure(2)]).accepted == 1 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.append([exposure(2), exposure(3)]) == AppendResult(1, 1)


def test_a_commit_is_durable_even_if_the_server_would_not_make_it_so(postgresql_url: str) -> None:
    with contextlib.closing(connect(postgresql_url)) as connection:
        # The fixture's server has it off, to be fast.
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def kill_server(folder: Path) -> None:
    """Kill every process of a server, and clear away what would stop the next one."""
    main = psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))
    processes = [main, *main.children()]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
    for left in (folder / "postmaster.pid", *folder.glob(".s.PGSQL.*")):
        left.unlink()


@pytest.mark.slow
def test_a_killed_database_loses_nothing_that_was_acknowledged(
    begin_postgresql: Callable[[Path], Any],
) -> None:
    """Every process of the server is killed while batches come in; then it starts again."""
    folder = Path(tempfile.mkdtemp(prefix="flagstone-pg-"))
    server = begin_postgresql(folder)
    inbox = PostgresInbox(server.get_uri())
    acknowledged: list[int] = []
    refused: list[FullError] = []

    def append() -> None:
        number = 0
        while not refused and number < 100_000:
            number += 1
            try:
                inbox.append([exposure(number)])
            except FullError as error:
                refused.append(error)
            else:
                acknowledged.append(number)

    try:
        thread = threading.Thread(target=append)
        thread.start()
        deadline = time.monotonic() + 60
        while len(acknowledged) < 200 and time.monotonic() < deadline:
            thread.join(0.01)
        kill_server(folder)
        thread.join(100)
        assert refused, "it was never noticed"
        server.ensure_postgres_running()
        store = PostgresStore(server.get_uri())
        stored = {int(unit[1:]) for unit in units_of(store)}
        assert set(acknowledged) <= stored
        # The one that was under way may be there; nothing is there that nobody sent.
        assert len(stored - set(acknowledged)) <= 1
        again = store.append([exposure(number) for number in acknowledged])
        assert again == AppendResult(0, len(acknowledged))
        store.close()
    finally:
        inbox.close()
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def test_batches_with_the_same_ids_in_opposite_order_do_not_block_each_other(
    store: PostgresStore,
) -> None:
    store.append([exposure(0)])
    failed: list[FullError] = []
    together = threading.Barrier(2)

    def append(order: int) -> None:
        for turn in range(1, 6):
            batch = [exposure(turn * 2_000 + n) for n in range(1_500)][::order]
            together.wait(100)
            try:
                store.append(batch)
            except FullError as error:
                failed.append(error)

    threads = [threading.Thread(target=append, args=(order,)) for order in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(150)
    assert failed == []
    assert len(units_of(store)) == 1 + 5 * 1_500
