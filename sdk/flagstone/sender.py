"""The thread that brings events to the service, at least once, with the same identifiers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flagstone.errors import StoppedError, TransportError
from flagstone.events import BATCH_EVENTS, Event, EventQueue
from flagstone.heartbeat import Heartbeat
from flagstone.transport import Answer, Connection, Transport, compressed
from flagstone.uuid7 import IdFactory
from flagstone.worker import FOREVER, LOG, Worker

if TYPE_CHECKING:
    from flagstone.spool import Spool

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
    """Takes batches from the queue and posts each until the service has answered for it.

    With a spool, what the service does not take goes to the disk, and comes from there, the oldest
    first, once the service takes it. This thread also sends the heartbeat.
    """

    def __init__(
        self,
        transport: Transport,
        flush_seconds: float,
        queue_size: int,
        *,
        spool: Spool | None = None,
        heartbeat: Heartbeat | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__("flagstone-events")
        self.queue = EventQueue(queue_size, self.wake)
        self.counts = SendCounts()
        self.spool = spool
        self.heartbeat = heartbeat
        self._connection: Connection = transport.connection()
        self._timing = transport.timing
        self._flush_seconds = flush_seconds
        self._ids = IdFactory()
        self._clock = clock
        self._batch: list[bytes] = []
        self._from_spool = False
        self._encoded: list[bytes] = []
        self._failures = 0
        self._bad = 0
        self._hurry_to = 0
        self._hurry_until = 0.0
        self._retiring = False
        self._parting = False
        self._parted = False
        self._not_before = 0.0
        self._retry_at = 0.0

    @property
    def spooled(self) -> int:
        """How many events wait on the disk."""
        return 0 if self.spool is None else self.spool.waiting

    @property
    def dropped(self) -> int:
        """How many events are lost: there was no room, or the disk did not keep them."""
        return self.queue.dropped + (0 if self.spool is None else self.spool.lost)

    def interrupt(self) -> None:
        """End a request under way."""
        self._connection.interrupt()

    def abandon(self) -> None:
        """In a forked child: the parent keeps the events and sends them."""
        super().abandon()
        self._connection.abandon()
        if self.spool is not None:
            self.spool.abandon()

    def flush(self, deadline: float) -> bool:
        """Send what is queued now without waiting for company; True if all of it is answered."""
        return self._wait(deadline, lambda: not self.spooled)

    def part(self, deadline: float) -> bool:
        """Send what is queued now, or bring it onto the disk, and say goodbye."""
        self._parting = True
        return self._wait(deadline, lambda: self._parted)

    def retire(self) -> None:
        """Send what is queued, once, then end; for a client that nobody holds any more."""
        self._retiring = True
        self.queue.close()
        self.wake()

    def step(self) -> float:
        """Send one batch and the heartbeat if it is time; return the wait until the next."""
        wait = self._deliver()
        if self.stopped or self._retiring:
            return wait
        if self.spool is not None:
            wait = min(wait, self.spool.adopt())
        if self._parting:
            self._part()
        elif self.heartbeat is not None:
            wait = min(wait, self.heartbeat.step(self._connection, self._events()))
        return wait

    def _part(self) -> None:
        if self._parted or self.queue.unsettled:
            return
        if self.heartbeat is not None and not self._failures:
            self.heartbeat.farewell(self._connection, self._events())
        self._parted = True
        self.queue.settle(0)  # whoever waits for this looks again

    def finish(self) -> None:
        """Leave to the disk what the service did not take in time."""
        if self.spool is not None:
            self._spill()
            self.spool.close()

    def _wait(self, deadline: float, enough: Callable[[], bool]) -> bool:
        target = self.queue.accepted

        def done() -> bool:
            return self.queue.settled >= target and enough()

        if done() or not self.alive:
            return done()
        self._hurry_to = max(self._hurry_to, target)
        self._hurry_until = max(self._hurry_until, deadline)
        self.wake()
        return self.queue.wait(done, deadline)

    def _hurried(self) -> bool:
        if self._retiring or self.queue.settled < self._hurry_to:
            return True
        return self.spooled > 0 and time.monotonic() < self._hurry_until

    def _deliver(self) -> float:
        if not self._batch:
            wait = self._next_batch()
            if wait > 0.0:
                return wait
        if not self._batch:
            self.stopped = self.stopped or self._retiring
            return 0.0 if self.stopped else FOREVER
        until = self._not_before if self._hurried() else max(self._not_before, self._retry_at)
        held = until - time.monotonic()
        if held > 0.0 and not self._retiring:
            return min(held, self._spill_if_due())
        wait = self._post()
        if wait > 0.0:
            self._spill_if_due()
            if self._retiring:
                self.stopped = True
        return wait

    def _until_due(self) -> float:
        """Return how long events in memory may still wait for company."""
        count = self.queue.waiting + len(self._encoded)
        if not count:
            return 0.0 if self._retiring else FOREVER
        if self._hurried() or self._encoded or count >= BATCH_EVENTS:
            return 0.0
        return max(0.0, self.queue.first_at + self._flush_seconds - time.monotonic())

    def _next_batch(self) -> float:
        """Find what to send, the oldest first; return how long there will be nothing."""
        if self.spool is not None:
            self._batch = self.spool.take(BATCH_EVENTS, _BATCH_BYTES)
            self._from_spool = bool(self._batch)
            if self._batch:
                if self.queue.crowded:
                    self._spill()
                return 0.0
        wait = self._until_due()
        if wait <= 0.0:
            self._encode_waiting()
            size, count = 0, 0
            while count < len(self._encoded) and size <= _BATCH_BYTES:
                size += len(self._encoded[count]) + 1
                count += 1
            # From here on its events keep their identifiers.
            self._batch, self._encoded = self._encoded[:count], self._encoded[count:]
        return wait

    def _encode_waiting(self) -> None:
        room = max(0, BATCH_EVENTS - len(self._encoded))
        self._encoded += [self._encode(event) for event in self.queue.take(room)]

    def _spill_if_due(self) -> float:
        """While the service takes nothing, bring to the disk what has waited long enough."""
        if self.spool is None or not self.spool.usable:
            return FOREVER
        if self._batch and not self._from_spool:
            self._spill()
        wait = self._until_due()
        if wait <= 0.0:
            self._spill()
            wait = self._until_due()
        # Without room on the disk, it is the service that we wait for.
        return wait if wait > 0.0 else FOREVER

    def _spill(self) -> None:
        """Bring everything in memory onto the disk, in its order, as far as there is room."""
        assert self.spool is not None
        while True:
            first = [] if self._from_spool else self._batch
            self._encode_waiting()
            records = first + self._encoded
            if not records or not self.spool.append(records):
                return
            if first:
                self._batch = []
            self._encoded = []
            self.queue.settle(len(records))

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
            body = compressed(body)
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
            self._bad += 1
            if self._from_spool:
                if not self._batch:
                    self._settle(0)
            else:
                self.queue.settle(1)
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
        self._retry_at = 0.0
        self.counts.last_error = None
        if self._from_spool and self.spool is not None:
            self.spool.settle()
            count = 0
        self.queue.settle(count)

    def _later(self, reason: str, answer: Answer | None) -> float:
        self._failures += 1
        asked = None if answer is None else answer.retry_after_seconds(self._clock())
        wait = self._timing.backoff(self._failures)
        if asked is None:
            # A flush may cut the wait short, but a loop of flushes must not hammer the service.
            self._hold(min(wait, self._timing.backoff_seconds), reason)
            self._retry_at = time.monotonic() + wait
            return wait
        return self._hold(min(asked, self._timing.retry_after_limit_seconds) + wait, reason)

    def _hold(self, seconds: float, reason: str) -> float:
        """Send nothing for a while, whoever calls ``flush`` meanwhile."""
        self.counts.last_error = reason
        self._not_before = time.monotonic() + seconds
        return seconds

    def _events(self) -> dict[str, int]:
        return {
            "queued": self.queue.unsettled,
            "spooled": self.spooled,
            "sent": self.counts.sent,
            "dropped": self.dropped,
        }

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
