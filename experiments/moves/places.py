"""Find an experiment by its place, and lock what a verb will change."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec

from sqlmodel import Session, select

from experiments.contract.plan import Plan
from experiments.errors import SealBrokenError
from experiments.machine.lifecycle import Move, Position
from experiments.models import Experiment, Look
from experiments.moves.enact import current_flag, enact, plan_of, position_of
from experiments.rules import serving
from experiments.value.entering import newest_look
from flags.actor import Actor
from flags.errors import InvalidInputError, NotAllowedError, NotFoundError
from flags.models import Environment
from flags.revisions import lock_environment

Asked = ParamSpec("Asked")


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
        assert self.experiment.id is not None
        return newest_look(self.session, self.experiment.id)

    def check_customer(self, actor: Actor, does: str, *, hint: str) -> None:
        """Refuse anybody but the one person to whom the plan gives an account.

        Raises
        ------
        NotAllowedError
            With who it would be.
        """
        if not same_person(actor.name, self.plan.customer):
            raise NotAllowedError(
                f"only the customer, {self.plan.customer}, {does} this experiment", hint=hint
            )

    def check_seal(self, then: str) -> None:
        """Refuse what rests on the rules that the experiment wrote, once they were edited by hand.

        Raises
        ------
        SealBrokenError
            With the edit, and what follows from it.
        """
        flag = current_flag(self.session, self.environment, self.plan.flag)
        edited = serving.edited_by_hand(self.plan, flag, self.experiment.rule or {})
        if edited is not None:
            raise SealBrokenError(f"{edited}: {then}", field="flag")

    def act(
        self,
        move: Move,
        kind: str,
        sentence: str,
        *,
        actor: Actor,
        now: dt.datetime,
        body: Mapping[str, Any] | None = None,
        asked_by: str | None = None,
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
            asked_by=asked_by,
        )
        return self.experiment


def find_experiment(session: Session, environment: Environment, key: str) -> Experiment | None:
    """Give an environment's experiment, as the database has it now."""
    return session.exec(
        select(Experiment)
        .where(Experiment.environment_id == environment.id, Experiment.key == key)
        .execution_options(populate_existing=True)
    ).one_or_none()


class Place(NamedTuple):
    """Where an experiment is."""

    session: Session
    project_key: str
    environment_key: str
    key: str

    def open(self) -> Opened:
        """Lock the environment, then read the experiment.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        environment = lock_environment(self.session, self.project_key, self.environment_key)
        experiment = find_experiment(self.session, environment, self.key)
        if experiment is None:
            raise NotFoundError(
                f"there is no experiment {self.key!r} in {self.environment_key}", field="key"
            )
        return Opened(self.session, environment, experiment, plan_of(experiment))


def verb(
    act: Callable[Concatenate[Place, Asked], Experiment],
) -> Callable[Concatenate[Session, str, str, str, Asked], Experiment]:
    """Let a verb be called with the parts of a place: session, project, environment, key."""

    @wraps(act)
    def at(
        session: Session,
        project_key: str,
        environment_key: str,
        key: str,
        /,
        *args: Asked.args,
        **kwargs: Asked.kwargs,
    ) -> Experiment:
        return act(Place(session, project_key, environment_key, key), *args, **kwargs)

    return at


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
