"""Contexts seen in evaluations, for the sample that previews count over.

What this costs a request is a hash and a look into a dictionary: nearly every unit is not among the
few whose hash is small enough (:mod:`flags.context_samples`), and one that is was mostly told of a
moment ago. The rest waits in memory, and a thread writes it every few seconds in one transaction.
What a crash or a full memory loses is asked for again soon; nothing here can fail an evaluation.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from flags.context_samples import (
    HASHES,
    LIMIT,
    MAX_CONTEXT_BYTES,
    clear,
    forget,
    hash_of,
    is_sampled,
    record,
)
from flags.database import Database
from web.edge.writer import Writer

# A unit's newest context is taken so often; the setting and the limit are read anew so often.
FRESH_SECONDS = 600.0
LOOK_SECONDS = 60.0
# Between two writes a pool may hold twice what it keeps, then it is cut.
_MAX_HELD = 2 * LIMIT
_NOBODY = -1
# Beside a context that an SDK told.
_MAX_ASKED_BYTES = 32 * 1024


class _Pool:
    """What one environment's sample takes: hashes up to ``last``, and what waits to be written."""

    __slots__ = ("fresh_until", "last", "look_at", "waiting")

    def __init__(self) -> None:
        self.last = HASHES
        self.look_at = 0.0
        self.fresh_until: dict[int, float] = {}
        self.waiting: dict[int, tuple[bytes, float]] = {}

    def cut(self) -> None:
        """Keep the smallest hashes only; whoever has a larger one cannot be in the sample."""
        self.last = min(self.last, sorted(self.fresh_until)[LIMIT - 1])
        self.keep()

    def keep(self) -> None:
        """Let go of what lies beyond ``last``."""
        last = self.last
        self.fresh_until = {k: until for k, until in self.fresh_until.items() if k <= last}
        self.waiting = {k: seen for k, seen in self.waiting.items() if k <= last}


class Contexts(Writer):
    """The contexts that wait to be written."""

    WHAT = "contexts for previews"
    WRITE_SECONDS = 5.0
    RETRY_SECONDS = 30.0
    FORGET_SECONDS = 3600.0

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._pools: dict[int, _Pool] = {}

    def offer(
        self, environment_id: int, now: float, context: Mapping[str, Any], body: bytes
    ) -> None:
        """Take a context into account; never raises.

        Parameters
        ----------
        environment_id : int
            Where it was seen.
        now : float
            POSIX seconds.
        context : mapping
            As it was evaluated.
        body : bytes
            The request that carried it: kept until it is written, and read again then.
        """
        if len(body) > MAX_CONTEXT_BYTES:
            return
        pool = self._pool(environment_id, now)
        if pool.last < 0:
            return
        try:
            unit = hash_of(context)
        except Exception:  # noqa: BLE001  half a surrogate, or an integer past 64 bits
            return
        self._take(pool, unit, body, now)

    def take_told(
        self, environment_id: int, now: float, told: Sequence[Mapping[str, Any]], asked: list[Any]
    ) -> None:
        """Take what an SDK told: of each context what it was asked for, and no more.

        Parameters
        ----------
        environment_id, now
            As for :meth:`offer`.
        told : sequence of mappings
            Contexts.
        asked : list
            Paths of the attributes that they were asked for.
        """
        pool = self._pool(environment_id, now)
        for context in told:
            try:
                unit = hash_of(context)
                body = orjson.dumps({"context": context, "asked": asked})
            except Exception:  # noqa: BLE001, S112  half a surrogate: it is one of many
                continue
            if len(body) <= MAX_CONTEXT_BYTES + _MAX_ASKED_BYTES:
                self._take(pool, unit, body, now)

    def below(self, environment_id: int, now: float) -> int:
        """Give the hash up to which an environment that keeps a sample takes units."""
        return max(0, self._pool(environment_id, now).last)

    def _pool(self, environment_id: int, now: float) -> _Pool:
        pool = self._pools.get(environment_id)
        if pool is None:
            pool = self._pools.setdefault(environment_id, _Pool())
        if now >= pool.look_at:
            pool.look_at = now + LOOK_SECONDS
            self._came.set()
        return pool

    def _take(self, pool: _Pool, unit: int, body: bytes, now: float) -> None:
        if unit > pool.last or pool.fresh_until.get(unit, 0.0) > now:
            return
        with self._lock:
            pool.fresh_until[unit] = now + FRESH_SECONDS
            pool.waiting[unit] = (body, now)
            if len(pool.fresh_until) > _MAX_HELD:
                pool.cut()
        self._came.set()

    def _write(self, database: Database, now: dt.datetime, *, forgets: bool) -> None:
        """Write what waits, and learn what the samples still take."""
        with self._lock:
            taken = {key: pool.waiting for key, pool in sorted(self._pools.items())}
            for key in taken:
                self._pools[key].waiting = {}
        last: dict[int, int] = {}
        try:
            with database.write() as session:
                for key, waiting in taken.items():
                    if is_sampled(session, key):
                        rows = [(unit, *seen) for unit, seen in waiting.items()]
                        last[key] = record(session, key, filter(None, map(_row, rows)))
                    else:
                        # Switched off while a process was still writing.
                        clear(session, key)
                        last[key] = _NOBODY
                if forgets:
                    forget(session, now=now)
        except Exception:
            with self._lock:
                for key, waiting in taken.items():
                    pool = self._pools[key]
                    pool.waiting = {**waiting, **pool.waiting}
                    pool.keep()
            raise
        with self._lock:
            for key, place in last.items():
                self._pools[key].last = place
                self._pools[key].keep()


def _row(seen: tuple[int, bytes, float]) -> tuple[int, str, dt.datetime, str | None] | None:
    unit, body, at = seen
    try:
        document = orjson.loads(body)
        text = orjson.dumps(document["context"]).decode()
        asked = document.get("asked")
        paths = None if asked is None else orjson.dumps(asked).decode()
    except (KeyError, TypeError, ValueError):
        return None
    return unit, text, dt.datetime.fromtimestamp(at, dt.UTC), paths
