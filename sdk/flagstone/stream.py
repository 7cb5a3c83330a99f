"""The thread that listens to the service's stream and tells the updater when to fetch."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

from flagstone.errors import StoppedError, TransportError
from flagstone.sse import Message, MessageParser
from flagstone.store import FlagStore
from flagstone.transport import Answer, Transport
from flagstone.updater import Updater, bare_etag
from flagstone.worker import Worker

STREAM_PATH = "/sdk/v1/stream"
# A stream that lived so long was a good one: its end is no reason to wait longer next time.
_PROVEN_SECONDS = 10.0


class StreamListener(Worker):
    """Keeps one stream open; while there is none, the updater polls."""

    def __init__(
        self,
        transport: Transport,
        store: FlagStore,
        updater: Updater,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__("flagstone-stream")
        self._connection = transport.connection()
        self._timing = transport.timing
        self._store = store
        self._updater = updater
        self._clock = clock
        self._failures = 0
        self._refusals = 0

    def interrupt(self) -> None:
        """End the stream."""
        self._connection.interrupt()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's socket."""
        super().abandon()
        self._connection.abandon()

    def step(self) -> float:
        """Listen to one stream until it ends; return the wait before the next."""
        opened_at: float | None = None
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        try:
            stream = self._connection.open_stream(STREAM_PATH, headers)
            if isinstance(stream, Answer):
                return self._turned_away(stream)
            opened_at = time.monotonic()
            self._refusals = 0
            self._listen(stream)
        except StoppedError:
            raise
        except TransportError:
            if not self._store.stale:
                self._updater.wake()  # it finds out whether contact is lost, or just the stream
        finally:
            self._connection.close()
            if self._store.streaming and not self.stopped:
                self._store.streaming = False
                self._updater.wake()
        if opened_at is not None and time.monotonic() - opened_at >= _PROVEN_SECONDS:
            self._failures = 0
        self._failures += 1
        return self._timing.backoff(self._failures)

    def _listen(self, pieces: Iterator[bytes]) -> None:
        parser = MessageParser()
        for piece in pieces:
            self._store.streaming = True
            for message in parser.feed(piece):
                if message.event == "flagset":
                    self._updater.notice(*named_version(message))
            if self.stopped:
                return

    def _turned_away(self, answer: Answer) -> float:
        asked = answer.retry_after_seconds(self._clock())
        if asked is not None:
            asked = min(asked, self._timing.retry_after_limit_seconds)
            return asked + self._timing.backoff(1)
        if answer.status < 500 and answer.status not in (408, 425, 429):
            # No stream here (a plain WSGI deployment) or none for this key: polling will do.
            self._refusals += 1
            return self._timing.refused(self._refusals)
        self._failures += 1
        return self._timing.backoff(self._failures)


def named_version(message: Message) -> tuple[int | None, str | None]:
    """Return version and ETag that a message names, None for what cannot be read."""
    try:
        document = json.loads(message.data)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(document, dict):
        return None, None
    version, etag = document.get("version"), document.get("etag")
    known = version if isinstance(version, int) and not isinstance(version, bool) else None
    return known, bare_etag(etag) if isinstance(etag, str) else None
