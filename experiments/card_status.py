"""Where an experiment stands, for its card: told by a database row or by a replay."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True)
class CardStatus:
    """Where the experiment stands, whoever tells it: a database row or a replay."""

    state: str
    verdict: str | None = None
    winner: str | None = None
    sentence: str = ""
    coverage: float = 0.0
    dropped: tuple[str, ...] = ()
    plan_hash: str | None = None
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    next_look_at: dt.datetime | None = None
    confirm_by: dt.datetime | None = None
    replayed: bool = False
    forecast: str = ""
