"""The worker's step that reads events: one look before shipping, one comparison after it.

Data are read outside the lock; whether what they say still counts is settled under it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlmodel import Session

from experiments.contract import words
from experiments.contract.plan import Plan
from experiments.judging import holdback
from experiments.judging.looks import (
    build_look,
    decide,
    finding_of,
    look_document,
    read_look,
)
from experiments.judging.prospects import prospects
from experiments.machine import lifecycle
from experiments.machine.alarms import unexplained
from experiments.machine.lifecycle import PROVEN, Hold, Position, State
from experiments.measuring.exploring import explore
from experiments.models import Experiment, Look
from experiments.monitoring.due import Due, Step, take_step
from experiments.monitoring.reading import DataRead, read_data
from experiments.moves import sharing
from experiments.moves.lease import Held
from experiments.rules import serving
from experiments.store.promises import EventStore
from experiments.telling.hold_words import held_sentence
from experiments.value.priors import priors_of
from flags.database import Database
from flags.models import Environment
from stats import Decision, LookData


def look_if_due(
    database: Database, store: EventStore, held: Held, due: Due, now: dt.datetime
) -> bool:
    """Take the newest scheduled look that was not taken yet; tell whether one was."""
    plan, experiment = due.plan, due.experiment
    assert experiment.started_at is not None
    elapsed = (now - experiment.started_at).total_seconds() - plan.policy.settle_seconds
    offset = plan.policy.latest_look(elapsed, plan.deadline_seconds)
    waits = due.position.waits_for_customer
    if offset is not None and not waits and offset > plan.deadline_seconds:
        # Down through the deadline: the last promised look is still the deadline's.
        offset = plan.deadline_seconds
    last = due.looks[-1]["offset"] if due.looks else 0.0
    if offset is None or offset <= last:
        return False
    start = experiment.started_at
    data = read_data(database, store, due, since=start, offset=offset)
    measured, quality = data.measured, data.quality
    earlier = tuple(read_look(each["look"]) for each in due.looks)
    look = build_look(
        plan,
        number=due.next_number,
        offset=offset,
        counts=measured.analysis.counts,
        sums=measured.sums,
        quality=quality,
        earlier=earlier,
        waits_for_customer=waits,
        explained=experiment.explained,
    )
    decision = decide(plan, (*earlier, look), experiment.dropped)
    explored = explore(
        store,
        plan,
        environment_id=experiment.environment_id,
        start=start.timestamp(),
        offset=offset,
        counts=measured.analysis.counts,
        source=data.source,
        marks=measured.marks,
        earlier=next(
            (each["segments"] for each in reversed(due.looks) if "segments" in each), None
        ),
    )

    def judged(session: Session, _environment: Environment, experiment: Experiment) -> Step:
        # Chosen once: the next looks are given what this one has read.
        frozen = {"marks": dict(measured.marks)} if measured.marks else {}
        return _judged(session, experiment, due, look, decision, data, offset, frozen, explored)

    return take_step(database, held, due, now, judged)


def _judged(
    session: Session,
    experiment: Experiment,
    due: Due,
    look: LookData,
    decision: Decision,
    read: DataRead,
    offset: float,
    frozen: Mapping[str, Any],
    explored: Mapping[str, Any],
) -> Step:
    assert experiment.started_at is not None
    plan, position = due.plan, due.position
    policy = plan.policy
    if plan.layer is not None and sharing.ships_already(session, experiment) is not None:
        # Two winners of one flag were never compared: a person has to say what shall happen.
        position = replace(position, authorised=False)
    quality = read.quality
    alarm = quality.alarm(look.counts, experiment.explained)
    alarms = quality.alarms(look.counts)
    ringing = unexplained(alarms, experiment.explained)
    # A feed is not stale before it could be: at first nobody has come yet.
    hold = Hold.QUALITY if ringing else Hold.STALE if read.fresh.stale else None
    move = lifecycle.look(position, finding_of(decision, look, hold))
    after = move.position
    document, data = decision.to_document(), look_document(look)
    seen = {
        "offset": offset,
        "look": data,
        "quality": quality.to_document(),
        "alarm": alarm,
        "dropped": list(experiment.dropped),
        "alarms": alarms,
        "prospects": prospects(plan, look, decision),
        **frozen,
    }
    at = experiment.started_at + dt.timedelta(seconds=offset)
    kept = {"ramp_step": experiment.ramp_step, "priors": priors_of(session, experiment, plan)}
    # Not into the record: it decides nothing, and nobody could decide it again.
    _store(session, experiment, at, seen | kept | dict(explored), document)
    following = policy.next_look(offset, plan.deadline_seconds) + policy.settle_seconds
    experiment.next_look_at = experiment.started_at + dt.timedelta(seconds=following)
    fresh = after.verdict if after.verdict != position.verdict else None
    sentence = words.look_sentence(
        plan,
        verdict=fresh,
        offset=offset,
        look=data,
        decision=document,
        winner=after.winner,
        newly_dropped=sorted(after.dropped - position.dropped),
        alarm=alarm,
        held=position.hold is Hold.SEAL,
        unexplained=position.hold is Hold.QUALITY or hold is Hold.QUALITY,
    )
    if after.hold is not None and after.hold is not position.hold:
        sentence = held_sentence(plan, after.hold, alarm, offset)
    elif fresh in PROVEN:
        sentence += " " + _what_follows(plan, after)
    elif after == position and (position.waits_for_customer or position.state is State.HELD):
        # What waits for somebody stays the news until that person has spoken.
        sentence = experiment.note
    return Step(move, "look", sentence, seen | {"policy": policy.name, "decision": document})


def _what_follows(plan: Plan, position: Position) -> str:
    if position.state is State.SHIPPING:
        return f"Authorised in advance: {words.shipped_sentence(plan, position.winner)}"
    return f"{plan.customer} has {words.days(plan, plan.policy.confirm_within_seconds)} to confirm."


def compare_if_due(
    database: Database, store: EventStore, held: Held, due: Due, now: dt.datetime
) -> bool:
    """Compare what ships with its holdback, if that is due; tell whether it was done."""
    plan, experiment, position = due.plan, due.experiment, due.position
    since = experiment.compared_since
    if since is None or serving.ship_rule_id(plan) not in (experiment.rule or {}):
        return False
    length = plan.policy.ship_steps[position.ship_step].hold_seconds
    elapsed = (now - since).total_seconds() - plan.policy.settle_seconds
    offset = plan.policy.latest_look(elapsed, length)
    if offset is None:
        return False
    # After a downtime the last promised look is still the stage's last.
    offset = min(offset, length)
    stage = holdback.Stage(
        step=position.ship_step,
        since=since.astimezone(dt.UTC).isoformat(),
        winner=str(experiment.winner),
        weights=holdback.weights_served(plan, experiment.rule),
        claimed=holdback.claimed_metrics(plan, str(experiment.winner), due.last_decision),
    )
    same = [each for each in due.comparisons if each["holdback"]["since"] == stage.since]
    if same and offset <= same[-1]["offset"]:
        return False
    data = read_data(database, store, due, since=since, offset=offset, winner=stage.winner)
    counts, quality = data.measured.analysis.counts, data.quality
    alarm = quality.alarm(counts)
    look = holdback.build_comparison(
        number=due.next_number,
        offset=offset,
        length=length,
        counts=counts,
        sums=data.measured.sums,
        trusted=alarm is None,
        verifies=position.ship_step == position.last_ship_step,
    )
    looks = (*(read_look(each["look"]) for each in same), look)
    found, document = holdback.compare(plan, stage, looks)
    seen: dict[str, Any] = {
        "offset": offset,
        "look": look_document(look),
        "quality": quality.to_document(),
        "alarm": alarm,
        "holdback": stage.to_document(),
    }

    def judged(session: Session, _environment: Environment, experiment: Experiment) -> Step:
        move = lifecycle.compare(position, found)
        _store(session, experiment, since + dt.timedelta(seconds=offset), seen, document)
        following = plan.policy.next_look(offset, length) + plan.policy.settle_seconds
        experiment.next_look_at = since + dt.timedelta(seconds=following)
        if move.position.state != position.state:
            experiment.realised = _realised(experiment, seen, document, now)
        sentence = words.comparison_sentence(
            plan,
            verdict=move.position.verdict if move.position != position else None,
            offset=offset,
            length=length,
            look=seen["look"],
            decision=document,
            held=position.state is State.HELD,
        )
        return Step(
            move,
            "look",
            sentence or experiment.note,
            seen | {"policy": plan.policy.name, "decision": document},
        )

    return take_step(database, held, due, now, judged)


def _realised(
    experiment: Experiment, seen: dict[str, Any], document: dict[str, Any], now: dt.datetime
) -> dict[str, Any]:
    """Write what the holdback has told when the comparison ends, for the ledger."""
    override = experiment.override or {}
    return {
        "verdict": document["verdict"],
        "winner": seen["holdback"]["winner"],
        "since": seen["holdback"]["since"],
        "until": now.astimezone(dt.UTC).isoformat(),
        "confidence_level": 0.95,
        "units": seen["look"]["counts"],
        "metrics": document["realised"],
        "predicted": override.get("predicted"),
    }


def _store(
    session: Session,
    experiment: Experiment,
    at: dt.datetime,
    data: dict[str, Any],
    decision: dict[str, Any],
) -> None:
    assert experiment.id is not None
    look = Look(
        experiment_id=experiment.id,
        number=data["look"]["number"],
        at=at,
        verdict=decision["verdict"],
        data=data,
        decision=decision,
    )
    session.add(look)
