"""What one bulk OFREP answer of 50 flags costs, against a server that only sends as many bytes.

``python benchmarks/serve.py [--requests N] [--rounds N] [--connections N] [--clients N]``

Both sides run the same uvicorn settings as one process each, and get the same requests (a new user
every time) from the same generator, in turns. CPU is the server process's own time over a counted
number of requests, so that other work on the machine disturbs it little. Then: from a commit to the
last of ``--clients`` event streams.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import hashlib
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from flags.database import Database
from flags.models import Environment, Project, Revision
from web.auth.models import Token

FLAGS = 50
BULK = "/ofrep/v1/evaluate/flags"
USERS = 2_000
NOW = dt.datetime.now(dt.UTC)


def flag(number: int) -> dict[str, Any]:
    """One of five kinds, as a real flag set mixes them."""
    key = f"flag-{number:02d}"
    rules: list[dict[str, Any]] = []
    split = {
        "split": {
            "by": "targetingKey",
            "hash": "flagstone",
            "salt": key,
            "of": 10000,
            "missing": "skip",
            "to": [
                {"variant": "on", "ranges": [[0, 5000]]},
                {"variant": "off", "ranges": [[5000, 10000]]},
            ],
        }
    }
    kind = number % 5
    if kind == 1:
        rules = [{"id": "all", "when": True, "serve": split}]
    elif kind == 2:
        conditions = [
            {"attr": "country", "op": "in", "values": ["CH", "DE"]},
            {"attr": "email", "op": "ends_with", "values": ["@acme.com"]},
            {"attr": "age", "op": "gte", "values": [18]},
        ]
        rules = [{"id": "some", "when": {"all": conditions}, "serve": split}]
    elif kind == 3:
        rules = [
            {
                "id": f"r{i}",
                "when": {"attr": "plan", "op": "in", "values": [f"plan-{i}"]},
                "serve": "on",
            }
            for i in range(10)
        ]
    elif kind == 4:
        rules = [{"id": "tenth", "when": True, "serve": split, "track": True}]
    return {
        "key": key,
        "type": "boolean",
        "version": 1,
        "client": True,
        "variants": {"on": {"value": True}, "off": {"value": False, "on": False}},
        "enabled": True,
        "killed": False,
        "off": "off",
        "prerequisites": [],
        "targets": [],
        "rules": rules,
        "default": "off",
        "metadata": {},
    }


class Control:
    """The database of the service under test."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        with self.database.write() as session:
            project = Project(key="bench", name="bench", created_at=NOW)
            session.add(project)
            session.flush()
            environment = Environment(
                project_id=project.id or 0, key="production", name="production", created_at=NOW
            )
            session.add(environment)
            session.flush()
            assert environment.id is not None
            self.environment_id = environment.id
            self.key = f"fs_srv_{secrets.token_urlsafe(32)}"
            session.add(
                Token(
                    kind="srv",
                    name="bench",
                    secret_hash=hashlib.sha256(self.key.encode()).hexdigest(),
                    environment_id=environment.id,
                    created_at=NOW,
                )
            )

    def publish(self) -> int:
        """Commit a revision; return its number."""
        with self.database.write() as session:
            environment = session.get_one(Environment, self.environment_id)
            environment.revision += 1
            document = {
                "schema": 1,
                "environment": "production",
                "version": environment.revision,
                "flags": {f"flag-{n:02d}": flag(n) for n in range(FLAGS)},
                "segments": {},
            }
            body = json.dumps(document).encode()
            session.add(
                Revision(
                    environment_id=self.environment_id,
                    number=environment.revision,
                    etag=hashlib.sha256(body).hexdigest(),
                    flag_set=zlib.compress(body),
                    actor="system:bench",
                    created_at=NOW,
                )
            )
            if not self.database.is_sqlite:
                session.execute(
                    sa.text("SELECT pg_notify('flagstone', :payload)"),
                    {"payload": f"{environment.id}:{environment.revision}"},
                )
            return environment.revision


def bodies() -> list[bytes]:
    """One context per user."""
    return [
        json.dumps(
            {
                "context": {
                    "targetingKey": f"user-{number}",
                    "email": f"user{number}@acme.com",
                    "country": ("CH", "DE", "US")[number % 3],
                    "age": 16 + number % 60,
                    "plan": f"plan-{number % 12}",
                }
            }
        ).encode()
        for number in range(USERS)
    ]


