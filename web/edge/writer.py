"""What requests leave to be written: a thread writes it a little later, in one short transaction.

No request waits for it, and a failing database costs it nothing: what could not be written waits in
memory and is tried again. What a crash loses must be such as comes again by itself.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from flags.database import Database

logger = logging.getLogger("flagstone.edge")


class Writer(ABC):
    """A thread that writes what came, and forgets what is too old.

    Parameters
    ----------
    clock : callable
        POSIX seconds.

    Attributes
    ----------
    WHAT : str
        What is written, as the log names it.
    WRITE_SECONDS, RETRY_SECONDS : float
        Least pause between two writes, and after one that failed.
    FORGET_SECONDS : float
        What is too old goes so often, without traffic too.
    """

    WHAT: ClassVar[str]
    WRITE_SECONDS: ClassVar[float]
    RETRY_SECONDS: ClassVar[float]
    FORGET_SECONDS: ClassVar[float]

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # Guards what waits; held for moments only.
        self._lock = threading.Lock()
        self._came = threading.Event()
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._failing = False
        self._forget_at = 0.0
        self._database: Database | None = None
        name = f"flagstone-{type(self).__name__.lower()}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, database: Database) -> None:
        """Write to ``database`` from now on."""
        self._database = database
        self._thread.start()

    def close(self) -> None:
        """Write what waits, and end."""
        self._stop.set()
        self._came.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2)

    def write(self) -> None:
        """Write what waits; what cannot be written waits on."""
        assert self._database is not None
        with self._writing:
            now = self._clock()
            forgets = now >= self._forget_at
            self._write(self._database, dt.datetime.fromtimestamp(now, dt.UTC), forgets=forgets)
            if forgets:
                self._forget_at = now + self.FORGET_SECONDS

    @abstractmethod
    def _write(self, database: Database, now: dt.datetime, *, forgets: bool) -> None:
        """Take what waits and write it, or put it back and raise; one call at a time."""

    def _run(self) -> None:
        while not self._stop.is_set():
            self._came.wait(self.FORGET_SECONDS)
            self._came.clear()
            pause = self.WRITE_SECONDS
            try:
                self.write()
                self._failing = False
            except Exception:
                if not self._failing:
                    logger.exception("%s cannot be written; they wait in memory", self.WHAT)
                self._failing = True
                self._came.set()
                pause = self.RETRY_SECONDS
            self._stop.wait(pause)
        if not self._failing:
            try:
                self.write()
            except Exception:  # noqa: BLE001  they come again, to another process
                logger.warning("the last %s could not be written", self.WHAT)
