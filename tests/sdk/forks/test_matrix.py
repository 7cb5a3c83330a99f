"""Every way in which Python servers make processes: flags and events work in each of them.

A change is visible in every worker within moments of it, events of workers arrive once, and
the service hears of every worker. The service is real HTTP and SSE; so are gunicorn and Celery.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

# Two on a quiet machine; whatever else could bring a change takes longer than this.
VISIBLE_SECONDS = 10.0
WORKERS = 3
START = """
import json, os, sys, threading, time
from flagstone import Client, Timing

# Polling is out of the question here: what is seen has come by the stream.
TIMING = Timing(backoff_seconds=0.05, backoff_limit_seconds=0.2, exit_seconds=20.0)

def connect(**options):
    options = {"flush_seconds": 0.05, "start_wait_seconds": 30.0, **options}
    options = {"poll_seconds": 10_000.0, "timing": TIMING, **options}
    return Client(os.environ["SERVICE_URL"], os.environ["SERVICE_KEY"], **options)

def look(client, unit):
    client.track("looked", unit)
    value = client.get_string("f", {"targetingKey": unit}, "none")
    return {"pid": os.getpid(), "value": value, "instance": client.status().instance}
"""


@dataclass
class Seen:
    """What the workers answered: by process, the value and the instance of the last answer."""

    value: dict[int, str] = field(default_factory=dict)
    instance: dict[int, str] = field(default_factory=dict)
    units: list[str] = field(default_factory=list)

    def note(self, unit: str, answer: dict[str, Any]) -> None:
        self.units.append(unit)
        self.value[answer["pid"]] = answer["value"]
        self.instance[answer["pid"]] = answer["instance"]


class Workers:
    """Worker processes that answer questions, several at a time so that each gets one."""

    def __init__(self, ask: Callable[[str], dict[str, Any]], tools: Any) -> None:
        self._ask = ask
        self._tools = tools
        self._pool = ThreadPoolExecutor(2 * WORKERS)
        self.seen = Seen()
        self._number = 0

    def round(self) -> None:
        units = [f"u{self._number + n}" for n in range(2 * WORKERS)]
        self._number += len(units)
        for unit, answer in zip(units, self._pool.map(self._ask, units), strict=True):
            self.seen.note(unit, answer)

    def until_all_are_up(self, count: int = WORKERS) -> None:
        def up() -> bool:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.round()
            return len(self.seen.value) >= count

        self._tools.eventually(up, "every worker answers")

    def until_all_see(self, value: str, since: float) -> float:
        """Ask until the last answer of each worker is ``value``; return how long it took."""
        living = set(self.seen.value)

        def visible() -> bool:
            self.round()
            return {self.seen.value[pid] for pid in living} == {value}

        self._tools.eventually(visible, f"{value} in every worker: {self.seen.value}")
        return time.monotonic() - since


@pytest.fixture
def environment(service: Any, tools: Any) -> dict[str, str]:
    return {**os.environ, "SERVICE_URL": service.url, "SERVICE_KEY": tools.KEY}


@pytest.fixture
def begin(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start programs in process groups of their own, which end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str, **options: Any) -> subprocess.Popen[bytes]:
        with (tmp_path / f"log-{len(started)}").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=tmp_path,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def check_life(service: Any, tools: Any, workers: Workers) -> None:
    """A change around the fork, a change later, and every process heard of."""
    service.publish(1, tools.flag("f", "one", track=True))
    workers.until_all_are_up()
    # Some workers have but begun: this one comes around their fork.
    service.publish(2, tools.flag("f", "two", track=True))
    around = workers.until_all_see("two", time.monotonic())
    tools.eventually(lambda: service.open_streams >= WORKERS, "every worker listens")
    service.publish(3, tools.flag("f", "three", track=True))
    later = workers.until_all_see("three", time.monotonic())
    assert around <= VISIBLE_SECONDS, around
    assert later <= VISIBLE_SECONDS, later
    check_heartbeats(service, tools, workers)


def check_heartbeats(service: Any, tools: Any, workers: Workers) -> None:
    def told() -> bool:
        latest = {each["instance"]: each["revision"] for each in service.told}
        return all(latest.get(one) == 3 for one in workers.seen.instance.values())

    tools.eventually(told, "the service has heard of every worker")
    instances = list(workers.seen.instance.values())
    assert len(set(instances)) == len(instances), "every process has its own"


def check_events(service: Any, tools: Any, workers: Workers) -> None:
    """Every event that a worker tracked has arrived, once."""
    units = sorted(workers.seen.units)

    def arrived() -> list[str]:
        return sorted(e["unit"] for e in list(service.stored.values()) if e["type"] == "track")

    tools.eventually(lambda: len(arrived()) >= len(units), "every event arrives")
    assert arrived() == units
    exposures = [e["unit"] for e in service.stored.values() if e["type"] == "exposure"]
    assert sorted(exposures) == sorted(set(exposures)) == units
    assert service.duplicates == 0


# -- gunicorn -----------------------------------------------------------------------------------

APPLICATION = """
client = connect()

