"""What a move changes on the experiment's row: where it stands, and when what is next."""

from __future__ import annotations

import datetime as dt

from experiments.contract.plan import Plan
from experiments.machine.lifecycle import FINISHED, LIVE, SHIPPED, Hold, Position, State
from experiments.models import Experiment


def coverage_at(plan: Plan, position: Position) -> float:
    """Tell which share of the audience the ramp covers at a position, 0 to 1."""
    if position.step < 0:
        return 0.0
    return plan.ramp_steps[position.step].coverage


def _share_served(plan: Plan, position: Position) -> float:
    """Tell to which share of the audience the experiment, or what it ships, is served."""
    if position.shipped:
        return plan.policy.ship_steps[position.ship_step].share
    if position.state is State.CLEANUP:
        return 1.0
    return 0.0 if position.state in FINISHED else coverage_at(plan, position)


def update_row(
    experiment: Experiment,
    plan: Plan,
    before: Position,
    after: Position,
    sentence: str,
    now: dt.datetime,
) -> None:
    """Write where a move has led, why, and the clocks that start or stop with it."""
    experiment.state = after.state.value
    experiment.winner = after.winner
    experiment.dropped = sorted(after.dropped)
    experiment.ramp_step = after.step
    experiment.ship_step = after.ship_step
    experiment.held_cause = after.hold.value if after.hold else None
    experiment.held_from = after.held_from.value if after.held_from else None
    experiment.coverage = _share_served(plan, after)
    experiment.note = sentence
    experiment.verdict = after.verdict.value if after.verdict else None
    if after.verdict is not None and after.verdict != before.verdict:
        experiment.verdict_at = now
        at = now.astimezone(dt.UTC).isoformat()
        given = {"verdict": after.verdict.value, "at": at, "sentence": sentence}
        experiment.verdicts = [*experiment.verdicts, given]
    if (after.state, after.verdict) != (before.state, before.verdict):
        # A request to override was made in another situation.
        experiment.request = None
    _set_clocks(experiment, plan, before, after, now)


def _set_clocks(
    experiment: Experiment, plan: Plan, before: Position, after: Position, now: dt.datetime
) -> None:
    policy = plan.policy
    waits, waited = after.waits_for_customer, before.waits_for_customer
    if not waits:
        experiment.confirm_by = None
    elif not waited:
        experiment.confirm_by = now + dt.timedelta(seconds=policy.confirm_within_seconds)
    if after.hold is not Hold.QUALITY:
        experiment.explain_by = None
    elif before.hold is not Hold.QUALITY:
        experiment.explain_by = now + dt.timedelta(seconds=policy.explain_within_seconds)
    if after.state in FINISHED | SHIPPED:
        # What follows the decision is aftercare: the experiment itself has ended.
        experiment.ended_at = experiment.ended_at or now
        experiment.lane = None
    if after.state is State.CLOSED:
        experiment.closed_at = now
    if after.state in FINISHED:
        experiment.next_look_at = experiment.next_ramp_at = None
        return
    _set_next_ramp(experiment, plan, before, after, now)


def _set_next_ramp(
    experiment: Experiment, plan: Plan, before: Position, after: Position, now: dt.datetime
) -> None:
    policy = plan.policy
    if plan.release is not None and after.state in LIVE:
        # The hold of a step begins with it; a hold of the machine does not begin it anew.
        if after.step != before.step:
            hold = dt.timedelta(seconds=plan.release.steps[after.step].hold_seconds)
            experiment.next_ramp_at = now + hold
        return
    experiment.next_ramp_at = None
    if after.state is State.RAMPING and experiment.started_at is not None:
        offset = policy.ramp_offset(after.step + 1)
        experiment.next_ramp_at = experiment.started_at + dt.timedelta(seconds=offset)
    if after.state not in SHIPPED:
        return
    if (after.state, after.ship_step) != (before.state, before.ship_step):
        # Each step of shipping, and the verification, has looks of its own.
        length = policy.ship_steps[after.ship_step].hold_seconds
        first = policy.next_look(0.0, length) + policy.settle_seconds
        experiment.compared_since = now
        experiment.realised = None
        experiment.next_look_at = now + dt.timedelta(seconds=first)
    if after.state is State.SHIPPING and after.ship_step < after.last_ship_step:
        assert experiment.compared_since is not None
        held_for = dt.timedelta(seconds=policy.ship_steps[after.ship_step].hold_seconds)
        experiment.next_ramp_at = experiment.compared_since + held_for
