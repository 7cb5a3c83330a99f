"""Carry a move out: the row, the flag and the record change together, in the caller's transaction.

The services (people) and the monitor (the machine) both come through here; the caller holds the
environment's lock. No statistics: what a look found comes in as plain documents.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from sqlmodel import Session, col, select

from experiments.contract.lanes import read_lane
from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.judging.record import append_record
from experiments.machine.lifecycle import FINISHED, Action, Hold, Move, Outcome, Position, State
from experiments.models import DecisionRecord, Experiment
from experiments.moves import sharing
from experiments.moves.row import coverage_at, update_row
from experiments.rules import guard, serving
from experiments.rules.release_rules import Rollout, Served, grown, rollout_in, served_by
from experiments.value.entering import note_move
from flags import audit, notices
from flags.actor import Actor
from flags.budgets import Spending, end_promises
from flags.changes import apply_change, parse_change
from flags.errors import FlagstoneError
from flags.models import Environment, FlagEnvironment, FlagRow, Project
from flags.views import copy_of

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
    return copy_of(flag, here.state, here.flag_version).document()


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
    asked_by: str | None = None,
) -> DecisionRecord:
    """Carry out one move.

    Parameters
    ----------
    kind : str
        Kind of the record that says so. When the move ends the experiment, a record of kind
        ``end`` follows it.
    body : mapping, optional
        What led to the move (a look's documents).
    asked_by : str, optional
        Who wanted it besides the actor, as the audit names them: both answer for it.

    Returns
    -------
    DecisionRecord
        The last record written.
    """
    before = position_of(experiment, plan)
    after = move.position
    payers = {str(actor), asked_by or str(actor)}
    spending = _spending(experiment, plan, move, payers)
    flag = _change_flag(
        session, environment, experiment, plan, move, sentence, actor, spending, now
    )
    update_row(experiment, plan, before, after, sentence, now)
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
        end_promises(session, holder_of(experiment), now)
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
            tells=False,
            now=now,
        )
        _tell(session, environment, experiment, before, after, actor, now, sentence)
    return record


def _tell(
    session: Session,
    environment: Environment,
    experiment: Experiment,
    before: Position,
    after: Position,
    actor: Actor,
    now: dt.datetime,
    sentence: str,
) -> None:
    kind = "experiment.changed"
    if after.hold is not None and after.hold != before.hold:
        kind = "experiment.alarm"
    if after.verdict is not None and after.verdict != before.verdict:
        kind = "experiment.verdict"
    notices.write(
        session,
        kind,
        f"Experiment {experiment.key}: {sentence}",
        project_id=experiment.project_id,
        environments=[environment.key],
        actor=actor,
        resource=f"experiment:{experiment.key}",
        facts={
            "flag": experiment.flag_key,
            "state": {"before": before.state.value, "after": after.state.value},
            "verdict": after.verdict.value if after.verdict else None,
            "hold": after.hold.value if after.hold else None,
        },
        now=now,
    )


def _change_flag(
    session: Session,
    environment: Environment,
    experiment: Experiment,
    plan: Plan,
    move: Move,
    sentence: str,
    actor: Actor,
    spending: Spending,
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
    wanted += sharing.arrangement(
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
                session,
                project.key,
                environment.key,
                change,
                actor=actor,
                now=now,
                # The sealed plan says what may happen, and who has to confirm it.
                exempt=True,
                spending=spending,
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


def _spending(experiment: Experiment, plan: Plan, move: Move, names: set[str]) -> Spending:
    """Say what is paid for a move: by whoever starts something, all that will move without them."""
    promised, holder = Fraction(0), None
    if move.action is Action.SERVE:
        holder = holder_of(experiment)
        # What goes well serves everybody in the end, unless a person has to approve a step.
        reach = 1.0 if plan.release is None else plan.release.reach(move.position.step)
        promised = Fraction(str(reach))
    elif move.action is Action.SHIP and move.position.verdict is Outcome.OVERRIDE_SHIP:
        return override_spending(experiment, names)
    return Spending(
        names,
        trusted=True,
        protective=move.action is Action.CONTROL,
        promised=promised,
        holder=holder,
    )


def override_spending(experiment: Experiment, names: set[str]) -> Spending:
    """Say what those pay who ship by hand: everybody, whom the steps of shipping will reach."""
    return Spending(names, trusted=True, promised=Fraction(1), holder=holder_of(experiment))


def holder_of(experiment: Experiment) -> str:
    """Name what a promise is kept for."""
    return f"experiment:{experiment.id}"


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
    plan = sharing.within(plan, lane)
    match move.action:
        case Action.CONTROL:
            return serving.control_rules(plan)
        case Action.SHIP:
            return serving.shipping_rules(
                plan,
                salt,
                _winner(position),
                plan.policy.ship_steps[position.ship_step].share,
                coverage=coverage_at(plan, position),
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
    return serving.experiment_rules(plan, salt, coverage_at(plan, position), position.dropped)


def _splits(experiment: Experiment, move: Move) -> bool:
    """Tell whether the rules are those of the experiment's own lane, and not of the audience."""
    return experiment.lane is not None and move.action not in {Action.SHIP, Action.EVERYBODY}


def _winner(position: Position) -> str:
    return position.winner or position.live_treatments[0]
