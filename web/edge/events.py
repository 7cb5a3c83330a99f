"""``POST /sdk/v1/events``: exposures and tracking events, acknowledged when they are on the disk.

Parsing and the commit run in threads of their own, which share nothing with the API's: batches that
arrive during a commit share the next one (see :mod:`experiments.store.inbox`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson

from experiments.store.base import EventError, FullError
from experiments.store.inbox import Inbox, inbox_path
from experiments.store.schema import open_inbox, writing
from experiments.store.wire import parse_batch
from web.edge.body import MAX_BODY_BYTES, check_content_type, decode
from web.edge.problems import JSON, NO_STORE, Answer, BodyError, problem, too_large

logger = logging.getLogger("flagstone.edge")

THREADS = 4
# Beyond this, waiting costs more than sending again: 503 with Retry-After.
MAX_WAITING_BATCHES = 256


def take_batch(
    inbox: Inbox,
    body: bytes,
    *,
    environment_id: int,
    received: float,
    content_type: bytes | None = None,
    content_encoding: bytes | None = None,
) -> Answer:
    """Store one batch durably and say how much of it was new; blocks for one commit."""
    try:
        check_content_type(content_type)
        plain = decode(body, content_encoding)
        if plain is None:
            return too_large(MAX_BODY_BYTES)
        events = parse_batch(plain, environment_id=environment_id, received=received)
    except (BodyError, EventError) as error:
        text = error.detail if isinstance(error, BodyError) else error.message
        return problem(400, error.code, text, field=error.field or "body", hint=error.hint)
    try:
        result = inbox.append(events)
    except FullError as error:
        return unavailable(error.message, error.retry_after_seconds)
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
    """The inbox and the threads that write to it.

    Parameters
    ----------
    directory : Path
        The event store's directory; the inbox is made on first use.
    """

    def __init__(self, directory: Path) -> None:
        self._path = inbox_path(directory)
        self._inbox: Inbox | None = None
        self._opening = threading.Lock()
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
                )
            except Exception:
                # The batch was not acknowledged; the SDK keeps it and sends it again.
                logger.exception("events could not be stored")
                return unavailable("The event store cannot be written.", 5)

        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def check(self) -> None:
        """Raise if the inbox cannot be written now; blocks."""
        self._opened()
        connection = open_inbox(self._path)
        try:
            with writing(connection):
                pass
        finally:
            connection.close()

    def close(self) -> None:
        """Finish the commits under way and close the file."""
        self._threads.shutdown(wait=True)
        if self._inbox is not None:
            self._inbox.close()

    def _opened(self) -> Inbox:
        if self._inbox is None:
            with self._opening:
                if self._inbox is None:
                    self._inbox = Inbox(self._path)
        return self._inbox
