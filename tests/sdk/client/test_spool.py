"""Events on the disk: none is lost with a process, none is sent by two, none blocks the caller."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone import Client, ConfigurationError
from flagstone import spool as spool_module
from flagstone.sender import Sender
from flagstone.spool import Spool
from flagstone.transport import Endpoint, Transport

Connect = Callable[..., Client]
EVENTS = "/sdk/v1/events"
HOURS = 10_000.0
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

START = """
import os, resource, signal, sys, threading, time
# A program whose files may not grow would leave others half a module.
sys.dont_write_bytecode = True
from flagstone import Client, Timing
TIMING = Timing(backoff_seconds=0.02, backoff_limit_seconds=0.1, exit_seconds=5.0)

def connect(**options):
    options = {"flush_seconds": 0.02, "start_wait_seconds": 0.0, "timing": TIMING, **options}
    return Client(sys.argv[1], sys.argv[2], spool_path=sys.argv[3], **options)

def until(true):
    deadline, pause = time.monotonic() + 60, threading.Event()
    while not true():
        assert time.monotonic() < deadline
        pause.wait(0.005)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # in one piece
"""


class Program:
    """A Python program with a client that spools, whose lines are read as they come."""

    def __init__(self, path: Path, source: str, *arguments: str) -> None:
        path.write_text(START + textwrap.dedent(source))
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning", str(path), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def end(self) -> list[str]:
        code = self.process.wait(60)
        self._reader.join(30)
        assert code == 0, "\n".join(self.lines)
        return self.lines

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


Run = Callable[[str], Program]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def run(service: Any, tools: Any, tmp_path: Path, folder: Path) -> Iterator[Run]:
    programs: list[Program] = []

    def begin(source: str) -> Program:
        path = tmp_path / f"program_{len(programs)}.py"
        programs.append(Program(path, source, service.url, tools.KEY, str(folder)))
        return programs[-1]

    yield begin
    for program in programs:
        program.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.process.pid, signal.SIGKILL)  # a child that it left


def files(folder: Path, kind: str = "events") -> list[Path]:
    return sorted(folder.glob(f"*/*.{kind}"))


def emptied(folder: Path, tools: Any) -> None:
    """Wait for the last file to go: its events are counted as sent a moment before."""
    tools.eventually(lambda: files(folder) == [], "nothing is left on the disk")


def units(service: Any) -> list[str]:
    return [event["unit"] for event in service.stored.values()]


def spooled(connect: Connect, folder: Path, tools: Any, *names: str) -> Path:
    """Leave events of a client that is gone on the disk."""
    client = connect(spool_path=folder, start_wait_seconds=0.0)
    for name in names:
        client.track("n", name)
    tools.eventually(lambda: client.status().queued == 0, "the events are on the disk")
    client.close()
    return files(folder)[-1]


# -- restart ------------------------------------------------------------------------------------


def test_events_on_the_disk_survive_sigkill_and_arrive_once(
    service: Any, tools: Any, run: Run, folder: Path
) -> None:
    service.stop()
    program = run("""
        client = connect()
        for n in range(1_000):
            client.track("n", f"u{n}", n)
        until(lambda: client.status().spooled == 1_000)
        say("on disk", client.status().queued)
        threading.Event().wait()
    """)
    tools.eventually(lambda: "on disk 0" in program.lines, program.lines)
    program.process.send_signal(signal.SIGKILL)
    assert program.process.wait(30) == -signal.SIGKILL
    service.start()
    again = run("""
        client = connect()
        until(lambda: client.status().sent == 1_000)
        say(client.flush(30), client.status().spooled)
        client.close()
    """)
    assert again.end() == ["True 0"]
    assert units(service) == [f"u{n}" for n in range(1_000)]
    assert service.duplicates == 0
    assert files(folder) == files(folder, "lock") == []


def test_an_outage_drops_nothing_and_keeps_the_order(
    service: Any, connect: Connect, tools: Any, folder: Path
) -> None:
    client = connect(spool_path=folder, queue_size=600)
    client.track("n", "first")
    assert client.flush(30)
    service.stop()
    for n in range(2_000):
        client.track("n", f"u{n}")
        if n % 500 == 499:
            tools.eventually(lambda: client.status().queued == 0, "all of it is on the disk")
    assert not client.flush(0.05)
    service.start()
    client.track("n", "last")
    assert client.flush(30)
    assert units(service) == ["first", *(f"u{n}" for n in range(2_000)), "last"]
    status = client.status()
    assert (status.sent, status.dropped, status.spooled, status.duplicates) == (2_002, 0, 0, 0)
    emptied(folder, tools)


def test_without_an_outage_nothing_is_written(service: Any, connect: Connect, folder: Path) -> None:
    client = connect(spool_path=folder)
    for n in range(1_000):
        client.track("n", f"u{n}")
    assert client.flush(30)
    client.close()
    assert not folder.exists()


def test_what_the_service_stored_without_saying_so_is_sent_again_with_the_same_ids(
    service: Any, connect: Connect, tools: Any, folder: Path
) -> None:
    def store_and_hang_up(handler: Any) -> bool:
        batch = json.loads(handler.body)["events"]
        handler.service.stored.update({event["id"]: event for event in batch})
        handler.close_connection = True
        return True

    service.answer(EVENTS, *[store_and_hang_up] * 4, tools.decline)
    client = connect(spool_path=folder)
    for n in range(50):
        client.track("n", f"u{n}")
    assert client.flush(30)
    assert len(service.stored) == 50
    assert client.status().duplicates > 0


def test_close_brings_what_is_left_to_the_disk_at_once(
    service: Any, connect: Connect, tools: Any, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(spool_path=folder, flush_seconds=HOURS)
    service.stop()
    for n in range(700):
        client.track("n", f"u{n}")
    began = time.monotonic()
    client.close(30)
    assert time.monotonic() - began < 10
    assert (client.status().queued, client.status().spooled) == (0, 700)
    assert "not sent" not in caplog.text
    service.start()
    assert connect(spool_path=folder).flush(30)
    tools.eventually(lambda: len(service.stored) == 700)
    assert units(service) == [f"u{n}" for n in range(700)]


def test_a_service_that_hangs_does_not_keep_close_from_the_disk(
    service: Any, connect: Connect, tools: Any, folder: Path
) -> None:
    release = threading.Event()
    service.answer(EVENTS, lambda handler: release.wait(60))
    client = connect(spool_path=folder)
    for n in range(10):
        client.track("n", f"u{n}")
    client.close(0.2)
    tools.eventually(lambda: client.status().spooled == 10, "while the service hangs")
    release.set()
    assert sum(path.read_bytes().count(b"\n") for path in files(folder)) == 10


def test_the_end_of_the_program_leaves_its_events_on_the_disk(
    service: Any, tools: Any, run: Run, connect: Connect, folder: Path
) -> None:
    service.stop()
    run("""
        client = connect(flush_seconds=1000.0)
        client.track("n", "u")
    """).end()
    service.start()
    connect(spool_path=folder)
    tools.eventually(lambda: units(service) == ["u"])


def test_refused_events_leave_the_disk_one_by_one(
    service: Any, connect: Connect, tools: Any, folder: Path
) -> None:
    service.stop()
    spooled(connect, folder, tools, "a", "poison", "b")
    spooled(connect, folder, tools, "poison")
    service.poison = "poison"
    service.start()
    client = connect(spool_path=folder)
    tools.eventually(lambda: client.status().rejected == 2)
    assert client.flush(30)
    assert units(service) == ["a", "b"]
    assert client.status().spooled == 0
    emptied(folder, tools)


def test_another_key_does_not_send_them(
    service: Any, connect: Connect, tools: Any, folder: Path
) -> None:
    service.stop()
    spooled(connect, folder, tools, "a")
    service.start()
    client = connect(spool_path=folder, key="fs_srv_another")
    tools.eventually(lambda: client.status().refused)
    assert client.status().spooled == 0
    assert len(files(folder)) == 1
    assert stat.S_IMODE(files(folder)[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(files(folder)[0].parent.stat().st_mode) == 0o700


# -- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_torn_end_is_ignored_with_a_warning(
    service: Any,
    connect: Connect,
    tools: Any,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    cut: int,
) -> None:
    service.stop()
    path = spooled(connect, folder, tools, "a", "b", "torn")
    path.write_bytes(path.read_bytes()[:-cut])
    service.start()
    client = connect(spool_path=folder)
    tools.eventually(lambda: units(service) == ["a", "b"])
    assert client.flush(30)
    assert "never fully written" in caplog.text
    assert client.status().dropped == 0, "it was never said to be safe"
    emptied(folder, tools)


def test_a_damaged_event_is_counted_and_its_neighbours_arrive(
    service: Any, connect: Connect, tools: Any, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service.stop()
    path = spooled(connect, folder, tools, "a", "damaged", "b")
    path.write_bytes(path.read_bytes().replace(b'"damaged"', b'"demaged"'))
    service.start()
    client = connect(spool_path=folder)
    tools.eventually(lambda: units(service) == ["a", "b"])
    assert client.flush(30)
    assert client.status().dropped == 1
    assert "1 events are damaged" in caplog.text


@given(data=st.data())
def test_of_any_damage_only_sound_events_in_their_order_are_left(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    records = [b'{"n":%d}' % n for n in range(6)]
    spool = Spool(folder, 10_000)
    assert spool.append(records)
    spool.close()
    (path,) = folder.glob("*.events")
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        whole = whole or bytearray(b"x")
    path.write_bytes(whole)
    found = Spool(folder, 10_000)
    found.adopt()
    left = found.take(100, 10_000)
    assert left == [record for record in records if record in left]
    found.settle()
    assert found.take(100, 10_000) == []
    assert found.waiting == 0
    found.close()
    assert list(folder.iterdir()) == []


def test_what_the_service_would_find_too_old_is_not_sent(
    service: Any, connect: Connect, tools: Any, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service.stop()
    path = spooled(connect, folder, tools, "old")
    long_ago = time.time() - 100 * 86_400
    os.utime(path, (long_ago, long_ago))
    service.start()
    client = connect(spool_path=folder)
    tools.eventually(lambda: client.status().dropped == 1)
    tools.eventually(lambda: "too old" in caplog.text)
    emptied(folder, tools)


# -- bounds and failing disks -------------------------------------------------------------------


def test_a_full_spool_is_bounded_and_drops_are_counted(
    service: Any, connect: Connect, tools: Any, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service.stop()
    client = connect(spool_path=folder, spool_bytes=20_000, queue_size=100, start_wait_seconds=0.0)
    for n in range(2_000):
        client.track("n", f"u{n}")
        if n % 20 == 0:
            tools.eventually(lambda: client.status().queued < 20 or "is full" in caplog.text)

    def accounted() -> int:
        status = client.status()
        return int(status.spooled + status.queued + status.dropped)

    # While one goes from memory to the disk it is in both.
    tools.eventually(lambda: accounted() == 2_000)
    status = client.status()
    assert status.dropped > 1_000
    assert sum(path.stat().st_size for path in files(folder)) <= 20_000
    assert caplog.text.count("is full") == 1
    service.start()
    assert client.flush(30)
    assert len(service.stored) == 2_000 - status.dropped
    assert units(service) == [f"u{n}" for n in range(len(service.stored))]


def test_a_place_that_cannot_be_written_leaves_events_in_memory_with_one_warning(
    service: Any, connect: Connect, tools: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    service.stop()
    client = connect(spool_path=tmp_path / "file" / "spool", start_wait_seconds=0.0)
    for n in range(10):
        client.track("n", f"u{n}")
    tools.eventually(lambda: "kept in memory" in caplog.text)
    assert (client.status().queued, client.status().spooled) == (10, 0)
    service.start()
    assert client.flush(30)
    assert len(service.stored) == 10
    assert caplog.text.count("flagstone: spool") == 1


@needs_fork
def test_a_disk_that_is_full_leaves_whole_events_only(
    service: Any, tools: Any, run: Run, folder: Path
) -> None:
    """The largest size of a file stands in for the end of the disk: it cuts a write short."""
    service.stop()
    program = run("""
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        client = connect()
        for n in range(1_000):
            client.track("n", f"u{n}")
            if n % 50 == 49:
                until(lambda: client.status().queued == 0 or n > 100)
        until(lambda: not client._workers.sender.spool.usable)
        say("disk full", client.status().spooled > 0, client.status().queued > 0)
        sys.stdin.readline()
        say(client.flush(30), client.status().dropped)
        client.close()
    """)
    tools.eventually(lambda: "disk full True True" in program.lines, program.lines)
    for path in files(folder):
        content = path.read_bytes()
        assert content.endswith(b"\n")
        assert len(content) <= 20_000
    service.start()
    program.go_on()
    lines = program.end()
    assert lines[-1] == "True 0"
    assert sum("cannot be used" in line for line in lines) == 1
    assert units(service) == [f"u{n}" for n in range(1_000)]


def test_the_disk_is_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "at").write_text("")
    spool = Spool(tmp_path / "at", 1_000)
    assert not spool.append([b"a"])
    (tmp_path / "at").unlink()
    assert not spool.append([b"a"])
    spool._shut_until = time.monotonic()
    assert spool.append([b"a"])
    assert spool.take(10, 1_000) == [b"a"]
    spool.close()


def test_a_disk_that_hangs_holds_up_no_caller(service: Any, tools: Any) -> None:
    class Hanging(Spool):
        def __init__(self) -> None:
            super().__init__(Path("unused"), 1_000)
            self.entered, self.release = threading.Event(), threading.Event()

        def append(self, records: Any) -> bool:
            self.entered.set()
            self.release.wait(60)
            return False

    service.stop()
    spool = Hanging()
    transport = Transport(Endpoint.parse(service.url), tools.KEY, tools.QUICK)
    sender = Sender(transport, 0.0, 10_000, spool=spool)
    sender.start()
    from flagstone.events import tracking_event

    sender.queue.put(tracking_event("n", "u", None, None, 0.0))
    assert spool.entered.wait(30)
    began = time.perf_counter()
    for _ in range(1_000):
        sender.queue.put(tracking_event("n", "u", None, None, 0.0))
    assert time.perf_counter() - began < 20
    spool.release.set()
    sender.stop()
    sender.join(time.monotonic() + 30)
    assert not sender.alive


@pytest.mark.parametrize("options", [{"spool_path": 7}, {"spool_bytes": 0}, {"spool_path": ""}])
def test_arguments_that_make_no_sense_are_refused(options: dict[str, Any], tools: Any) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Client("http://127.0.0.1:9", tools.KEY, start_wait_seconds=0.0, **options)


# -- several processes --------------------------------------------------------------------------


def test_of_many_processes_that_start_together_one_adopts_what_a_dead_one_left(
    service: Any, tools: Any, run: Run
) -> None:
    service.stop()
    leaving = """
        client = connect()
        for n in range(300):
            client.track("n", f"{os.getpid()}-{n}")
        until(lambda: client.status().spooled == 300)
        say("on disk")
        threading.Event().wait()
    """
    dying = [run(leaving) for _ in range(3)]
    tools.eventually(lambda: all("on disk" in program.lines for program in dying))
    for program in dying:
        program.kill()
    service.start()
    heirs = [
        run("""
            client = connect()
            sys.stdin.readline()
            say(client.flush(30), client.status().sent)
            client.close()
        """)
        for _ in range(4)
    ]
    tools.eventually(lambda: len(service.stored) == 900)
    for program in heirs:
        program.go_on()
    answers = [program.end()[-1].split() for program in heirs]
    assert sum(int(sent) for _, sent in answers) == 900
    assert service.duplicates == 0


def test_what_a_living_process_has_on_the_disk_is_its_own(
    service: Any, connect: Connect, tools: Any, folder: Path
) -> None:
    """Even within one process: each client has its own lock."""
    service.answer(EVENTS, tools.status(503, {"Retry-After": "500"}))
    first = connect(spool_path=folder)
    first.track("n", "first")
    tools.eventually(lambda: first.status().spooled == 1)
    service.behave()
    second = connect(spool_path=folder)
    second.track("n", "second")
    assert second.flush(30)
    assert units(service) == ["second"]
    second.close()
    first.close(0.0)
    third = connect(spool_path=folder)
    tools.eventually(lambda: third.status().sent == 1)
    assert units(service) == ["second", "first"]


@needs_fork
def test_a_fork_leaves_the_parents_files_to_the_parent(
    service: Any, tools: Any, run: Run, connect: Connect, folder: Path
) -> None:
    """And a child that lives on does not keep others from adopting them."""
    service.stop()
    program = run("""
        client = connect()
        client.track("n", "parent")
        until(lambda: client.status().spooled == 1)
        child = os.fork()
        say("parent" if child else "child", client.status().spooled)
        if child == 0:
            client.track("n", "child")
            until(lambda: client.status().spooled == 1)
            say("child has its own")
        threading.Event().wait()
    """)
    said = {"parent 1", "child 0", "child has its own"}
    tools.eventually(lambda: said <= set(program.lines), program.lines)
    assert len(files(folder)) == len(files(folder, "lock")) == 2
    held = files(folder)[0].name.partition(".")[0]
    # Only the parent: its child lives on, with the descriptors that it inherited.
    program.process.send_signal(signal.SIGKILL)
    program.process.wait(30)
    left = Spool(files(folder)[0].parent, 1_000)
    left.adopt()
    assert left.waiting == 1
    assert b'"parent"' in left.take(10, 1_000)[0]
    left.close()
    assert held in {path.name.partition(".")[0] for path in files(folder)}
    service.start()
    heir = connect(spool_path=folder)
    tools.eventually(lambda: sorted(units(service)) == ["child", "parent"])
    tools.eventually(lambda: heir.status().sent == 1)


def test_whoever_waited_for_the_lock_of_a_name_that_is_gone_does_not_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, 1_000)
    assert spool.append([b"a"])
    (name,) = {path.name.partition(".")[0] for path in tmp_path.iterdir()}
    lock = spool_module._lock

    def slowly(descriptor: int) -> bool:
        spool.take(10, 100)
        spool.settle()
        spool.close()  # its last event was answered: the name is gone
        return lock(descriptor)

    monkeypatch.setattr(spool_module, "_lock", slowly)
    assert spool_module._Owner.take_over(tmp_path, name) is None
    assert list(tmp_path.iterdir()) == []


def test_a_name_whose_process_died_between_its_last_event_and_its_lock_is_removed(
    tmp_path: Path,
) -> None:
    (tmp_path / "0197.lock").write_bytes(b"")
    (tmp_path / "0198.000001.events").write_bytes(b"")
    spool = Spool(tmp_path, 1_000)
    spool.adopt()
    assert spool.take(10, 100) == []
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_segments_are_small_and_go_one_by_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 30)
    record = b"x" * 10_000
    for _ in range(30):
        assert spool.append([record] * 10)
    sizes = [path.stat().st_size for path in tmp_path.glob("*.events")]
    assert len(sizes) >= 3
    assert max(sizes) <= spool_module.SEGMENT_BYTES
    for _ in range(60):
        assert spool.take(5, 1 << 20) == [record] * 5
        assert spool.append([b"later"])
        spool.settle()
    assert spool.waiting == 60
    while taken := spool.take(100, 1 << 20):
        assert set(taken) == {b"later"}
        spool.settle()
    assert spool.waiting == 0
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_process_left_is_older_but_what_is_being_sent_goes_on(tmp_path: Path) -> None:
    def leave(*records: bytes) -> None:
        dead = Spool(tmp_path, 10_000)
        assert dead.append(records)
        dead.close()

    def take() -> list[bytes]:
        taken = spool.take(1, 100)
        spool.settle()
        return taken

    leave(b"older")
    spool = Spool(tmp_path, 10_000)
    assert spool.append([b"own", b"own again"])
    spool.adopt()
    assert (take(), take()) == ([b"older"], [b"own"])
    leave(b"found later")
    assert spool.append([b"newest"])
    spool._adopt_at = 0.0
    spool.adopt()
    assert [take() for _ in range(4)] == [[b"own again"], [b"found later"], [b"newest"], []]
    spool.close()
    assert list(tmp_path.iterdir()) == []
