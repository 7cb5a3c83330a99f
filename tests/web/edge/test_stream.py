"""Server-sent events: one shared future, the latest revision, prompt ends."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest

from web.edge import stream
from web.edge.state import Key, Snapshot, State

KEY = Key("srv", 1)


class Client:
    """The other end of one stream: may be slow, may leave."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.ended = False
        self.takes = asyncio.Event()
        self.takes.set()
        self._gone = asyncio.Event()
        self._news = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        await self.takes.wait()
        if message["type"] == "http.response.body":
            self.received.append(message["body"])
            self.ended = not message["more_body"]
            self._news.set()

    def leave(self) -> None:
        self._gone.set()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def versions(self) -> list[int]:
        events = [part for part in self.received if part.startswith(b"event: flagset\n")]
        return [json.loads(part.split(b"data: ")[1])["version"] for part in events]


class Service:
    """A state that tests can change, and streams on it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.changes = stream.Changes()
        self.snapshot = snapshot
        self.keys = {"hash": KEY}
        self.now = 1000.0

    def state(self) -> State:
        return State(
            snapshots=MappingProxyType({1: self.snapshot}),
            keys=MappingProxyType(dict(self.keys)),
            loaded=True,
        )

    def publish(self, version: int) -> None:
        self.snapshot = dataclasses.replace(self.snapshot, version=version, etag=f"e{version}")
        self.changes.notify(1)

    def connect(
        self, client: Client, last: bytes | None = None, *, heartbeat: float = 60
    ) -> asyncio.Task[None]:
        return asyncio.ensure_future(
            stream.run(
                key_hash="hash",
                key=KEY,
                state=self.state,
                changes=self.changes,
                last_event_id=last,
                receive=client.receive,
                send=client.send,
                clock=lambda: self.now,
                heartbeat_seconds=heartbeat,
            )
        )


@pytest.fixture
def snapshot(make_snapshot_of: Callable[..., Snapshot]) -> Snapshot:
    return make_snapshot_of({})


def test_a_stream_begins_with_the_present_revision_and_follows_changes(snapshot: Snapshot) -> None:
    async def scenario() -> None:
        service, client = Service(snapshot), Client()
        running = service.connect(client)
        await client.wait_for(lambda: client.versions() == [7])
        assert client.received[-1] == b'event: flagset\nid: 7\ndata: {"version":7,"etag":"e7"}\n\n'
        for version in (8, 9):
            service.publish(version)
            await client.wait_for(lambda version=version: version in client.versions())
        assert client.versions() == [7, 8, 9]
        client.leave()
        await asyncio.wait_for(running, 20)
        assert service.changes.waiting(1) == 0

    asyncio.run(scenario())


def test_a_change_wakes_every_stream_once_and_leaves_nothing_behind(snapshot: Snapshot) -> None:
    async def scenario() -> None:
        service = Service(snapshot)
        clients = [Client() for _ in range(50)]
        running = [service.connect(client) for client in clients]
        for client in clients:
            await client.wait_for(lambda client=client: client.versions() == [7])
        assert service.changes.waiting(1) == 50
        service.publish(8)
        for client in clients:
            await client.wait_for(lambda client=client: client.versions() == [7, 8])
        service.changes.close()
        await asyncio.wait_for(asyncio.gather(*running), 20)
        assert all(client.ended for client in clients)
        assert service.changes.waiting(1) == 0

    asyncio.run(scenario())


def test_a_slow_client_gets_the_latest_revision_and_none_between(snapshot: Snapshot) -> None:
    async def scenario() -> None:
        service, slow = Service(snapshot), Client()
        running = service.connect(slow)
        await slow.wait_for(lambda: slow.versions() == [7])
        slow.takes.clear()
        service.publish(8)
        for _ in range(5):
            await asyncio.sleep(0)
        for version in range(9, 40):
            service.publish(version)
            await asyncio.sleep(0)
        slow.takes.set()
        await slow.wait_for(lambda: 39 in slow.versions())
        assert slow.versions() == [7, 8, 39]
        slow.leave()
        await asyncio.wait_for(running, 20)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("last", "expected"), [(b"7", []), (b"6", [7]), (b"", [7]), (b"x", [7]), (None, [7])]
)
def test_last_event_id_saves_the_first_event_if_it_is_current(
    snapshot: Snapshot, last: bytes | None, expected: list[int]
) -> None:
    async def scenario() -> None:
        service, client = Service(snapshot), Client()
        service.connect(client, last)
        await client.wait_for(lambda: len(client.received) == 1 + len(expected))
        assert client.versions() == expected
        service.publish(8)
        await client.wait_for(lambda: 8 in client.versions())
        assert client.versions() == [*expected, 8]
        client.leave()

    asyncio.run(scenario())


def test_a_quiet_stream_beats(snapshot: Snapshot) -> None:
    async def scenario() -> None:
        service, client = Service(snapshot), Client()
        service.connect(client, heartbeat=0.01)
        await client.wait_for(lambda: client.received.count(b": keep-alive\n\n") >= 3)
        client.leave()

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_stream_ends_with_its_key(snapshot: Snapshot, how: str) -> None:
    async def scenario() -> None:
        service, client = Service(snapshot), Client()
        service.keys["hash"] = Key("srv", 1, expires_at=2000.0)
        running = service.connect(client)
        await client.wait_for(lambda: client.versions() == [7])
        if how == "revoked":
            service.keys.clear()
        else:
            service.now = 2000.0
        service.changes.notify_all()
        await asyncio.wait_for(running, 20)
        assert client.ended

    asyncio.run(scenario())


def test_a_stream_that_comes_during_the_shutdown_ends_at_once(snapshot: Snapshot) -> None:
    async def scenario() -> None:
        service, client = Service(snapshot), Client()
        service.changes.close()
        await asyncio.wait_for(service.connect(client), 20)
        assert client.ended

    asyncio.run(scenario())
