"""``GET /sdk/v1/stream``: tell SDKs, by server-sent events, that there is a newer flag set.

All streams of an environment wait for one shared future. A change resolves it; each stream then
sends the revision that is current at that moment. So a slow client skips to the latest, nobody has
a queue, and a stream costs little more than its coroutine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from web.edge.state import Key, Snapshot, State

HEARTBEAT_SECONDS = 15.0
HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    # nginx would hold events back otherwise.
    (b"x-accel-buffering", b"no"),
]
_HELLO = b"retry: 2000\n\n"
_HEARTBEAT = b": keep-alive\n\n"

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Changes:
    """One future per environment that its next change resolves; used on the event loop only."""

    def __init__(self) -> None:
        self.closed = False
        self.open_streams = 0
        self._next: dict[int, asyncio.Future[None]] = {}

    def next(self, environment_id: int) -> asyncio.Future[None]:
        """Give the future that the next change resolves; shared, so never cancel it."""
        future = self._next.get(environment_id)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._next[environment_id] = future
            if self.closed:
                future.set_result(None)
        return future

    def notify(self, environment_id: int) -> None:
        """Wake every stream of an environment."""
        future = self._next.pop(environment_id, None)
        if future is not None and not future.done():
            future.set_result(None)

    def notify_all(self) -> None:
        """Wake every stream."""
        for environment_id in list(self._next):
            self.notify(environment_id)

    def close(self) -> None:
        """End every stream, and every one that comes later."""
        self.closed = True
        self.notify_all()


def frame(snapshot: Snapshot) -> bytes:
    """Write the event for a snapshot."""
    data = orjson.dumps({"version": snapshot.version, "etag": snapshot.etag})
    return b"event: flagset\nid: %d\ndata: %b\n\n" % (snapshot.version, data)


async def run(
    *,
    key_hash: str,
    key: Key,
    state: Callable[[], State],
    changes: Changes,
    last_event_id: bytes | None,
    receive: Receive,
    send: Send,
    clock: Callable[[], float],
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> None:
    """Serve one stream until the client leaves, its key ends, or the service stops."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": _HELLO, "more_body": True})
    changes.open_streams += 1
    gone = asyncio.ensure_future(_until_gone(receive))
    try:
        sent = _seen_before(state().snapshots.get(key.environment_id), last_event_id)
        while not changes.closed:
            # Taken before the state is read: a change in between resolves it.
            changed = changes.next(key.environment_id)
            now = state()
            valid = now.keys.get(key_hash)
            snapshot = now.snapshots.get(key.environment_id)
            if valid is None or snapshot is None:
                break
            if valid.expires_at is not None and clock() >= valid.expires_at:
                break
            current = (snapshot.version, snapshot.etag)
            if current != sent:
                # Waits while the client is slow; what is sent afterwards is the latest.
                await send(
                    {"type": "http.response.body", "body": frame(snapshot), "more_body": True}
                )
                sent = current
                continue
            done, _ = await asyncio.wait(
                (gone, changed), timeout=heartbeat_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if gone in done:
                return
            if not done:
                await send({"type": "http.response.body", "body": _HEARTBEAT, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        changes.open_streams -= 1
        gone.cancel()


async def _until_gone(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return


def _seen_before(snapshot: Snapshot | None, last_event_id: bytes | None) -> tuple[int, str] | None:
    if snapshot is None or last_event_id is None:
        return None
    if last_event_id.strip() != b"%d" % snapshot.version:
        return None
    return snapshot.version, snapshot.etag
