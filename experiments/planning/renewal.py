"""Which forecasts the worker makes anew: missing ones, old ones, and those of another plan."""

from __future__ import annotations

import datetime as dt
import logging

import sqlalchemy as sa
from sqlmodel import col, select

from experiments.contract.plan import plan_hash
from experiments.contract.release import RELEASE
from experiments.machine.lifecycle import State
from experiments.measuring.today import Today, read_today
from experiments.models import Experiment, Forecast
from experiments.moves.enact import plan_of
from experiments.moves.lease import Held, check_fence, take_turns
from experiments.planning.forecast import Document, failed_forecast, forecast
from experiments.planning.forecast_words import MDE
from experiments.planning.foretelling import RUNS
from experiments.store.promises import EventStore
from flags.database import Database
from flags.models import Environment, Project
from flags.revisions import lock_environment

log = logging.getLogger(__name__)

#: A forecast is of today's traffic: after a day it is made again.
FRESH = dt.timedelta(days=1)
#: While something is not known it may be known soon; of an old draft it is not asked so often.
RETRY, RETRY_OLD = dt.timedelta(minutes=1), dt.timedelta(hours=1)
# No new forecast is begun in a tick that has worked for so long.
_BUDGET_SECONDS = 1.0


def forecast_due(
    database: Database,
    store: EventStore,
    held: Held,
    now: dt.datetime,
    *,
    runs: int = RUNS,
    budget_seconds: float = _BUDGET_SECONDS,
) -> int:
    """Forecast drafts and sealed plans whose forecast is missing, old or of another plan.

    Parameters
    ----------
    held : Held
        The worker's lease: only its holder writes.
    runs : int, default RUNS
        Simulated experiments in each world.
    budget_seconds : float
        No further one is begun after that; at least one is made.

    Returns
    -------
    int
        How many were made.

    Raises
    ------
    FencedError
        If the lease went to another worker.
    """
    return take_turns(
        lambda: _due(database, now),
        lambda due: _renew(database, store, held, due, now, runs),
        budget_seconds=budget_seconds,
    )


def _due(database: Database, now: dt.datetime) -> int | None:
    """Find whose turn it is: sealed plans first, then whoever waits longest."""
    sealed = col(Experiment.state) == State.SEALED.value
    other_plan = sa.case(
        (sealed, col(Forecast.plan_hash) != col(Experiment.plan_hash)),
        # Only an edit of its plan moves a draft.
        else_=col(Forecast.experiment_version) != col(Experiment.version),
    )
    claim = sa.type_coerce(col(Experiment.plan), sa.JSON)["claim"].as_string()
    query = (
        select(Experiment.id)
        .outerjoin(Forecast, col(Forecast.experiment_id) == col(Experiment.id))
        .where(
            col(Experiment.state).in_([State.DRAFT.value, State.SEALED.value]),
            # A release promises no effect that could be out of reach.
            claim.is_distinct_from(RELEASE),
            sa.or_(
                col(Forecast.experiment_id).is_(None), col(Forecast.renew_at) <= now, other_plan
            ),
        )
        .order_by(sa.desc(sealed), col(Forecast.computed_at), col(Experiment.id))
        .limit(1)
    )
    with database.read() as session:
        return session.exec(query).first()


def _renew(
    database: Database,
    store: EventStore,
    held: Held,
    experiment_id: int,
    now: dt.datetime,
    runs: int,
) -> int:
    with database.read() as session:
        experiment = session.get_one(Experiment, experiment_id)
        environment = session.get_one(Environment, experiment.environment_id)
        project = session.get_one(Project, experiment.project_id)
        session.expunge_all()
    try:
        plan = plan_of(experiment)
        today = Today()
        if plan.source is None:
            today = read_today(store, experiment.environment_id, plan, now.timestamp())
        document = forecast(plan, today, runs=runs)
    except Exception as error:
        # It must neither keep the others from theirs nor be tried again every second.
        log.exception("experiment %s could not be forecast", experiment_id)
        document = failed_forecast(error)
    with database.write() as session:
        check_fence(session, held)
        lock_environment(session, project.key, environment.key)
        present = session.get(Experiment, experiment_id, populate_existing=True)
        if present is None or present.plan != experiment.plan or present.started_at is not None:
            return 0
        row = session.get(Forecast, experiment_id) or Forecast(
            experiment_id=experiment_id,
            plan_hash="",
            experiment_version=0,
            computed_at=now,
            renew_at=now,
            document={},
        )
        row.plan_hash = plan_hash(experiment.plan)
        row.experiment_version = experiment.version or 0
        row.computed_at = now
        row.renew_at = now + _lasts(experiment, document, now)
        row.document = document
        session.add(row)
    return 1


def _lasts(experiment: Experiment, document: Document, now: dt.datetime) -> dt.timedelta:
    if all(risk["risk"] == MDE for risk in document["risks"]):
        return FRESH
    touched = experiment.sealed_at or experiment.created_at
    return RETRY if now - touched < FRESH else RETRY_OLD
