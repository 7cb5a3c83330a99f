"""The worker's side: before a sealed experiment may start, find every row's place in its source.

Only types are read, no rows: it costs an engine next to nothing, however large its tables.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from sqlmodel import col, select

from experiments.contract.plan import Plan
from experiments.contract.source import Source
from experiments.errors import PlanError, SourceError
from experiments.machine.lifecycle import State
from experiments.models import Experiment, SourceCheck
from experiments.moves.enact import plan_of
from experiments.sources.services import source_of
from flags.database import Database

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0


def check_sealed(database: Database, now: dt.datetime) -> list[str]:
    """Check each sealed experiment that names a source: once, and again while it fails.

    Returns
    -------
    list of str
        What nobody foresaw, a sentence for each experiment; it is tried again.
    """
    due: list[tuple[int, Plan, Source | None, dict[str, Any] | None]] = []
    with database.read() as session:
        query = select(Experiment).where(Experiment.state == State.SEALED.value)
        for experiment in session.exec(query.order_by(col(Experiment.id))):
            if experiment.plan.get("source") is None or experiment.id is None:
                continue
            last = session.get(SourceCheck, experiment.id)
            if last is not None and (
                last.problem is None or (now - last.at).total_seconds() < RETRY_SECONDS
            ):
                continue
            plan = plan_of(experiment)
            try:
                source = source_of(session, experiment.project_id, plan)
                due.append((experiment.id, plan, source, None))
            except PlanError as error:
                due.append((experiment.id, plan, None, _problem(error)))
    errors = []
    for experiment_id, plan, source, problem in due:
        try:
            if source is not None:
                problem = problem_of(source, plan)
        except Exception as error:
            # Whatever it is: one experiment's trouble must not keep the others from being served.
            log.exception("the source of experiment %s could not be checked", experiment_id)
            errors.append(f"experiment {experiment_id}: {error}")
            problem = _unforeseen(plan)
        with database.write() as session:
            row = session.get(SourceCheck, experiment_id)
            row = SourceCheck(experiment_id=experiment_id, at=now) if row is None else row
            row.at, row.problem = now, problem
            session.add(row)
    return errors


def problem_of(source: Source, plan: Plan) -> dict[str, Any] | None:
    """Say what is missing in a source for a plan; ``None`` if nothing is."""
    # Engines take a while to import, and most installations have no source.
    from experiments.measuring.check import find_rows

    try:
        find_rows(source, plan)
    except SourceError as error:
        return _problem(error)
    return None


def _problem(error: PlanError | SourceError) -> dict[str, Any]:
    return {"detail": error.message, "field": error.field, "hint": error.hint}


def _unforeseen(plan: Plan) -> dict[str, Any]:
    detail = f"the worker could not look into source {plan.source!r}"
    return {"detail": detail, "field": "source", "hint": "the worker's log says why"}
