"""What a client says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone


@dataclass(frozen=True, slots=True)
class Status:
    """How the client is doing.

    Parameters
    ----------
    revision : int or None
        The revision being served; None while callers get their defaults.
    source : str
        Where it came from: ``"service"``, ``"snapshot"``, ``"offline"`` or ``"none"``.
    connected, streaming, refused : bool
        The last exchange with the service worked; a stream is open; the key is refused.
    last_update, last_contact : datetime or None
        When the flag set was last replaced, and when the service last confirmed it (UTC).
    last_error : str or None
        Why flags or events are not getting through at the moment.
    queued, sent, duplicates : int
        Events in memory, waiting or under way; stored by the service; of these, stored before.
    dropped, rejected, invalid : int
        Events lost because the queue was full or closed, or a file of the spool damaged; refused
        by the service; that could never be sent (no unit, no number).
    closed : bool
        ``close`` was called; last-known values are still served.
    spooled : int
        Events on the disk, which wait for the service.
    instance : str or None
        Identifier of this client in this process, as the service lists it.
    told_revision : int or None
        The revision that the service was last told is being served here.
    """

    revision: int | None
    source: str
    connected: bool
    streaming: bool
    refused: bool
    last_update: datetime | None
    last_contact: datetime | None
    last_error: str | None
    queued: int
    sent: int
    duplicates: int
    dropped: int
    rejected: int
    invalid: int
    closed: bool
    spooled: int = 0
    instance: str | None = None
    told_revision: int | None = None


def instant(seconds: float | None) -> datetime | None:
    """Return POSIX seconds as a datetime in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc)  # noqa: UP017  Python 3.10
