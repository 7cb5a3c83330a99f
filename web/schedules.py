"""Scheduled changes, carried out by the worker: fenced, each in a transaction of its own."""

from __future__ import annotations

import datetime as dt
import logging

from sqlmodel import Session

from experiments.errors import FencedError
from experiments.moves.lease import Held, check_fence
from flags import schedules
from flags.database import Database
from flags.errors import FlagstoneError, NotAllowedError
from flags.models import ChangeRequest
from flags.services import get_environment_by_id
from web.auth.standing import may_still_write

logger = logging.getLogger("flagstone.worker")


def carry_out_due(database: Database, held: Held, *, now: dt.datetime) -> int:
    """Carry out what is due; give how many changes came to an end.

    What cannot be applied is marked so. What fails in an unforeseen way (the database is away)
    stays due, and keeps nobody else from being carried out.

    Raises
    ------
    FencedError
        If the lease went to another worker.
    """
    with database.read() as session:
        waiting = schedules.due(session, now)
    ended = 0
    for each in waiting:
        try:
            ended += _carry_out(database, held, each, now=now)
        except FencedError:
            raise
        except Exception:
            logger.exception("change %d could not be carried out; tried again", each.request_id)
    return ended


def _carry_out(database: Database, held: Held, each: schedules.Due, *, now: dt.datetime) -> bool:
    done: ChangeRequest | None
    try:
        with database.write() as session:
            check_fence(session, held)
            _check_somebody_answers(session, each, now)
            done = schedules.perform(session, each, now=now)
    except FlagstoneError as error:
        with database.write() as session:
            check_fence(session, held)
            done = schedules.give_up(session, each, error, now=now)
    if done is not None:
        logger.info("change %d, due %s: %s", each.request_id, done.at, done.state)
    return done is not None


def _check_somebody_answers(session: Session, each: schedules.Due, now: dt.datetime) -> None:
    """Refuse what only people and keys ask for who may not change this environment any more.

    An approval by somebody who may is enough: that person answers for the content too.
    """
    request = session.get_one(ChangeRequest, each.request_id)
    environment = get_environment_by_id(session, request.environment_id)
    names = {*request.writers, *(given["by"] for given in request.approvals)}
    if not may_still_write(session, names, environment, now=now):
        raise NotAllowedError(
            f"nobody who wrote or approved it may change {environment.key!r} any more",
            hint="an editor renews it",
        )
