"""What needs a human today, and what it costs a day to let it wait.

Money is only said where a plan says what an effect is worth and a look has seen one: a proven
change that nobody confirms brings nothing, a held one keeps a half of the people from it, a settled
one is run and supported. What has no price comes after what has one, the more urgent first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from sqlmodel import Session

from experiments.contract.costs import good, running_costs
from experiments.contract.money import months_between
from experiments.contract.plan import Plan
from experiments.machine.states import PROVEN, WATCHED, State
from experiments.models import Experiment
from experiments.moves.enact import plan_of
from experiments.moves.places import same_person
from experiments.people import flag_tasks, services
from experiments.people.finding import WAITING, Wanted, find_experiments
from experiments.people.flag_work import Person
from experiments.people.task import MOST, Task, in_order
from experiments.telling.card import Card
from flags import request_rows
from flags.instances import list_instances
from flags.models import ChangeRequest, Environment
from flags.request_rows import APPROVED, FAILED, MISSED, OPEN, STALE

_DAY = 86400.0
_OLD = dt.timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Coming:
    """What happens by itself next: nobody has to do anything."""

    at: dt.datetime
    what: str
    experiment: str | None = None
    change: int | None = None


def agenda(
    session: Session, project_key: str, environment: Environment, who: Person, *, now: dt.datetime
) -> list[Task]:
    """Give what needs a human in an environment, by what a day of waiting costs."""
    tasks = [
        *_experiments(session, project_key, environment, who, now),
        *flag_tasks.killed(session, environment, who),
        *_changes(session, project_key, environment, who, now),
        *_instances(session, project_key, environment, now),
        *flag_tasks.parted(session, environment, who, now),
        *flag_tasks.had_their_time(session, environment, who),
    ]
    return in_order(tasks)


def coming(
    session: Session, project_key: str, environment: Environment, *, now: dt.datetime
) -> list[Coming]:
    """Give what the machine does next by itself, the soonest first."""
    found: list[Coming] = []
    for each in find_experiments(session, project_key, Wanted(environment.key), limit=MOST):
        if each.state not in WATCHED or each.state == State.HELD:
            continue
        if each.next_ramp_at is not None:
            found.append(Coming(each.next_ramp_at, f"{each.key}: the next step", each.key))
        if each.next_look_at is not None:
            found.append(Coming(each.next_look_at, f"{each.key}: a look", each.key))
    found += [
        Coming(change.at, _of_flags(change), change=change.id)
        for change in request_rows.find(
            session, project_key, environment_id=environment.id, states=(APPROVED,), limit=MOST
        )
        if change.at is not None
    ]
    return sorted((each for each in found if each.at >= now), key=lambda each: each.at)


def _experiments(
    session: Session, project_key: str, environment: Environment, who: Person, now: dt.datetime
) -> Iterator[Task]:
    wanted = Wanted(environment.key, group=WAITING, now=now)
    for each in find_experiments(session, project_key, wanted, limit=MOST):
        card, plan = services.get_card(session, each, now=now), plan_of(each)
        name, verb, urgency = _asked(each)
        what, why = f"{each.key}: {card.instruction}", f"{card.next.what} – {card.next.when}"
        mine = same_person(who.name, name)
        if each.request is not None:
            mine, name = not same_person(each.request["by"], who.name), "a second person"
            what, why = f"{each.key}: agree to ship {each.request['arm']}, or decline.", each.note
        elif verb == "Review":
            what, why = f"{each.key}: say whether what was promised came true.", card.sentence
        yield Task(
            what=what,
            why=why,
            who=name,
            mine=mine,
            verb=verb,
            urgency=urgency,
            experiment=each.key,
            per_day=_per_day(each, plan, card),
            currency=plan.value.currency if plan.value is not None else "",
        )


def _asked(experiment: Experiment) -> tuple[str, str, int]:
    """Give who is asked, the word of the button, and how urgent it is."""
    customer, owner = str(experiment.plan["customer"]), str(experiment.plan["owner"])
    if experiment.request is not None:
        return "", "Decide", 2
    if experiment.state == State.HELD:
        return owner, "Explain", 0
    if experiment.state == State.RUNNING and experiment.verdict in PROVEN:
        return customer, "Confirm", 1
    if experiment.state == State.CLEANUP:
        return owner, "Clean up", 8
    return str((experiment.override or {}).get("by", owner)), "Review", 5


def _per_day(experiment: Experiment, plan: Plan, card: Card) -> int | None:
    if plan.value is None:
        return None
    if experiment.state == State.CLEANUP:
        return running_costs(plan.value, plan.policy.day_seconds, plan.policy.day_seconds) or None
    line = next((each for each in card.worth_first if each.estimate is not None), None)
    if line is None or line.estimate is None:
        return None
    effect = good(plan.success_metrics[0].direction, line.estimate)
    return abs(plan.value.gross(effect, months_between(_DAY)).likely) or None


def _changes(
    session: Session, project_key: str, environment: Environment, who: Person, now: dt.datetime
) -> Iterator[Task]:
    for change in request_rows.find(
        session,
        project_key,
        environment_id=environment.id,
        states=(OPEN, APPROVED, STALE, FAILED, MISSED),
        limit=MOST,
    ):
        wrote = any(name in change.writers for name in who.names)
        asked = _of_change(change, now)
        if asked is None:
            continue
        verb, why, urgency = asked
        for_others = change.state == OPEN
        yield Task(
            what=_of_flags(change),
            why=why,
            who="an approver" if for_others else change.author.partition(":")[2],
            mine=(environment.id in who.approves and not wrote) if for_others else wrote,
            verb=verb,
            urgency=urgency,
            change=change.id,
        )


def _of_flags(change: ChangeRequest) -> str:
    keys = list(change.preview["after"])
    more = f" and {len(keys) - 2} more" if len(keys) > 2 else ""
    return f"{', '.join(keys[:2])}{more}: {change.preview['sentence']}"


def _of_change(change: ChangeRequest, now: dt.datetime) -> tuple[str, str, int] | None:
    author = change.author.partition(":")[2]
    said = f" “{change.comment}”" if change.comment else ""
    if change.state == OPEN:
        return "Approve", f"change {change.id}: {author} asks.{said}", 3
    if change.state == APPROVED:
        return None if change.at is not None else ("Apply", f"change {change.id} is approved.", 4)
    if now - change.changed_at > _OLD:
        return None
    return "Look", f"change {change.id} is {change.state}.{said}", 4


def _instances(
    session: Session, project_key: str, environment: Environment, now: dt.datetime
) -> Iterator[Task]:
    counts = list_instances(session, project_key, environment.key, now=now, limit=1).counts
    behind = counts["behind"] + counts["without_flags"]
    if behind:
        of = sum(counts.values())
        yield Task(
            what=f"{behind} of {of} connected processes do not serve the newest flags.",
            why="A kill would not reach them.",
            who="whoever runs them",
            mine=False,
            verb="Look",
            urgency=2,
            instances=True,
        )
