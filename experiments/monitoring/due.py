"""One experiment in the worker's hands: read without a lock, then moved under it or not at all.

What was read may be old when the reading of events is done. Every step is therefore made of what is
found under the lock, and falls away if somebody moved the experiment in between.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlmodel import Session, col, select

from experiments.contract.plan import Plan
from experiments.machine.lifecycle import WATCHED, Move, Position, State
from experiments.models import Experiment, Look
from experiments.moves.enact import current_flag, enact, plan_of, position_of
from experiments.moves.lease import Held, check_fence
from experiments.rules import serving
from flags.actor import SYSTEM
from flags.database import Database
from flags.models import Environment, Project
from flags.revisions import lock_environment

MACHINE = replace(SYSTEM, name="monitor")


@dataclass(frozen=True)
class Due:
    """A watched experiment as it was read, before anything is locked.

    Parameters
    ----------
    looks, comparisons : tuple of mapping
        What was stored with each look before shipping, and with each at the holdback.
    last_decision : mapping, optional
        What the last look before shipping decided.
    """

    experiment: Experiment
    plan: Plan
    project_key: str
    environment_key: str
    looks: tuple[Mapping[str, Any], ...]
    comparisons: tuple[Mapping[str, Any], ...]
    last_decision: Mapping[str, Any] | None

    @property
    def position(self) -> Position:
        """Give where the experiment stood when it was read."""
        return position_of(self.experiment, self.plan)

    @property
    def marks(self) -> Mapping[str, float]:
        """Give what the looks have frozen, such as where values are cut off."""
        return (self.looks[-1].get("marks") or {}) if self.looks else {}

    @property
    def next_number(self) -> int:
        """Give the number of its next look."""
        return len(self.looks) + len(self.comparisons) + 1


@dataclass(frozen=True)
class Step:
    """What the worker does to an experiment, and what it says about it."""

    move: Move
    kind: str
    sentence: str
    body: Mapping[str, Any] = field(default_factory=dict)


Decide = Callable[[Session, Environment, Experiment], Step | None]


def read_due(database: Database, experiment_id: int) -> Due | None:
    """Read an experiment; ``None`` if nothing of it is watched any more."""
    with database.read() as session:
        experiment = session.get(Experiment, experiment_id)
        if experiment is None or State(experiment.state) not in WATCHED:
            return None
        environment = session.get_one(Environment, experiment.environment_id)
        project = session.get_one(Project, experiment.project_id)
        rows = session.exec(
            select(Look).where(Look.experiment_id == experiment_id).order_by(col(Look.number))
        ).all()
        session.expunge_all()
    return Due(
        experiment=experiment,
        plan=plan_of(experiment),
        project_key=project.key,
        environment_key=environment.key,
        looks=tuple(row.data for row in rows if "holdback" not in row.data),
        comparisons=tuple(row.data for row in rows if "holdback" in row.data),
        last_decision=next(
            (row.decision for row in reversed(rows) if "holdback" not in row.data), None
        ),
    )


def take_step(
    database: Database,
    held: Held,
    due: Due,
    now: dt.datetime,
    decide: Decide,
    *,
    edited_too: bool = False,
) -> bool:
    """Take a step under the lock, or none: ``decide`` says which, from what it finds there.

    The experiment itself is then as it was read, or nothing is done.

    Parameters
    ----------
    edited_too : bool
        Whether the step may be taken although the flag was edited by hand a moment ago; else the
        broken seal comes first.
    """
    with database.write() as session:
        check_fence(session, held)
        environment = lock_environment(session, due.project_key, due.environment_key)
        experiment = session.get(Experiment, due.experiment.id, populate_existing=True)
        if experiment is None or experiment.version != due.experiment.version:
            return False
        sealed = experiment.held_cause != "seal"
        if sealed and not edited_too and edited(session, environment, experiment, due.plan):
            return False
        step = decide(session, environment, experiment)
        if step is None:
            return False
        enact(
            session,
            environment,
            experiment,
            due.plan,
            step.move,
            kind=step.kind,
            sentence=step.sentence,
            actor=MACHINE,
            now=now,
            body=step.body,
        )
    return True


def edited(
    session: Session, environment: Environment, experiment: Experiment, plan: Plan
) -> str | None:
    """Say how the flag differs from what the experiment wrote, or ``None``."""
    flag = current_flag(session, environment, plan.flag)
    return serving.edited_by_hand(plan, flag, experiment.rule or {})
