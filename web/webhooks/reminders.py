"""Once a day: which flags have had their time, as one notice for each project.

A flag is named again for the same reason after ``AGAIN_AFTER`` only: whoever has decided to wait is
not nagged.
"""

from __future__ import annotations

import datetime as dt

from sqlmodel import Session, col, select

from flags import notices
from flags.actor import SYSTEM
from flags.lifecycle import EXPIRED, SAFE_TO_REMOVE, STALE, Lifecycle
from flags.models import Notice, Project
from flags.services import list_environments, list_flags, list_projects
from web.lifecycles import lifecycles

AGAIN_AFTER = dt.timedelta(days=30)
_VERDICTS = frozenset({SAFE_TO_REMOVE, EXPIRED, STALE})
_NAMED = 5


def remind(session: Session, *, now: dt.datetime) -> int:
    """Write the notices that are due, in the caller's transaction; count the flags in them."""
    return sum(_remind(session, project, now) for project in list_projects(session))


def _remind(session: Session, project: Project, now: dt.datetime) -> int:
    views = list_flags(session, project.key)
    told = _told(session, project, now)
    due = {
        key: each
        for key, each in lifecycles(session, project.key, views, now=now).items()
        if each.verdict in _VERDICTS and (key, each.verdict) not in told
    }
    places = [each.key for each in list_environments(session, project.key)]
    if not due or not places or project.id is None:
        return 0
    notices.write(
        session,
        "flag.stale",
        _sentence(due),
        project_id=project.id,
        environments=places,
        actor=SYSTEM,
        resource=f"flag:{next(iter(due))}" if len(due) == 1 else f"cleanup:{project.key}",
        facts={
            "did": ["remind"],
            "flags": [
                {"key": key, "verdict": each.verdict, "sentence": each.sentence}
                for key, each in due.items()
            ],
        },
        now=now,
    )
    return len(due)


def _told(session: Session, project: Project, now: dt.datetime) -> set[tuple[str, str]]:
    query = select(Notice).where(
        Notice.project_id == project.id,
        Notice.kind == "flag.stale",
        col(Notice.at) > now - AGAIN_AFTER,
    )
    return {
        (each["key"], each["verdict"])
        for notice in session.exec(query)
        for each in notice.facts["flags"]
    }


def _sentence(due: dict[str, Lifecycle]) -> str:
    if len(due) == 1:
        ((key, only),) = due.items()
        return f"{key}: {only.sentence}"
    names = ", ".join(list(due)[:_NAMED])
    more = f" and {len(due) - _NAMED} more" if len(due) > _NAMED else ""
    return f"{len(due)} flags have had their time: {names}{more}."
