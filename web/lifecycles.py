"""The lifecycle of flags as pages and routes ask for it: with what runs on them besides."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from sqlmodel import Session

from experiments.contract.release import RELEASE
from experiments.people.finding import watched_in
from flags import cleanup
from flags.lifecycle import Lifecycle
from flags.views import FlagView


def lifecycles(
    session: Session, project_key: str, views: Iterable[FlagView], *, now: dt.datetime
) -> dict[str, Lifecycle]:
    """Give the verdict on flags, by key."""
    under: dict[str, list[str]] = {}
    for each in watched_in(session, project_key):
        word = "release" if each.plan.get("claim") == RELEASE else "experiment"
        under.setdefault(each.flag_key, []).append(f"{word} {each.key}")
    return cleanup.lifecycles(session, project_key, views, now=now, under=under)
