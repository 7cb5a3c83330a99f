"""Carry a move out: the row, the flag and the record change together, in the caller's transaction.

The services (people) and the monitor (the machine) both come through here; the caller holds the
environment's lock. No statistics: what a look found comes in as plain documents.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, col, select

from experiments import ledger, serving
from experiments.lifecycle import FINISHED, Action, Move, Outcome, Position, State
from experiments.models import DecisionRecord, Experiment
from experiments.plan import Plan, parse_plan
from experiments.record import append_record
from flags import audit
from flags.actor import Actor
from flags.changes import apply_change, parse_change
from flags.errors import FlagstoneError
from flags.models import Environment, FlagEnvironment, FlagRow, Project
from flags.workspace import FlagCopy

Document = dict[str, Any]


def plan_of(experiment: Experiment) -> Plan:
    """Give the plan that the row stores."""
    return parse_plan(experiment.plan)


def position_of(experiment: Experiment, plan: Plan) -> Position:
    """Give where the experiment stands, in the lifecycle's values."""
    return Position(
        treatments=plan.treatments,
        last_step=len(plan.policy.ramp_steps(plan.coverage)) - 1,
        authorised=plan.authorised_in_advance,
        state=State(experiment.state),
        verdict=Outcome(experiment.verdict) if experiment.verdict else None,
        dropped=frozenset(experiment.dropped),
        winner=experiment.winner,
        step=experiment.ramp_step,
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
    if after.state in FINISHED and before.state not in FINISHED and kind != "end":
        record = append_record(
            session,
            experiment,
            "end",
            {**moved, "dropped": sorted(after.dropped)},
            actor=str(actor),
            now=now,
            sentence=sentence,
        )
    ledger.note_move(session, experiment, plan, before, after, body, actor, now)
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
    if flag is None or (held and plan.rule_id not in serving.own_rules(plan, flag)):
        # Somebody took the rule away: nobody gets the change, there is nothing to turn back.
        return said | {"skipped": "the flag no longer carries the experiment's rule"}
    wanted = serving.instructions_to(plan, flag, _rules_for(experiment, plan, move))
    if not wanted:
        return said | {"before": flag["version"], "after": flag["version"]}
    project = session.get_one(Project, experiment.project_id)
    change = parse_change({"comment": f"{plan.rule_id}: {sentence}", "instructions": wanted})
    try:
        with session.begin_nested():
            result = apply_change(
                session, project.key, environment.key, change, actor=actor, now=now
            )
    except FlagstoneError as error:
        if not held:
            raise
        return said | {"skipped": error.message}
    published = result.after.get(plan.flag) or flag
    experiment.rule = serving.own_rules(plan, published)
    return said | {
        "before": flag["version"],
        "after": published["version"],
        "revision": result.revision_number,
    }


def _rules_for(experiment: Experiment, plan: Plan, move: Move) -> list[serving.Rule]:
    assert experiment.id is not None, "only a stored experiment is served"
    salt = serving.salt_of(plan, experiment.id)
    position = move.position
    if move.action is Action.CONTROL:
        return serving.control_rules(plan)
    if move.action is Action.SHIP:
        return serving.shipping_rules(plan, salt, position.winner or position.live_treatments[0])
    return serving.experiment_rules(plan, salt, _coverage(plan, position), position.dropped)


def _coverage(plan: Plan, position: Position) -> float:
    if position.step < 0:
        return 0.0
    return plan.policy.ramp_steps(plan.coverage)[position.step].coverage


def _update_row(
    experiment: Experiment,
    plan: Plan,
    before: Position,
    after: Position,
    sentence: str,
    now: dt.datetime,
) -> None:
    experiment.state = after.state.value
    experiment.verdict = after.verdict.value if after.verdict else None
    experiment.winner = after.winner
    experiment.dropped = sorted(after.dropped)
    experiment.ramp_step = after.step
    experiment.coverage = _coverage(plan, after)
    experiment.note = sentence
    if after.verdict is not None and after.verdict != before.verdict:
        experiment.verdict_at = now
    if after.state is State.SHIPPING:
        experiment.coverage = 1.0
    if after.state in FINISHED:
        experiment.ended_at = now
        experiment.next_look_at = experiment.next_ramp_at = experiment.confirm_by = None
        if after.state is not State.SHIPPING:
            experiment.coverage = 0.0
        return
    if after.waits_for_customer and not before.waits_for_customer:
        wait = dt.timedelta(seconds=plan.policy.confirm_within_seconds)
        experiment.confirm_by = now + wait
    if after.state is State.HELD:
        experiment.confirm_by = None
    experiment.next_ramp_at = None
    if after.state is State.RAMPING and experiment.started_at is not None:
        offset = plan.policy.ramp_offset(after.step + 1)
        experiment.next_ramp_at = experiment.started_at + dt.timedelta(seconds=offset)
