"""A counted number of requests over kept-alive connections, from one process."""

from __future__ import annotations

import asyncio
import functools
import json
import statistics
import time
from typing import Any

import psutil

from web.bench.service.control import BenchError

BULK = "/ofrep/v1/evaluate/flags"
USERS = 2_000


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
                raise BenchError(f"unexpected answer: {bytes(self.buffer)!r}")
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
                functools.partial(Connection, self, number), "127.0.0.1", self.port
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
