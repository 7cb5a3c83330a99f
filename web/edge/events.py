"""``POST /sdk/v1/events``: exposures and tracking events, acknowledged when they are on the disk.

Parsing and the commit run in threads of their own, which share nothing with the API's. How good the
events were is counted beside, in memory, and written every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson

from experiments.store.base import EventError, EventTimeError, FullError
from experiments.store.opening import open_front
from experiments.store.promises import EventInbox
from experiments.store.quality import DUPLICATE, timing
from experiments.store.wire import parse_batch
from web.edge.body import MAX_BODY_BYTES, check_content_type, decode
from web.edge.problems import JSON, NO_STORE, Answer, BodyError, problem, too_large

logger = logging.getLogger("flagstone.edge")

THREADS = 4
# Beyond this, waiting costs more than sending again: 503 with Retry-After.
MAX_WAITING_BATCHES = 256
# A process that is killed loses at most the counts of so long, and no event.
FLUSH_SECONDS = 5.0


def _forget(_counts: Counter[str]) -> None:
    """Count nothing."""


def take_batch(
    inbox: EventInbox,
    body: bytes,
    *,
    environment_id: int,
    received: float,
    content_type: bytes | None = None,
    content_encoding: bytes | None = None,
    count: Callable[[Counter[str]], None] = _forget,
) -> Answer:
    """Store one batch durably and say how much of it was new; blocks for one commit.

    ``count`` gets how good the events were (see :mod:`experiments.store.quality`).
    """
    try:
        check_content_type(content_type)
        plain = decode(body, content_encoding)
        if plain is None:
            return too_large(MAX_BODY_BYTES)
        events = parse_batch(plain, environment_id=environment_id, received=received)
        result = inbox.append(events)
    except (BodyError, EventError) as error:
        if isinstance(error, EventTimeError):
            count(Counter(error.counts))
        text = error.detail if isinstance(error, BodyError) else error.message
        return problem(400, error.code, text, field=error.field or "body", hint=error.hint)
    except FullError as error:
        return unavailable(error.message, error.retry_after_seconds)
    counts = timing(events, received=received)
    counts[DUPLICATE] = result.duplicates
    count(+counts)
    document = {"accepted": result.accepted, "duplicates": result.duplicates}
    return Answer(200, (JSON, NO_STORE), orjson.dumps(document))


def unavailable(detail: str, retry_after_seconds: int) -> Answer:
    """Answer 503 and say when to send again."""
    return problem(
        503,
        "intake_unavailable",
        detail,
        headers=((b"retry-after", b"%d" % retry_after_seconds),),
    )


class Intake:
    """The front of the event store, and the threads that write to it.

    Parameters
    ----------
    place : Path or str
        Where events are kept: a folder, or ``postgresql://…``; opened on first use.
    counted : callable, optional
        Told of an environment and of how good its events were, in any thread.
    flush_seconds : float
        How long such counts may wait to be written.
    """

    def __init__(
        self,
        place: Path | str,
        counted: Callable[[int, Mapping[str, int]], None] | None = None,
        *,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        self._flush_seconds = flush_seconds
        self._place = place
        self._counted = counted
        self._inbox: EventInbox | None = None
        self._opening = threading.Lock()
        self._counting = threading.Lock()
        self._quality: Counter[tuple[int, int, str]] = Counter()
        self._flush_is_due = False
        self._closed = False
        self._waiting = 0
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="flagstone-intake")

    async def take(
        self,
        body: bytes,
        *,
        environment_id: int,
        received: float,
        content_type: bytes | None,
        content_encoding: bytes | None,
    ) -> Answer:
        """Store one batch without blocking the event loop."""
        if self._waiting >= MAX_WAITING_BATCHES:
            return unavailable("Too many batches wait to be stored.", 1)

        def count(counts: Counter[str]) -> None:
            self._count(environment_id, int(received // 3_600), counts)

        def work() -> Answer:
            try:
                inbox = self._opened()
                return take_batch(
                    inbox,
                    body,
                    environment_id=environment_id,
                    received=received,
                    content_type=content_type,
                    content_encoding=content_encoding,
                    count=count,
                )
            except Exception:
                # The batch was not acknowledged; the SDK keeps it and sends it again.
                logger.exception("events could not be stored")
                return unavailable("The event store cannot be written.", 5)

        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            return await loop.run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
            if self._quality and not self._flush_is_due:
                # Not with each batch: batches would wait for each other at one row.
                self._flush_is_due = True
                loop.call_later(self._flush_seconds, self._flush_soon, loop)

    def check(self) -> None:
        """Raise if the inbox cannot be written now; blocks."""
        self._opened().check()

    def flush(self) -> None:
        """Write how good the events were; what cannot be written now is kept for the next time."""
        with self._counting:
            counts, self._quality = self._quality, Counter()
        if not counts:
            return
        try:
            self._opened().note(counts)
        except Exception:
            logger.warning("the quality of events could not be written", exc_info=True)
            with self._counting:
                self._quality.update(counts)

    def close(self) -> None:
        """Finish the commits under way and let go of the store."""
        self._closed = True
        self._threads.shutdown(wait=True)
        self.flush()
        if self._inbox is not None:
            self._inbox.close()

    def _flush_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        self._flush_is_due = False
        if not self._closed:
            loop.run_in_executor(self._threads, self.flush)

    def _count(self, environment_id: int, hour: int, counts: Mapping[str, int]) -> None:
        with self._counting:
            for kind, events in counts.items():
                self._quality[environment_id, hour, kind] += events
        if self._counted is not None:
            self._counted(environment_id, counts)

    def _opened(self) -> EventInbox:
        if self._inbox is None:
            with self._opening:
                if self._inbox is None:
                    self._inbox = open_front(self._place)
        return self._inbox
