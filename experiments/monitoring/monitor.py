"""The decision monitor: looks, ramps and deadlines of every live experiment, without any browser.

:func:`tick` may be called by any number of processes as often as they like. One is elected by the
lease; every write checks the fence, and a look's number is unique, so that nothing happens twice.
What is due follows from absolute time: after a downtime the newest missed look is taken, the others
are not invented.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sqlmodel import Session

from experiments.catalogue.sensitivity import sense_due
from experiments.contract import words
from experiments.errors import FencedError, SourceError
from experiments.machine import lifecycle
from experiments.machine.lifecycle import Finding, Hold, Outcome, State
from experiments.models import Experiment
from experiments.monitoring.closing import close_what_is_gone
from experiments.monitoring.due import MACHINE, Due, Step, edited, read_due, take_step
from experiments.monitoring.looking import compare_if_due, look_if_due
from experiments.monitoring.release_monitor import advance_release
from experiments.monitoring.rest import RETRY, Memory, watched
from experiments.monitoring.silence import notice_silence
from experiments.monitoring.source_watch import check_sealed
from experiments.monitoring.standing import stand_due
from experiments.monitoring.unscheduled import answer_due
from experiments.moves.lease import LEASE_SECONDS, Held, acquire
from experiments.planning.renewal import forecast_due
from experiments.policies.trying import try_due
from experiments.store.promises import EventStore
from flags.database import Database
from flags.models import Environment

log = logging.getLogger(__name__)

__all__ = ["MACHINE", "Memory", "TickResult", "tick"]


@dataclass(frozen=True)
class TickResult:
    """What one tick did; ``elected`` is false when another worker holds the lease."""

    elected: bool
    looks: int = 0
    moves: int = 0
    errors: tuple[str, ...] = ()


def tick(
    database: Database,
    store: EventStore,
    *,
    holder: str,
    now: dt.datetime,
    lease_seconds: float = LEASE_SECONDS,
    is_gone: Callable[[str], bool] = lambda _holder: False,
    memory: Memory | None = None,
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
    memory : Memory, optional
        What this worker found in its earlier ticks; brought up to date. Without it every watched
        experiment is read.

    Returns
    -------
    TickResult
        An experiment that could not be served is named in ``errors``, and tried again next time.
    """
    held = acquire(database, holder, now=now, seconds=lease_seconds, is_gone=is_gone)
    if held is None:
        return TickResult(elected=False)
    memory = memory or Memory()
    looks = moves = 0
    errors: list[str] = []
    try:
        moves += close_what_is_gone(database, held, now)
        errors += check_sealed(database, now)
        for experiment_id, versions in watched(database, memory, now):
            try:
                looked, moved = _serve(database, store, held, experiment_id, now, memory)
            except FencedError:
                raise
            except SourceError as error:
                log.warning("the source of experiment %s cannot be read: %s", experiment_id, error)
                memory.retry_at[experiment_id] = now + RETRY
                errors.append(f"experiment {experiment_id}: {error}")
            except Exception as error:
                # Whatever it is: one experiment's trouble must not leave the others unprotected.
                log.exception("experiment %s could not be served", experiment_id)
                errors.append(f"experiment {experiment_id}: {error}")
            else:
                looks += looked
                moves += moved
                if not looked and not moved:
                    memory.at_rest[experiment_id] = versions
        # After the looks: protection does not wait for a plan that nobody has met yet.
        forecast_due(database, store, held, now)
        answer_due(database, store, held, now)
        sense_due(database, store, held, now)
        try_due(database, held, now)
        errors += _stand(database, store, held, now)
    except FencedError:
        # Another worker was elected meanwhile: whatever is left is its own to do.
        return TickResult(False, looks, moves, tuple(errors))
    return TickResult(True, looks, moves, tuple(errors))


def _stand(database: Database, store: EventStore, held: Held, now: dt.datetime) -> list[str]:
    try:
        stand_due(database, store, held, now)
    except FencedError:
        raise
    except Exception as error:
        # It decides nothing about anybody; tomorrow's reading sees what today's would have.
        log.exception("a standing comparison could not be made")
        return [f"standing comparison: {error}"]
    return []


def _serve(
    database: Database,
    store: EventStore,
    held: Held,
    experiment_id: int,
    now: dt.datetime,
    memory: Memory,
) -> tuple[int, int]:
    """Do whatever is due for one experiment, in this order; each step sees the ones before."""
    looks = moves = 0
    unreadable: SourceError | None = None
    due = read_due(database, experiment_id)
    notice = partial(notice_silence, store=store, memory=memory)
    for step in (_hold_if_edited, None, notice, _widen, _expire, _lapse, _push, _verify):
        if due is None:
            break
        if step is None:
            read = compare_if_due if due.position.shipped else look_if_due
            try:
                taken = read(database, store, held, due, now)
            except SourceError as error:
                # Somebody else's engine is down: whatever needs no look goes on.
                taken, unreadable = _without_look(database, held, due, now), error
                moves += taken
            else:
                looks += taken
        else:
            taken = step(database, held, due, now)
            moves += taken
        if taken:
            due = read_due(database, experiment_id)
    if unreadable is not None:
        raise unreadable
    return looks, moves


