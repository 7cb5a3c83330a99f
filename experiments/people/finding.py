"""Find experiments: page by page, by what is asked of people, by words. One query each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, func, select

from experiments.contract.release import RELEASE
from experiments.machine.states import PROVEN, SHIPPED, WATCHED, Outcome, State
from experiments.models import Experiment
from flags.filters import (
    WORDS,
    Field,
    Filter,
    Term,
    one_holds,
    text_holds,
    time_holds,
    words_hold,
)
from flags.models import Environment, Project

WAITING, RUNNING, PLANNED, ENDED = "waiting", "running", "planned", "ended"
GROUPS = (WAITING, RUNNING, PLANNED, ENDED)
"""What an experiment asks of people: something now, nothing yet, a start, nothing any more."""

EXPERIMENT_FIELDS: Mapping[str, Field] = {
    "key": Field("text", "the experiment's name"),
    "flag": Field("text", "the flag that it is on"),
    "customer": Field("text", "who is accountable; me for you"),
    "owner": Field("text", "who runs it; me for you"),
    "state": Field("one", "where it stands", tuple(state.lower() for state in State)),
    "verdict": Field("one", "what came out", tuple(verdict.lower() for verdict in Outcome)),
    "is": Field("one", "what it is", ("release", "experiment")),
    "created": Field("time", "when it was drafted"),
    "started": Field("time", "when it began"),
    "ended": Field("time", "when it was decided"),
}
"""What lists of experiments can be asked for."""

_UNSTARTED = [State.DRAFT, State.SEALED]


@dataclass(frozen=True)
class Wanted:
    """Which experiments of a project; what is None does not matter.

    Parameters
    ----------
    group : str, optional
        One of `GROUPS`.
    words : str
        A text that the key, the flag, the hypothesis, the customer, the note or what was learned
        contains.
    asked : Filter
        By `EXPERIMENT_FIELDS`; its words are looked for as those of ``words`` are.
    me : str
        Who ``customer:me`` and ``owner:me`` are.
    verdict : str, optional
        The newest one.
    started : bool
        Only those that somebody has met.
    releases : bool, optional
        True: guarded releases only; False: experiments only.
    now : datetime, optional
        When it is: a review that is overdue by then waits for whoever promised it.
    """

    environment_key: str | None = None
    flag_keys: Collection[str] | None = None
    key: str | None = None
    state: str | None = None
    group: str | None = None
    words: str = ""
    asked: Filter = field(default_factory=Filter)
    me: str = ""
    verdict: str | None = None
    started: bool = False
    releases: bool | None = None
    now: dt.datetime | None = None


def _waiting(now: dt.datetime | None) -> sa.ColumnElement[bool]:
    """Somebody must confirm, explain, agree, review, or take the code of what is settled away."""
    overdue: sa.ColumnElement[bool] = sa.false()
    if now is not None:
        # Both are ISO 8601 in UTC, which sorts as time does.
        review_at = sa.type_coerce(col(Experiment.override), sa.JSON)["review_at"].as_string()
        overdue = sa.and_(
            col(Experiment.state).in_(sorted(SHIPPED)),
            review_at <= now.astimezone(dt.UTC).isoformat(),
        )
    return sa.or_(
        overdue,
        col(Experiment.state).in_([State.HELD, State.CLEANUP]),
        sa.and_(
            col(Experiment.state) == State.RUNNING, col(Experiment.verdict).in_(sorted(PROVEN))
        ),
        col(Experiment.request).is_not(None),
    )


def _group(now: dt.datetime | None) -> sa.ColumnElement[int]:
    """Give the number of the group: its place in `GROUPS`."""
    return sa.case(
        (_waiting(now), 0),
        (col(Experiment.state).in_(sorted(WATCHED)), 1),
        (col(Experiment.state).in_(_UNSTARTED), 2),
        else_=3,
    )


def find_experiments(
    session: Session,
    project_key: str,
    wanted: Wanted = Wanted(),
    *,
    before_id: int | None = None,
    limit: int | None = None,
) -> list[Experiment]:
    """Give a project's experiments, newest first.

    Parameters
    ----------
    before_id : int, optional
        Only those that are older than this one: the last of the page before.
    limit : int, optional
        How many at most.
    """
    query = _where(select(Experiment), project_key, wanted).order_by(col(Experiment.id).desc())
    if before_id is not None:
        query = query.where(col(Experiment.id) < before_id)
    if limit is not None:
        query = query.limit(limit)
    return list(session.exec(query))


def count_groups(session: Session, project_key: str, wanted: Wanted) -> dict[str, int]:
    """Count the experiments of every group."""
    group = _group(wanted.now)
    query = _where(select(group, func.count()), project_key, wanted).group_by(group)
    counts: dict[int, int] = dict(session.exec(query).all())
    return {name: counts.get(place, 0) for place, name in enumerate(GROUPS)}


def watched_on(
    session: Session, project_key: str, environment_key: str, flag_keys: Collection[str]
) -> dict[str, Experiment]:
    """Give what runs or ships on each of some flags; the oldest, where several do."""
    query = _where(select(Experiment), project_key, Wanted(environment_key, flag_keys))
    query = query.where(col(Experiment.state).in_(sorted(WATCHED)))
    return {each.flag_key: each for each in session.exec(query.order_by(col(Experiment.id).desc()))}


def watched_in(session: Session, project_key: str) -> list[Experiment]:
    """Give what runs or ships on any flag, in every environment."""
    query = _where(select(Experiment), project_key, Wanted())
    query = query.where(col(Experiment.state).in_(sorted(WATCHED)))
    return list(session.exec(query.order_by(col(Experiment.id))))


def _where(query: Any, project_key: str, wanted: Wanted) -> Any:
    query = (
        query.select_from(Experiment)
        .join(Project, col(Project.id) == Experiment.project_id)
        .join(Environment, col(Environment.id) == Experiment.environment_id)
        .where(Project.key == project_key)
    )
    if wanted.environment_key is not None:
        query = query.where(Environment.key == wanted.environment_key)
    if wanted.flag_keys is not None:
        query = query.where(col(Experiment.flag_key).in_(list(wanted.flag_keys)))
    if wanted.key is not None:
        query = query.where(Experiment.key == wanted.key)
    if wanted.state is not None:
        query = query.where(Experiment.state == wanted.state)
    if wanted.verdict is not None:
        query = query.where(Experiment.verdict == wanted.verdict)
    if wanted.started:
        query = query.where(col(Experiment.started_at).is_not(None))
    if wanted.group is not None:
        query = query.where(_group(wanted.now) == GROUPS.index(wanted.group))
    if wanted.releases is not None:
        claims = col(Experiment.plan)["claim"].as_string()
        query = query.where((claims == RELEASE) if wanted.releases else (claims != RELEASE))
    query = query.where(*(_holds(term, wanted.me) for term in wanted.asked.terms))
    for word in wanted.words.split():
        query = query.where(sa.or_(*(each.icontains(word, autoescape=True) for each in _texts())))
    return query


def _holds(term: Term, me: str) -> sa.ColumnElement[bool]:
    if term.field == WORDS:
        return words_hold(term, *_texts())
    if term.field in {"customer", "owner"}:
        names = tuple(me if value == "me" else value for value in term.values)
        return text_holds(replace(term, values=names), _said(term.field))
    if term.field in {"key", "flag"}:
        return text_holds(term, col(Experiment.key if term.field == "key" else Experiment.flag_key))
    if term.field in _TIMES:
        return time_holds(term, _TIMES[term.field])
    if term.field == "is":
        release = _said("claim") == RELEASE
        return one_holds(term, {"release": release, "experiment": sa.not_(release)})
    column = col(Experiment.state if term.field == "state" else Experiment.verdict)
    return one_holds(term, {value: column == value.upper() for value in term.values})


def _said(name: str) -> Any:
    return sa.type_coerce(col(Experiment.plan), sa.JSON)[name].as_string()


_TIMES: Mapping[str, Any] = {
    "created": col(Experiment.created_at),
    "started": col(Experiment.started_at),
    "ended": col(Experiment.ended_at),
}


def _texts() -> tuple[Any, ...]:
    plan = col(Experiment.plan)
    return (
        col(Experiment.key),
        col(Experiment.flag_key),
        col(Experiment.note),
        col(Experiment.learned),
        plan["hypothesis"].as_string(),
        plan["customer"].as_string(),
    )
