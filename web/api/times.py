"""Instants as callers write them."""

from __future__ import annotations

import datetime as dt

from flags.errors import InvalidInputError


def parse_instant(text: str, *, field: str) -> dt.datetime:
    """Return an RFC 3339 instant in UTC, or say that it is none."""
    try:
        instant = dt.datetime.fromisoformat(text)
        if instant.tzinfo is not None:
            return instant.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        pass
    message = f"{text[:40]!r} is not an instant with a time zone"
    raise InvalidInputError(message, field=field, hint="such as 2027-01-31T12:00:00Z")
