"""The review that whoever ships by hand has promised: when it is due, and who owes it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from experiments.contract import words
from experiments.machine.lifecycle import State

_SETTLED = frozenset({State.ROLLED_BACK, State.CLOSED, State.ABANDONED})
"""Where it was decided what stays: turned back, or closed."""


@dataclass(frozen=True)
class Review:
    """A promise to look again at what was shipped by hand.

    Parameters
    ----------
    by : str
        Who shipped it, and owes the review.
    """

    due_at: dt.datetime
    by: str
    overdue: bool

    @property
    def when(self) -> str:
        """Say when: ``due on 1 June 2026, 09:00 UTC``, or since when it is overdue."""
        at = words.moment(self.due_at)
        return f"overdue since {at}" if self.overdue else f"due on {at}"

    @property
    def text(self) -> str:
        """Say when and by whom, and what ends it."""
        asked = "did it do what was predicted?"
        if not self.overdue:
            return f"{self.when}, by {self.by}: {asked}"
        return f"{self.when}, owed by {self.by}: {asked} Close or stop it."

    def to_document(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self) | {"due_at": self.due_at.isoformat()}


def review_of(
    state: str, override: Mapping[str, Any] | None, now: dt.datetime | None
) -> Review | None:
    """Give the review that is promised and not settled; ``None`` if there is none.

    It is settled when the change is turned back or closed: then somebody has said what stays.

    Parameters
    ----------
    now : datetime, optional
        Without it nothing is overdue.
    """
    promised = (override or {}).get("review_at")
    if override is None or promised is None or state in _SETTLED:
        return None
    due_at = dt.datetime.fromisoformat(promised)
    return Review(due_at, str(override["by"]), overdue=now is not None and due_at <= now)
