"""When keys were last used, and when over OFREP: noted in memory, written once a minute at most.

A request pays a look into a dictionary. What a crash loses is at most a minute of one date.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import sqlalchemy as sa
from sqlmodel import col

from flags.database import Database
from web.auth.models import Token
from web.edge.writer import Writer


class KeyUses(Writer):
    """The uses of keys that wait to be written."""

    WHAT = "last uses of keys"
    WRITE_SECONDS = 60.0
    RETRY_SECONDS = 60.0
    FORGET_SECONDS = 86_400.0

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._waiting: dict[tuple[str, bool], float] = {}

    def note(self, secret_hash: str, *, over_ofrep: bool = False) -> None:
        """Remember that a key was used now; never raises."""
        use = (secret_hash, over_ofrep)
        if use not in self._waiting:
            self._waiting[use] = self._clock()
            self._came.set()

    def _write(self, database: Database, now: dt.datetime, *, forgets: bool) -> None:  # noqa: ARG002
        self.write_to(database)

    def write_to(self, database: Database) -> None:
        """Write what was noted, or keep it and raise."""
        taken, self._waiting = self._waiting, {}
        if not taken:
            return
        try:
            with database.write() as session:
                # In one order, so that two processes do not wait for each other in a circle.
                for (secret_hash, over_ofrep), at in sorted(taken.items()):
                    moment = dt.datetime.fromtimestamp(at, dt.UTC)
                    for used in (Token.last_used_at, *([Token.ofrep_used_at] * over_ofrep)):
                        session.execute(
                            sa.update(Token)
                            .where(
                                sa.or_(
                                    col(Token.secret_hash) == secret_hash,
                                    col(Token.old_secret_hash) == secret_hash,
                                ),
                                sa.or_(col(used).is_(None), col(used) < moment),
                            )
                            .values({col(used): moment})
                        )
        except Exception:
            self._waiting = {**taken, **self._waiting}
            raise
