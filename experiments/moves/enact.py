"""Carry a move out: the row, the flag and the record change together, in the caller's transaction.

The services (people) and the monitor (the machine) both come through here; the caller holds the
environment's lock. No statistics: what a look found comes in as plain documents.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlmodel import Session, col, select

from experiments.contract.lanes import read_lane
from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.judging.record import append_record
from experiments.machine.lifecycle import (
    FINISHED,
    LIVE,
    SHIPPED,
    Action,
    Hold,
    Move,
    Outcome,
    Position,
    State,
)
from experiments.models import DecisionRecord, Experiment
from experiments.moves import layers
from experiments.rules import guard, serving
from experiments.rules.release_rules import Rollout, Served, grown, rollout_in, served_by
from experiments.value.entering import note_move
from flags import audit
from flags.actor import Actor
from flags.changes import apply_change, parse_change
from flags.errors import FlagstoneError
from flags.models import Environment, FlagEnvironment, FlagRow, Project
from flags.workspace import FlagCopy

Document = dict[str, Any]


def plan_of(experiment: Experiment) -> Plan:
    """Give the plan that the row stores, with the extension that was given to it."""
    plan = parse_plan(experiment.plan)
    return replace(plan, extension_seconds=experiment.extension_seconds)


def position_of(experiment: Experiment, plan: Plan) -> Position:
    """Give where the experiment stands, in the lifecycle's values."""
    return Position(
        treatments=plan.treatments,
        last_step=len(plan.ramp_steps) - 1,
        authorised=plan.authorised_in_advance,
        state=State(experiment.state),
        verdict=Outcome(experiment.verdict) if experiment.verdict else None,
        dropped=frozenset(experiment.dropped),
        winner=experiment.winner,
        step=experiment.ramp_step,
        last_ship_step=len(plan.policy.ship_steps) - 1,
        ship_step=experiment.ship_step,
        hold=Hold(experiment.held_cause) if experiment.held_cause else None,
        held_from=State(experiment.held_from) if experiment.held_from else None,
        extended=experiment.extension_seconds > 0,
        is_release=plan.release is not None,
    )


def current_flag(session: Session, environment: Environment, flag_key: str) -> Document | None:
    """Give the flag as it is published now; ``None`` if there is none, or it is archived."""
    found = session.exec(
        select(FlagRow, FlagEnvironment)
        .join(FlagEnvironment, col(FlagEnvironment.flag_id) == col(FlagRow.id))
        .where(FlagEnvironment.environment_id == environment.id, FlagRow.key == flag_key)
        .execution_options(populate_existing=True)
    ).first()
    if found is None or found[0].archived:
        return None
    flag, here = found
    return FlagCopy(
        key=flag.key,
        type=flag.type,
        name=flag.name,
        description=flag.description,
        owner=flag.owner,
        client=flag.client,
        archived=flag.archived,
        metadata=flag.flag_metadata,
        variants=flag.variants,
        state=here.state,
        version=here.flag_version,
    ).document()


def enact(
    session: Session,
    environment: Environment,
    experiment: Experiment,
    plan: Plan,
    move: Move,
    *,
    kind: str,
    sentence: str,
    actor: Actor,
    now: dt.datetime,
    body: Mapping[str, Any] | None = None,
) -> DecisionRecord:
    """Carry out one move.

    Parameters
    ----------
    kind : str
        Kind of the record that says so. When the move ends the experiment, a record of kind
        ``end`` follows it.
    body : mapping, optional
        What led to the move (a look's documents).

    Returns
    -------
    DecisionRecord
        The last record written.
    """
    before = position_of(experiment, plan)
    after = move.position
    flag = _change_flag(session, environment, experiment, plan, move, sentence, actor, now)
    _update_row(experiment, plan, before, after, sentence, now)
    session.add(experiment)
    session.flush()
    moved = {"state": after.state.value, "verdict": after.verdict, "winner": after.winner}
    record = append_record(
        session,
        experiment,
        kind,
        {**(body or {}), **moved, "coverage": experiment.coverage, "flag": flag},
        actor=str(actor),
        now=now,
        sentence=sentence,
    )
    if after.state in FINISHED and before.state not in FINISHED:
        record = append_record(
            session,
            experiment,
            "end",
            {**moved, "dropped": sorted(after.dropped)},
            actor=str(actor),
            now=now,
            sentence=sentence,
        )
    note_move(session, experiment, plan, before, after, body, actor, now)
    if after != before:
        audit.append(
            session,
            project_id=experiment.project_id,
            environment_id=experiment.environment_id,
            actor=actor,
            action=f"experiment_{kind}",
            resource=f"experiment:{experiment.key}",
            before={"state": before.state.value, "verdict": before.verdict},
            after={"state": after.state.value, "verdict": after.verdict},
            comment=sentence,
            now=now,
        )
    return record


