"""``GET /sdk/v1/stream``: tell SDKs, by server-sent events, that there is a newer flag set.

A change rings the bell of every stream of its environment; each then sends the revision that is
current at that moment. So a slow client skips to the latest, nobody has a queue, and a stream costs
little more than its coroutine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import orjson

from web.edge.state import Key, Snapshot, State

HEARTBEAT_SECONDS = 15.0
# A timer may ring a little before the other clock says so.
_CLOCKS_DIFFER_SECONDS = 0.01
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


class Bell:
    """Wakes one stream; a ring while nobody listens is not lost."""

    __slots__ = ("_future", "_rung")

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None
        self._rung = False

    def ring(self) -> None:
        """Wake the stream, now or when it next listens."""
        self._rung = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> None:
        """Return at the next ring; at once if there was one since the last."""
        if not self._rung:
            self._future = asyncio.get_running_loop().create_future()
            try:
                await self._future
            finally:
                self._future = None
        self._rung = False


class Changes:
    """Whose bells a change of an environment rings; used on the event loop only."""

    def __init__(self) -> None:
        self.closed = False
        self._bells: dict[int, set[Bell]] = {}

    def join(self, environment_id: int) -> Bell:
        """Give a bell that every change rings; :meth:`leave` it in the end."""
        bell = Bell()
        self._bells.setdefault(environment_id, set()).add(bell)
        if self.closed:
            bell.ring()
        return bell

    def leave(self, environment_id: int, bell: Bell) -> None:
        """Forget a bell."""
        bells = self._bells.get(environment_id)
        if bells is not None:
            bells.discard(bell)
            if not bells:
                del self._bells[environment_id]

    def waiting(self, environment_id: int) -> int:
        """Count the streams of an environment."""
        return len(self._bells.get(environment_id, ()))

    def notify(self, environment_id: int) -> None:
        """Wake every stream of an environment."""
        for bell in self._bells.get(environment_id, ()):
            bell.ring()

    def notify_all(self) -> None:
        """Wake every stream."""
        for environment_id in self._bells:
            self.notify(environment_id)

    def close(self) -> None:
        """End every stream, and every one that comes later."""
        self.closed = True
        self.notify_all()


def announcement(snapshot: Snapshot) -> Announcement:
    """Write the event that tells an SDK of a flag set: the same one for all of them."""
    if snapshot.announced:
        known: Announcement = snapshot.announced[0]
        return known
    event_id = b"%d" % snapshot.version
    data = orjson.dumps({"version": snapshot.version, "etag": snapshot.etag})
    frame = b"event: flagset\nid: %b\ndata: %b\n\n" % (event_id, data)
    snapshot.announced.append(Announcement(event_id, frame, data))
    return announcement(snapshot)


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
    environment_id = key.environment_id
    gone = asyncio.ensure_future(_until_gone(receive))
    # Joined before the state is read: a change in between rings.
    bell = changes.join(environment_id)
    gone.add_done_callback(lambda _: bell.ring())
    heart = _Heart(bell, heartbeat_seconds)
    sent: bytes | None = None
    try:
        first = _current(state(), key_hash, environment_id, clock())
        if first is not None:
            sent = _known_mark(announce(first), last_event_id)
        # A stream lives long, and must not keep the flag set of its beginning.
        del first
        while not changes.closed:
            now = clock()
            snapshot = _current(state(), key_hash, environment_id, now)
            if snapshot is None:
                break
            heart.end_in(_seconds_left(state(), key_hash, now))
            current = announce(snapshot)
            del snapshot
            if current.mark != sent:
                # Waits while the client is slow; what is sent afterwards is the latest.
                await send(_part(current.frame))
                sent = current.mark
                heart.beats = False
                continue
            if heart.beats:
                heart.beats = False
                await send(_part(_HEARTBEAT))
            await bell.wait()
            if gone.done():
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        heart.stop()
        changes.leave(environment_id, bell)
        gone.cancel()


class _Heart:
    """Rings a stream's bell every so often, noting that it was the heart, and when a key ends."""

    __slots__ = ("_bell", "_end", "_seconds", "_timer", "beats")

    def __init__(self, bell: Bell, seconds: float) -> None:
        self._bell = bell
        self._seconds = seconds
        self.beats = False
        self._timer = asyncio.get_running_loop().call_later(seconds, self._beat)
        self._end: asyncio.TimerHandle | None = None

    def end_in(self, seconds: float | None) -> None:
        """Ring when the key ends, if that is before the next beat: until then others do it."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
        if seconds is not None and seconds <= self._seconds:
            loop = asyncio.get_running_loop()
            self._end = loop.call_later(seconds + _CLOCKS_DIFFER_SECONDS, self._bell.ring)

    def stop(self) -> None:
        """Beat no more."""
        self._timer.cancel()
        self.end_in(None)

    def _beat(self) -> None:
        self.beats = True
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._beat)
        self._bell.ring()


def _current(state: State, key_hash: str, environment_id: int, now: float) -> Snapshot | None:
    """Give what the key may see, or None if it has ended or there is nothing to see."""
    key = state.keys.get(key_hash)
    if key is None or (key.expires_at is not None and now >= key.expires_at):
        return None
    return state.snapshots.get(environment_id)


def _seconds_left(state: State, key_hash: str, now: float) -> float | None:
    key = state.keys.get(key_hash)
    return None if key is None or key.expires_at is None else key.expires_at - now


def _part(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}


async def _until_gone(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return


def _known_mark(current: Announcement, last_event_id: bytes | None) -> bytes | None:
    if last_event_id is None or last_event_id.strip() != current.event_id:
        return None
    return current.mark
