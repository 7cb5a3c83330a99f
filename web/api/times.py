"""Instants as callers write them."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import Field

from flags.errors import InvalidInputError

# A bare string at the door: ``parse_instant`` says what an instant looks like.
Instant = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]


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
