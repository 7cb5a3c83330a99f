"""What a list of flags shows of work: which ramps are on their way, and what waits for somebody."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import defer
from sqlmodel import Session, col, select

from experiments.contract.release import RELEASE
from experiments.machine.states import PROVEN, WATCHED, Outcome, State
from experiments.models import Experiment
from experiments.moves.enact import plan_of
from experiments.moves.places import same_person
from experiments.people.finding import WAITING, Wanted, find_experiments
from flags import nudges
from flags.finding import Keys
from flags.models import ChangeRequest, Environment, FlagEnvironment, FlagRow
from flags.request_rows import APPROVED, FAILED, MISSED, OPEN, STALE
from flags.services import get_project, list_environments

_ON_THE_WAY = (State.RAMPING, State.SHIPPING)
# Whoever has not looked at a change that failed for so long will not.
_OLD = dt.timedelta(days=14)
_MOST_CHANGES = 500
_HARMED = (Outcome.HARM, Outcome.LATE_HARM)
_RECENT = dt.timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Person:
    """Whose work: an owner's name, how changes name them, and where they may approve.

    ``names`` are all under which they write changes: none of those may approve them. ``approves``
    are environments by their ids.
    """

    name: str
    names: Collection[str]
    approves: Collection[int]


@dataclass(frozen=True, slots=True)
class Ramp:
    """Where a ramp stands: step ``step`` of ``of``; ``next_at`` is None where nothing is timed."""

    step: int
    of: int
    next_at: dt.datetime | None

    @property
    def words(self) -> str:
        """Give it as a list shows it."""
        return f"ramp {self.step} of {self.of}"


@dataclass(frozen=True, slots=True)
class Need:
    """What waits for a person: in words, and the change or the experiment that it is about."""

    words: str
    change: int | None = None
    experiment: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What experiments make of a flag: the one that runs on it, its ramp, its health.

    ``health`` is ``harm`` (something on it was turned back for harm within a week), ``held``,
    ``watched`` (somebody looks, and saw no harm) or empty: nobody looks.
    """

    experiment: Experiment | None
    ramp: Ramp | None
    health: str


def standings(
    session: Session,
    project_key: str,
    environment_key: str,
    flag_keys: Collection[str],
    *,
    now: dt.datetime,
) -> dict[str, Standing]:
    """Give how experiments and releases stand on some flags of an environment, by flag."""
    found: dict[str, list[Experiment]] = {}
    for each in find_experiments(session, project_key, Wanted(environment_key, flag_keys)):
        found.setdefault(each.flag_key, []).append(each)
    return {key: standing_of(several, now) for key, several in found.items()}


def standing_of(experiments: list[Experiment], now: dt.datetime) -> Standing:
    """Give how the experiments on one flag stand; the newest first."""
    # The oldest that is watched, as everywhere where there is room for one.
    watched = next((each for each in reversed(experiments) if each.state in WATCHED), None)
    health = ""
    if watched is not None:
        health = "held" if watched.state == State.HELD else "watched"
    elif any(
        each.verdict in _HARMED and each.verdict_at and now - each.verdict_at < _RECENT
        for each in experiments
    ):
        health = "harm"
    moving = watched is not None and watched.state in _ON_THE_WAY
    return Standing(watched, _ramp(watched) if watched and moving else None, health)


def _ramp(experiment: Experiment) -> Ramp:
    plan = plan_of(experiment)
    if experiment.state == State.SHIPPING:
        steps, step = len(plan.policy.ship_steps), experiment.ship_step
    else:
        # A release ends with everybody; that is a step too.
        last = 1 if plan.release is not None else 0
        steps, step = len(plan.ramp_steps) + last, experiment.ramp_step
    return Ramp(step + 1, steps, experiment.next_ramp_at)


def needs(
    session: Session,
    project_key: str,
    environment_key: str | None,
    who: Person,
    *,
    now: dt.datetime,
) -> dict[str, list[Need]]:
    """Give what waits for a person in an environment, or in all of them, by flag."""
    found: dict[str, list[Need]] = {}
    for flag_key, need in (
        *_changes(session, project_key, environment_key, who, now),
        *_experiments(session, project_key, environment_key, who, now),
        *_killed(session, project_key, environment_key, who),
    ):
        found.setdefault(flag_key, []).append(need)
    return found


