"""Which watched experiments have anything due: one query, however many there are.

To find out what is due of one experiment its plan and looks are read. Most of the time there is
nothing: no instant has come, and neither its row nor its flag is another one than when the worker
last found it at rest. Then nothing of it is read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import sqlalchemy as sa
from sqlmodel import col

from experiments.lifecycle import WATCHED
from experiments.models import Experiment
from flags.database import Database
from flags.models import FlagEnvironment, FlagRow

Versions = tuple[int | None, int | None, int | None]
"""Versions of an experiment's row, of its flag, and of the flag in the environment."""

AtRest = dict[int, Versions]
"""By experiment, as what it was found at rest. A worker keeps it; a new one begins with none."""


def watched(
    database: Database, at_rest: AtRest, now: dt.datetime
) -> Iterator[tuple[int, Versions]]:
    """Give the watched experiments of which anything may be due, oldest first.

    Parameters
    ----------
    at_rest : dict
        What the worker has found; experiments that are watched no more are forgotten.
    """
    clocks = ("next_look_at", "next_ramp_at", "confirm_by", "explain_by")
    flag_row = sa.and_(
        col(FlagRow.project_id) == col(Experiment.project_id),
        col(FlagRow.key) == col(Experiment.flag_key),
    )
    flag_here = sa.and_(
        col(FlagEnvironment.flag_id) == col(FlagRow.id),
        col(FlagEnvironment.environment_id) == col(Experiment.environment_id),
    )
    query = (
        sa.select(
            col(Experiment.id),
            col(Experiment.version),
            col(FlagRow.version),
            col(FlagEnvironment.version),
            *(getattr(Experiment, clock) for clock in clocks),
        )
        .outerjoin(FlagRow, flag_row)
        .outerjoin(FlagEnvironment, flag_here)
        .where(col(Experiment.state).in_([state.value for state in WATCHED]))
        .order_by(col(Experiment.id))
    )
    with database.read() as session:
        rows = session.connection().execute(query).all()
    for gone in at_rest.keys() - {row[0] for row in rows}:
        del at_rest[gone]
    for experiment_id, *rest in rows:
        versions, instants = (rest[0], rest[1], rest[2]), rest[3:]
        come = any(instant is not None and instant <= now for instant in instants)
        if come or at_rest.get(experiment_id) != versions:
            yield experiment_id, versions