def _change_flag(
    session: Session,
    environment: Environment,
    experiment: Experiment,
    plan: Plan,
    move: Move,
    sentence: str,
    actor: Actor,
    now: dt.datetime,
) -> Document | None:
    if move.action is Action.NONE:
        return None
    flag = current_flag(session, environment, plan.flag)
    said: Document = {"action": move.action.value, "key": plan.flag}
    held = experiment.state == State.HELD
    away = move.action is Action.CONTROL
    if flag is None or (held and away and not serving.own_rules(plan, flag)):
        # Somebody took the rule away: nobody gets the change, there is nothing to turn back.
        return said | {"skipped": "the flag no longer carries the experiment's rule"}
    rollout = _taken_over(plan, move, flag)
    rules = _rules_for(session, environment, experiment, plan, move, flag, rollout)
    instead_of = None if rollout is None else rollout.rule_id
    wanted = serving.instructions_to(plan, flag, rules, instead_of)
    if not wanted:
        return said | {"before": flag["version"], "after": flag["version"]}
    wanted += layers.arrangement(
        session,
        experiment,
        plan,
        flag,
        wanted,
        serving.own_ids(plan),
        is_for_all=not _splits(experiment, move),
    )
    project = session.get_one(Project, experiment.project_id)
    change = parse_change({"comment": f"{plan.rule_id}: {sentence}", "instructions": wanted})
    try:
        with session.begin_nested():
            result = apply_change(
                session, project.key, environment.key, change, actor=actor, now=now
            )
    except FlagstoneError as error:
        if not (held and away):
            raise
        return said | {"skipped": error.message}
    published = result.after.get(plan.flag) or flag
    experiment.rule = serving.own_rules(plan, published)
    return said | {
        "before": flag["version"],
        "after": published["version"],
        "revision": result.revision_number,
    }


def _taken_over(plan: Plan, move: Move, flag: Document) -> Rollout | None:
    if plan.release is None or move.action is not Action.SERVE:
        return None
    return rollout_in(plan, flag)


def _rules_for(
    session: Session,
    environment: Environment,
    experiment: Experiment,
    plan: Plan,
    move: Move,
    flag: Document,
    rollout: Rollout | None,
) -> list[serving.Rule]:
    rules = _own_rules(experiment, plan, move, flag, rollout)
    if not guard.is_on(session, environment):
        return rules
    by_id = {rule["id"]: rule for rule in rules}
    return list(guard.with_holdout(plan, by_id, held=True).values())


def _own_rules(
    experiment: Experiment, plan: Plan, move: Move, flag: Document, rollout: Rollout | None
) -> list[serving.Rule]:
    assert experiment.id is not None, "only a stored experiment is served"
    salt = serving.salt_of(plan, experiment.id)
    position = move.position
    # What ships, and what is turned back after it shipped, is the whole audience's.
    lane = read_lane(experiment.lane) if _splits(experiment, move) else None
    plan = layers.within(plan, lane)
    match move.action:
        case Action.CONTROL:
            return serving.control_rules(plan)
        case Action.SHIP:
            return serving.shipping_rules(
                plan,
                salt,
                _winner(position),
                plan.policy.ship_steps[position.ship_step].share,
                coverage=_coverage(plan, position),
                others_on_control=flag["default"] == plan.control,
            )
        case Action.EVERYBODY:
            return serving.everybody_rules(plan, _winner(position))
        case Action.SERVE | Action.WIDEN if plan.release is not None:
            if move.action is Action.WIDEN:
                served = served_by(plan, experiment.rule[plan.rule_id])
            elif rollout is not None:
                served = Served(rollout.salt, rollout.having, [])
            else:
                served = Served(salt, [], [])
            share = plan.release.steps[position.step].share
            return serving.release_rules_at(plan, grown(served, share))
    return serving.experiment_rules(plan, salt, _coverage(plan, position), position.dropped)


def _splits(experiment: Experiment, move: Move) -> bool:
    """Tell whether the rules are those of the experiment's own lane, and not of the audience."""
    return experiment.lane is not None and move.action not in {Action.SHIP, Action.EVERYBODY}


def _winner(position: Position) -> str:
    return position.winner or position.live_treatments[0]


def _coverage(plan: Plan, position: Position) -> float:
    if position.step < 0:
        return 0.0
    return plan.ramp_steps[position.step].coverage


def _share_served(plan: Plan, position: Position) -> float:
    """Tell to which share of the audience the experiment, or what it ships, is served."""
    if position.shipped:
        return plan.policy.ship_steps[position.ship_step].share
    if position.state is State.CLEANUP:
        return 1.0
    return 0.0 if position.state in FINISHED else _coverage(plan, position)


def _update_row(
    experiment: Experiment,
    plan: Plan,
    before: Position,
    after: Position,
    sentence: str,
    now: dt.datetime,
) -> None:
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
