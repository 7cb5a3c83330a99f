"""What people do with guarded releases: draft, start, approve, and see where they stand.

Everything else (stop, card, record, looks) is done to a release as to any experiment.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from sqlmodel import Session

from experiments.contract.parsing import read_text
from experiments.contract.release import RELEASE, in_short_words, is_short_form
from experiments.errors import PlanError
from experiments.machine.lifecycle import LIVE, Move, State
from experiments.models import Experiment
from experiments.moves.enact import current_flag, holder_of
from experiments.moves.places import Place, same_person, verb
from experiments.moves.release_state import is_release, standing_of
from experiments.people import services
from experiments.telling.release_words import approved_sentence
from flags.actor import Actor
from flags.budgets import Spending, spend
from flags.errors import NotAllowedError, NotFoundError, StateError
from flags.revisions import lock_environment
from flags.shares import Side


def create(
    session: Session,
    project_key: str,
    document: Mapping[str, Any] | str,
    *,
    actor: Actor,
    now: dt.datetime,
) -> Experiment:
    """Draft a release; what is left out is what is there: control, and who runs it.

    Raises
    ------
    PlanError
        At the first fault.
    """
    given = {"claim": RELEASE, **read_text(document)}
    if given["claim"] != RELEASE:
        raise PlanError("this is no release", field="claim", hint='claim = "release", or none')
    given.setdefault("owner", actor.name)
    if "control" not in given:
        environment = lock_environment(
            session, project_key, str(given.get("environment", "production"))
        )
        if "flag" in given:
            flag = current_flag(session, environment, str(given["flag"]))
            if flag is None:
                message = f"there is no flag {given['flag']!r} in {environment.key}"
                raise PlanError(message, field="flag", hint="make it first")
            given["control"] = flag["default"]
    try:
        return services.create_experiment(session, project_key, given, actor=actor, now=now)
    except PlanError as error:
        raise in_short_words(error) if is_short_form(given) else error from None


@verb
def start(place: Place, *, actor: Actor, now: dt.datetime) -> Experiment:
    """Seal a draft, if it is one, and serve the first step.

    Raises
    ------
    StateError
        If the flag cannot carry the release, or it has started before.
    """
    if find(*place).state == State.DRAFT:
        services.seal(*place, actor=actor, now=now)
    return services.start(*place, actor=actor, now=now)


@verb
def approve(place: Place, *, actor: Actor, now: dt.datetime) -> Experiment:
    """Approve the present step, so that the one after it may come.

    Raises
    ------
    NotAllowedError
        If it is who started the release, or no person.
    StateError
        If there is nothing to approve.
    OverBudgetError
        If what follows by itself is more than who approves may move.
    """
    find(*place)
    opened = place.open()
    plan, position = opened.plan, opened.position
    assert plan.release is not None
    if position.state not in LIVE:
        raise StateError(
            f"a release that is {position.state} has no step to approve",
            hint="only from HELD, RAMPING, RUNNING",
        )
    standing = standing_of(place.session, opened.experiment, plan)
    step = position.step
    if not plan.release.steps[step].approval or step in standing.approved:
        why = "is approved already" if step in standing.approved else "needs no approval"
        raise StateError(f"step {step + 1} {why}")
    if actor.kind != "user":
        raise NotAllowedError("a program approves nothing", hint="sign in and approve it yourself")
    if same_person(actor.name, standing.started_by):
        raise NotAllowedError(
            f"{actor.name} started this release", hint="somebody else approves its steps"
        )
    follows = Spending(
        {str(actor)},
        trusted=True,
        promised=Fraction(str(plan.release.reach(step + 1))),
        holder=holder_of(opened.experiment),
    )
    # Nothing moves yet: who started paid for the way to here, who approves pays for what follows.
    same = Side({}, {})
    spend(place.session, follows, [opened.environment], lambda _: (same, same), now)
    return opened.act(
        Move(position),
        "action",
        approved_sentence(plan, step, actor.name),
        actor=actor,
        now=now,
        body={"do": "approve", "step": step, "by": actor.name},
    )


def find(session: Session, project_key: str, environment_key: str, key: str) -> Experiment:
    """Give one release.

    Raises
    ------
    NotFoundError
        If there is none of that key.
    """
    experiment = services.get_experiment(session, project_key, environment_key, key)
    if not is_release(experiment):
        raise NotFoundError(
            f"{key!r} is an experiment, not a release", field="key", hint="look among experiments"
        )
    return experiment
