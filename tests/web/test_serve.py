"""The whole service in real processes: start, changes, crashes, ends."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from experiments.store.inbox import Inbox, inbox_path
from flags.actor import SYSTEM
from flags.changes import apply_change, parse_change
from flags.database import Database
from flags.services import create_flag, create_project, get_environment
from web.settings import Settings

BULK = "/ofrep/v1/evaluate/flags"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
pytestmark = pytest.mark.slow


@pytest.fixture
def open_control(control_class: type, database_url: str) -> Iterator[Callable[[], Any]]:
    """Open the database that the service has migrated."""
    opened: list[Database] = []

    def make() -> Any:
        database = Database(database_url)
        opened.append(database)
        return control_class(database)

    yield make
    for database in opened:
        database.dispose()


class Stream:
    """One open event stream, read in a thread."""

    def __init__(self, url: str, key: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        head = f"GET /sdk/v1/stream HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {key}\r\n\r\n"
        self._socket.sendall(head.encode())
        self.received = b""
        self.ended = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while part := self._socket.recv(65536):
                with self._news:
                    self.received += part
                    self._news.notify_all()
        except OSError:
            pass
        self.ended.set()

    def wait_for(self, text: bytes, seconds: float = 30) -> None:
        with self._news:
            assert self._news.wait_for(lambda: text in self.received, seconds), self.received

    def close(self) -> None:
        self._socket.close()


def change(control: Any, do: str) -> int:
    """Change the flag in production as the API does; give the revision's number."""
    instructions = [{"do": do, "flag": "checkout"}]
    with control.database.write() as session:
        result = apply_change(
            session,
            "shop",
            "production",
            parse_change({"comment": "test", "instructions": instructions}),
            actor=SYSTEM,
            now=NOW,
        )
        number: int = result.revision_number
    return number


def event(number: int) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "type": "track",
        "time": time.time(),
        "unit": f"u{number}",
        "name": "purchase",
    }


