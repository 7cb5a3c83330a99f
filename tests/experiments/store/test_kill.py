"""kill -9 at any point loses no acknowledged event and doubles none."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from pathlib import Path

import pytest

from experiments.store.base import SECONDS_PER_DAY, Event
from experiments.store.embedded import EmbeddedStore

NOW = 20_000.5 * SECONDS_PER_DAY
BATCH = 20

# Every child makes the same events from the same numbers, so that the parent can tell what is due.
_EVENTS = f"""
import os, signal, sys, uuid
from experiments.store.base import Event
NOW, BATCH = {NOW}, {BATCH}
def batch(number):
    return [
        Event(uuid.UUID(int=n + 1).bytes, 1, NOW + n % 100, f"u{{n}}", "checkout", "new", "r", 1)
        for n in range(number * BATCH, (number + 1) * BATCH)
    ]
"""
_APPEND = (
    _EVENTS
    + """
from experiments.store.inbox import Inbox, inbox_path
inbox = Inbox(inbox_path(sys.argv[1]))
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    inbox.append(batch(number))
    print(number, flush=True)
"""
)
_DRAIN = (
    _EVENTS
    + """
from experiments.store.embedded import EmbeddedStore
store = EmbeddedStore(sys.argv[1])
print("ready", flush=True)
while True:
    store.drain(NOW)
"""
)
_APPEND_AND_DRAIN = (
    _EVENTS
    + """
from experiments.store.embedded import EmbeddedStore
store = EmbeddedStore(sys.argv[1])
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    store.append(batch(number))
    print(number, flush=True)
    store.drain(NOW)
"""
)
# Dies by its own hand just before the n-th thing that reaches the disk; n = 1, 2, ... in turn.
_DRAIN_AND_DIE = (
    _EVENTS
    + """
import shutil, sqlite3, warnings
from experiments.store.embedded import EmbeddedStore
warnings.simplefilter("ignore", DeprecationWarning)
template, folder = sys.argv[1:]

def drain(directory, last):
    steps = 0
    def step():
        nonlocal steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
    store = EmbeddedStore(directory)
    connect = sqlite3.connect
    def traced(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.set_trace_callback(
            lambda sql: step() if sql.startswith(("BEGIN IMMEDIATE", "COMMIT")) else None
        )
        return connection
    sqlite3.connect = traced
    sys.addaudithook(
        lambda name, _: step() if name in {"os.rename", "os.remove", "os.mkdir"} else None
    )
    store.drain(NOW + 86400)

number = 0
while True:
    number += 1
    copy = os.path.join(folder, str(number))
    shutil.copytree(template, copy)
    pid = os.fork()
    if pid == 0:
        try:
            drain(copy, number)
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(number, status, flush=True)
    if status >= 0:
        break
"""
)


def batch(number: int) -> list[Event]:
    return [
        Event(uuid.UUID(int=n + 1).bytes, 1, NOW + n % 100, f"u{n}", "checkout", "new", "r", 1)
        for n in range(number * BATCH, (number + 1) * BATCH)
    ]


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


def units_in(store: EmbeddedStore) -> Counter[str]:
    with store.relations(1) as connection:
        return Counter(
            dict(
                connection.execute("SELECT unit, count(*) FROM exposures GROUP BY unit").fetchall()
            )
        )


def check(directory: Path, acknowledged: int) -> None:
    """Every acknowledged event is there once, before and after the housekeeping that follows."""
    store = EmbeddedStore(directory)
    due = {event.unit for number in range(acknowledged) for event in batch(number)}
    maybe = {event.unit for event in batch(acknowledged)}
    found = units_in(store)
    assert set(found.values()) <= {1}
    assert due <= set(found) <= due | maybe
    # A sender that got no answer sends again; those that did get one may, too.
    for number in range(acknowledged + 1):
        store.append(batch(number))
    everything = Counter(dict.fromkeys(due | maybe, 1))
    assert units_in(store) == everything
    store.drain(NOW)
    assert store.inbox.waiting() == 0
    assert units_in(store) == everything
    assert store.append(batch(0)).accepted == 0
    store.compact()
    assert len([*store.directory.glob("exposures/*/*")]) == 1
    assert units_in(store) == everything
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("code", [_APPEND, _APPEND_AND_DRAIN], ids=["intake", "intake and drain"])
# The kill before every single step is the next test's; here it falls where nobody aimed.
@pytest.mark.parametrize("seed", range(3))
def test_a_killed_process_leaves_every_acknowledged_event_exactly_once(
    tmp_path: Path, code: str, seed: int
) -> None:
    rng = random.Random(seed)
    child = start(code, tmp_path / "store", 0, 100_000)
    assert child.stdout is not None
    said = [child.stdout.readline() for _ in range(rng.randrange(1, 40))]
    # Not to wait for anything, but to strike anywhere in the batches that follow.
    threading.Event().wait(rng.random() * 0.02)
    child.kill()
    said += child.stdout.read().split()
    child.wait()
    check(tmp_path / "store", int(said[-1]) + 1)


@pytest.mark.slow
def test_a_drain_may_be_killed_before_any_step_it_takes(tmp_path: Path) -> None:
    """Every point, one after the other: each commit, rename, new folder and deletion."""
    template = tmp_path / "template"
    store = EmbeddedStore(template)
    batches = 9
    for number in range(batches - 2):
        store.append(batch(number))
        store.drain(NOW)
    # The eighth small file, and the new day, make the drain merge, sweep and prune.
    for number in range(batches - 2, batches):
        store.append(batch(number))
    store.close()
    folder = tmp_path / "killed"
    child = start(_DRAIN_AND_DIE, template, folder)
    assert child.stdout is not None
    statuses = [int(line.split()[1]) for line in child.stdout]
    child.wait()
    assert set(statuses[:-1]) == {-signal.SIGKILL}
    assert statuses[-1] == 0, "the last drain got through"
    assert len(statuses) > 15
    for number in range(1, len(statuses) + 1):
        check(folder / str(number), batches)
        shutil.rmtree(folder / str(number))


@pytest.mark.slow
def test_three_processes_append_while_another_drains_and_this_one_reads(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    store = EmbeddedStore(directory)
    drainer = start(_DRAIN, directory)
    assert drainer.stdout is not None
    assert drainer.stdout.readline() == "ready\n"
    each = 100
    children = [start(_APPEND, directory, k * each, (k + 1) * each) for k in range(3)]
    acknowledged: Counter[int] = Counter()

    def listen(k: int) -> None:
        stdout = children[k].stdout
        assert stdout is not None
        for _ in stdout:
            acknowledged[k] += BATCH

    listeners = [threading.Thread(target=listen, args=(k,)) for k in range(3)]
    for thread in listeners:
        thread.start()
    reads = 0
    while any(thread.is_alive() for thread in listeners) or reads < 3:
        before = sum(acknowledged.values())
        found = units_in(store)
        assert set(found.values()) <= {1}
        assert len(found) >= before
        reads += 1
    assert [child.wait() for child in children] == [0, 0, 0]
    drainer.kill()
    drainer.wait()
    store.drain(NOW)
    everything = Counter({e.unit: 1 for n in range(3 * each) for e in batch(n)})
    assert units_in(store) == everything
    assert store.inbox.waiting() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_children_and_this_file_make_the_same_events() -> None:
    space: dict[str, object] = {}
    exec(_EVENTS, space)
    assert space["batch"](3) == batch(3)  # type: ignore[operator]
