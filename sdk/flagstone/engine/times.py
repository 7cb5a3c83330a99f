"""Points in time: RFC 3339 text in documents, POSIX seconds in the engine."""

from __future__ import annotations

import datetime as dt
import re

_UTC = dt.timezone.utc  # noqa: UP017  dt.UTC is younger than Python 3.10
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=_UTC)
_RFC_3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(Z|z|[+-][0-9]{2}:?[0-9]{2})?)?\Z"
)


def parse_time(text: str) -> float:
    """Return the POSIX seconds of an RFC 3339 time; without a zone it is UTC.

    A date alone is its midnight. Fractions are kept to the microsecond.

    Raises
    ------
    ValueError
        If ``text`` is no such time.
    """
    found = _RFC_3339.match(text)
    if found is None:
        raise ValueError("not an RFC 3339 time")
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    moment = dt.datetime(
        int(year),
        int(month),
        int(day),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        int((fraction or "0").ljust(6, "0")[:6]),
        tzinfo=_UTC,
    )
    # One rounding, at the end: seconds as floats would be rounded twice.
    return (moment - _EPOCH - dt.timedelta(seconds=_offset_seconds(zone))).total_seconds()


def _offset_seconds(zone: str | None) -> int:
    if zone is None or zone in "Zz":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError("no such time zone")
    seconds = hours * 3600 + minutes * 60
    return -seconds if zone[0] == "-" else seconds


def format_time(seconds: float) -> str:
    """Write POSIX seconds as RFC 3339 in UTC, with microseconds only where there are some."""
    moment = _EPOCH + dt.timedelta(seconds=seconds)
    return moment.replace(tzinfo=None).isoformat() + "Z"


def seconds_of(moment: object) -> float:
    """Return the POSIX seconds of a datetime, a text or a number of seconds.

    Raises
    ------
    ValueError
        If ``moment`` is none of these.
    """
    if isinstance(moment, dt.datetime):
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=_UTC)
        return (moment - _EPOCH).total_seconds()
    if isinstance(moment, str):
        return parse_time(moment)
    if isinstance(moment, (int, float)) and not isinstance(moment, bool):
        return moment
    raise ValueError("not a point in time")
