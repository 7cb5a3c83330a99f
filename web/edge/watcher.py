"""Notice a commit within milliseconds and publish the new state.

SQLite: ``PRAGMA data_version`` every 10 ms on one connection. PostgreSQL: ``LISTEN flagstone``, and
a look every second in case a notification was lost (keys are revoked without one).
Who waits for SDKs to follow a change is told of every commit too (``noticed``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from flags.heartbeats import CHANNEL as INSTANCES_CHANNEL
from web.edge.loader import Loader
from web.edge.state import State

if TYPE_CHECKING:
    import psycopg

logger = logging.getLogger("flagstone.edge")

SQLITE_POLL_SECONDS = 0.010
SAFETY_POLL_SECONDS = 1.0
RETRY_SECONDS = 0.5
# How long a stop may have to wait for the listener.
LISTEN_SECONDS = 0.2


class Watcher:
    """A thread that keeps one process's state current.

    Parameters
    ----------
    loader : Loader
        Reads the database.
    publish : callable
        Gets every new state, in the watcher's thread.
    safety_poll_seconds : float
        How often to look without having been told of a change.
    noticed : callable
        Called after every look, and when SDKs were heard of, in the watcher's thread.
    """

    def __init__(
        self,
        loader: Loader,
        publish: Callable[[State], None],
        *,
        safety_poll_seconds: float = SAFETY_POLL_SECONDS,
        noticed: Callable[[], None] = lambda: None,
    ) -> None:
        self.loader = loader
        self._noticed = noticed
        self._safety_poll_seconds = safety_poll_seconds
        self.last_success = 0.0
        self.error: str | None = None
        self._publish = publish
        self._published: State | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="flagstone-watcher", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching and close the connections; returns when the thread has ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2)
        self.loader.close()

    def check(self) -> None:
        """Read the database now; on return, a newer state (if there is one) is published."""
        state = self.loader.load()
        with self._lock:
            if state is self.loader.state and state is not self._published:
                self._published = state
                self._publish(state)
        self.last_success = time.monotonic()
        self.error = None

    def _run(self) -> None:
        wait = self._sqlite if self.loader.database.is_sqlite else self._postgresql
        while not self._stop.is_set():
            try:
                for _ in wait():
                    self.check()
                    self._noticed()
            except Exception as error:  # the data plane outlives its database
                if self.error is None:
                    logger.exception("the database cannot be watched; last known state is served")
                self.error = f"{type(error).__name__}: {error}"
                self._stop.wait(RETRY_SECONDS)

    def _sqlite(self) -> Iterator[None]:
        seen: int | None = None
        next_look = 0.0
        while not self._stop.is_set():
            # Read the number first: a commit in between is then seen twice, never missed.
            version = self.loader.data_version()
            if version != seen or time.monotonic() >= next_look:
                seen = version
                next_look = time.monotonic() + self._safety_poll_seconds
                yield
            self._stop.wait(SQLITE_POLL_SECONDS)

    def _postgresql(self) -> Iterator[None]:
        with _listening(self.loader.database.url) as connection:
            while not self._stop.is_set():
                yield
                until = time.monotonic() + self._safety_poll_seconds
                while not self._stop.is_set() and time.monotonic() < until:
                    told = list(connection.notifies(timeout=LISTEN_SECONDS, stop_after=1))
                    if any(each.channel != INSTANCES_CHANNEL for each in told):
                        break
                    if told:
                        # No flag set is read anew because a client was heard of.
                        self._noticed()


def _listening(url: str) -> psycopg.Connection:
    # Only PostgreSQL installations have the driver.
    import psycopg
    from sqlalchemy.engine import make_url

    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    # A listener only waits; without these it would not notice that the other side is gone.
    connection = psycopg.connect(
        plain, autocommit=True, connect_timeout=5, keepalives_idle=10, keepalives_interval=5
    )
    connection.execute("LISTEN flagstone")
    connection.execute(f"LISTEN {INSTANCES_CHANNEL}")
    return connection
