"""What a client tells the service about itself, now and then.

It says which revision it serves, and which defaults the code around it would fall back on. The
thread that sends events sends this too. Whether it arrives matters to nothing here.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from flagstone.defaults import Defaults
from flagstone.errors import StoppedError, TransportError
from flagstone.sightings import Sightings
from flagstone.store import FlagStore
from flagstone.timing import Timing, spread
from flagstone.transport import Answer, Connection, compressed
from flagstone.updater import bare_etag
from flagstone.uuid7 import IdFactory
from flagstone.version import __version__
from flagstone.worker import FOREVER, Worker

INSTANCES_PATH = "/sdk/v1/instances"
# In an answer: the environment keeps a sample, and up to which hash of a unit it takes contexts.
CONTEXTS_HEADER = "flagstone-contexts"
# The service takes 64 KiB.
_DEFAULTS_BYTES = 44_000
_UNKNOWN_FLAGS = 50
_MAX_KEY_CHARACTERS = 256
_GZIP_BYTES = 2_048
# Defaults are told again when they change, and after so many heartbeats: a row may be lost.
_REPEAT = 10
# Without a place for it at the other end (an older service), ask again so much later.
_RARELY = 20.0
_FIRST_SECONDS = 1.0
_SOON_SECONDS = 0.5


class Heartbeat:
    """The instance that one client is in one process, and when it is heard of next.

    Parameters
    ----------
    store : FlagStore
        What is served.
    defaults : Defaults
        Which flags were asked for, and with which defaults.
    timing : Timing
        ``heartbeat_seconds``; 0 for never.
    host : str, optional
        Name of this machine, if it may be told.
    sightings : Sightings, optional
        Contexts that evaluations met, for an environment that keeps a sample.
    """

    def __init__(
        self,
        store: FlagStore,
        defaults: Defaults,
        timing: Timing,
        host: str | None = None,
        sightings: Sightings | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.instance = IdFactory().new()
        self.told_revision: int | None = None
        self._store = store
        self._defaults = defaults
        self._timing = timing
        self._host = host
        self.sightings = Sightings(allowed=False) if sightings is None else sightings
        self._clock = clock
        self._started = clock()
        every = timing.heartbeat_seconds
        self._next_at = time.monotonic() + min(_FIRST_SECONDS, every) if every else float("inf")
        self._not_before = 0.0
        self._known = False
        self._told_changes = -1
        self._silent_for = 0
        self._worker: Worker | None = None

    def on(self, worker: Worker) -> None:
        """Let ``worker`` be woken when there is something to tell at once."""
        self._worker = worker

    def applied(self) -> None:
        """Tell the service soon: another revision is being served."""
        every = self._timing.heartbeat_seconds
        if every:
            # Not in step with everybody else who got it in the same moment.
            self._next_at = time.monotonic() + random.uniform(0.0, min(_SOON_SECONDS, every / 10))
            if self._worker is not None:
                self._worker.wake()

    def step(self, connection: Connection, events: Mapping[str, int]) -> float:
        """Tell the service if it is time; return how long to wait until the next time."""
        at = max(self._next_at, self._not_before)
        now = time.monotonic()
        if now < at:
            return min(at - now, self._look(), FOREVER)
        wait = spread(self._timing.heartbeat_seconds)
        # Before the request: a revision that is applied meanwhile is told right after it.
        self._next_at = now + wait
        self._not_before = 0.0
        try:
            self._tell(connection, events, wait)
        except StoppedError:
            raise
        except TransportError:
            return wait  # the other requests of this client say what is wrong
        next_at = max(self._next_at, self._not_before)
        return max(0.0, min(next_at - time.monotonic(), self._look()))

    def _look(self) -> float:
        """Look at the contexts that were met; return how long until it is time again."""
        compiled = self._store.compiled
        soon = self.sightings.look(None if compiled is None else compiled.flag_set)
        # Tests, whose heartbeats come in quick succession, look as much more often.
        return FOREVER if soon is None else min(soon, self._timing.heartbeat_seconds)

    def farewell(self, connection: Connection, events: Mapping[str, int]) -> None:
        """Tell the service, if it has heard of this client, that it ends."""
        if not self._known:
            return
        body = self.document(events, with_defaults=False) | {"ending": True}
        with contextlib.suppress(TransportError):
            self._post(connection, body)

    def _tell(self, connection: Connection, events: Mapping[str, int], wait: float) -> None:
        changes, revision = self._defaults.changes, self._store.revision
        with_defaults = changes != self._told_changes or self._silent_for >= _REPEAT
        document = self.document(events, with_defaults=with_defaults)
        compiled = self._store.compiled
        contexts = self.sightings.document(None if compiled is None else compiled.flag_set)
        if contexts is not None:
            document["contexts"] = contexts
        answer = self._post(connection, document)
        if 200 <= answer.status < 300:
            if contexts is not None:
                self.sightings.told()
            self.sightings.wanted(answer.headers.get(CONTEXTS_HEADER))
            self._known = True
            self.told_revision = revision
            self._silent_for = 0 if with_defaults else self._silent_for + 1
            self._told_changes = changes
            return
        if answer.status == 400 and contexts is not None:
            # Whatever is wrong with them, the rest is to be told.
            self.sightings.wanted(None)
        self._not_before = time.monotonic() + self._pause_after(answer, wait)

    def _post(self, connection: Connection, document: dict[str, Any]) -> Answer:
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        body = text.encode("utf-8", "replace")
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if len(body) > _GZIP_BYTES:
            body = compressed(body)
            headers["Content-Encoding"] = "gzip"
        return connection.request("POST", INSTANCES_PATH, headers, body)

    def _pause_after(self, answer: Answer, wait: float) -> float:
        asked = answer.retry_after_seconds(self._clock())
        if asked is not None:
            return wait + min(asked, self._timing.retry_after_limit_seconds)
        if answer.status < 500 and answer.status not in (408, 425, 429):
            return wait * _RARELY
        return wait

    def document(self, events: Mapping[str, int], *, with_defaults: bool = True) -> dict[str, Any]:
        """Return what the service is told; without ``defaults`` they are as told before."""
        store = self._store
        compiled, source = store.compiled, store.source
        flags = () if compiled is None else compiled.flag_set.flags
        unknown = [] if compiled is None else [k for k in self._defaults.flags() if k not in flags]
        if source == "service":
            source = "stream" if store.streaming else "poll"
        document: dict[str, Any] = {
            "instance": self.instance,
            "sdk": {"name": "flagstone-python", "version": __version__},
            "runtime": "{} {}.{}.{}".format(sys.implementation.name, *sys.version_info[:3]),
            "platform": sys.platform,
            "revision": store.revision,
            "etag": bare_etag(store.etag),
            "source": source,
            "started": self._started,
            "unknown_flags": [k for k in unknown if _tellable(k)][:_UNKNOWN_FLAGS],
            "events": dict(events),
        }
        if self._host is not None:
            document["host"] = self._host[:_MAX_KEY_CHARACTERS]
        if with_defaults:
            defaults, complete = self._defaults.document(_DEFAULTS_BYTES)
            document["defaults"] = {k: v for k, v in defaults.items() if _tellable(k)}
            document["defaults_complete"] = complete
        return document


def _tellable(flag_key: str) -> bool:
    return 0 < len(flag_key) <= _MAX_KEY_CHARACTERS
