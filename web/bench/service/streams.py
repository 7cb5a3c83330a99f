"""Clients of the event stream: some only listen, some fetch the flags as an SDK does.

They live in one process of their own (``python -m web.bench.service.streams``), which prints a line
for every revision that has reached all of them, with the times of arrival on the clock that all
processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

from web.bench.service.control import BenchError

WAIT_SECONDS = 20.0


class Listener(asyncio.Protocol):
    """One event stream."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.tail = b""

    def connection_made(self, transport: Any) -> None:
        """Ask for the stream."""
        transport.write(self.crowd.stream_request)

    def data_received(self, data: bytes) -> None:
        """Note the revisions that events name."""
        *lines, self.tail = (self.tail + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                news = json.loads(line[6:])
                self.told(news["version"], news["etag"])

    def told(self, version: int, etag: str) -> None:  # noqa: ARG002  a fetcher's concern
        """Have heard of a revision."""
        self.crowd.arrived(version)


class Fetcher(Listener):
    """An SDK on the wire: hears of a revision, then fetches the flag set over a second line."""

    def __init__(self, crowd: Crowd) -> None:
        super().__init__(crowd)
        self.line: asyncio.Transport | None = None
        self.wanted = 0
        self.wanted_etag = b""
        self.etag = b""
        self.answer = bytearray()
        self.busy = False

    def told(self, version: int, etag: str) -> None:
        """Fetch, unless a fetch is under way; that one's answer may be old: then again."""
        self.wanted, self.wanted_etag = version, f'"{etag}"'.encode()
        if not self.busy:
            self.busy = True
            self.fetch()

    def fetch(self) -> None:
        """Ask for the flag set, on the line that is open."""
        if self.line is None:
            loop = asyncio.get_running_loop()
            self.task = loop.create_task(self.connect(loop))
        else:
            self.line.write(self.crowd.fetch_request(self.etag))

    async def connect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Open the second line."""
        self.line, _ = await loop.create_connection(
            lambda: Line(self), "127.0.0.1", self.crowd.port
        )
        self.line.write(self.crowd.fetch_request(self.etag))

    def answered(self, data: bytes) -> None:
        """Collect an answer; when it is whole, the flags in it are served."""
        self.answer += data
        end = self.answer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self.answer[:end]).lower()
        length = 0
        if b"content-length: " in head:
            length = int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        if len(self.answer) < end + 4 + length:
            return
        self.answer.clear()
        if b" 200 " in head[:16]:
            self.etag = head.split(b"etag: ", 1)[1].split(b"\r\n", 1)[0]
        # Reading the flags is each SDK's own work, on its own machine; who has them is known here.
        if self.etag == self.wanted_etag:
            self.busy = False
            self.crowd.arrived(self.wanted)
        else:
            self.fetch()


class Line(asyncio.Protocol):
    """The second line of a fetcher."""

    def __init__(self, owner: Fetcher) -> None:
        self.owner = owner

    def data_received(self, data: bytes) -> None:
        """Hand over."""
        self.owner.answered(data)


class Crowd:
    """All clients of one process, and when each revision arrived."""

    def __init__(self, port: int, key: str, count: int, kind: type[Listener]) -> None:
        self.port, self.key, self.count, self.kind = port, key, count, kind
        head = "Host: 127.0.0.1\r\nAuthorization: Bearer " + key + "\r\n"
        self.stream_request = f"GET /sdk/v1/stream HTTP/1.1\r\n{head}\r\n".encode()
        self.flag_set_head = f"GET /sdk/v1/flagset HTTP/1.1\r\n{head}".encode()
        self.times: dict[int, list[float]] = {}

    def fetch_request(self, etag: bytes) -> bytes:
        """Write the request for the flag set."""
        condition = b"If-None-Match: " + etag + b"\r\n" if etag else b""
        condition += b"Accept-Encoding: gzip\r\n"
        return self.flag_set_head + condition + b"\r\n"

    def arrived(self, version: int) -> None:
        """Note an arrival; the last of a revision prints its line."""
        times = self.times.setdefault(version, [])
        times.append(time.monotonic())
        if len(times) == self.count:
            print(json.dumps({"version": version, "times": times}), flush=True)  # noqa: T201
            del self.times[version]

    async def run(self) -> None:
        """Open every stream, and stay."""
        loop = asyncio.get_running_loop()
        for _ in range(self.count):
            await loop.create_connection(lambda: self.kind(self), "127.0.0.1", self.port)
        await loop.create_future()


class Clients:
    """The crowd's process, seen from the benchmark."""

    def __init__(self, port: int, key: str, count: int, *, fetching: bool) -> None:
        arguments = {"port": port, "key": key, "count": count, "fetching": fetching}
        self.process = subprocess.Popen(  # noqa: S603  our own module
            [sys.executable, "-m", "web.bench.service.streams", json.dumps(arguments)],
            stdout=subprocess.PIPE,
        )

    def wait(self, version: int) -> list[float]:
        """Return when each client had a revision, by the clock of ``time.monotonic``."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            found = json.loads(line)
            if found["version"] == version:
                return sorted(found["times"])
        raise BenchError(f"revision {version} did not reach every client")

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def main(text: str) -> None:
    """Be the crowd."""
    import uvloop

    given = json.loads(text)
    kind = Fetcher if given["fetching"] else Listener
    crowd = Crowd(given["port"], given["key"], given["count"], kind)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(crowd.run())


if __name__ == "__main__":
    main(sys.argv[1])
