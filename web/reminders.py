"""Flags whose time is over, or soon will be: their owners are told, once a week for each flag."""

from __future__ import annotations

import datetime as dt

from sqlmodel import Session, col, select

from experiments.moves.lease import Held, check_fence
from flags import notices
from flags.actor import Actor
from flags.cleanup import Expiring, expiring
from flags.database import Database
from flags.models import Notice
from flags.services import get_project

EVERY_SECONDS = 3600.0
KIND = "flag.stale"
_AGAIN_AFTER = dt.timedelta(days=7)
_ACTOR = Actor("system", "reminders")


def remind(database: Database, held: Held, *, now: dt.datetime) -> int:
    """Write a notice for each flag that expired or soon will; give how many were written.

    Raises
    ------
    FencedError
        If the lease went to another worker.
    """
    with database.write() as session:
        check_fence(session, held)
        return sum(_told(session, each, now) for each in expiring(session, now=now))


def _told(session: Session, each: Expiring, now: dt.datetime) -> bool:
    project_id = get_project(session, each.project).id
    assert project_id is not None
    resource = f"flag:{each.flag}"
    lately = select(Notice.id).where(
        Notice.project_id == project_id,
        Notice.kind == KIND,
        Notice.resource == resource,
        col(Notice.at) > now - _AGAIN_AFTER,
    )
    if session.exec(lately.limit(1)).first() is not None:
        return False
    notices.write(
        session,
        KIND,
        each.sentence,
        project_id=project_id,
        actor=_ACTOR,
        resource=resource,
        facts={"owner": each.owner, "expires": each.expires.isoformat()},
        now=now,
    )
    return True
