"""The thread that brings events to the service, at least once, with the same identifiers."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from flagstone.errors import StoppedError, TransportError
from flagstone.events import BATCH_EVENTS, Event, EventQueue
from flagstone.transport import Answer, Connection, Transport
from flagstone.uuid7 import IdFactory
from flagstone.worker import FOREVER, LOG, Worker

EVENTS_PATH = "/sdk/v1/events"
# The service takes 1 MiB; an event is at most some kilobytes.
_BATCH_BYTES = 900_000
_GZIP_BYTES = 2_048
_RETRIED = frozenset({408, 425, 429})
_REFUSED = frozenset({401, 403})
# A wrong clock makes every event a bad one; past these, each further one costs a wait.
_BAD_EVENTS = 10
_NAMED_EVENT = re.compile(r"\bevents\[(\d{1,6})\]")


@dataclass(slots=True)
class SendCounts:
    """What became of the events that left the queue."""

    sent: int = 0
    duplicates: int = 0
    rejected: int = 0
    last_error: str | None = None
    warned: set[int] = field(default_factory=set)


class Sender(Worker):
    """Takes batches from the queue and posts each until the service has answered for it."""

    def __init__(
        self,
        transport: Transport,
        flush_seconds: float,
        queue_size: int,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__("flagstone-events")
        self.queue = EventQueue(queue_size, self.wake)
        self.counts = SendCounts()
        self._connection: Connection = transport.connection()
        self._timing = transport.timing
        self._flush_seconds = flush_seconds
        self._ids = IdFactory()
        self._clock = clock
        self._batch: list[bytes] = []
        self._carried: list[Event] = []
        self._failures = 0
        self._bad = 0
        self._hurry_to = 0
        self._retiring = False
        self._not_before = 0.0

    def interrupt(self) -> None:
        """End a request under way."""
        self._connection.interrupt()

    def abandon(self) -> None:
        """In a forked child: the parent keeps the events and sends them."""
        super().abandon()
        self._connection.abandon()

    def flush(self, deadline: float) -> bool:
        """Send what is queued now without waiting for company; True if all of it is settled."""
        target = self.queue.accepted
        if self.queue.settled >= target or not self.alive:
            return self.queue.settled >= target
        self._hurry_to = max(self._hurry_to, target)
        self.wake()
        return self.queue.wait_settled(target, deadline)

    def retire(self) -> None:
        """Send what is queued, once, then end; for a client that nobody holds any more."""
        self._retiring = True
        self.queue.close()
        self.wake()

    def step(self) -> float:
        """Send one batch if it is time; return the wait until the next."""
        if not self._batch:
            wait = self._until_due()
            if wait > 0.0:
                return wait
            self._fill()
        if not self._batch:
            self.stopped = self.stopped or self._retiring
            return 0.0 if self.stopped else FOREVER
        held = self._not_before - time.monotonic()
        if held > 0.0 and not self._retiring:
            return held
        wait = self._post()
        if wait > 0.0 and self._retiring:
            self.stopped = True
        return wait

    def _until_due(self) -> float:
        count = self.queue.waiting + len(self._carried)
        hurry = self.queue.settled < self._hurry_to or self._retiring
        if hurry or self._carried or count >= BATCH_EVENTS:
            return 0.0
        if not count:
            return FOREVER
        return max(0.0, self.queue.first_at + self._flush_seconds - time.monotonic())

    def _fill(self) -> None:
        """Make the next batch; from here on its events keep their identifiers."""
        events = self._carried + self.queue.take(BATCH_EVENTS - len(self._carried))
        size = 0
        for index, event in enumerate(events):
            if size > _BATCH_BYTES:
                self._carried = events[index:]
                return
            encoded = self._encode(event)
            self._batch.append(encoded)
            size += len(encoded) + 1
        self._carried = []

    def _encode(self, event: Event) -> bytes:
        document = {
            "id": self._ids.new(),
            "type": event.type,
            "time": event.time,
            "unit": event.unit,
            **event.fields,
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

    def _post(self) -> float:
        body = b'{"events":[' + b",".join(self._batch) + b"]}"
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if len(body) > _GZIP_BYTES:
            body = gzip.compress(body, 5)
            headers["Content-Encoding"] = "gzip"
        try:
            answer = self._connection.request("POST", EVENTS_PATH, headers, body)
        except StoppedError:
            raise
        except TransportError as error:
            return self._later(str(error), None)
        return self._answered(answer)

    def _answered(self, answer: Answer) -> float:
        status = answer.status
        document = _json_object(answer.body)
        accepted = document.get("accepted")
        if status == 200 and isinstance(accepted, int):
            duplicates = document.get("duplicates")
            self.counts.duplicates += duplicates if isinstance(duplicates, int) else 0
            self.counts.sent += len(self._batch)
            self._settle(len(self._batch))
            return 0.0
        if status in _REFUSED:
            self._warn(status, "the key is refused; events are kept while there is room")
            self._failures += 1
            return self._hold(
                self._timing.refused(self._failures), f"the key is refused ({status})"
            )
        if not 400 <= status < 500 or status in _RETRIED:
            # A 200 that does not say "accepted" comes from a portal or a proxy, not from us.
            return self._later(f"events were answered {status}", answer)
        return self._rejected(status, document)

    def _rejected(self, status: int, document: dict[str, object]) -> float:
        reason = str(document.get("detail") or document.get("title") or "no reason given")[:300]
        index = _named_event(document) if status == 400 else None
        if index is not None and index < len(self._batch):
            self._warn(status, f"an event is refused and dropped: {reason}")
            del self._batch[index]
            self.counts.rejected += 1
            self.counts.last_error = reason
            self.queue.settle(1)
            self._bad += 1
            if self._bad <= _BAD_EVENTS:
                return 0.0
            return self._hold(self._timing.backoff(self._bad - _BAD_EVENTS), reason)
        self._warn(status, f"{len(self._batch)} events are refused and dropped: {reason}")
        self.counts.rejected += len(self._batch)
        self._settle(len(self._batch))
        self.counts.last_error = f"events were answered {status}: {reason}"
        return 0.0

    def _settle(self, count: int) -> None:
        self._batch = []
        self._failures = 0
        self._bad = 0
        self._not_before = 0.0
        self.counts.last_error = None
        self.queue.settle(count)

    def _later(self, reason: str, answer: Answer | None) -> float:
        self._failures += 1
        asked = None if answer is None else answer.retry_after_seconds(self._clock())
        wait = self._timing.backoff(self._failures)
        if asked is None:
            # A flush may cut the wait short, but a loop of flushes must not hammer the service.
            self._hold(min(wait, self._timing.backoff_seconds), reason)
            return wait
        return self._hold(min(asked, self._timing.retry_after_limit_seconds) + wait, reason)

    def _hold(self, seconds: float, reason: str) -> float:
        """Send nothing for a while, whoever calls ``flush`` meanwhile."""
        self.counts.last_error = reason
        self._not_before = time.monotonic() + seconds
        return seconds

    def _warn(self, status: int, text: str) -> None:
        if status not in self.counts.warned:
            self.counts.warned.add(status)
            LOG.warning("flagstone: %s (HTTP %d; said once)", text, status)


def _json_object(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _named_event(problem: dict[str, object]) -> int | None:
    for name in ("field", "detail"):
        found = _NAMED_EVENT.search(str(problem.get(name)))
        if found:
            return int(found.group(1))
    return None
