"""How far back events must be kept: by the installation's rule, and by what experiments read."""

from __future__ import annotations

import datetime as dt

from sqlmodel import col, select

from experiments.errors import PlanError
from experiments.models import Experiment
from experiments.plan import Plan, parse_plan
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
    oldest = now - dt.timedelta(days=keep_days)
    with database.read() as session:
        query = select(Experiment).where(col(Experiment.ended_at).is_(None))
        for experiment in session.exec(query):
            begun = experiment.started_at or now
            try:
                before = _before_exposure(parse_plan(experiment.plan))
            except PlanError:
                # Who cannot be read may need anything.
                return None
            oldest = min(oldest, begun - dt.timedelta(seconds=before))
    return oldest.timestamp()


def _before_exposure(plan: Plan) -> float:
    """Return how long before their exposure units are watched, in seconds."""
    return max((getattr(m, "covariate_seconds", None) or 0.0 for m in plan.metrics), default=0.0)
