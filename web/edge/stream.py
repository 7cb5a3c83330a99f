"""``GET /sdk/v1/stream``: tell SDKs, by server-sent events, that there is a newer flag set.

A change wakes every stream of its environment; each then sends the revision that is current at that
moment. So a slow client skips to the latest, nobody has a queue, and a stream costs little more
than its coroutine.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

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


class Announcement(NamedTuple):
    """What a client is told; the id by which it says later that it knows; what makes it news."""

    event_id: bytes
    frame: bytes
    mark: bytes


class Changes:
    """Whom the next change of an environment wakes; used on the event loop only."""

    def __init__(self) -> None:
        self.closed = False
        self._waiting: dict[int, set[asyncio.Future[None]]] = {}

    def wait(self, environment_id: int) -> asyncio.Future[None]:
        """Give a future that the next change resolves; :meth:`leave` it afterwards."""
        future = asyncio.get_running_loop().create_future()
        if self.closed:
            future.set_result(None)
        self._waiting.setdefault(environment_id, set()).add(future)
        return future

    def leave(self, environment_id: int, future: asyncio.Future[None]) -> None:
        """Forget a future."""
        self._waiting.get(environment_id, set()).discard(future)

    def waiting(self, environment_id: int) -> int:
        """Count the futures that a change would resolve."""
        return len(self._waiting.get(environment_id, ()))

    def notify(self, environment_id: int) -> None:
        """Wake every stream of an environment."""
        for future in self._waiting.pop(environment_id, ()):
            wake(future)

    def notify_all(self) -> None:
        """Wake every stream."""
        for environment_id in list(self._waiting):
            self.notify(environment_id)

    def close(self) -> None:
        """End every stream, and every one that comes later."""
        self.closed = True
        self.notify_all()


def wake(future: asyncio.Future[None]) -> None:
    """Resolve a future that may be resolved already."""
    if not future.done():
        future.set_result(None)


def announcement(snapshot: Snapshot) -> Announcement:
    """Write the event that tells an SDK of a flag set."""
    event_id = b"%d" % snapshot.version
    data = orjson.dumps({"version": snapshot.version, "etag": snapshot.etag})
    return Announcement(event_id, b"event: flagset\nid: %b\ndata: %b\n\n" % (event_id, data), data)


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
    announce: Callable[[Snapshot], Announcement] = announcement,
    headers: Sequence[tuple[bytes, bytes]] = HEADERS,
) -> None:
    """Serve one stream until the client leaves, its key ends, or the service stops.

    ``announce`` is asked after every change and at every heartbeat; what it says is sent when its
    mark differs from what the client was told last.
    """
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _HELLO, "more_body": True})
    loop = asyncio.get_running_loop()
    environment_id = key.environment_id
    gone = asyncio.ensure_future(_until_gone(receive))
    first = _current(state(), key_hash, environment_id, clock())
    sent = None if first is None else _known_mark(announce(first), last_event_id)
    try:
        while not changes.closed:
            # Taken before the state is read: a change in between resolves it.
            changed = changes.wait(environment_id)
            beat = loop.call_later(heartbeat_seconds, wake, changed)
            end = functools.partial(_wake_with, changed)
            gone.add_done_callback(end)
            try:
                snapshot = _current(state(), key_hash, environment_id, clock())
                if snapshot is None:
                    break
                current = announce(snapshot)
                if current.mark != sent:
                    # Waits while the client is slow; what is sent afterwards is the latest.
                    await send(_part(current.frame))
                    sent = current.mark
                    continue
                await changed
                if gone.done():
                    return
                if beat.when() <= loop.time():
                    await send(_part(_HEARTBEAT))
            finally:
                beat.cancel()
                gone.remove_done_callback(end)
                changes.leave(environment_id, changed)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        gone.cancel()


def _current(state: State, key_hash: str, environment_id: int, now: float) -> Snapshot | None:
    """Give what the key may see, or None if it has ended or there is nothing to see."""
    key = state.keys.get(key_hash)
    if key is None or (key.expires_at is not None and now >= key.expires_at):
        return None
    return state.snapshots.get(environment_id)


def _part(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}


def _wake_with(future: asyncio.Future[None], _done: asyncio.Future[None]) -> None:
    wake(future)


async def _until_gone(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return


def _known_mark(current: Announcement, last_event_id: bytes | None) -> bytes | None:
    if last_event_id is None or last_event_id.strip() != current.event_id:
        return None
    return current.mark