def test_a_change_reaches_sdks_by_stream_and_by_flag_set(
    make_service: Callable[..., Any],
    open_control: Callable[[], Any],
    database_url: str,
    wait_until: Callable[..., Any],
) -> None:
    service = make_service(database_url, FLAGSTONE_WORKERS="2")
    control = open_control()
    with control.database.write() as session:
        create_project(session, key="shop", actor=SYSTEM, now=NOW)
        create_flag(session, "shop", {"key": "checkout", "type": "boolean"}, actor=SYSTEM, now=NOW)
        number = get_environment(session, "shop", "production").id
    change(control, "turn_on")
    key = control.key(number)
    with service.client(key) as client:
        # Each process learns of the key by itself.
        for _ in range(8):
            with service.client(key) as other:
                wait_until(lambda other=other: other.get("/sdk/v1/flagset").status_code == 200)
        assert client.post(f"{BULK}/checkout").json()["reason"] == "STATIC"
        first = client.get("/sdk/v1/flagset")
        assert first.headers["content-encoding"] == "gzip"
        streams = [Stream(service.url, key) for _ in range(6)]
        for stream in streams:
            stream.wait_for(f"event: flagset\nid: {first.json()['version']}\n".encode())
        version = change(control, "kill")
        for stream in streams:
            stream.wait_for(f"id: {version}\n".encode())
        answer = client.get("/sdk/v1/flagset", headers={"If-None-Match": first.headers["etag"]})
        assert answer.json()["version"] == version
        again = client.get("/sdk/v1/flagset", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
        entry = client.post(BULK, json={"context": {}}).json()["flags"][0]
        assert (entry["reason"], entry["metadata"]["killed"]) == ("DISABLED", True)
        assert client.get("/readyz").json() == {"status": "ready", "reasons": []}

        control.revoke(key)
        wait_until(lambda: client.get("/sdk/v1/flagset").status_code == 401, seconds=15)
        for stream in streams:
            stream.wait_for(b"\r\n0\r\n\r\n")
            stream.close()
        metrics = client.get("/metrics").text
        assert 'flagstone_http_answers_total{route="stream",status="200"} 6.0' in metrics

        # Everything else comes from the management application, over the bridge.
        assert "content-security-policy" in client.get("/api/v1/projects").headers
    assert service.terminate() < 15
    assert service.process.returncode == 0


def test_open_streams_do_not_hold_up_the_end(
    make_service: Callable[..., Any],
    open_control: Callable[[], Any],
    database_url: str,
    wait_until: Callable[..., Any],
) -> None:
    service = make_service(database_url)
    control = open_control()
    number = control.environment()
    key = control.key(number)
    with service.client(key) as client:
        wait_until(lambda: client.get("/sdk/v1/flagset").status_code == 200)
    streams = [Stream(service.url, key) for _ in range(40)]
    for stream in streams:
        stream.wait_for(b"event: flagset\n")
    assert service.terminate() < 15
    for stream in streams:
        assert stream.ended.wait(15)
        assert stream.received.endswith(b"0\r\n\r\n")
        stream.close()


def test_the_first_start_says_where_it_answers_and_where_to_make_the_first_account(
    make_service: Callable[..., Any], tmp_path: Path
) -> None:
    service = make_service(f"sqlite:///{tmp_path / 'x.db'}")
    document = json.loads(service.ready_file.read_text())
    assert document["pid"] == service.process.pid
    assert document["url"] == f"http://127.0.0.1:{document['port']}"
    lines = [line for line in service.log.read_text().splitlines() if "/setup?code=" in line]
    assert len(lines) == 1
    assert service.url in lines[0]


def test_a_crashed_process_is_started_again_and_none_outlives_the_supervisor(
    make_service: Callable[..., Any], tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    service = make_service(f"sqlite:///{tmp_path / 'x.db'}")
    supervisor = psutil.Process(service.process.pid)

    def children() -> set[int]:
        return {child.pid for child in supervisor.children()}

    before = wait_until(lambda: children() if len(children()) == 2 else None)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(children() - before) == 2 and not children() & before)

    def answers() -> bool:
        try:
            return httpx.get(f"{service.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(answers, seconds=60)
    processes = supervisor.children(recursive=True)
    service.kill()
    # A process that is just starting looks for its supervisor when its imports are done.
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert alive == []


def test_a_taken_port_is_a_plain_message(make_service: Callable[..., Any], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(pytest.fail.Exception, match="cannot listen on") as caught:
            make_service(f"sqlite:///{tmp_path / 'x.db'}", FLAGSTONE_PORT=port)
    assert "Traceback" not in str(caught.value)


class WebProcesses:
    """Some web processes on one socket, without a supervisor that would pause between starts."""

    def __init__(self, settings: Settings) -> None:
        self._environment = {**os.environ, **settings.to_environment()}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._lifeline, self._end = os.pipe()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._running: list[tuple[subprocess.Popen[bytes], int]] = []

    def start(self) -> None:
        """Start one more."""
        ready, write = os.pipe()
        descriptors = (self._listener.fileno(), self._lifeline, write)
        names = ("--listener", "--lifeline", "--ready")
        arguments = [
            text for pair in zip(names, map(str, descriptors), strict=True) for text in pair
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "web.asgi", *arguments],
            env=self._environment,
            pass_fds=descriptors,
        )
        os.close(write)
        self._running.append((process, ready))

    def kill_oldest(self) -> None:
        """Kill the process that has answered for the longest time."""
        process, ready = self._running.pop(0)
        assert os.read(ready, 1) == b"\n"
        os.close(ready)
        process.kill()
        process.wait()

    def close(self) -> None:
        """Kill them all."""
        for process, ready in self._running:
            process.kill()
            process.wait()
            os.close(ready)
        self._listener.close()
        os.close(self._lifeline)
        os.close(self._end)


def test_acknowledged_events_survive_kill_at_any_moment(
    control_class: type, tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    """Ten times SIGKILL to the process that takes events, while four senders send."""
    settings = Settings(data_directory=tmp_path, workers=2)
    database = Database(settings.database_url)
    database.create_all()
    control = control_class(database)
    key = control.key(control.environment())
    database.dispose()
    processes = WebProcesses(settings)
    draw = random.Random(4711)
    acknowledged: list[str] = []
    interrupted: list[str] = []
    sent: set[str] = set()
    stop = threading.Event()

    def send(sender: int) -> None:
        batch: list[dict[str, Any]] = []
        with httpx.Client(base_url=processes.url, headers={"X-API-Key": key}, timeout=30) as client:
            while not stop.is_set():
                if not batch:
                    batch = [event(sender) for _ in range(5)]
                    sent.update(item["id"] for item in batch)
                try:
                    reply = client.post("/sdk/v1/events", json={"events": batch})
                except httpx.TransportError as error:
                    interrupted.append(type(error).__name__)
                    continue
                assert reply.status_code == 200, reply.text
                result = reply.json()
                assert result["accepted"] + result["duplicates"] == 5
                acknowledged.extend(item["id"] for item in batch)
                batch = []

    senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    try:
        for _ in range(3):
            processes.start()
        for sender in senders:
            sender.start()
        for _ in range(10):
            count = len(acknowledged)
            wait_until(lambda count=count: len(acknowledged) > count + 50, seconds=60)
            stop.wait(draw.random() * 0.02)
            processes.kill_oldest()
            processes.start()
        count = len(acknowledged)
        wait_until(lambda: len(acknowledged) > count + 50, seconds=60)
    finally:
        stop.set()
        for sender in senders:
            sender.join()
        processes.close()
    stored = stored_ids(settings.events_directory)
    assert interrupted, "no kill met a request on its way"
    assert len(acknowledged) == len(set(acknowledged)) > 500
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored) <= sent


def stored_ids(directory: Path) -> list[str]:
    """Give the ids of every event that the store holds, drained or not."""
    inbox = Inbox(inbox_path(directory))
    try:
        rows = inbox._connection.execute("SELECT id FROM inbox").fetchall()
        seen = inbox._connection.execute("SELECT id FROM seen").fetchall()
    finally:
        inbox.close()
    # An event leaves the inbox for a file; its id stays behind in ``seen``.
    return [str(uuid.UUID(bytes=row[0])) for row in {*rows, *seen}]