def application(environ, start_response):
    answer = json.dumps(look(client, environ["QUERY_STRING"])).encode()
    time.sleep(0.03)  # busy, so that the next request finds another worker
    start_response("200 OK", [("Content-Length", str(len(answer))), ("Connection", "close")])
    return [answer]
"""


@pytest.mark.parametrize("preload", [False, True], ids=["each-its-own", "preload"])
@pytest.mark.parametrize("kind", ["sync", "gevent"])
def test_gunicorn(
    service: Any, tools: Any, tmp_path: Path, begin: Any, kind: str, preload: bool
) -> None:
    pytest.importorskip("gunicorn", reason="the SDK's tests are run without gunicorn")
    if kind == "gevent":
        pytest.importorskip("gevent", reason="the SDK's tests are run without gevent")
    (tmp_path / "shop.py").write_text(START + APPLICATION)
    service.publish(1, tools.flag("f", "one", track=True))
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def ask(unit: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", f"/?{unit}")
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()

    command = [sys.executable, "-W", "ignore", "-m", "gunicorn", "shop:application"]
    command += ["--workers", str(WORKERS), "--worker-class", kind, "--worker-connections", "1"]
    command += ["--bind", f"fd://{listener.fileno()}", "--graceful-timeout", "30"]
    with listener:
        master = begin(*command, *["--preload"] * preload, pass_fds=[listener.fileno()])
        workers = Workers(ask, tools)
        check_life(service, tools, workers)
        replace_a_worker(tools, workers, listening=service)
        workers.round()
        master.terminate()
        assert master.wait(60) == 0
    check_events(service, tools, workers)


def replace_a_worker(tools: Any, workers: Workers, listening: Any) -> None:
    """One that is forked long after the start serves the newest flags, too."""
    victim = next(iter(workers.seen.value))
    # What it tracked is with the service: nothing else survives this.
    tools.eventually(lambda: delivered(listening) >= set(workers.seen.units))
    os.kill(victim, signal.SIGKILL)
    before = set(workers.seen.value)
    del workers.seen.value[victim], workers.seen.instance[victim]

    def replaced() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            workers.round()
        return bool(set(workers.seen.value) - before)

    tools.eventually(replaced, "another worker is forked")
    assert workers.until_all_see("three", time.monotonic()) <= VISIBLE_SECONDS
    check_heartbeats(listening, tools, workers)


def delivered(service: Any) -> set[str]:
    return {each["unit"] for each in list(service.stored.values())}


# -- multiprocessing ----------------------------------------------------------------------------

PROCESSES = """
import multiprocessing

client = None

def work(questions, answers):
    global client
    client = client or connect()
    for unit in iter(questions.get, None):
        answers.put((unit, look(client, unit)))

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    client = connect()
    answers = context.SimpleQueue()
    questions = [context.SimpleQueue() for _ in range(int(sys.argv[2]))]
    children = [context.Process(target=work, args=(mine, answers)) for mine in questions]
    for child in children:
        child.start()
    for line in sys.stdin:
        units = line.split()
        for n, unit in enumerate(units):
            questions[n % len(questions)].put(unit)
        print(json.dumps(dict(answers.get() for _ in units)), flush=True)
    for mine in questions:
        mine.put(None)
    for child in children:
        child.join()
