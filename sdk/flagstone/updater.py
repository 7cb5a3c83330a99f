"""The thread that fetches the flag set: when the stream says so, else by polling."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from flagstone import snapshot
from flagstone.errors import SnapshotError, StoppedError, TransportError
from flagstone.store import FlagStore
from flagstone.timing import spread
from flagstone.transport import Answer, Transport
from flagstone.worker import LOG, Worker

FLAGSET_PATH = "/sdk/v1/flagset"
# With a stream up, polling is only a guard against one that looks alive and says nothing.
_STREAMING_FACTOR = 20.0
_LAG_RETRIES = 8
# Who starts with a key made a moment ago may be refused by a process that has not heard of it.
_FINAL_REFUSALS = 3


class Updater(Worker):
    """Asks for the flag set with its ETag, and puts what comes into the store."""

    def __init__(
        self,
        transport: Transport,
        store: FlagStore,
        poll_seconds: float,
        *,
        snapshot_path: Path | None,
        source: str,
        applied: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__("flagstone-flags")
        self._applied = applied
        self._connection = transport.connection()
        self._timing = transport.timing
        self._store = store
        self._poll_seconds = poll_seconds
        self._snapshot_path = snapshot_path
        self._source = source
        self._clock = clock
        self._failures = 0
        self._refusals = 0
        self._not_before = 0.0
        self._wanted: tuple[int, str | None] | None = None
        self._lagging = 0
        self._snapshot_failed = False

    def interrupt(self) -> None:
        """End a request under way."""
        self._connection.interrupt()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's socket."""
        super().abandon()
        self._connection.abandon()

    def notice(self, version: int | None, etag: str | None) -> None:
        """Hear from the stream that the service publishes ``version`` under ``etag``."""
        store = self._store
        if etag is not None and bare_etag(store.etag) == etag and not store.stale:
            return
        self._wanted = None if version is None else (version, etag)
        self._lagging = 0
        self.wake()

    def step(self) -> float:
        """Fetch once; return the wait until the next time."""
        held = self._not_before - time.monotonic()
        if held > 0.0:
            return held
        try:
            wait = self._fetch()
        except StoppedError:
            raise
        except TransportError as error:
            self._store.lost(str(error))
            wait = self._backoff()
        return wait

    def _fetch(self) -> float:
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        store = self._store
        if store.etag is not None and store.compiled is not None:
            headers["If-None-Match"] = store.etag
        answer = self._connection.request("GET", FLAGSET_PATH, headers)
        if answer.status == 200:
            return self._received(answer)
        if answer.status == 304 and "If-None-Match" in headers:
            return self._in_touch()
        if answer.status in (401, 403):
            store.lost(f"the service refuses the key (HTTP {answer.status})", refused=True)
            self._refusals += 1
            if self._refusals >= _FINAL_REFUSALS:
                store.settle()
            return self._hold(self._timing.refused(self._refusals))
        store.lost(f"the flag set was answered with HTTP {answer.status}")
        asked = answer.retry_after_seconds(self._clock())
        if asked is None:
            return self._backoff()
        limit = self._timing.retry_after_limit_seconds
        return self._hold(min(asked, limit) + self._backoff())

    def _received(self, answer: Answer) -> float:
        etag = answer.headers.get("etag")
        try:
            self._store.apply(answer.body, etag, "service", self._clock())
        except Exception as error:  # noqa: BLE001  whatever came, what we have stays in force
            self._store.lost(f"the answer is no flag set: {error}"[:300])
            return self._backoff()
        wait = self._in_touch()
        self._applied()
        self._save(answer.body, etag)
        return wait

    def _in_touch(self) -> float:
        self._failures = 0
        self._refusals = 0
        self._not_before = 0.0
        self._store.contact(self._clock())
        if self._behind():
            # Another process of the service told us; the one that answered will know in a moment.
            self._lagging += 1
            return min(0.025 * 2.0**self._lagging, self._poll_seconds)
        self._wanted = None
        slowly = _STREAMING_FACTOR if self._store.streaming else 1.0
        return spread(self._poll_seconds) * slowly

    def _behind(self) -> bool:
        if self._wanted is None or self._lagging >= _LAG_RETRIES:
            return False
        version, etag = self._wanted
        if etag is not None and bare_etag(self._store.etag) == etag:
            return False
        revision = self._store.revision
        return revision is None or revision < version

    def _backoff(self) -> float:
        self._failures += 1
        return self._timing.backoff(self._failures)

    def _hold(self, seconds: float) -> float:
        """Ask nothing for a while, whatever the stream says: the service wants it so."""
        self._not_before = time.monotonic() + seconds
        return seconds

    def _save(self, document: bytes, etag: str | None) -> None:
        if self._snapshot_path is None:
            return
        try:
            snapshot.write(self._snapshot_path, self._source, snapshot.Snapshot(document, etag))
        except SnapshotError as error:
            if not self._snapshot_failed:
                self._snapshot_failed = True
                LOG.warning("flagstone: snapshot %s: %s", self._snapshot_path, error)


def bare_etag(etag: str | None) -> str | None:
    """Return an entity tag without quotes and without the mark of weakness."""
    return None if etag is None else etag.strip().removeprefix("W/").strip('"')
