"""A small real service: the data plane's wire over ``http.server``, with failures by script."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from flagstone import Client, Timing

DEADLINE_SECONDS = 30.0
KEY = "fs_srv_0123456789abcdef"
# It fails and tries again quickly; what it waits for may take long on a busy machine.
QUICK = Timing(
    connect_seconds=10.0,
    answer_seconds=30.0,
    silence_seconds=30.0,
    backoff_seconds=0.02,
    backoff_limit_seconds=0.1,
    refused_seconds=0.1,
    exit_seconds=2.0,
)

Handler = BaseHTTPRequestHandler
Script = Callable[[Handler], bool]


def eventually(true: Callable[[], object], what: str = "") -> None:
    """Wait until ``true()`` is, and fail at the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, f"never happened: {what or true}"
        pause.wait(0.005)


def flag(key: str, value: Any, *, track: bool = False, **more: Any) -> dict[str, Any]:
    """Make a flag that serves ``value`` to everybody, with an exposure if ``track``."""
    kind = {bool: "boolean", str: "string", int: "integer", float: "float"}.get(
        type(value), "object"
    )
    rules = [{"id": "everybody", "track": True, "when": True, "serve": "given"}] if track else []
    return {
        "key": key,
        "type": kind,
        "version": 1,
        "variants": {"given": {"value": value}},
        "enabled": True,
        "killed": False,
        "off": None,
        "prerequisites": [],
        "targets": [],
        "rules": rules,
        "default": "given",
        "metadata": {},
        **more,
    }


