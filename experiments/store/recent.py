"""What came in lately, cheaply enough for a page that refreshes itself: SQLite and nothing else."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from experiments.store.base import MICROSECONDS
from experiments.store.schema import open_inbox, reading

_MINUTE_US = 60 * MICROSECONDS


@dataclass(frozen=True, slots=True)
class RecentEvents:
    """How often one thing happened since some minute.

    Parameters
    ----------
    kind : str
        ``"exposures"`` or ``"tracks"``.
    name : str
        The flag, or the name of the tracking event.
    rule, variant : str
        Of exposures; empty for tracking events.
    events : int
        How many.
    """

    kind: str
    name: str
    rule: str
    variant: str
    events: int


class LatestEvent(NamedTuple):
    """An event as it was stored, without its id: exposures have a ``flag``, the others a ``name``.

    ``time`` is in POSIX seconds, ``attributes`` a JSON object of texts.
    """

    time: float
    unit: str
    flag: str | None
    variant: str | None
    rule: str | None
    revision: int | None
    name: str | None
    value: float | None
    attributes: str | None


@dataclass(frozen=True, slots=True)
class Which:
    """Which of the latest events: of one ``kind``, of one ``flag``; at most ``limit``."""

    kind: Literal["exposures", "tracks"] | None = None
    flag: str | None = None
    limit: int = 100


def latest(path: Path, environment_id: int, which: Which, *, since: float) -> list[LatestEvent]:
    """Give an environment's newest events by their own time, newest first.

    Parameters
    ----------
    path : Path
        The inbox's file; what was moved to Parquet files and taken out of it is not found.
    since : float
        POSIX seconds.
    """
    parameters = {
        "environment": environment_id,
        "since": math.ceil(since * MICROSECONDS),
        "kind": which.kind,
        "flag": which.flag,
        "limit": which.limit,
    }
    with closing(open_inbox(path)) as connection, reading(connection):
        rows = connection.execute(_LATEST, parameters).fetchall()
    return [LatestEvent(row[0] / MICROSECONDS, *row[1:]) for row in rows]


def recent(path: Path, environment_id: int, *, since: float) -> list[RecentEvents]:
    """Count an environment's latest events by flag, rule and variant, or by name.

    Parameters
    ----------
    path : Path
        The inbox's file.
    environment_id : int
        Whose events.
    since : float
        POSIX seconds, rounded down to the minute; the store keeps about two days of counts.

    Returns
    -------
    list of RecentEvents
        Sorted by kind, name, rule and variant. Each event counts once, drained or not.
    """
    minute = math.floor(since / 60)
    counts: Counter[tuple[str, str, str, str]] = Counter()
    with closing(open_inbox(path)) as connection, reading(connection):
        for sql in (_DRAINED, _WAITING):
            for *key, events in connection.execute(sql, (environment_id, minute)):
                counts[tuple(key)] += events
    return [RecentEvents(*key, events) for key, events in sorted(counts.items())]


_LATEST = """
SELECT time_us, unit, flag, variant, rule, revision, name, value, attributes FROM inbox
WHERE environment_id = :environment AND time_us >= :since
  AND (:kind IS NULL OR (:kind = 'exposures') = (flag IS NOT NULL))
  AND (:flag IS NULL OR flag = :flag)
ORDER BY time_us DESC LIMIT :limit
"""
_DRAINED = """
SELECT kind, name, rule, variant, sum(events) FROM activity
WHERE environment_id = ? AND minute >= ?
GROUP BY kind, name, rule, variant
"""
_WAITING = f"""
SELECT CASE WHEN flag IS NULL THEN 'tracks' ELSE 'exposures' END, coalesce(flag, name),
       coalesce(rule, ''), coalesce(variant, ''), count(*)
FROM inbox
WHERE environment_id = ? AND time_us / {_MINUTE_US} >= ?
  AND generation > (SELECT drained FROM state)
GROUP BY 1, 2, 3, 4
"""  # noqa: S608
