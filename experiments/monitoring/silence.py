"""The worker's step between looks: it notices that a feed brings no events, or brings them again.

Looks are a day apart for most of an experiment, and a feed that stops must not be noticed a day
late. What it may be silent for is known from the last look; only when that is over is the store
asked, and then once an hour: one query of counts by minute, which are kept anyway. What they cannot
settle (they know exposures, and about two days) is read as a look reads it. A hold that waits for
events ends in the same way.

Rows of a source are read by its looks alone: its newest row costs a query of somebody's warehouse.
"""

from __future__ import annotations

import datetime as dt
import math

from experiments.machine import lifecycle
from experiments.machine.lifecycle import Finding, Hold, Outcome, State
from experiments.monitoring.due import Due, Step, take_step
from experiments.monitoring.reading import read_data
from experiments.monitoring.rest import Memory
from experiments.moves.lease import Held
from experiments.store.promises import EventStore
from experiments.telling.hold_words import held_sentence, resumed_sentence
from flags.database import Database

ASK_EVERY = dt.timedelta(hours=1)
COUNTED_BY = dt.timedelta(minutes=1)


def notice_silence(
    database: Database,
    held: Held,
    due: Due,
    now: dt.datetime,
    *,
    store: EventStore,
    memory: Memory,
) -> bool:
    """Hold an experiment whose feed has stopped, or let it go on; tell whether either was done.

    Parameters
    ----------
    memory : Memory
        When the store was asked, and is asked next; brought up to date.
    """
    plan, started_at, key = due.plan, due.experiment.started_at, due.experiment.id
    assert key is not None
    if not _may_fall_silent(due) or started_at is None:
        memory.ask_at.pop(key, None)
        return False
    settle = plan.policy.settle_seconds
    offset = (now - started_at).total_seconds() - settle
    newest, may_be_silent = _known(due)
    waiting = due.position.hold is Hold.STALE
    # Nothing is asked before the events could be missing; of what is held, as often as may be.
    missing_at = started_at + dt.timedelta(seconds=newest + may_be_silent + settle)
    stale = dt.timedelta(seconds=plan.policy.stale_seconds)
    every = min(ASK_EVERY, max(stale, COUNTED_BY))
    again_at = memory.asked_at.setdefault(key, now - every) + every
    memory.ask_at[key] = again_at if waiting else max(again_at, missing_at)
    if now < memory.ask_at[key] or offset >= plan.deadline_seconds:
        return False
    memory.asked_at[key], memory.ask_at[key] = now, now + every
    since = now.timestamp() - may_be_silent - settle
    if _exposed(store, due, since):
        return waiting and _go_on(database, held, due, now, offset)
    if waiting:
        return False
    data = read_data(database, store, due, since=started_at, offset=offset)
    if not data.fresh.stale:
        return False
    step = Step(
        lifecycle.look(due.position, Finding(Outcome.CONTINUE, alarm=Hold.STALE)),
        "action",
        held_sentence(plan, Hold.STALE, None, offset),
        {"do": "hold", "cause": Hold.STALE.value, "silent_seconds": data.fresh.silent},
    )
    return take_step(database, held, due, now, lambda *_rows: step)


def _may_fall_silent(due: Due) -> bool:
    position = due.position
    if due.plan.source is not None or position.shipped or position.waits_for_customer:
        return False
    live = position.state in {State.RAMPING, State.RUNNING} or position.hold is Hold.STALE
    return live and bool(due.looks)


def _known(due: Due) -> tuple[float, float]:
    """Give what the last look knew: the newest event, in seconds from the start, and the limit."""
    look = due.looks[-1]
    quality = look["quality"]
    age = quality["newest_event_age_seconds"]
    limit = quality.get("may_be_silent_seconds", due.plan.policy.stale_seconds)
    return (0.0 if age is None else look["offset"] - age), limit


def _exposed(store: EventStore, due: Due, since: float) -> bool:
    """Tell whether anybody met the experiment's rule since then."""
    plan = due.plan
    met = ("exposures", plan.flag, plan.rule_id)
    # Events are counted by minute: only whole ones, so that nobody older is among them.
    minute = math.ceil(since / 60) * 60.0
    recent = store.inbox.recent(due.experiment.environment_id, since=minute)
    return any((each.kind, each.name, each.rule) == met for each in recent)


def _go_on(database: Database, held: Held, due: Due, now: dt.datetime, offset: float) -> bool:
    step = Step(
        lifecycle.look(due.position, Finding(Outcome.CONTINUE)),
        "action",
        resumed_sentence(due.plan, offset),
        {"do": "go_on", "cause": Hold.STALE.value},
    )
    return take_step(database, held, due, now, lambda *_rows: step)
