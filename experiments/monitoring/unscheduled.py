"""The worker's answers to those who look between two looks: one reading each, nothing is moved.

The web process only keeps the question (:mod:`experiments.people.unscheduled`). Looks come first:
who asks waits for a tick that has time.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import Any

from sqlmodel import Session, col, select

from experiments.contract.plan import Plan
from experiments.errors import SourceError
from experiments.judging.unscheduled import PLANNED_UNITS, read_now
from experiments.models import Forecast, UnscheduledLook
from experiments.monitoring.due import Due, read_due
from experiments.monitoring.reading import read_data
from experiments.moves.lease import Held, check_fence
from experiments.store.promises import EventStore
from flags.database import Database
from flags.revisions import lock_environment

log = logging.getLogger(__name__)

# No further question is taken up in a tick that has answered for so long.
_BUDGET_SECONDS = 1.0


def answer_due(
    database: Database,
    store: EventStore,
    held: Held,
    now: dt.datetime,
    *,
    budget_seconds: float = _BUDGET_SECONDS,
) -> int:
    """Answer whoever has asked, oldest question first; tell how many were answered.

    Raises
    ------
    FencedError
        If the lease went to another worker.
    """
    began, answered = time.monotonic(), 0
    for experiment_id, asked_at in _waiting(database):
        if answered and time.monotonic() - began > budget_seconds:
            break
        due = read_due(database, experiment_id)
        document = _read(database, store, due, now)
        answered += _keep(database, held, due, experiment_id, asked_at, document, now)
    return answered


def _waiting(database: Database) -> list[tuple[int, dt.datetime]]:
    query = (
        select(UnscheduledLook.experiment_id, UnscheduledLook.asked_at)
        .where(col(UnscheduledLook.answered_at).is_(None))
        .order_by(col(UnscheduledLook.asked_at), col(UnscheduledLook.experiment_id))
    )
    with database.read() as session:
        return list(session.exec(query))


def _read(
    database: Database, store: EventStore, due: Due | None, now: dt.datetime
) -> dict[str, Any]:
    if due is None or due.position.shipped:
        return {"failed": "it had ended before it could be read"}
    try:
        return _measured(database, store, due, now)
    except SourceError as error:
        return {"failed": f"its source cannot be read: {error}"}
    except Exception as error:
        # It must neither keep the others from their answers nor be tried again every second.
        log.exception("experiment %s could not be read between looks", due.experiment.key)
        return {"failed": f"the reading failed: {error}"}


def _measured(database: Database, store: EventStore, due: Due, now: dt.datetime) -> dict[str, Any]:
    plan, experiment = due.plan, due.experiment
    start = experiment.started_at
    assert start is not None
    # As long after the events as a look is taken: what is under way counts next time.
    elapsed = (now - start).total_seconds() - plan.policy.settle_seconds
    offset = min(max(0.0, elapsed), plan.deadline_seconds)
    with database.read() as session:
        planned = _planned_units(session, experiment.id, plan)
    # Cut where the looks cut; what they have not frozen yet is frozen by them alone.
    read = read_data(database, store, due, since=start, offset=offset)
    counts = read.measured.analysis.counts
    document = read_now(
        plan,
        offset=offset,
        counts=counts,
        sums=read.measured.sums,
        alarm=read.quality.alarm(counts, experiment.explained),
        planned_units=planned,
        dropped=experiment.dropped,
        newest=due.last_decision,
    )
    look = due.looks[-1]["look"]["number"] if due.looks else None
    return document | {"look": look}


def _planned_units(session: Session, experiment_id: int | None, plan: Plan) -> float:
    """Give what was planned before the start: the forecast is not renewed from then on."""
    if plan.planned_units is not None:
        return float(plan.planned_units)
    row = session.get(Forecast, experiment_id)
    deadline = None if row is None else row.document.get("deadline")
    units = None if deadline is None else deadline.get("units")
    return float(units) if units else PLANNED_UNITS


def _keep(
    database: Database,
    held: Held,
    due: Due | None,
    experiment_id: int,
    asked_at: dt.datetime,
    document: dict[str, Any],
    now: dt.datetime,
) -> int:
    with database.write() as session:
        check_fence(session, held)
        if due is not None:
            lock_environment(session, due.project_key, due.environment_key)
        row = session.get(UnscheduledLook, experiment_id, populate_existing=True)
        if row is None or row.asked_at != asked_at or row.answered_at is not None:
            return 0
        row.answered_at, row.document = now, document
        session.add(row)
    return 1
