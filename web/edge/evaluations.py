"""Which flags were evaluated here over HTTP: noted in memory, written at most once a minute.

SDKs say by themselves what code asks for (their heartbeats). Who asks over OFREP is heard of here
alone. An answer to everything counts for every flag that it holds, once an hour: which of them the
page then reads it does not say.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable

from flags.activity import note_evaluations
from flags.database import Database
from web.edge.writer import Writer

MAX_WAITING = 20_000
ALL_SECONDS = 3600.0


class Evaluations(Writer):
    """The evaluations that wait to be written; the newest of each flag."""

    WHAT = "last evaluations of flags"
    WRITE_SECONDS = 60.0
    RETRY_SECONDS = 60.0
    FORGET_SECONDS = 86_400.0

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._waiting: dict[tuple[int, str], float] = {}
        self._all_at: dict[tuple[int, bool], float] = {}

    def note(self, environment_id: int, flag_key: str, now: float) -> None:
        """Remember that a flag which there is was asked for; never raises."""
        waiting = self._waiting
        if len(waiting) < MAX_WAITING or (environment_id, flag_key) in waiting:
            waiting[environment_id, flag_key] = now
            if not self._came.is_set():
                self._came.set()

    def note_all(
        self, environment_id: int, flag_keys: Iterable[str], now: float, *, client_only: bool
    ) -> None:
        """Remember that all of an environment's flags were, if that was not noted for an hour."""
        place = (environment_id, client_only)
        if now - self._all_at.get(place, -ALL_SECONDS) < ALL_SECONDS:
            return
        self._all_at[place] = now
        for flag_key in flag_keys:
            self.note(environment_id, flag_key, now)

    def _write(self, database: Database, now: dt.datetime, *, forgets: bool) -> None:  # noqa: ARG002
        taken, self._waiting = self._waiting, {}
        if not taken:
            return
        by_environment: dict[int, dict[str, dt.datetime]] = {}
        for (environment_id, flag_key), at in taken.items():
            moment = dt.datetime.fromtimestamp(at, dt.UTC)
            by_environment.setdefault(environment_id, {})[flag_key] = moment
        try:
            with database.write() as session:
                for environment_id in sorted(by_environment):
                    note_evaluations(session, environment_id, by_environment[environment_id])
        except Exception:
            self._waiting = {**taken, **self._waiting}
            raise