def flag_set(version: int, *flags: dict[str, Any]) -> bytes:
    """Make a flag set as the service publishes it."""
    document = {
        "schema": 1,
        "environment": "production",
        "version": version,
        "flags": {one["key"]: one for one in flags},
        "segments": {},
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


class Service:
    """Speaks the data plane; tests publish, script answers, and read what arrived."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.document = flag_set(1)
        self.requests: list[tuple[str, int]] = []  # "GET /path", status
        self.request_headers: list[dict[str, str]] = []
        self.batches: list[list[dict[str, Any]]] = []  # every posted batch, accepted or not
        self.stored: dict[str, dict[str, Any]] = {}
        self.duplicates = 0
        self.told: list[dict[str, Any]] = []  # heartbeats, and what they said
        self.heartbeat_headers: dict[str, str] = {}
        self.scripts: dict[str, list[Script]] = {}  # used up one by one, the last one stays
        self.streams = True
        self.open_streams = 0
        self.heartbeat_seconds = 0.2
        self.heartbeats = 0
        self.poison: str | None = None  # units of this name are refused
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self._kept: socket.socket | None = None
        self._alive = 0  # generation: streams of an older one end

    # -- life
    def start(self) -> None:
        service = self

        class Bound(_ServiceHandler):
            pass

        Bound.service = service
        ThreadingHTTPServer.allow_reuse_address = True
        self._keep_port()
        server = ThreadingHTTPServer(("127.0.0.1", self.port), Bound)
        server.daemon_threads = True
        server.block_on_close = False
        server.connections = []  # type: ignore[attr-defined]
        self.port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def _keep_port(self) -> None:
        """Take a port that nobody else gets while the service is down."""
        if self._kept is None and sys.platform == "linux":
            self._kept = socket.socket()
            self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._kept.bind(("127.0.0.1", self.port))
            self.port = self._kept.getsockname()[1]

    def leave_port(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        with self.changed:
            self._alive += 1
            self.changed.notify_all()
        server.shutdown()
        server.server_close()
        for connection in server.connections:  # type: ignore[attr-defined]
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # -- what tests do
    def publish(self, version: int, *flags: dict[str, Any]) -> None:
        with self.changed:
            self.document = flag_set(version, *flags)
            self.changed.notify_all()

    def answer(self, path: str, *scripts: Script) -> None:
        """Use ``scripts`` for the next requests of ``path``; a script returning False declines."""
        with self.changed:
            self.scripts[path] = list(scripts)

    def behave(self) -> None:
        with self.changed:
            self.scripts.clear()

    def drop_streams(self) -> None:
        with self.changed:
            self._alive += 1
            self.changed.notify_all()

    def count(self, request: str, status: int | None = None) -> int:
        return sum(1 for r, s in list(self.requests) if r == request and status in (None, s))

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.document).hexdigest()[:16]}"'

    def note(self, request: str, status: int) -> None:
        with self.changed:
            self.requests.append((request, status))
            self.changed.notify_all()


class _ServiceHandler(BaseHTTPRequestHandler):
    service: Service
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *arguments: object) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        self.server.connections.append(self.connection)

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, ValueError, OSError):
            self.close_connection = True

    def do_GET(self) -> None:
        self._dispatch()

    def do_POST(self) -> None:
        self._dispatch()

    def _dispatch(self) -> None:
        service = self.service
        service.request_headers.append(
            {":path": self.path, **{k.lower(): v for k, v in self.headers.items()}}
        )
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        if self.headers.get("Content-Encoding") == "gzip":
            self.body = gzip.decompress(self.body)
        if self.path == "/sdk/v1/events":
            service.batches.append(json.loads(self.body)["events"])
        with service.changed:
            scripts = service.scripts.get(self.path)
            script = None
            if scripts:
                script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        if script is not None and script(self):
            return
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            self.problem(401, "unknown key")
        elif self.path == "/sdk/v1/flagset":
            self.flag_set()
        elif self.path == "/sdk/v1/stream" and service.streams:
            self.stream()
        elif self.path == "/sdk/v1/events":
            self.events()
        elif self.path == "/sdk/v1/instances":
            with service.changed:
                service.told.append(json.loads(self.body))
            self.reply(204, service.heartbeat_headers)
        else:
            self.problem(404, "no such thing")

    def reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.service.note(f"{self.command} {self.path}", status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def problem(self, status: int, detail: str, **more: object) -> None:
        body = json.dumps({"title": "Problem", "status": status, "detail": detail, **more})
        self.reply(status, {"Content-Type": "application/problem+json"}, body.encode())

    def flag_set(self) -> None:
        with self.service.changed:
            etag, document = self.service.etag, self.service.document
        if self.headers.get("If-None-Match") == etag:
            self.reply(304, {"ETag": etag})
            return
        headers = {"Content-Type": "application/json", "ETag": etag}
        if "gzip" in self.headers.get("Accept-Encoding", "") and len(document) > 400:
            headers["Content-Encoding"] = "gzip"
            document = gzip.compress(document)
        self.reply(200, headers, document)

    def stream(self) -> None:
        service = self.service
        generation, told = service._alive, None
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        service.note("GET /sdk/v1/stream", 200)
        with service.changed:
            service.open_streams += 1
        try:
            while generation == service._alive:
                with service.changed:
                    etag = service.etag
                    if etag == told:
                        service.changed.wait(service.heartbeat_seconds)
                        etag = service.etag
                    version = json.loads(service.document)["version"]
                if generation != service._alive:
                    break
                if etag == told:
                    self.chunk(b": keep-alive\n\n")
                    service.heartbeats += 1
                    continue
                told = etag
                data = json.dumps({"version": version, "etag": etag.strip('"')})
                self.chunk(f"event: flagset\nid: {version}\ndata: {data}\n\n".encode())
        finally:
            self.close_connection = True
            with service.changed:
                service.open_streams -= 1

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def events(self) -> None:
        service = self.service
        batch = json.loads(self.body)["events"]
        for index, event in enumerate(batch):
            if service.poison is not None and event["unit"] == service.poison:
                self.problem(400, "the unit is poison", field=f"events[{index}].unit")
                return
        with service.changed:
            duplicates = sum(1 for event in batch if event["id"] in service.stored)
            service.duplicates += duplicates
            service.stored.update({event["id"]: event for event in batch})
        body = json.dumps({"accepted": len(batch) - duplicates, "duplicates": duplicates}).encode()
        self.reply(200, {"Content-Type": "application/json"}, body)


def status(code: int, headers: dict[str, str] | None = None, body: bytes = b"{}") -> Script:
    """Answer with this status, headers and body."""

    def script(handler: Any) -> bool:
        handler.service.note(f"{handler.command} {handler.path}", code)
        handler.send_response(code)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        return True

    return script


def raw(data: bytes) -> Script:
    """Send these bytes and hang up."""

    def script(handler: Any) -> bool:
        handler.wfile.write(data)
        handler.close_connection = True
        return True

    return script


def decline(_: Any) -> bool:
    """Let the service answer as usual."""
    return False


class Toolbox:
    """What tests need besides the service; a fixture, since test files import nothing of ours."""

    KEY = KEY
    QUICK = QUICK
    DEADLINE_SECONDS = DEADLINE_SECONDS
    eventually = staticmethod(eventually)
    flag = staticmethod(flag)
    flag_set = staticmethod(flag_set)
    status = staticmethod(status)
    raw = staticmethod(raw)
    decline = staticmethod(decline)


@pytest.fixture
def tools() -> type[Toolbox]:
    return Toolbox


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    running.start()
    yield running
    running.stop()
    running.leave_port()


@pytest.fixture
def connect(service: Service) -> Iterator[Callable[..., Client]]:
    """Make clients of the service that are closed after the test."""
    clients: list[Client] = []

    def make(**options: Any) -> Client:
        quick = {"poll_seconds": 0.1, "flush_seconds": 0.02, "timing": QUICK}
        options = {"start_wait_seconds": DEADLINE_SECONDS, **quick, **options}
        url, key = options.pop("url", service.url), options.pop("key", KEY)
        client = Client(url, key, **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close(0.5)
