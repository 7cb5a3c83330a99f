"""What is left of an experiment that has ended, and how the worker notices that nothing is."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Session, col, select

from experiments.machine import lifecycle
from experiments.machine.lifecycle import State
from experiments.models import Experiment
from experiments.monitoring.due import MACHINE
from experiments.moves.enact import current_flag, enact, plan_of, position_of
from experiments.moves.lease import Held, check_fence
from experiments.rules import serving
from flags.database import Database
from flags.models import Environment, FlagEnvironment, FlagRow, Project
from flags.revisions import lock_environment

ENDED = (State.ROLLED_BACK.value, State.CLEANUP.value)


def close_what_is_gone(database: Database, held: Held, now: dt.datetime) -> int:
    """Close every ended experiment whose flag is archived, or whose rule is gone; count them."""
    return sum(_close(database, held, found, now) for found in _candidates(database))


def _candidates(database: Database) -> list[int]:
    """Ask the database, so that a thousand old experiments cost one query and not a thousand."""
    key = sa.func.replace(col(Experiment.key), "_", "\\_")
    rule = sa.literal('%"exp-') + key
    state = sa.cast(col(FlagEnvironment.state), sa.Text)
    mentioned = sa.or_(
        state.like(rule + sa.literal('"%'), escape="\\"),
        state.like(rule + sa.literal(':ship"%'), escape="\\"),
    )
    query = (
        select(Experiment.id)
        .join(
            FlagRow,
            sa.and_(
                col(FlagRow.project_id) == col(Experiment.project_id),
                col(FlagRow.key) == col(Experiment.flag_key),
            ),
        )
        .join(
            FlagEnvironment,
            sa.and_(
                col(FlagEnvironment.flag_id) == col(FlagRow.id),
                col(FlagEnvironment.environment_id) == col(Experiment.environment_id),
            ),
        )
        .where(col(Experiment.state).in_(ENDED))
        .where(sa.or_(col(FlagRow.archived), sa.not_(mentioned)))
        .order_by(col(Experiment.id))
    )
    with database.read() as session:
        return [found for found in session.exec(query) if found]


def _close(database: Database, held: Held, experiment_id: int, now: dt.datetime) -> bool:
    with database.write() as session:
        check_fence(session, held)
        experiment = session.get_one(Experiment, experiment_id)
        project = session.get_one(Project, experiment.project_id)
        environment = session.get_one(Environment, experiment.environment_id)
        environment = lock_environment(session, project.key, environment.key)
        experiment = session.get_one(Experiment, experiment_id, populate_existing=True)
        gone = what_is_gone(session, environment, experiment)
        if gone is None or experiment.state not in ENDED:
            return False
        plan = plan_of(experiment)
        enact(
            session,
            environment,
            experiment,
            plan,
            lifecycle.close(position_of(experiment, plan)),
            kind="action",
            sentence=f"Closed: {gone}.",
            actor=MACHINE,
            now=now,
            body={"do": "close", "gone": gone},
        )
    return True


def what_is_gone(session: Session, environment: Environment, experiment: Experiment) -> str | None:
    """Say what an ended experiment has left nothing of, or ``None`` while it still stands."""
    plan = plan_of(experiment)
    flag = current_flag(session, environment, plan.flag)
    if flag is None:
        return f"flag {plan.flag} is archived"
    if not set(serving.own_rules(plan, flag)) - {serving.held_rule_id(plan)}:
        return f"rule {plan.rule_id} is gone from flag {plan.flag}"
    return None
