"""``Prefer: wait=N``: hold an answer until every SDK client serves what the request changed.

A caller that waits costs a coroutine: no thread, no connection, no lock. Those who wait for the
same revision share one task, which reads the database when something was committed (the watcher
tells, of this process and of others), never in a loop of its own, and at most every
``PAUSE_SECONDS``.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson

from flags.database import Database
from flags.receipts import Receipt, receipt_of
from web.edge.problems import Answer
from web.edge.requests import ClientGoneError, Receive
from web.edge.stream import Bell
from web.prefer import MADE, read_made, wait_seconds

logger = logging.getLogger("flagstone.edge")

MAX_WAITERS = 256
PAUSE_SECONDS = 0.05
_MADE = MADE.lower().encode()


class _Room:
    """Those who wait for one revision of one environment, and what is known of it."""

    def __init__(self) -> None:
        self.waiters = 0
        self.receipt: Receipt | None = None
        self.bell = Bell()
        self.task: asyncio.Task[None] | None = None
        self._news: asyncio.Future[None] | None = None

    def news(self) -> asyncio.Future[None]:
        """Give what is done when there is something new."""
        if self._news is None or self._news.done():
            self._news = asyncio.get_running_loop().create_future()
        return self._news

    def tell(self) -> None:
        """Wake everybody in it."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class Receipts:
    """Everybody in one web process who waits for a change to be served.

    Parameters
    ----------
    clock : callable
        POSIX seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rooms: dict[tuple[int, int], _Room] = {}
        self._waiters = 0
        self._closed = False
        self._database: Database | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # One at a time: a slow database makes callers wait, and not threads.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="flagstone-receipts")

    def start(self, database: Database) -> None:
        """Read ``database`` from now on; called on the event loop."""
        self._database = database
        self._loop = asyncio.get_running_loop()

    def notice(self) -> None:
        """Look again: something was committed. Safe in any thread."""
        if self._rooms and self._loop is not None:
            self._loop.call_soon_threadsafe(self._ring)

    def close(self) -> None:
        """Let everybody go who waits, with what is known."""
        self._closed = True
        for room in self._rooms.values():
            room.tell()
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._waiters

    async def hold(self, answer: Answer, headers: Any, receive: Receive) -> Answer:
        """Give the answer that goes out: at once, or with a receipt when its caller asked for one.

        Parameters
        ----------
        answer : Answer
            Of the management application; one that changed flags says which revision it made.
        headers : iterable of (bytes, bytes)
            The request's.
        receive : callable
            Tells when the caller is gone.
        """
        said = next((value for name, value in answer.headers if name == _MADE), None)
        if said is None:
            return answer
        kept = tuple(header for header in answer.headers if header[0] != _MADE)
        answer = answer._replace(headers=kept)
        wanted = wait_seconds(v.decode("latin-1") for k, v in headers if k == b"prefer")
        if wanted is None or not 200 <= answer.status < 300:
            return answer
        started = time.monotonic()
        found = await self._wait(read_made(said.decode()), wanted, receive)
        if not found:
            # Nobody can tell now; the change itself is done, and its answer stands.
            return answer
        told = [receipt.document(max(0.0, seen - started)) for receipt, seen in found]
        body = orjson.loads(answer.body)
        # The first is that of the environment which the request named.
        body["receipt"] = told[0]
        if len(told) > 1:
            body["receipts"] = told
        return Answer(
            answer.status if all(receipt.converged for receipt, _ in found) else 202,
            (*answer.headers, (b"preference-applied", b"wait=%d" % wanted)),
            orjson.dumps(body, option=orjson.OPT_UTC_Z),
        )

    async def _wait(
        self, made: list[tuple[int, int]], seconds: float, receive: Receive
    ) -> list[tuple[Receipt, float]]:
        """Wait until every revision is served everywhere; what is known when time is up.

        With each receipt comes when it was known; nothing where nobody can tell of them all.
        """
        if self._waiters >= MAX_WAITERS or self._database is None or self._closed:
            return []
        self._waiters += 1
        gone = asyncio.ensure_future(_until_gone(receive))
        deadline = time.monotonic() + seconds
        looks = [asyncio.create_task(self._see(each, deadline)) for each in made]
        together = asyncio.create_task(asyncio.wait(looks))
        try:
            either: list[asyncio.Future[Any]] = [gone, together]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise ClientGoneError
            found = [told for told in (each.result() for each in looks) if told is not None]
            return found if len(found) == len(made) else []
        finally:
            for each in (gone, together, *looks):
                each.cancel()
            self._waiters -= 1
            # They leave their rooms.
            await asyncio.wait(looks)

    async def _see(self, key: tuple[int, int], deadline: float) -> tuple[Receipt, float] | None:
        """Wait in the room of one revision, and say when what is told of it was known."""
        room = self._rooms.get(key)
        if room is None:
            room = self._rooms[key] = _Room()
            room.task = asyncio.create_task(self._watch(key, room))
        else:
            room.bell.ring()
        room.waiters += 1
        try:
            while not self._closed and not (room.receipt and room.receipt.converged):
                left = deadline - time.monotonic()
                if left <= 0 and room.receipt is not None:
                    break
                # The first look is waited for in any case, if the database answers at all.
                limit = left if room.receipt is not None else max(left, 2.0)
                done, _ = await asyncio.wait({room.news()}, timeout=limit)
                if not done:
                    break
            return None if room.receipt is None else (room.receipt, time.monotonic())
        finally:
            room.waiters -= 1
            if not room.waiters:
                self._leave(key, room)

    def _leave(self, key: tuple[int, int], room: _Room) -> None:
        if self._rooms.get(key) is room:
            del self._rooms[key]
        if room.task is not None:
            room.task.cancel()

    def _ring(self) -> None:
        for room in self._rooms.values():
            room.bell.ring()

    async def _watch(self, key: tuple[int, int], room: _Room) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                room.receipt = await loop.run_in_executor(self._thread, self._read, *key)
            except Exception:
                logger.exception("cannot tell which clients serve revision %d", key[1])
            if room.receipt is not None:
                room.tell()
                if room.receipt.converged:
                    # Whoever comes later looks anew.
                    self._rooms.pop(key, None)
                    return
            await asyncio.sleep(PAUSE_SECONDS)
            await room.bell.wait()

    def _read(self, environment_id: int, revision: int) -> Receipt:
        assert self._database is not None
        now = dt.datetime.fromtimestamp(self._clock(), dt.UTC)
        with self._database.read() as session:
            return receipt_of(session, environment_id, revision, now=now)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
