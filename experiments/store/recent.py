"""What came in lately, cheaply enough for a page that refreshes itself: SQLite and nothing else."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

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
