"""The lifecycle of flags as pages and routes ask for it: with what runs on them besides.

Every ten minutes the worker judges all flags (:func:`judge_all`), for lists of thousands of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from sqlmodel import Session

from experiments.contract.release import RELEASE
from experiments.moves.lease import Held, check_fence
from experiments.people.finding import watched_in
from flags import cleanup, nudges, services
from flags.database import Database
from flags.lifecycle import Lifecycle
from flags.views import FlagView

EVERY_SECONDS = 600.0


def lifecycles(
    session: Session, project_key: str, views: Iterable[FlagView], *, now: dt.datetime
) -> dict[str, Lifecycle]:
    """Give the verdict on flags, by key."""
    under: dict[str, list[str]] = {}
    for each in watched_in(session, project_key):
        word = "release" if each.plan.get("claim") == RELEASE else "experiment"
        under.setdefault(each.flag_key, []).append(f"{word} {each.key}")
    return cleanup.lifecycles(session, project_key, views, now=now, under=under)


def judge_all(database: Database, held: Held, *, now: dt.datetime) -> int:
    """Judge every flag and keep what it asks for; give how many verdicts were news.

    Raises
    ------
    FencedError
        If the lease went to another worker.
    """
    with database.read() as session:
        projects = {each.id: each.key for each in services.list_projects(session)}
    news = 0
    for project_id, key in projects.items():
        if project_id is None:
            continue
        with database.read() as session:
            found = lifecycles(session, key, services.list_flags(session, key), now=now)
        with database.write() as session:
            check_fence(session, held)
            news += nudges.keep(session, project_id, found, now=now)
    return news
