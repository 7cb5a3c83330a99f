"""What every event store promises."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from experiments.store.base import AppendResult, DrainResult, Event, StoreStatus
from experiments.store.quality import QualityCounts, QualityHour
from experiments.store.recent import LatestEvent, RecentEvents, Which

if TYPE_CHECKING:
    # Only for type checkers: the data plane imports this module and must stay light.
    import ibis


class EventInbox(Protocol):
    """The front of a store, light enough for every web process."""

    def append(self, events: Sequence[Event]) -> AppendResult:
        """Store a batch; on return every event of it survives a crash.

        Raises
        ------
        FullError
            If the store cannot take the batch now. Nothing of it was stored.
        """
        ...

    def recent(self, environment_id: int, *, since: float) -> list[RecentEvents]:
        """Count an environment's latest events by flag, rule and variant, or by name.

        Each event counts once. ``since`` is in POSIX seconds, rounded down to the minute.
        """
        ...

    def latest(self, environment_id: int, which: Which, *, since: float) -> list[LatestEvent]:
        """Give an environment's newest events by their own time, newest first.

        ``since`` is in POSIX seconds. Of what is older than some minutes a store may have put away
        what it cannot give from here.
        """
        ...

    def note(self, counts: QualityCounts) -> None:
        """Add to the counts of how good the events were that came in."""
        ...

    def quality(self, environment_id: int, *, since: float) -> list[QualityHour]:
        """Read those counts by hour of arrival, oldest first; kept for 30 days."""
        ...

    def status(self) -> StoreStatus:
        """Say what the whole store holds."""
        ...

    def check(self) -> None:
        """Raise if events cannot be stored now."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class EventStore(Protocol):
    """Append a batch durably and idempotently; hand out tables for analysis."""

    @property
    def inbox(self) -> EventInbox:
        """The front of this store."""
        ...

    def append(self, events: Sequence[Event]) -> AppendResult:
        """Store a batch (see :meth:`EventInbox.append`)."""
        ...

    def drain(self, now: float, *, keep_since: float | None = None) -> DrainResult:
        """Do the housekeeping that keeps appending fast; safe to call from anywhere, any time.

        Whole days that ended before ``keep_since`` (POSIX seconds) are dropped; without it, none.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections; snapshots that are open stay so."""
        ...

    def tables(
        self,
        environment_id: int,
        *,
        since: float | None = None,
        until: float | None = None,
    ) -> AbstractContextManager[tuple[ibis.Table, ibis.Table]]:
        """Open one consistent snapshot of an environment's events, where they are.

        The two tables are exposures, then tracking events::

            environment_id, unit, flag, variant, rule, revision, attributes, time
            environment_id, unit, name, value, time

        ``time`` is POSIX seconds. ``since`` and ``until`` let the store skip whole days that lie
        outside; rows outside them may still be there.
        """
        ...
