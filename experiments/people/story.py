"""One flag's story in an environment: changes, ramps, looks, alarms and approvals on one axis."""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from sqlmodel import Session

from experiments.machine.states import Outcome
from experiments.models import Experiment, Look
from experiments.moves.enact import plan_of
from experiments.people import services
from experiments.people.finding import Wanted, find_experiments
from experiments.telling.series import Series, series_of
from experiments.telling.timeline import timeline
from flags import activity, request_rows
from flags.models import AuditEntry, Environment
from flags.services import flag_history

MOST = 200
"""So many changes, and so many experiments, are told; the rest is in the audit."""
CHANGE, STEP, LOOK, ALARM, APPROVAL = "change", "step", "look", "alarm", "approval"
LANES = {
    CHANGE: "Changes",
    APPROVAL: "Approvals",
    STEP: "Steps of experiments",
    LOOK: "Looks",
    ALARM: "Guardrails and alarms",
}
"""The kinds of events, in the order of the drawing."""

_ALARMING = frozenset({Outcome.HARM, Outcome.LATE_HARM, Outcome.INVALID})
_BY_EXPERIMENT = "exp-"


@dataclass(frozen=True)
class Event:
    """One thing that happened to a flag; ``entry`` is there where it can be undone."""

    at: dt.datetime
    lane: str
    words: str
    who: str
    entry: AuditEntry | None = None
    experiment: str | None = None
    change: int | None = None


@dataclass(frozen=True)
class Seen:
    """How many people an experiment had counted by a time."""

    at: dt.datetime
    people: int


@dataclass(frozen=True)
class Story:
    """Everything on one axis, newest event first.

    ``seen`` and ``metric`` are of the experiment that was looked at last; ``metric`` is None while
    its effects are hidden. ``exposures`` are of the flag, whatever runs on it: hours, and how many.
    """

    events: list[Event]
    seen: list[Seen] = field(default_factory=list)
    experiment: Experiment | None = None
    metric: Series | None = None
    day_seconds: float = 86400.0
    exposures: tuple[tuple[dt.datetime, int], ...] = ()


def flag_story(
    session: Session, project_key: str, environment: Environment, flag_key: str, *, now: dt.datetime
) -> Story:
    """Tell what happened to a flag in an environment.

    Raises
    ------
    NotFoundError
        If there is no such project or environment.
    """
    experiments = find_experiments(
        session, project_key, Wanted(environment.key, flag_keys=[flag_key]), limit=MOST
    )
    events = [
        *_changes(session, project_key, environment, flag_key),
        *_approvals(session, project_key, environment, flag_key),
    ]
    # What an experiment did to the flag is told once, as the change that it was.
    told = {event.entry.comment for event in events if event.entry is not None}
    looked: list[tuple[Experiment, list[Look]]] = []
    for each in experiments:
        looks = services.looks(session, each)
        events += [*_records(session, each, told), *_alarms(each, looks)]
        if looks:
            looked.append((each, looks))
    events.sort(key=lambda event: event.at, reverse=True)
    exposures = _exposures(session, environment, flag_key, now)
    if not looked:
        return Story(events, exposures=exposures)
    newest, looks = max(looked, key=lambda pair: pair[1][-1].at)
    plan, card = plan_of(newest), services.get_card(session, newest, now=now)
    shown = () if card.worth_hidden else series_of(plan, looks)
    return Story(
        events,
        [Seen(look.at, sum(look.data["look"]["counts"].values())) for look in looks],
        newest,
        next((series for series in shown if series.points), None),
        plan.policy.day_seconds,
        exposures,
    )


def _exposures(
    session: Session, environment: Environment, flag_key: str, now: dt.datetime
) -> tuple[tuple[dt.datetime, int], ...]:
    """Give the hours of the last two days in which somebody met the flag, with how many did."""
    found = activity.read(
        session, environment.id or 0, [flag_key], now=now, hours=activity.HOURS
    ).get(flag_key)
    if found is None:
        return ()
    present = now.replace(minute=0, second=0, microsecond=0)
    newest_first = enumerate(reversed(found.hours))
    return tuple(
        (present - dt.timedelta(hours=ago), count) for ago, count in newest_first if count
    )[::-1]


def _changes(
    session: Session, project_key: str, environment: Environment, flag_key: str
) -> Iterator[Event]:
    history = flag_history(
        session, project_key, flag_key, environment_key=environment.key, limit=MOST
    )
    for entry in history:
        words = entry.action.replace("_", " ")
        if entry.comment:
            words += f" – {entry.comment}"
        lane = STEP if entry.comment.startswith(_BY_EXPERIMENT) else CHANGE
        yield Event(entry.at, lane, words, entry.actor, entry=entry)


def _approvals(
    session: Session, project_key: str, environment: Environment, flag_key: str
) -> Iterator[Event]:
    for change in request_rows.find(
        session, project_key, environment_id=environment.id, flag_key=flag_key, limit=MOST
    ):
        what = change.preview["sentence"]
        yield Event(change.created_at, APPROVAL, f"asked: {what}", change.author, change=change.id)
        for each in change.approvals:
            at = dt.datetime.fromisoformat(each["at"])
            yield Event(at, APPROVAL, f"approved: {what}", each["by"], change=change.id)
        if change.outcome is not None:
            at, by = dt.datetime.fromisoformat(change.outcome["at"]), change.outcome["by"]
            yield Event(at, APPROVAL, f"{change.state}: {what}", by, change=change.id)


def _records(session: Session, experiment: Experiment, told: Container[str]) -> Iterator[Event]:
    for entry in timeline(services.records(session, experiment)):
        if f"{_BY_EXPERIMENT}{experiment.key}: {entry.words}" not in told:
            lane = LOOK if entry.kind == "look" else STEP
            yield Event(entry.ended, lane, entry.words, entry.actor, experiment=experiment.key)


def _alarms(experiment: Experiment, looks: list[Look]) -> Iterator[Event]:
    for look in looks:
        alarm = look.data.get("alarm")
        if look.verdict not in _ALARMING and not alarm:
            continue
        said = f"{look.verdict.replace('_', ' ')} at look {look.number}"
        words = said if look.verdict in _ALARMING else f"data alarm ({alarm}) at look {look.number}"
        yield Event(look.at, ALARM, words, "system:monitor", experiment=experiment.key)
