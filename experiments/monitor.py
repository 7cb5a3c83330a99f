"""The decision monitor: looks, ramps and deadlines of every live experiment, without any browser.

:func:`tick` may be called by any number of processes as often as they like. One is elected by the
lease; every write checks the fence, and a look's number is unique, so that nothing happens twice.
What is due follows from absolute time: after a downtime the newest missed look is taken, the others
are not invented.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlmodel import Session, col, select

from experiments import lifecycle, serving, words
from experiments.aggregate import Analysis
from experiments.enact import current_flag, enact, plan_of, position_of
from experiments.errors import FencedError
from experiments.forecast import forecast_due
from experiments.lease import LEASE_SECONDS, Held, acquire, check_fence
from experiments.lifecycle import LIVE, PROVEN, Move, State
from experiments.looks import Quality, build_look, decide, finding_of, look_document, read_look
from experiments.measure import measure
from experiments.models import Experiment, Look
from experiments.plan import Plan
from experiments.store.base import EventStore
from flags.actor import SYSTEM
from flags.database import Database
from flags.models import Environment, Project
from flags.revisions import lock_environment
from stats import LookData

log = logging.getLogger(__name__)

MACHINE = replace(SYSTEM, name="monitor")


@dataclass(frozen=True)
class TickResult:
    """What one tick did; ``elected`` is false when another worker holds the lease."""

    elected: bool
    looks: int = 0
    moves: int = 0
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Due:
    """A live experiment as it was read, before anything is locked."""

    experiment: Experiment
    plan: Plan
    project_key: str
    environment_key: str
    looks: tuple[LookData, ...]
    last_offset: float
    last_step: int
    marks: Mapping[str, float]


def tick(
    database: Database,
    store: EventStore,
    *,
    holder: str,
    now: dt.datetime,
    lease_seconds: float = LEASE_SECONDS,
    is_gone: Callable[[str], bool] = lambda _holder: False,
) -> TickResult:
    """Do whatever is due, if this worker is the elected one.

    Parameters
    ----------
    holder : str
        Name of this worker; unique among all.
    now : datetime
        The time, with a zone.
    is_gone : callable
        Tells of another worker's name for certain that its process has ended.

    Returns
    -------
    TickResult
        An experiment that could not be served is named in ``errors``, and tried again next time.
    """
    held = acquire(database, holder, now=now, seconds=lease_seconds, is_gone=is_gone)
    if held is None:
        return TickResult(elected=False)
    looks = moves = 0
    errors: list[str] = []
    for experiment_id in _live(database):
        try:
            looked, moved = _serve(database, store, held, experiment_id, now)
        except FencedError:
            return TickResult(False, looks, moves, tuple(errors))
        except Exception as error:
            # Whatever it is: one experiment's trouble must not leave the others unprotected.
            log.exception("experiment %s could not be served", experiment_id)
            errors.append(f"experiment {experiment_id}: {error}")
        else:
            looks += looked
            moves += moved
    try:
        # After the looks: protection does not wait for a plan that nobody has met yet.
        forecast_due(database, store, held, now)
    except FencedError:
        return TickResult(False, looks, moves, tuple(errors))
    return TickResult(True, looks, moves, tuple(errors))


def _live(database: Database) -> list[int]:
    states = [state.value for state in LIVE]
    with database.read() as session:
        query = select(Experiment.id).where(col(Experiment.state).in_(states))
        return [found for found in session.exec(query.order_by(col(Experiment.id))) if found]


def _serve(
    database: Database, store: EventStore, held: Held, experiment_id: int, now: dt.datetime
) -> tuple[int, int]:
    moves = 0
    due = _read(database, experiment_id)
    if due is None:
        return 0, 0
    if _hold_if_edited(database, held, due, now):
        moves += 1
        due = _read(database, experiment_id)
        if due is None:
            return 0, moves
    looked = _look_if_due(database, store, held, due, now)
    if looked:
        due = _read(database, experiment_id)
        if due is None:
            return 1, moves + 1
    moves += _widen_if_due(database, held, due, now)
    moves += _expire_if_due(database, held, due, now)
    return int(looked), moves


def _read(database: Database, experiment_id: int) -> _Due | None:
    with database.read() as session:
        experiment = session.get(Experiment, experiment_id)
        if experiment is None or State(experiment.state) not in LIVE:
            return None
        environment = session.get_one(Environment, experiment.environment_id)
        project = session.get_one(Project, experiment.project_id)
        rows = session.exec(
            select(Look).where(Look.experiment_id == experiment_id).order_by(col(Look.number))
        ).all()
        session.expunge_all()
    return _Due(
        experiment=experiment,
        plan=plan_of(experiment),
        project_key=project.key,
        environment_key=environment.key,
        looks=tuple(read_look(row.data["look"]) for row in rows),
        last_offset=rows[-1].data["offset"] if rows else 0.0,
        last_step=rows[-1].data["ramp_step"] if rows else -1,
        marks=rows[-1].data.get("marks", {}) if rows else {},
    )


def _locked(
    session: Session, held: Held, due: _Due
) -> tuple[Environment, Experiment, str | None] | None:
    """Lock what a move writes; ``None`` if somebody moved the experiment since it was read.

    The third value says how the flag was edited by hand, as it is under the lock.
    """
    check_fence(session, held)
    environment = lock_environment(session, due.project_key, due.environment_key)
    assert due.experiment.id is not None
    experiment = session.get(Experiment, due.experiment.id, populate_existing=True)
    if experiment is None or experiment.version != due.experiment.version:
        return None
    flag = current_flag(session, environment, due.plan.flag)
    return environment, experiment, serving.edited_by_hand(due.plan, flag, experiment.rule or {})


def _locked_as_written(
    session: Session, held: Held, due: _Due
) -> tuple[Environment, Experiment] | None:
    """Lock likewise; ``None`` also if the flag was edited a moment ago: the seal comes first."""
    rows = _locked(session, held, due)
    if rows is None:
        return None
    environment, experiment, edited = rows
    if edited is not None and experiment.state != State.HELD:
        return None
    return environment, experiment


def _hold_if_edited(database: Database, held: Held, due: _Due, now: dt.datetime) -> bool:
    if due.experiment.state == State.HELD:
        return False
    with database.read() as session:
        environment = session.get_one(Environment, due.experiment.environment_id)
        flag = current_flag(session, environment, due.plan.flag)
    if serving.edited_by_hand(due.plan, flag, due.experiment.rule or {}) is None:
        return False
    with database.write() as session:
        rows = _locked(session, held, due)
        if rows is None:
            return False
        environment, experiment, edited = rows
        if edited is None:
            return False
        move = lifecycle.hold(position_of(experiment, due.plan))
        enact(
            session,
            environment,
            experiment,
            due.plan,
            move,
            kind="action",
            sentence=f"Held: {edited}. The seal is broken; nothing can be proven any more.",
            actor=MACHINE,
            now=now,
            body={"do": "hold", "edited": edited},
        )
    return True


def _look_if_due(
    database: Database, store: EventStore, held: Held, due: _Due, now: dt.datetime
) -> bool:
    plan, experiment = due.plan, due.experiment
    assert experiment.started_at is not None
    elapsed = (now - experiment.started_at).total_seconds() - plan.policy.settle_seconds
    offset = plan.policy.latest_look(elapsed, plan.prove_by_seconds)
    waits = position_of(experiment, plan).waits_for_customer
    if offset is not None and not waits and offset > plan.prove_by_seconds:
        # Down through the deadline: the last promised look is still the deadline's.
        offset = plan.prove_by_seconds
    if offset is None or offset <= due.last_offset:
        return False
    measured = measure(
        store,
        plan,
        environment_id=experiment.environment_id,
        start=experiment.started_at.timestamp(),
        offset=offset,
        marks=due.marks,
    )
    quality = _quality(plan, experiment, measured.analysis, offset)
    look = build_look(
        plan,
        number=len(due.looks) + 1,
        offset=offset,
        counts=measured.analysis.counts,
        sums=measured.sums,
        quality=quality,
        earlier=due.looks,
        waits_for_customer=waits,
    )
    decision = decide(plan, (*due.looks, look), experiment.dropped)
    with database.write() as session:
        rows = _locked_as_written(session, held, due)
        if rows is None:
            return False
        environment, experiment = rows
        position = position_of(experiment, plan)
        move = lifecycle.look(position, finding_of(decision, look))
        _store_look(
            session,
            environment,
            experiment,
            plan,
            move,
            offset=offset,
            look=look,
            decision=decision.to_document(),
            quality=quality,
            marks=measured.marks,
            now=now,
        )
    return True


def _store_look(
    session: Session,
    environment: Environment,
    experiment: Experiment,
    plan: Plan,
    move: Move,
    *,
    offset: float,
    look: LookData,
    decision: dict[str, Any],
    quality: Quality,
    marks: Mapping[str, float],
    now: dt.datetime,
) -> None:
    assert experiment.id is not None
    assert experiment.started_at is not None
    policy, before, after = plan.policy, position_of(experiment, plan), move.position
    alarm = quality.alarm(look.counts)
    data = look_document(look)
    dropped = list(experiment.dropped)
    # Chosen once: the next looks are given what this one has read.
    frozen = {"marks": dict(marks)} if marks else {}
    session.add(
        Look(
            experiment_id=experiment.id,
            number=look.number,
            at=experiment.started_at + dt.timedelta(seconds=offset),
            verdict=decision["verdict"],
            data={
                "offset": offset,
                "look": data,
                "quality": quality.to_document(),
                "alarm": alarm,
                "ramp_step": experiment.ramp_step,
                "dropped": dropped,
                **frozen,
            },
            decision=decision,
        )
    )
    following = policy.next_look(offset, plan.prove_by_seconds) + policy.settle_seconds
    experiment.next_look_at = experiment.started_at + dt.timedelta(seconds=following)
    fresh = after.verdict if after.verdict != before.verdict else None
    sentence = words.look_sentence(
        plan,
        verdict=fresh,
        offset=offset,
        look=data,
        decision=decision,
        winner=after.winner,
        newly_dropped=sorted(after.dropped - before.dropped),
        alarm=alarm,
        held=before.state is State.HELD,
    )
    if fresh in PROVEN:
        sentence += " " + _what_follows(plan, after)
    elif after == before and (before.waits_for_customer or before.state is State.HELD):
        # What waits for somebody stays the news until that person has spoken.
        sentence = experiment.note
    enact(
        session,
        environment,
        experiment,
        plan,
        move,
        kind="look",
        sentence=sentence,
        actor=MACHINE,
        now=now,
        body={
            "look": data,
            "offset": offset,
            "policy": policy.name,
            "dropped": dropped,
            "quality": quality.to_document(),
            "alarm": alarm,
            "decision": decision,
            **frozen,
        },
    )


def _what_follows(plan: Plan, position: lifecycle.Position) -> str:
    if position.state is State.SHIPPING:
        return f"Authorised in advance: {words.shipped_sentence(plan, position.winner)}"
    return f"{plan.customer} has {words.days(plan, plan.policy.confirm_within_seconds)} to confirm."


def _quality(plan: Plan, experiment: Experiment, analysis: Analysis, offset: float) -> Quality:
    assert experiment.started_at is not None
    look_at = experiment.started_at.timestamp() + offset
    age = None if analysis.newest_event is None else max(0.0, look_at - analysis.newest_event)
    stale = age is None or age > plan.policy.stale_seconds
    return Quality(analysis.quarantined, age, stale, sum(analysis.bots.values()))


def _widen_if_due(database: Database, held: Held, due: _Due, now: dt.datetime) -> int:
    experiment, plan = due.experiment, due.plan
    if experiment.state != State.RAMPING or experiment.next_ramp_at is None:
        return 0
    # Not by time alone: more people come in only after a look has seen the present step.
    if now < experiment.next_ramp_at or due.last_step < experiment.ramp_step:
        return 0
    with database.write() as session:
        rows = _locked_as_written(session, held, due)
        if rows is None:
            return 0
        environment, experiment = rows
        move = lifecycle.widen(position_of(experiment, plan))
        coverage = plan.policy.ramp_steps(plan.coverage)[move.position.step].coverage
        enact(
            session,
            environment,
            experiment,
            plan,
            move,
            kind="ramp",
            sentence=f"Widened to {words.percent(coverage)} of the audience.",
            actor=MACHINE,
            now=now,
            body={"step": move.position.step},
        )
    return 1


def _expire_if_due(database: Database, held: Held, due: _Due, now: dt.datetime) -> int:
    experiment, plan = due.experiment, due.plan
    if experiment.confirm_by is None or now < experiment.confirm_by:
        return 0
    with database.write() as session:
        rows = _locked_as_written(session, held, due)
        if rows is None:
            return 0
        environment, experiment = rows
        move = lifecycle.expire(position_of(experiment, plan))
        enact(
            session,
            environment,
            experiment,
            plan,
            move,
            kind="action",
            sentence=(
                f"{experiment.winner} was proven, but {plan.customer} did not confirm in time: "
                f"everybody is back on {plan.control}."
            ),
            actor=MACHINE,
            now=now,
            body={"do": "expire"},
        )
    return 1