def _changes(
    session: Session, project_key: str, environment_key: str | None, who: Person, now: dt.datetime
) -> Iterable[tuple[str, Need]]:
    query = (
        select(ChangeRequest)
        .where(
            ChangeRequest.project_id == get_project(session, project_key).id,
            col(ChangeRequest.state).in_((OPEN, APPROVED, STALE, FAILED, MISSED)),
        )
        # What a change would make of the flags is large, and not asked for here.
        .options(defer(ChangeRequest.definitions), defer(ChangeRequest.instructions))  # type: ignore[arg-type]
        .order_by(col(ChangeRequest.id).desc())
        .limit(_MOST_CHANGES)
    )
    if environment_key is not None:
        query = query.where(
            col(ChangeRequest.environment_id).in_(
                [
                    each.id
                    for each in list_environments(session, project_key)
                    if each.key == environment_key
                ]
            )
        )
    for change in session.exec(query):
        words = _asks(change, who, now)
        if words is not None:
            for key in change.preview["after"]:
                yield key, Need(words, change=change.id)


def _asks(change: ChangeRequest, who: Person, now: dt.datetime) -> str | None:
    mine = any(name in change.writers for name in who.names)
    if change.state == OPEN:
        given = any(each["by"] in who.names for each in change.approvals)
        may = change.environment_id in who.approves
        return "waits for your approval" if may and not mine and not given else None
    if not mine:
        return None
    if change.state == APPROVED:
        return None if change.at is not None else "approved: apply it"
    return f"your change is {change.state}" if now - change.changed_at < _OLD else None


def _experiments(
    session: Session, project_key: str, environment_key: str | None, who: Person, now: dt.datetime
) -> Iterable[tuple[str, Need]]:
    asked = Wanted(environment_key, group=WAITING, now=now)
    for each in find_experiments(session, project_key, asked):
        people = {str(each.plan["customer"]), str(each.plan["owner"])}
        mine = any(same_person(who.name, name) for name in people)
        words = _waits_for(each, mine=mine, who=who)
        if words is not None:
            yield each.flag_key, Need(words, experiment=each.key)


def _waits_for(experiment: Experiment, *, mine: bool, who: Person) -> str | None:
    if experiment.request is not None and not same_person(experiment.request["by"], who.name):
        return "a second person must agree"
    if not mine:
        return None
    if experiment.state == State.RUNNING and experiment.verdict in PROVEN:
        customer = same_person(who.name, str(experiment.plan["customer"]))
        return "proven: confirm it" if customer else None
    return {
        State.HELD: "held: say what happened",
        State.CLEANUP: "settled: take its code away",
    }.get(State(experiment.state), "its review is due")


def _killed(
    session: Session, project_key: str, environment_key: str | None, who: Person
) -> Iterable[tuple[str, Need]]:
    query = (
        sa.select(col(FlagRow.key), col(Environment.key))
        .join(FlagEnvironment, col(FlagEnvironment.flag_id) == col(FlagRow.id))
        .join(Environment, col(Environment.id) == col(FlagEnvironment.environment_id))
        .where(
            col(FlagRow.project_id) == get_project(session, project_key).id,
            col(FlagRow.archived).is_(False),
            sa.func.lower(col(FlagRow.owner)) == who.name.lower(),
            col(FlagEnvironment.state_word) == "killed",
        )
    )
    if environment_key is not None:
        query = query.where(col(Environment.key) == environment_key)
    for flag_key, where in session.execute(query):
        yield flag_key, Need(f"killed in {where}: repair it, or lift the kill")


def sets(
    project_key: str, environment_key: str | None, who: Person, *, now: dt.datetime
) -> Mapping[tuple[str, str], Keys]:
    """Give what a filter of flags may ask of experiments and of people."""

    def watched(*, release: bool) -> Keys:
        return lambda session: _keys(
            session,
            project_key,
            environment_key,
            col(Experiment.state).in_(sorted(WATCHED)),
            _claims(release=release),
        )

    return {
        ("has", "experiment"): watched(release=False),
        ("has", "release"): watched(release=True),
        ("state", "ramping"): lambda session: _keys(
            session, project_key, environment_key, col(Experiment.state).in_(_ON_THE_WAY)
        ),
        ("needs", "me"): lambda session: list(
            needs(session, project_key, environment_key, who, now=now)
        ),
        **nudges.judged(project_key, now=now),
    }


def _claims(*, release: bool) -> sa.ColumnElement[bool]:
    claim = sa.type_coerce(col(Experiment.plan), sa.JSON)["claim"].as_string()
    found: sa.ColumnElement[bool] = claim == RELEASE
    return found if release else sa.not_(found)


def _keys(
    session: Session,
    project_key: str,
    environment_key: str | None,
    *where: sa.ColumnElement[bool],
) -> sa.Select[Any]:
    query = sa.select(col(Experiment.flag_key)).where(
        col(Experiment.project_id) == get_project(session, project_key).id, *where
    )
    # Of those that the caller may see.
    named = [
        each.id
        for each in list_environments(session, project_key)
        if environment_key in {None, each.key}
    ]
    return query.where(col(Experiment.environment_id).in_(named))