"""


class Conversation(Workers):
    """Children of a program that passes questions on over its standard input."""

    def __init__(self, process: subprocess.Popen[str], tools: Any) -> None:
        super().__init__(lambda unit: {}, tools)
        self._process = process

    def round(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        units = [f"u{self._number + n}" for n in range(2 * WORKERS)]
        self._number += len(units)
        self._process.stdin.write(" ".join(units) + "\n")
        self._process.stdin.flush()
        for unit, answer in json.loads(self._process.stdout.readline()).items():
            self.seen.note(unit, answer)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(
    service: Any, tools: Any, tmp_path: Path, environment: dict[str, str], method: str
) -> None:
    path = tmp_path / "program.py"
    path.write_text(START + PROCESSES)
    service.publish(1, tools.flag("f", "one", track=True))
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(path), method, str(WORKERS)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    watchdog = threading.Timer(120, lambda: os.killpg(process.pid, signal.SIGKILL))
    watchdog.start()
    try:
        workers = Conversation(process, tools)
        check_life(service, tools, workers)
        process.communicate(timeout=60)
        assert process.returncode == 0
    finally:
        watchdog.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    check_events(service, tools, workers)


# -- Celery -------------------------------------------------------------------------------------

TASKS = """
from celery import Celery

app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": os.environ["QUEUE"],
    "data_folder_out": os.environ["QUEUE"],
    "polling_interval": 0.02,
}
app.conf.worker_prefetch_multiplier = 1
client = connect(flush_seconds=float(os.environ.get("FLUSH_SECONDS", "0.05")))

@app.task
def ask(unit):
    answer = json.dumps(look(client, unit))
    time.sleep(0.03)
    path = os.path.join(os.environ["ANSWERS"], unit)
    with open(path + ".part", "w") as file:
        file.write(answer)
    os.rename(path + ".part", path)
"""


@pytest.fixture
def celery(
    tmp_path: Path, environment: dict[str, str], begin: Any
) -> Callable[..., tuple[Any, Callable[[str], dict[str, Any]]]]:
    """Start a prefork worker; questions go through the broker's folder."""
    module = pytest.importorskip("celery", reason="the SDK's tests are run without Celery")
    pause = threading.Event()

    def start(**variables: str) -> tuple[Any, Callable[[str], dict[str, Any]]]:
        for name in ("QUEUE", "ANSWERS", "OUTBOX"):
            folder = tmp_path / name.lower()
            folder.mkdir()
            environment[name] = str(folder)
        environment.update(variables)
        (tmp_path / "tasks.py").write_text(START + TASKS)
        sender = module.Celery("sender", broker="filesystem://", set_as_current=False)
        # A worker may take a message that is but opened, and lose it: whole ones move to the queue.
        queue, outbox = Path(environment["QUEUE"]), Path(environment["OUTBOX"])
        sender.conf.broker_transport_options = {
            "data_folder_in": str(outbox),
            "data_folder_out": str(outbox),
            "control_folder": str(tmp_path / "control"),
        }
        lock = threading.Lock()

        def ask(unit: str) -> dict[str, Any]:
            with lock:
                sender.send_task("tasks.ask", [unit])
                for message in outbox.iterdir():
                    message.rename(queue / message.name)
            path = Path(environment["ANSWERS"]) / unit
            deadline = time.monotonic() + 60
            while not path.exists():
                assert time.monotonic() < deadline, "no answer of the task"
                pause.wait(0.005)
            answer: dict[str, Any] = json.loads(path.read_text())
            return answer

        command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", "tasks", "worker"]
        command += ["--pool", "prefork", "--concurrency", str(WORKERS), "--loglevel", "WARNING"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        return begin(*command), ask

    return start


def test_celery_prefork(service: Any, tools: Any, celery: Any) -> None:
    service.publish(1, tools.flag("f", "one", track=True))
    _, ask = celery()
    workers = Workers(ask, tools)
    check_life(service, tools, workers)
    check_events(service, tools, workers)


def test_celery_children_send_what_is_queued_when_they_end(
    service: Any, tools: Any, celery: Any
) -> None:
    """They leave past ``atexit``, and long before their events would be due."""
    service.publish(1, tools.flag("f", "one", track=True))
    master, ask = celery(FLUSH_SECONDS="1000")
    workers = Workers(ask, tools)
    workers.round()
    assert delivered(service) == set()
    master.terminate()
    master.wait(60)
    check_events(service, tools, workers)


def test_the_programs_here_are_python() -> None:
    for source in (APPLICATION, PROCESSES, TASKS):
        compile(START + textwrap.dedent(source), "program", "exec")
