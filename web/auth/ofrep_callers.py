"""Who evaluates flags over OFREP: its callers have no name, so that only their keys are known."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlmodel import Session, col, select

from web.auth.models import Token

FORGOTTEN_AFTER = dt.timedelta(days=1)
"""As instances are (:mod:`flags.heartbeats`)."""

_MOST = 100


@dataclass(frozen=True, slots=True)
class OfrepCaller:
    """A key that evaluated flags over OFREP lately; how many programs hold it nobody knows.

    ``key`` is its name and number, as the audit has them; ``seen_at`` is true to the minute.
    """

    key: str
    kind: str
    seen_at: dt.datetime


def ofrep_callers(session: Session, environment_id: int, *, now: dt.datetime) -> list[OfrepCaller]:
    """Return the keys of an environment that asked over OFREP in a day, the latest first."""
    seen = col(Token.ofrep_used_at)
    found = session.exec(
        select(Token)
        .where(Token.environment_id == environment_id, seen >= now - FORGOTTEN_AFTER)
        .order_by(seen.desc(), col(Token.id))
        .limit(_MOST)
    )
    return [
        OfrepCaller(f"{each.name}#{each.id}", each.kind, each.ofrep_used_at)
        for each in found
        if each.ofrep_used_at is not None
    ]
