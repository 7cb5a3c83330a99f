"""One thing that waits for somebody, and in which order such things are said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOST = 200
"""So many of each kind are looked at; a list of more would be read by nobody."""


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that waits for somebody.

    Parameters
    ----------
    what, why : str
        What to do, in plain words; what happens if nobody does, or where it comes from.
    who : str
        A name, or who in general.
    mine : bool
        Whether the reader is the one.
    verb : str
        The word of the one button.
    urgency : int
        Smaller comes first among what has no price.
    flag, experiment, change, instances, webhook, cleanup
        What it is about, and so where the button leads: one of them is there; ``cleanup`` is the
        verdict that several flags share.
    per_day : int, optional
        What a day of waiting costs, in cents.
    """

    what: str
    why: str
    who: str
    mine: bool
    verb: str
    urgency: int
    flag: str | None = None
    experiment: str | None = None
    change: int | None = None
    instances: bool = False
    webhook: int | None = None
    cleanup: str = ""
    per_day: int | None = None
    currency: str = ""


def in_order(tasks: Iterable[Task]) -> list[Task]:
    """Put the dearest first; then, by urgency, what has no price."""
    return sorted(
        tasks, key=lambda each: (-(each.per_day or 0), each.urgency, not each.mine, each.what)
    )
