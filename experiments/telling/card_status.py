"""Where an experiment stands, for its card: told by a database row or by a replay."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CardStatus:
    """Where the experiment stands, whoever tells it: a database row or a replay.

    Parameters
    ----------
    decided : tuple of str
        Every verdict that was given, oldest first.
    comparison : mapping, optional
        What was stored with the newest look at the holdback, with its ``decision``.
    audits : str
        What standing audits of its layer found, in a sentence.
    audits_good : bool
        Whether that is no more than what the policy promises.
    realised, override, request : mapping, optional
        What the holdback told in the end, what was shipped by hand, what waits for approval.
    release : mapping, optional
        Where a release stands among its steps (`release_state.release_facts`).
    learned : bool, default False
        Whether somebody has written down what was learned.
    """

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
    audits: str = ""
    audits_good: bool = True
    decided: tuple[str, ...] = ()
    held_cause: str | None = None
    explain_by: dt.datetime | None = None
    next_ramp_at: dt.datetime | None = None
    compared_since: dt.datetime | None = None
    comparison: Mapping[str, Any] | None = None
    realised: Mapping[str, Any] | None = None
    override: Mapping[str, Any] | None = None
    request: Mapping[str, Any] | None = None
    release: Mapping[str, Any] | None = None
    learned: bool = False
