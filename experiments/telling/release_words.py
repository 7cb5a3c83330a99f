"""What is said of a release: its sentences, its card's instruction, and what comes next."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from experiments.contract import words
from experiments.contract.plan import Plan
from experiments.machine.lifecycle import LIVE, Outcome, State
from experiments.rules.release_rules import Rollout
from experiments.telling.card_status import CardStatus

MACHINE = "the machine, by itself"


def step_text(plan: Plan, step: int, share: float | None = None) -> str:
    """Name a step: ``step 2 of 5 (5 %)``."""
    assert plan.release is not None
    share = plan.release.steps[step].share if share is None else share
    return f"step {step + 1} of {plan.release.count} ({words.percent(share)})"


def served_sentence(plan: Plan, step: int, share: float) -> str:
    """Say that a step has begun."""
    (variant,) = plan.treatments
    text = step_text(plan, step, share)
    return (
        f"{text[0].upper()}{text[1:]}: {words.percent(share)} of the audience get {variant}, "
        f"as many on {plan.control} are compared with them, nobody else is touched."
    )


def started_sentence(plan: Plan, rollout: Rollout | None) -> str:
    """Say that a release has begun, from nobody or from a plain rollout."""
    assert plan.release is not None
    if rollout is None:
        return served_sentence(plan, 0, plan.release.steps[0].share)
    step = rollout.first_step(plan)
    share = max(rollout.share, plan.release.steps[step].share)
    had = words.percent(rollout.share)
    begun = served_sentence(plan, step, share)
    return f"{begun} It goes on from rule {rollout.rule_id}: {had} had it already and keep it."


def approved_sentence(plan: Plan, step: int, by: str) -> str:
    """Say who approved a step."""
    return f"{by} approved {step_text(plan, step)}."


def released_sentence(plan: Plan, *, shown: bool, look: Mapping[str, Any], now: dt.datetime) -> str:
    """Say that everybody has it, and no more than was seen."""
    (variant,) = plan.treatments
    tolerant = [metric.key for metric in plan.metrics if metric.role == "guardrail"]
    watched = [metric.key for metric in plan.metrics if metric.decides]
    told = []
    if shown:
        told.append(f"{words.listed(tolerant)} shown to stay within what is tolerated")
        watched = [key for key in watched if key not in tolerant]
    if watched:
        told.append(f"no harm seen in {words.listed(watched)}")
    met = words.listed([f"{look['counts'].get(arm, 0):,} met {arm}" for arm in plan.arms])
    seen = words.listed(told)
    return f"On {words.moment(now)} everybody got {variant}: {seen} ({met})."


def standing_sentence(plan: Plan, status: CardStatus) -> str:
    """Say where a release stands that has no news."""
    (variant,) = plan.treatments
    if status.started_at is None or status.release is None:
        stage = "Sealed" if status.plan_hash else "Drafted"
        return f"{stage}, not yet started: nobody has {variant}. The claim: {plan.hypothesis}"
    told = status.release
    since = words.moment(status.started_at)
    return (
        f"Started on {since}; now {step_text(plan, told['step'], told['share'])}. Harm turns "
        f"everybody back to {plan.control} by itself, and so does waiting for too long."
    )


def instruction(plan: Plan, status: CardStatus) -> str | None:
    """Say in plain words what to do, where a release differs from an experiment."""
    (variant,) = plan.treatments
    keep, state = plan.control, State(status.state)
    given = status.verdict in {Outcome.RELEASED, Outcome.NO_HARM_PROVEN}
    if state is State.CLOSED and given:
        return f"Nothing left to do: {variant} stays, and the release's rule is gone."
    if given:
        return f"Everybody has {variant}: take the flag out of the code."
    if state in {State.DRAFT, State.SEALED}:
        return "Start when ready."
    if state in LIVE and state is not State.HELD:
        waiting = [] if status.release is None else status.release["waits_for"]
        if [each["kind"] for each in waiting] == ["approval"]:
            return "Approve the step, or stop it: everything else is as it should be."
        return "Wait: no harm is seen, and the next step comes by itself."
    if state is not State.ROLLED_BACK:
        return None
    return (
        {
            Outcome.HARM: f"Keep {keep}: {variant} does harm.",
            Outcome.NOT_PROVEN_IN_TIME: f"Keep {keep}: the release waited for too long.",
            Outcome.INVALID: f"Keep {keep} and repair the release: its numbers cannot be trusted.",
            Outcome.OVERRIDE_STOP: f"Keep {keep}: the release was stopped by hand.",
        }.get(Outcome(status.verdict))
        if status.verdict
        else None
    )


def next_step(plan: Plan, status: CardStatus) -> tuple[str, str, str, dt.datetime | None] | None:
    """Say what happens next, when and by whom, where a release differs from an experiment."""
    state = State(status.state)
    (variant,) = plan.treatments
    if state is State.DRAFT:
        return ("start", "now", plan.owner, None)
    if state not in LIVE or state is State.HELD or status.release is None:
        return None
    told, release = status.release, plan.release
    assert release is not None
    assert status.started_at is not None
    last = told["step"] + 1 == len(release.steps)
    following = f"everybody gets {variant}" if last else step_text(plan, told["step"] + 1)
    waiting = told["waits_for"]
    causes = words.listed([each["text"] for each in waiting]) or "the next tick"
    end = status.started_at + dt.timedelta(seconds=plan.deadline_seconds)
    when = f"by {words.moment(end)} at the latest, else everybody is back on {plan.control}"
    approval = [each["kind"] for each in waiting] == ["approval"]
    who = f"anybody but {told['started_by']}" if approval else MACHINE
    return (f"{following}; waits for {causes}", when, who, status.next_look_at)
