"""Find an experiment by its place, and lock what a verb will change."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from experiments.contract.plan import Plan
from experiments.machine.lifecycle import Move, Position
from experiments.models import Experiment, Look
from experiments.moves.enact import enact, plan_of, position_of
from flags.actor import Actor
from flags.errors import InvalidInputError, NotFoundError
from flags.models import Environment
from flags.revisions import lock_environment


@dataclass(frozen=True)
class Opened:
    """An experiment whose environment is locked."""

    session: Session
    environment: Environment
    experiment: Experiment
    plan: Plan

    @property
    def position(self) -> Position:
        """Give where it stands."""
        return position_of(self.experiment, self.plan)

    @property
    def newest_look(self) -> Look | None:
        """Give the newest look before anything shipped."""
        query = (
            select(Look)
            .where(Look.experiment_id == self.experiment.id)
            .order_by(col(Look.number).desc())
        )
        return next((k for k in self.session.exec(query) if "holdback" not in k.data), None)

    def act(
        self,
        move: Move,
        kind: str,
        sentence: str,
        *,
        actor: Actor,
        now: dt.datetime,
        body: Mapping[str, Any] | None = None,
    ) -> Experiment:
        """Carry a move out: row, flag, record and audit together."""
        enact(
            self.session,
            self.environment,
            self.experiment,
            self.plan,
            move,
            kind=kind,
            sentence=sentence,
            actor=actor,
            now=now,
            body=body,
        )
        return self.experiment


def find_experiment(session: Session, environment: Environment, key: str) -> Experiment | None:
    """Give an environment's experiment, as the database has it now."""
    return session.exec(
        select(Experiment)
        .where(Experiment.environment_id == environment.id, Experiment.key == key)
        .execution_options(populate_existing=True)
    ).one_or_none()


def open_experiment(session: Session, project_key: str, environment_key: str, key: str) -> Opened:
    """Lock an experiment's environment, then read the experiment.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    environment = lock_environment(session, project_key, environment_key)
    experiment = find_experiment(session, environment, key)
    if experiment is None:
        raise NotFoundError(f"there is no experiment {key!r} in {environment_key}", field="key")
    return Opened(session, environment, experiment, plan_of(experiment))


def required(text: str, field: str, what: str) -> str:
    """Give a person's words without the space around them, or refuse none."""
    text = text.strip()
    if not text:
        raise InvalidInputError(
            f"{what} needs a reason in words", field=field, hint="they are kept in the record"
        )
    return text


def same_person(one: str, other: str) -> bool:
    """Tell whether two names are one person's."""
    return one.strip().casefold() == other.strip().casefold()
