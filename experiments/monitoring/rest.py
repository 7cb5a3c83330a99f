"""Which watched experiments have anything due: one query, however many there are.

To find out what is due of one experiment its plan and looks are read. Most of the time there is
nothing: no instant has come, and neither its row nor its flag is another one than when the worker
last found it at rest. Then nothing of it is read. Whether its events still come in is asked of the
store when they could be missing, and then once an hour (:mod:`experiments.monitoring.silence`).
What failed is tried again after a while, so that one engine that is down does not keep the others
waiting at every tick.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlmodel import col

from experiments.machine.lifecycle import WATCHED
from experiments.models import Experiment
from flags.database import Database
from flags.models import FlagEnvironment, FlagRow

Versions = tuple[int | None, int | None, int | None]
"""Versions of an experiment's row, of its flag, and of the flag in the environment."""

RETRY = dt.timedelta(seconds=30)


@dataclass
class Memory:
    """What one worker knows of its experiments; a new worker begins with nothing.

    Parameters
    ----------
    at_rest : dict
        By experiment, as what it was found at rest.
    retry_at : dict
        By experiment whose source could not be read, when to try again.
    asked_at, ask_at : dict
        By experiment, when the store was asked whether its events still come in, and is next.
    """

    at_rest: dict[int, Versions] = field(default_factory=dict)
    retry_at: dict[int, dt.datetime] = field(default_factory=dict)
    asked_at: dict[int, dt.datetime] = field(default_factory=dict)
    ask_at: dict[int, dt.datetime] = field(default_factory=dict)


def watched(database: Database, memory: Memory, now: dt.datetime) -> Iterator[tuple[int, Versions]]:
    """Give the watched experiments of which anything may be due, oldest first.

    Parameters
    ----------
    memory : Memory
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
    present = {row[0] for row in rows}
    for known in (memory.at_rest, memory.retry_at, memory.asked_at, memory.ask_at):
        for gone in known.keys() - present:
            del known[gone]
    for experiment_id, *rest in rows:
        versions = (rest[0], rest[1], rest[2])
        instants = (*rest[3:], memory.ask_at.get(experiment_id))
        come = any(instant is not None and instant <= now for instant in instants)
        if now < memory.retry_at.get(experiment_id, now):
            continue
        if come or memory.at_rest.get(experiment_id) != versions:
            yield experiment_id, versions