def requests(key: str) -> list[bytes]:
    """Whole HTTP requests, as a client on a kept-alive connection writes them."""
    return [
        (
            f"POST {BULK} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        + body
        for body in bodies()
    ]


class Connection(asyncio.Protocol):
    """One client: sends the next request when the answer to the last is whole."""

    def __init__(self, load: Load, number: int) -> None:
        self.load = load
        self.number = number
        self.buffer = bytearray()
        self.expected = 0

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport
        self.send()

    def send(self) -> None:
        """Write the next request, if one is left."""
        if self.load.left <= 0:
            self.transport.close()
            return
        self.load.left -= 1
        self.started = time.perf_counter()
        self.transport.write(self.load.requests[self.load.left % len(self.load.requests)])

    def data_received(self, data: bytes) -> None:
        """Collect one answer."""
        self.buffer += data
        if not self.expected:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.buffer[:end]).lower()
            if b" 200 " not in head[:20]:
                raise SystemExit(f"unexpected answer: {bytes(self.buffer)!r}")
            length = head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0]
            self.expected = end + 4 + int(length)
        if len(self.buffer) >= self.expected:
            self.load.seconds.append(time.perf_counter() - self.started)
            self.buffer.clear()
            self.expected = 0
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Tell that this connection is done."""
        self.load.ended(self.number)


class Load:
    """A counted number of requests over some connections."""

    def __init__(self, port: int, prepared: list[bytes], count: int, connections: int) -> None:
        self.port, self.requests, self.left = port, prepared, count
        self.connections = connections
        self.seconds: list[float] = []
        self.open = set(range(connections))

    def ended(self, number: int) -> None:
        """Note the end of one connection; the last one ends the run."""
        self.open.discard(number)
        if not self.open:
            self.done.set_result(None)

    async def run(self) -> float:
        """Return how many seconds it took."""
        loop = asyncio.get_running_loop()
        self.done = loop.create_future()
        started = time.perf_counter()
        for number in range(self.connections):
            await loop.create_connection(
                lambda number=number: Connection(self, number), "127.0.0.1", self.port
            )
        await self.done
        return time.perf_counter() - started


def measure(
    pid: int, port: int, prepared: list[bytes], count: int, connections: int
) -> dict[str, float]:
    """CPU microseconds per request of one process, requests per second, p99 of latency."""
    import uvloop

    process = psutil.Process(pid)
    before = process.cpu_times()
    load = Load(port, prepared, count, connections)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        elapsed = runner.run(load.run())
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return {
        "cpu_us": spent / count * 1e6,
        "per_second": count / elapsed,
        "p99_ms": statistics.quantiles(load.seconds, n=100, method="inclusive")[98] * 1e3,
    }


def run_bare(size: int, port_file: str) -> None:
    """Serve the same number of bytes from the same server with the least possible application."""
    import uvicorn

    body = b"x" * size
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(size).encode()),
        (b"etag", b'"0123456789abcdef0123456789abcdef"'),
    ]

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    listener = socket.create_server(("127.0.0.1", 0))
    Path(port_file).write_text(str(listener.getsockname()[1]))
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


class Streams:
    """Event streams that note when a revision came."""

    def __init__(self, port: int, key: str, count: int) -> None:
        self.sockets = []
        head = f"GET /sdk/v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(head.encode())
            connection.setblocking(False)
            self.sockets.append(connection)
        self.arrived: dict[int, dict[int, float]] = {}
        self.news = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        """Note the time of every event."""
        import selectors

        selector = selectors.DefaultSelector()
        for number, connection in enumerate(self.sockets):
            selector.register(connection, selectors.EVENT_READ, number)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not data:
                    selector.unregister(key.fileobj)
                now = time.perf_counter()
                for part in data.split(b"id: ")[1:]:
                    version = int(part.split(b"\n", 1)[0])
                    with self.news:
                        self.arrived.setdefault(version, {})[key.data] = now
                        self.news.notify_all()

    def wait(self, version: int) -> list[float]:
        """Return when each stream had it."""
        with self.news:
            everybody = len(self.sockets)
            if not self.news.wait_for(lambda: len(self.arrived.get(version, ())) == everybody, 20):
                raise SystemExit(f"revision {version} did not reach every stream")
            return sorted(self.arrived[version].values())


def wait_for_file(path: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 40
    while not path.exists() or not path.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("a server did not start")
        time.sleep(0.02)
    return path.read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--clients", type=int, default=100, help="event streams")
    parser.add_argument("--commits", type=int, default=30)
    parser.add_argument("--database-url", help="an empty PostgreSQL database; default SQLite")
    parser.add_argument("--bare", nargs=2, metavar=("SIZE", "PORT_FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        run_bare(int(options.bare[0]), options.bare[1])
        return
    with tempfile.TemporaryDirectory(prefix="flagstone-bench-") as name:
        folder = Path(name)
        url = options.database_url or f"sqlite:///{folder / 'flagstone.db'}"
        environment = {
            **os.environ,
            "FLAGSTONE_DATABASE_URL": url,
            "FLAGSTONE_DATA_DIR": str(folder),
            "FLAGSTONE_PORT": "0",
            "FLAGSTONE_READY_FILE": str(folder / "ready"),
        }
        with (folder / "log").open("wb") as log:
            service = subprocess.Popen(
                [sys.executable, "-m", "web.serve"], env=environment, stdout=log, stderr=log
            )
            bare = None
            try:
                port = json.loads(wait_for_file(folder / "ready", service))["port"]
                control = Control(url)
                control.publish()
                bare = compare(service, port, control, folder, options)
                stream(service, port, control, options)
            finally:
                for process in (service, bare):
                    if process is not None:
                        process.terminate()
                        process.wait()


def first_answer(port: int, request: bytes) -> bytes:
    """Ask until the service knows the key and the flags; return the body."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        if answer.startswith(b"HTTP/1.1 200"):
            body = answer.split(b"\r\n\r\n", 1)[1]
            if len(json.loads(body)["flags"]) == FLAGS:
                return body
        time.sleep(0.05)
    raise SystemExit(f"no answer: {answer!r}")


