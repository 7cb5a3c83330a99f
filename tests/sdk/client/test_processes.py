"""Forks, spawned processes and the end of a process: every process sends its own events, once."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

START = """
import multiprocessing, os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of every fork with threads
from flagstone import Client, Timing
TIMING = {"backoff_seconds": 0.02, "backoff_limit_seconds": 0.1}

def connect(exit_seconds=20.0, **options):
    rarely = {"flush_seconds": 10_000.0, "poll_seconds": 10_000.0}
    timing = Timing(exit_seconds=exit_seconds, **TIMING)
    options = {"start_wait_seconds": 30.0, "timing": timing, **rarely, **options}
    return Client(sys.argv[1], sys.argv[2], **options)

def say(*words):
    print(*words, flush=True)
"""

needs_fork = pytest.mark.skipif(not hasattr(sys, "getdlopenflags"), reason="no fork here")
Run = Callable[[str], "Program"]


class Program:
    """A Python program under way, whose lines are read as they come."""

    def __init__(self, path: Path, source: str, *arguments: str) -> None:
        path.write_text(START + textwrap.dedent(source))
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, str(path), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE,
            text=True,
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


@pytest.fixture
def run(service: Any, tools: Any, tmp_path: Path) -> Iterator[Run]:
    programs: list[Program] = []

    def begin(source: str) -> Program:
        path = tmp_path / f"program_{len(programs)}.py"
        programs.append(Program(path, source, service.url, tools.KEY))
        return programs[-1]

    yield begin
    for program in programs:
        program.process.kill()
        program.process.wait()


def sent(service: Any) -> Counter[tuple[str, str]]:
    return Counter(
        (event.get("name", "exposure"), event["unit"]) for event in service.stored.values()
    )


@needs_fork
def test_a_forked_child_sees_changes_and_sends_only_its_own_events(
    service: Any, tools: Any, run: Run
) -> None:
    service.publish(1, tools.flag("f", "one", track=True))
    program = run("""
        client = connect()
        client.track("purchase", "parent")
        client.get_string("f", {"targetingKey": "both"}, "")
        child = os.fork()
        if child == 0:
            say("child queued", client.status().queued)
            client.track("purchase", "child")
            client.get_string("f", {"targetingKey": "both"}, "")
            client.get_string("f", {"targetingKey": "only child"}, "")
            say("child flushed", client.flush(30))
            say("child saw", client.wait_for_revision(2, 30), client.get_string("f", {}, ""))
            client.close()
            os._exit(0)
        os.waitpid(child, 0)
        say("parent queued", client.status().queued)
        say("parent saw", client.wait_for_revision(3, 30), client.status().streaming)
        client.close()
    """)
    tools.eventually(lambda: "child flushed True" in program.lines, program.lines)
    assert sent(service) == {("purchase", "child"): 1, ("exposure", "only child"): 1}
    tools.eventually(lambda: service.open_streams == 2, "parent and child listen")
    service.publish(2, tools.flag("f", "two"))
    tools.eventually(lambda: "parent queued 2" in program.lines, program.lines)
    service.publish(3, tools.flag("f", "three"))
    lines = program.end()
    assert "child queued 0" in lines
    assert "child saw True two" in lines
    assert "parent saw True True" in lines
    assert sent(service) == {
        ("purchase", "parent"): 1,
        ("exposure", "both"): 1,
        ("purchase", "child"): 1,
        ("exposure", "only child"): 1,
    }
    assert service.duplicates == 0


@needs_fork
def test_a_fork_while_every_lock_is_held_does_not_hang_the_child(
    service: Any, tools: Any, run: Run
) -> None:
    service.publish(1, tools.flag("f", True, track=True))
    program = run("""
        client = connect()
        workers, held, release = client._workers, threading.Event(), threading.Event()

        def hold():
            with client._closing, client._memory._lock, client._store._condition, \\
                    client._defaults._lock:
                with workers.sender.queue._lock, workers.sender._ids._lock:
                    held.set()
                    release.wait(60)

        threading.Thread(target=hold, daemon=True).start()
        held.wait()
        child = os.fork()
        if child == 0:
            client.get_boolean("f", {"targetingKey": "u"}, False)
            client.track("n", "u")
            say("flushed", client.flush(30), client.wait_for_revision(1, 30))
            client.on_change(print)
            client.close()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        release.set()
        client.close()
        say("status", status)
    """)
    lines = program.end()
    assert lines == ["flushed True True", "status 0"]
    assert sent(service) == {("exposure", "u"): 1, ("n", "u"): 1}


@needs_fork
def test_a_preloaded_client_serves_every_worker_and_their_children(
    service: Any, tools: Any, run: Run
) -> None:
    """As gunicorn --preload: the master makes the client and never uses it."""
    service.publish(1, tools.flag("f", 1))
    program = run("""
        client = connect()

        def work(name):
            client.wait_for_revision(2, 30)
            client.track("saw", name, client.get_integer("f", {}, 0))
            client.flush(30)

        children = []
        for n in range(4):
            child = os.fork()
            if child == 0:
                grandchild = os.fork()
                work(f"{n}{'b' if grandchild == 0 else 'a'}")
                if grandchild:
                    os.waitpid(grandchild, 0)
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        client.close()
    """)
    tools.eventually(lambda: service.open_streams == 9)
    service.publish(2, tools.flag("f", 2))
    program.end()
    assert {e["unit"]: e["value"] for e in service.stored.values()} == {
        f"{n}{x}": 2 for n in range(4) for x in "ab"
    }
    assert len(service.stored) == 8


@needs_fork
def test_a_client_closed_before_the_fork_stays_closed(service: Any, run: Run) -> None:
    program = run("""
        client = connect()
        client.close()
        child = os.fork()
        if child == 0:
            say(client.status().closed, threading.active_count())
            os._exit(0)
        os.waitpid(child, 0)
    """)
    assert program.end() == ["True 1"]


@needs_fork
def test_the_inherited_sockets_are_closed_in_the_child(service: Any, tools: Any, run: Run) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc on this system")
    program = run("""
        def sockets():
            links = []
            for fd in os.listdir("/proc/self/fd"):
                try:
                    links.append(os.readlink(f"/proc/self/fd/{fd}"))
                except OSError:
                    pass
            return {link for link in links if link.startswith("socket:")}

        client = connect()
        client.track("n", "u")
        client.flush(30)
        say("up", client.status().streaming)
        sys.stdin.readline()
        inherited = sockets()
        child = os.fork()
        if child == 0:
            say("shared", len(inherited & sockets()))
            os._exit(0)
        os.waitpid(child, 0)
        say("kept", len(inherited & sockets()), len(inherited))
        client.close()
    """)
    tools.eventually(lambda: program.lines)
    tools.eventually(lambda: service.open_streams == 1)
    assert program.process.stdin is not None
    program.process.stdin.write("\n")
    program.process.stdin.flush()
    _, shared, kept = program.end()
    assert shared == "shared 0"
    assert kept == "kept 3 3"


@pytest.mark.parametrize(
    ("method", "inherited"),
    [
        pytest.param("fork", True, marks=needs_fork),
        pytest.param("fork", False, marks=needs_fork),
        pytest.param("forkserver", False, marks=needs_fork),
        ("spawn", False),
    ],
)
def test_processes_of_multiprocessing_send_their_events_without_being_asked(
    service: Any, tools: Any, run: Run, method: str, inherited: bool
) -> None:
    service.publish(1, tools.flag("f", 7, track=True))
    program = run(f"""
        client = connect() if {inherited} else None

        def work(unit):
            global client
            client = client or connect()
            client.get_integer("f", {{"targetingKey": unit}}, 0)
            client.track("done", unit)

        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            processes = [context.Process(target=work, args=(f"u{{n}}",)) for n in range(3)]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
            say(*[process.exitcode for process in processes])
    """)
    assert program.end() == ["0 0 0"]
    assert sent(service) == {(k, f"u{n}"): 1 for n in range(3) for k in ("exposure", "done")}


def test_the_end_of_the_process_sends_what_is_queued(service: Any, run: Run) -> None:
    program = run("""
        client = connect()
        for n in range(600):
            client.track("n", f"u{n}")
    """)
    assert program.end() == []
    assert len(service.stored) == 600


def test_an_error_of_the_program_sends_what_is_queued_too(service: Any, run: Run) -> None:
    program = run("""
        client = connect()
        client.track("n", "u")
        sys.exit(3)
    """)
    assert program.process.wait(60) == 3
    assert len(service.stored) == 1


def test_without_the_service_a_process_still_ends_soon(service: Any, run: Run) -> None:
    service.stop()
    began = time.monotonic()
    program = run("""
        client = connect(exit_seconds=1.5, start_wait_seconds=0.0)
        client.track("n", "u")
    """)
    lines = program.end()
    assert time.monotonic() - began < 30
    assert any("closed with 1 events not sent" in line for line in lines)