def _without_look(database: Database, held: Held, due: Due, now: dt.datetime) -> bool:
    """Hold what cannot be read, and end it when time is up: silence rolls back, whoever is silent.

    After the deadline the source has as long to come back as a person has to explain an alarm.
    """
    plan, position, started_at = due.plan, due.position, due.experiment.started_at
    if position.shipped or position.waits_for_customer or started_at is None:
        return False
    elapsed = (now - started_at).total_seconds() - plan.policy.settle_seconds
    read = due.looks[-1]["offset"] if due.looks else 0.0
    if elapsed >= plan.deadline_seconds + plan.policy.explain_within_seconds:
        finding = Finding(Outcome.NOT_PROVEN_IN_TIME, is_final=True)
        sentence = (
            f"The time is up and the source {plan.source} cannot be read, so nothing is proven: "
            f"everybody is back on {plan.control}."
        )
        body = {"do": "unread", "cause": "deadline"}
    elif position.hold is None and elapsed - read > plan.policy.stale_seconds:
        finding = Finding(Outcome.CONTINUE, alarm=Hold.STALE)
        sentence = (
            f"Held: the source {plan.source} cannot be read. It goes on by itself when it answers; "
            "the deadline stays."
        )
        body = {"do": "hold", "cause": Hold.STALE.value}
    else:
        return False
    step = Step(lifecycle.look(position, finding), "action", sentence, body)
    return _take(database, held, due, now, step)


def _hold_if_edited(database: Database, held: Held, due: Due, now: dt.datetime) -> bool:
    plan = due.plan
    if due.position.hold is Hold.SEAL:
        return False
    with database.read() as session:
        environment = session.get_one(Environment, due.experiment.environment_id)
        if edited(session, environment, due.experiment, plan) is None:
            return False

    def hold(session: Session, environment: Environment, experiment: Experiment) -> Step | None:
        how = edited(session, environment, experiment, plan)
        if how is None:
            return None
        return Step(
            lifecycle.hold(due.position),
            "action",
            f"Held: {how}. The seal is broken; nothing can be proven any more.",
            {"do": "hold", "cause": Hold.SEAL.value, "edited": how},
        )

    return take_step(database, held, due, now, hold, edited_too=True)


def _widen(database: Database, held: Held, due: Due, now: dt.datetime) -> bool:
    experiment, position = due.experiment, due.position
    if position.is_release:
        return advance_release(database, held, due, now)
    if position.state is not State.RAMPING or not _passed(experiment.next_ramp_at, now):
        return False
    # Not by time alone: more people come in only after a look has seen the present step, and
    # somebody in it. Who widens blindly shows people what nobody watches.
    if not due.looks or due.looks[-1]["ramp_step"] < position.step:
        return False
    if not sum(due.looks[-1]["look"]["counts"].values()):
        return False
    move = lifecycle.widen(position)
    coverage = due.plan.ramp_steps[move.position.step].coverage
    sentence = f"Widened to {words.percent(coverage)} of the audience."
    return _take(
        database, held, due, now, Step(move, "ramp", sentence, {"step": move.position.step})
    )


def _expire(database: Database, held: Held, due: Due, now: dt.datetime) -> bool:
    plan, experiment = due.plan, due.experiment
    if not _passed(experiment.confirm_by, now):
        return False
    sentence = (
        f"{experiment.winner} was proven, but {plan.customer} did not confirm in time: "
        f"everybody is back on {plan.control}."
    )
    step = Step(lifecycle.expire(due.position), "action", sentence, {"do": "expire"})
    return _take(database, held, due, now, step)


def _lapse(database: Database, held: Held, due: Due, now: dt.datetime) -> bool:
    plan = due.plan
    if not _passed(due.experiment.explain_by, now):
        return False
    sentence = (
        f"Nobody explained in time what was wrong with the data, so no number can be trusted: "
        f"everybody is back on {plan.control}."
    )
    step = Step(lifecycle.lapse(due.position), "action", sentence, {"do": "lapse"})
    return _take(database, held, due, now, step)


def _push(database: Database, held: Held, due: Due, now: dt.datetime) -> bool:
    experiment, position, plan = due.experiment, due.position, due.plan
    if position.state is not State.SHIPPING or not _passed(experiment.next_ramp_at, now):
        return False
    if not due.comparisons or due.comparisons[-1]["holdback"]["step"] < position.ship_step:
        return False
    move = lifecycle.push(position)
    share = plan.policy.ship_steps[move.position.ship_step].share
    served = words.shipped_sentence(plan, position.winner, share)
    sentence = f"Since {words.moment(now)} {served}"
    body = {"ship_step": move.position.ship_step}
    return _take(database, held, due, now, Step(move, "ramp", sentence, body))


def _verify(database: Database, held: Held, due: Due, now: dt.datetime) -> bool:
    position, plan = due.position, due.plan
    if position.state is not State.SHIPPING or position.ship_step < position.last_ship_step:
        return False
    wait = words.days(plan, plan.policy.verify_seconds)
    sentence = (
        f"Since {words.moment(now)} {position.winner} is served to all but the units held back on "
        f"{plan.control}; for {wait} the two are compared."
    )
    step = Step(lifecycle.verify(position), "action", sentence, {"do": "verify"})
    return _take(database, held, due, now, step)


def _passed(at: dt.datetime | None, now: dt.datetime) -> bool:
    return at is not None and at <= now


def _take(database: Database, held: Held, due: Due, now: dt.datetime, step: Step) -> bool:
    return take_step(database, held, due, now, lambda *_rows: step)
