"""How far back events must be kept: by the installation's rule, and by what experiments read."""

from __future__ import annotations

import datetime as dt

from sqlmodel import col, select

from experiments.contract.parsing import parse_plan
from experiments.errors import PlanError
from experiments.measuring.measure import query_of
from experiments.models import Experiment
from flags.database import Database


def keep_since(database: Database, *, keep_days: int, now: dt.datetime) -> float | None:
    """Find the time before which events may go.

    Parameters
    ----------
    database : Database
        The control plane's.
    keep_days : int
        Days that the installation wants to keep; 0 for ever.
    now : datetime
        The time, with a zone.

    Returns
    -------
    float or None
        POSIX seconds; never later than what an experiment that has not ended reads: its start, or
        now if it has not begun, less its metrics' longest time before exposure. ``None`` if
        nothing may go.
    """
    if not keep_days:
        return None
    oldest = (now - dt.timedelta(days=keep_days)).timestamp()
    with database.read() as session:
        unfinished = select(Experiment).where(col(Experiment.ended_at).is_(None))
        for experiment in session.exec(unfinished):
            begun = (experiment.started_at or now).timestamp()
            try:
                plan = parse_plan(experiment.plan)
            except PlanError:
                # Nobody can tell what it reads.
                return None
            query = query_of(
                plan, environment_id=experiment.environment_id, start=begun, offset=0.0
            )
            oldest = min(oldest, query.read_since)
    return oldest
