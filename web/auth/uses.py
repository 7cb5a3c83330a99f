"""Note which ``usr`` keys are used; it is written a minute later, and no request waits for it."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable
from typing import cast

from flask import Flask, current_app

from flags.database import Database
from web.edge.key_uses import KeyUses

logger = logging.getLogger("flagstone.auth")

_USES = "flagstone.key_uses"


class Uses:
    """The uses of one application's keys, and the timer that will write them."""

    def __init__(self, database: Database, clock: Callable[[], dt.datetime]) -> None:
        self._noted = KeyUses(lambda: clock().timestamp())
        self._database = database
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def note(self, secret_hash: str) -> None:
        """Remember that a key was used now."""
        self._noted.note(secret_hash)
        if self._timer is None:
            with self._lock:
                if self._timer is None:
                    self._timer = threading.Timer(KeyUses.WRITE_SECONDS, self._write)
                    self._timer.daemon = True
                    self._timer.start()

    def write(self) -> None:
        """Write what was noted."""
        self._noted.write_to(self._database)

    def _write(self) -> None:
        with self._lock:
            self._timer = None
        try:
            self.write()
        except Exception:  # noqa: BLE001  it waits for the next use of any key
            logger.warning("last uses of keys cannot be written")


def register(app: Flask, database: Database, clock: Callable[[], dt.datetime]) -> None:
    """Give the application its memory of uses."""
    app.extensions[_USES] = Uses(database, clock)


def uses_of(app: Flask) -> Uses:
    """Return the application's memory of uses."""
    return cast("Uses", app.extensions[_USES])


def note_use(secret_hash: str) -> None:
    """Remember that a key was used now."""
    uses_of(current_app).note(secret_hash)
