"""Once a day: which flags have had their time or soon will, as one notice for each project.

A flag is named again for the same reason after ``AGAIN_AFTER`` only: whoever has decided to wait is
not nagged.
"""

from __future__ import annotations

import datetime as dt

from sqlmodel import Session, col, select

from flags import notices
from flags.actor import SYSTEM
from flags.cleanup import expiring
from flags.lifecycle import EXPIRED, SAFE_TO_REMOVE, STALE
from flags.models import Notice, Project
from flags.services import list_environments, list_flags, list_projects
from web.lifecycles import lifecycles

AGAIN_AFTER = dt.timedelta(days=30)
_VERDICTS = frozenset({SAFE_TO_REMOVE, EXPIRED, STALE})
# No verdict of a lifecycle: such a flag may be in full use.
_SOON = "expires_soon"
_NAMED = 5


def remind(session: Session, *, now: dt.datetime) -> int:
    """Write the notices that are due, in the caller's transaction; count the flags in them."""
    return sum(_remind(session, project, now) for project in list_projects(session))


def _remind(session: Session, project: Project, now: dt.datetime) -> int:
    views = list_flags(session, project.key)
    told = _told(session, project, now)
    soon = {each.flag: each.sentence for each in expiring(session, now=now, project=project)}
    due = {}
    for key, each in lifecycles(session, project.key, views, now=now).items():
        if each.verdict in _VERDICTS:
            said = (each.verdict, each.sentence)
        elif key in soon:
            said = (_SOON, soon[key])
        else:
            continue
        if (key, said[0]) not in told:
            due[key] = said
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
                {"key": key, "verdict": verdict, "sentence": sentence}
                for key, (verdict, sentence) in due.items()
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


def _sentence(due: dict[str, tuple[str, str]]) -> str:
    if len(due) == 1:
        ((key, (_verdict, only)),) = due.items()
        return f"{key}: {only}"
    names = ", ".join(list(due)[:_NAMED])
    more = f" and {len(due) - _NAMED} more" if len(due) > _NAMED else ""
    soon = [verdict == _SOON for verdict, _sentence in due.values()]
    what = "have had"
    if any(soon):
        what = "will soon have had" if all(soon) else "have had, or will soon have had,"
    return f"{len(due)} flags {what} their time: {names}{more}."
