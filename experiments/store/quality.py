"""How good the events are that come in: words and counts, standard library only.

Counted per environment and hour of arrival, next to the intake and never inside its commit: an
event that comes in must not wait for the row of a counter that another batch holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.store.base import Event

LATE_SECONDS = 3_600.0
# Clocks differ by seconds; by minutes one of them is wrong.
CLOCK_TOLERANCE_SECONDS = 300.0
KEPT_SECONDS = 30 * 86_400.0

RECEIVED = "received"
DUPLICATE = "duplicate"
LATE = "late"
AHEAD = "ahead"
TOO_OLD = "too_old"
TOO_FAR_AHEAD = "too_far_ahead"
KINDS = (RECEIVED, DUPLICATE, LATE, AHEAD, TOO_OLD, TOO_FAR_AHEAD)
"""What is counted; the first four of events that were taken, the last two of refused ones."""

QualityCounts = Mapping[tuple[int, int, str], int]
"""Events by environment, hour of arrival (POSIX hours) and kind."""


@dataclass(frozen=True, slots=True)
class QualityHour:
    """What came in for one environment in one hour.

    Parameters
    ----------
    hour : int
        Hour of arrival: whole hours since 1970-01-01 (UTC).
    received : int
        Events of batches that were taken, repetitions among them.
    duplicate : int
        Those of them that the store already had.
    late : int
        Those of them that were older than an hour when they arrived.
    ahead : int
        Those of them whose time lay more than five minutes in the future.
    too_old, too_far_ahead : int
        Events of such a time that their batch was refused.
    """

    hour: int
    received: int = 0
    duplicate: int = 0
    late: int = 0
    ahead: int = 0
    too_old: int = 0
    too_far_ahead: int = 0


def timing(events: Sequence[Event], *, received: float) -> Counter[str]:
    """Count the events of a batch that is taken: all, late ones, ones ahead of our clock."""
    counts = Counter({RECEIVED: len(events)})
    times = [event.time for event in events]
    latest, earliest = received + CLOCK_TOLERANCE_SECONDS, received - LATE_SECONDS
    # Most batches have neither, and finding the extremes costs a fifth of counting.
    if times and max(times) > latest:
        counts[AHEAD] = sum(time > latest for time in times)
    if times and min(times) < earliest:
        counts[LATE] = sum(time < earliest for time in times)
    return counts


def refused_times(times: Sequence[float], *, earliest: float, latest: float) -> Counter[str]:
    """Count the events of a batch that is refused for a time."""
    old, ahead = (sum(time < earliest for time in times), sum(time > latest for time in times))
    return +Counter({TOO_OLD: old, TOO_FAR_AHEAD: ahead})


def by_hour(rows: Sequence[tuple[int, str, int]]) -> list[QualityHour]:
    """Put rows of hour, kind and events together, oldest hour first."""
    hours: dict[int, dict[str, int]] = {}
    for hour, kind, events in rows:
        # A kind that a later release counts is none of ours to show.
        if kind in KINDS:
            hours.setdefault(hour, {})[kind] = events
    return [QualityHour(hour, **hours[hour]) for hour in sorted(hours)]
