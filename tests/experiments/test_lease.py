"""One worker at a time, and no write of a worker that lost its turn."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlmodel import select

from experiments.errors import FencedError
from experiments.judging.record import verify
from experiments.models import Lease
from experiments.moves.lease import acquire, check_fence, release
from experiments.people import services
from flags.database import Database

NOW = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
SAME = {"purchase": {"control": 0.2, "new": 0.2}, "error": {"control": 0.1, "new": 0.1}}


def later(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


def test_one_holder_at_a_time_and_every_new_one_has_a_higher_fence(database: Database) -> None:
    first = acquire(database, "a", now=NOW, seconds=10)
    assert first is not None
    assert first.fence == 1
    assert acquire(database, "b", now=later(9), seconds=10) is None
    again = acquire(database, "a", now=later(9), seconds=10)
    assert again == first
    assert acquire(database, "b", now=later(18), seconds=10) is None
    second = acquire(database, "b", now=later(19), seconds=10)
    assert second is not None
    assert second.fence == 2
    with pytest.raises(FencedError), database.write() as session:
        check_fence(session, first)
    with database.write() as session:
        check_fence(session, second)


def test_the_lease_of_a_process_that_ended_is_free_at_once_and_its_fence_is_void(
    database: Database,
) -> None:
    first = acquire(database, "a", now=NOW, seconds=10)
    assert first is not None
    assert acquire(database, "b", now=later(1), is_gone=lambda name: name != "a") is None
    second = acquire(database, "b", now=later(1), is_gone=lambda name: name == "a")
    assert second is not None
    assert second.fence == first.fence + 1
    with pytest.raises(FencedError), database.write() as session:
        check_fence(session, first)


def test_a_lease_given_back_is_free_at_once(database: Database) -> None:
    first = acquire(database, "a", now=NOW)
    assert first is not None
    release(database, first, now=later(1))
    second = acquire(database, "b", now=later(1))
    assert second is not None
    # Giving back what one has no more takes nothing from the next.
    release(database, first, now=later(2))
    assert acquire(database, "c", now=later(2)) is None


def test_a_worker_that_slept_through_its_lease_writes_nothing(world: Any) -> None:
    world.run()
    world.traffic(0, 10, 400, SAME)
    store = world.store

    class TakenOverMeanwhile:
        """Somebody else is elected, and looks, while this worker is still reading events."""

        @contextmanager
        def tables(self, *args: Any, **options: Any) -> Iterator[Any]:
            world.store = store
            assert world.tick(21, holder="quick").looks == 1
            with store.tables(*args, **options) as tables:
                yield tables

    world.store = TakenOverMeanwhile()
    result = world.tick(10, holder="asleep")
    assert not result.elected
    assert result.looks == 0
    (look,) = world.looks
    assert look.data["offset"] == 20
    assert verify(world.export()).identical


WORKER = """
import datetime as dt
from experiments.monitoring.monitor import tick
from experiments.store.embedded import EmbeddedStore
from flags.database import Database

database, store = Database(url), EmbeddedStore(folder)
go.wait()
if mode == "story":
    start = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
    for second in range(0, 112, 3):
        result = tick(database, store, holder=holder, now=start + dt.timedelta(seconds=second))
        assert not result.errors, result.errors
else:
    while True:
        now = dt.datetime.now(dt.UTC)
        tick(database, store, holder=holder, now=now, lease_seconds=1.0)
"""

# One process imports the statistics, and every worker is forked from it before it has any thread.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["experiments.monitoring.monitor", "experiments.store.embedded"])


def start_worker(world: Any, holder: str, mode: str) -> tuple[Any, Any]:
    """Start a process that waits for its event before the first tick."""
    go = PROCESSES.Event()
    names = {
        "url": world.database.engine.url.render_as_string(hide_password=False),
        "folder": str(world.store.directory),
        "holder": holder,
        "mode": mode,
        "go": go,
    }
    # `exec` and not a function of ours: this module has no name that another process could import.
    worker = PROCESSES.Process(target=exec, args=(WORKER, names), daemon=True)
    worker.start()
    return worker, go


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        threading.Event().wait(0.02)


@pytest.mark.slow
def test_three_processes_that_race_through_the_same_story_take_each_look_once(world: Any) -> None:
    """Their clocks run apart, so that they also take the lease from each other all the time."""
    world.run()
    for second in range(0, 50, 10):
        world.traffic(second, second + 10, 200, SAME)
    workers = [start_worker(world, f"worker-{i}", "story") for i in range(3)]
    for _worker, go in workers:
        go.set()
    for worker, _go in workers:
        worker.join(150)
        assert worker.exitcode == 0
    looks = world.looks
    assert [look.number for look in looks] == list(range(1, len(looks) + 1))
    offsets = [look.data["offset"] for look in looks]
    assert offsets == sorted(set(offsets)), "no scheduled instant was looked at twice"
    assert offsets[-1] == 100
    assert world.experiment.verdict == "NOT_PROVEN_IN_TIME"
    kinds = [record["kind"] for record in world.records]
    assert kinds.count("look") == len(looks)
    assert kinds.count("end") == 1
    assert verify(world.export()).identical
    assert world.flag()["version"] == 4, "made, on, started, and turned back once"


@pytest.mark.slow
def test_after_a_sigkill_another_worker_goes_on_where_the_first_one_stopped(
    world: Any, make_plan: Callable[..., dict[str, Any]]
) -> None:
    policy = make_plan()["policy"] | {"looks": [{"every": "0.2s"}]}
    world.create(make_plan(policy=policy, prove_by="500s"))
    world.do(services.seal)
    began = (dt.datetime.now(dt.UTC) - world.at(0)).total_seconds()
    world.do(services.start, now=began)
    first, first_go = start_worker(world, "first", "real")
    second, second_go = start_worker(world, "second", "real")
    try:
        first_go.set()
        wait_until(lambda: len(world.looks) >= 2)
        second_go.set()
        wait_until(lambda: len(world.looks) >= 4)
        os.kill(first.pid, signal.SIGKILL)
        first.join(60)
        seen = len(world.looks)
        wait_until(lambda: len(world.looks) >= seen + 2)
    finally:
        for worker in (first, second):
            worker.kill()
            worker.join(60)
    numbers = [look.number for look in world.looks]
    assert numbers == list(range(1, len(numbers) + 1))
    assert verify(world.export()).identical
    with world.database.read() as session:
        lease = session.exec(select(Lease)).one()
        # On a slow machine they may have taken turns before.
        assert lease.holder == "second"
        assert lease.fence >= 2
