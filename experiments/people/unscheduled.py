"""Looking between two looks: anybody asks, the worker answers, nothing is decided.

One question at a time for each experiment; a fresh answer is given again. Intervals that hold at
every moment make asking free of error, not of work: reading the events takes the worker's time.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlmodel import Session

from experiments.contract.plan import Plan
from experiments.machine.lifecycle import LIVE
from experiments.models import Experiment, UnscheduledLook
from experiments.moves.enact import plan_of, position_of
from experiments.moves.places import Place
from experiments.people import services
from experiments.telling.unscheduled import (
    READY,
    UnscheduledReading,
    reading_document,
    reading_of,
    status_of,
)
from flags.actor import Actor
from flags.errors import StateError

FRESH_SHARE = 1 / 144
"""An answer is given again for so much of a policy's day: ten minutes of a real one."""


def ask(
    session: Session,
    project_key: str,
    environment_key: str,
    key: str,
    *,
    actor: Actor,
    now: dt.datetime,
) -> UnscheduledLook:
    """Ask for a reading now; a question that waits, or a fresh answer, is given instead.

    Raises
    ------
    StateError
        If nobody is split between the arms: before the start, after the decision, or held back.
    """
    opened = Place(session, project_key, environment_key, key).open()
    experiment, plan = opened.experiment, opened.plan
    if not may_ask(experiment, plan):
        raise StateError(
            f"there is nothing to read between looks: experiment {key!r} is {experiment.state}",
            hint="the card says what is known: flagstone experiments card",
        )
    row = read_asked(session, experiment)
    if row is not None and (row.answered_at is None or fresh_until(plan, row) > now):
        return row
    if row is None:
        row = UnscheduledLook(experiment_id=experiment.id or 0, asked_at=now, asked_by=actor.name)
    row.asked_at, row.asked_by, row.answered_at = now, actor.name, None
    session.add(row)
    session.flush()
    return row


def may_ask(experiment: Experiment, plan: Plan) -> bool:
    """Tell whether there is anything to read: an experiment runs, and nothing of it ships."""
    position = position_of(experiment, plan)
    return experiment.state in LIVE and not position.shipped


def fresh_until(plan: Plan, row: UnscheduledLook) -> dt.datetime:
    """Tell until when the last answer is given again; one that failed is not."""
    if row.answered_at is None or "failed" in (row.document or {}):
        return row.asked_at
    return row.answered_at + dt.timedelta(seconds=plan.policy.day_seconds * FRESH_SHARE)


def read_asked(session: Session, experiment: Experiment) -> UnscheduledLook | None:
    """Give the last question with its answer; ``None`` if nobody has asked."""
    return session.get(UnscheduledLook, experiment.id, populate_existing=True)


def told(
    session: Session, experiment: Experiment, *, now: dt.datetime
) -> UnscheduledReading | None:
    """Give the last answer as it may be shown now."""
    row = read_asked(session, experiment)
    if row is None or row.document is None:
        return None
    card = services.get_card(session, experiment, now=now)
    return reading_of(plan_of(experiment), card, experiment.started_at, row)


def asked_document(session: Session, experiment: Experiment, *, now: dt.datetime) -> dict[str, Any]:
    """Give the last question and its answer as the API shows them."""
    row = read_asked(session, experiment)
    if row is None:
        return {"status": "none", "reading": None}
    plan, status = plan_of(experiment), status_of(row)
    return {
        "status": status,
        "asked_at": row.asked_at,
        "asked_by": row.asked_by,
        "answered_at": row.answered_at,
        "fresh_until": fresh_until(plan, row) if status == READY else None,
        "reading": reading_document(told(session, experiment, now=now)),
    }
