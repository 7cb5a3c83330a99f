"""The whole service in real processes: start, changes, crashes, ends."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
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
from flags.database import Database

BULK = "/ofrep/v1/evaluate/flags"
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
        )
        self._socket.sendall(request.encode())
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

    def wait_for(self, text: bytes, seconds: float = 10) -> None:
        with self._news:
            assert self._news.wait_for(lambda: text in self.received, seconds), self.received

    def close(self) -> None:
        self._socket.close()


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
    boolean_flag: Callable[..., Any],
    wait_until: Callable[..., Any],
) -> None:
    service = make_service(database_url, FLAGSTONE_WORKERS="2")
    control = open_control()
    number = control.environment()
    control.publish(number, {"checkout": boolean_flag()})
    key = control.key(number)
    with service.client(key) as client:
        # Each process learns of the key by itself.
        for _ in range(8):
            with service.client(key) as other:
                wait_until(lambda other=other: other.get("/sdk/v1/flagset").status_code == 200)
        first = client.get("/sdk/v1/flagset")
        assert first.headers["content-encoding"] == "gzip"
        streams = [Stream(service.url, key) for _ in range(6)]
        for stream in streams:
            stream.wait_for(b'event: flagset\nid: 1\ndata: {"version":1,')
        control.publish(number, {"checkout": boolean_flag(on=False)})
        for stream in streams:
            stream.wait_for(b"id: 2\n")
        answer = client.get("/sdk/v1/flagset", headers={"If-None-Match": first.headers["etag"]})
        assert answer.json()["version"] == 2
        again = client.get("/sdk/v1/flagset", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
        assert client.post(BULK, json={"context": {}}).json()["flags"][0]["value"] is False
        assert client.get("/readyz").json() == {"status": "ready", "reasons": []}

        control.revoke(key)
        wait_until(lambda: client.get("/sdk/v1/flagset").status_code == 401, seconds=3)
        for stream in streams:
            assert stream.ended.wait(5) or stream.received.endswith(b"0\r\n\r\n")
            stream.close()
        metrics = client.get("/metrics").text
        assert 'flagstone_http_answers_total{route="stream",status="200"} 6.0' in metrics

        assert client.get("/api/v1/openapi.json").status_code in (200, 401)
    assert service.terminate() < 5
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
    assert service.terminate() < 5
    for stream in streams:
        assert stream.ended.wait(2)
        assert stream.received.endswith(b"0\r\n\r\n")
        stream.close()


def test_the_first_start_prints_where_to_make_the_first_account(
    make_service: Callable[..., Any], tmp_path: Path
) -> None:
    service = make_service(f"sqlite:///{tmp_path / 'x.db'}")
    lines = [line for line in service.log.read_text().splitlines() if "/setup?code=" in line]
    assert len(lines) == 1
    assert service.url in lines[0]


def test_a_crashed_process_is_started_again(
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

    wait_until(answers, seconds=20)


def test_processes_end_when_their_supervisor_is_killed(
    make_service: Callable[..., Any], tmp_path: Path
) -> None:
    service = make_service(f"sqlite:///{tmp_path / 'x.db'}")
    children = psutil.Process(service.process.pid).children(recursive=True)
    assert len(children) >= 2
    service.kill()
    _, alive = psutil.wait_procs(children, timeout=6)
    assert alive == []


def test_a_taken_port_is_a_plain_message(make_service: Callable[..., Any], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(pytest.fail.Exception, match="cannot listen on") as caught:
            make_service(f"sqlite:///{tmp_path / 'x.db'}", FLAGSTONE_PORT=port)
    assert "Traceback" not in str(caught.value)


def test_acknowledged_events_survive_kill_at_any_moment(
    make_service: Callable[..., Any],
    control_class: type,
    tmp_path: Path,
    wait_until: Callable[..., Any],
) -> None:
    """Ten times SIGKILL to the process that takes events, which the supervisor starts again."""
    url = f"sqlite:///{tmp_path / 'flagstone.db'}"
    service = make_service(url)
    database = Database(url)
    control = control_class(database)
    key = control.key(control.environment())
    database.dispose()
    supervisor = psutil.Process(service.process.pid)
    draw = random.Random(4711)
    acknowledged: list[str] = []
    sent: set[str] = set()
    stop = threading.Event()

    def send(sender: int) -> None:
        batch: list[dict[str, Any]] = []
        with service.client(key) as client:
            while not stop.is_set():
                if not batch:
                    batch = [event(sender) for _ in range(5)]
                    sent.update(item["id"] for item in batch)
                try:
                    reply = client.post("/sdk/v1/events", json={"events": batch})
                except httpx.TransportError:
                    stop.wait(0.01)
                    continue
                if reply.status_code == 200:
                    result = reply.json()
                    assert result["accepted"] + result["duplicates"] == 5
                    acknowledged.extend(item["id"] for item in batch)
                    batch = []
                else:
                    assert reply.status_code in (401, 503), reply.text
                    stop.wait(0.01)

    senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for sender in senders:
        sender.start()
    try:
        for _ in range(10):
            count = len(acknowledged)
            wait_until(lambda count=count: len(acknowledged) > count + 20, seconds=20)
            stop.wait(draw.random() * 0.05)
            for child in supervisor.children():
                if "web.asgi" in child.cmdline():
                    child.kill()
        count = len(acknowledged)
        wait_until(lambda: len(acknowledged) > count + 20, seconds=20)
    finally:
        stop.set()
        for sender in senders:
            sender.join()
        service.terminate()
    stored = stored_ids(service.folder / "data" / "events")
    assert len(acknowledged) == len(set(acknowledged)) > 200
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


def test_the_ready_file_is_whole(make_service: Callable[..., Any], tmp_path: Path) -> None:
    service = make_service(f"sqlite:///{tmp_path / 'x.db'}")
    document = json.loads(service.ready_file.read_text())
    assert document["pid"] == service.process.pid
    assert document["url"] == f"http://127.0.0.1:{document['port']}"