def compare(
    service: subprocess.Popen[bytes],
    port: int,
    control: Control,
    folder: Path,
    options: argparse.Namespace,
) -> subprocess.Popen[bytes]:
    prepared = requests(control.key)
    body = first_answer(port, prepared[0])
    port_file = folder / "bare-port"
    bare = subprocess.Popen([sys.executable, __file__, "--bare", str(len(body)), str(port_file)])
    bare_port = int(wait_for_file(port_file, bare))
    sides = {"flagstone": (web_process(service).pid, port), "limit": (bare.pid, bare_port)}
    for pid, number in sides.values():
        measure(pid, number, prepared, 2_000, options.connections)
    results: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, (pid, number) in sides.items():
            result = measure(pid, number, prepared, options.requests, options.connections)
            results[name].append(result)
    print(f"bulk OFREP, {FLAGS} flags, a new user each time, {len(body)} bytes, one process")
    for name, rounds in results.items():
        median = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
        print(
            f"  {name:10} {median['cpu_us']:7.1f} us CPU   {median['per_second']:8.0f} /s   "
            f"p99 {median['p99_ms']:.1f} ms"
        )
    ratios = [
        ours["cpu_us"] / theirs["cpu_us"]
        for ours, theirs in zip(results["flagstone"], results["limit"], strict=True)
    ]
    print(f"  ratio of CPU, by round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    return bare


def web_process(service: subprocess.Popen[bytes]) -> psutil.Process:
    return next(
        child for child in psutil.Process(service.pid).children() if "web.asgi" in child.cmdline()
    )


def stream(
    service: subprocess.Popen[bytes], port: int, control: Control, options: argparse.Namespace
) -> None:
    web = web_process(service)
    before = web.memory_info().rss
    streams = Streams(port, control.key, options.clients)
    streams.wait(1)
    grown = web.memory_info().rss - before
    first, last = [], []
    used = web.cpu_times()
    for _ in range(options.commits):
        version = control.publish()
        committed = time.perf_counter()
        times = streams.wait(version)
        first.append((times[0] - committed) * 1e3)
        last.append((times[-1] - committed) * 1e3)
    spent = web.cpu_times().user + web.cpu_times().system - used.user - used.system
    kind = "SQLite" if control.database.is_sqlite else "PostgreSQL"
    print(f"commit to event stream, {options.clients} clients, {options.commits} commits, {kind}")
    print(f"  memory: {grown / 1e6:.1f} MB for all clients")
    events = options.clients * options.commits
    print(f"  CPU: {spent / events * 1e6:.0f} us per client and commit, polling included")
    for name, values in (("first", first), ("last", last)):
        p99 = statistics.quantiles(values, n=100, method="inclusive")[98]
        print(
            f"  {name} client: median {statistics.median(values):.1f} ms, "
            f"p99 {p99:.1f} ms, worst {max(values):.1f} ms"
        )


if __name__ == "__main__":
    main()
