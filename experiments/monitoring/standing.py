"""Standing comparisons, once a day in the worker: audits of every layer, and the holdout's effect.

They come after the looks of a tick, one in each tick at most, so that they never keep a harm look
waiting. Here is what is due and when; :mod:`experiments.monitoring.standing_audit` and
:mod:`experiments.monitoring.standing_effect` take the readings.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
import weakref
from collections.abc import Iterator, Sequence

from sqlmodel import Session, col, select

from experiments.machine.states import SHIPPED, State
from experiments.models import Experiment, HoldoutRow, StandingRow
from experiments.monitoring.standing_audit import audit_layer, audit_plan
from experiments.monitoring.standing_effect import compare_held, expected_gains
from experiments.monitoring.standing_reading import DAY, PERIOD, SETTLE, Reading
from experiments.moves import holdout
from experiments.moves.lease import Held, check_fence
from experiments.store.promises import EventStore
from experiments.telling import audits
from flags.database import Database
from flags.models import Environment

log = logging.getLogger(__name__)

KIND_OF_EFFECT = "holdout"

# Days whose readings are all taken: a tick of another minute need not look again.
_done: weakref.WeakKeyDictionary[Database, int] = weakref.WeakKeyDictionary()


def stand_due(database: Database, store: EventStore, held: Held, now: dt.datetime) -> int:
    """Take one standing reading that is due, if there is one; tell how many were taken.

    Raises
    ------
    FencedError
        If the lease went to another worker.
    Exception
        Whatever the store has raised; then nothing is read until the next day.
    """
    today = int(now.timestamp() // DAY)
    if _done.get(database) == today:
        return 0
    with database.read() as session:
        due = next(_due(session, now), None)
        priors = (
            {} if due is None or due.holdout is None else expected_gains(session, due.experiments)
        )
        session.expunge_all()
    if due is None:
        # A day that has just begun settles first.
        if now.timestamp() % DAY > SETTLE:
            _done[database] = today
        return 0
    try:
        found = (
            audit_layer(store, due)
            if due.kind == audits.KIND
            else compare_held(store, due, now, priors)
        )
    except Exception:
        # Once a day, whatever happens: a reading that fails must not be tried every second.
        _done[database] = today
        raise
    with database.write() as session:
        check_fence(session, held)
        verdict, data = found
        session.add(
            StandingRow(
                environment_id=due.environment_id,
                kind=due.kind,
                subject=due.subject,
                period=due.period,
                number=due.number,
                at=now,
                verdict=verdict,
                data=data,
            )
        )
    return 1


# --- what is due


def _due(session: Session, now: dt.datetime) -> Iterator[Reading]:
    oldest = (now.timestamp() // PERIOD - 1) * PERIOD
    since = dt.datetime.fromtimestamp(oldest, dt.UTC)
    environments = {each.id: each for each in session.exec(select(Environment))}
    query = select(Experiment).where(
        col(Experiment.started_at).is_not(None),
        (col(Experiment.ended_at).is_(None)) | (col(Experiment.ended_at) > since),
    )
    layers: dict[tuple[int, str], list[Experiment]] = {}
    for experiment in session.exec(query.order_by(col(Experiment.id))):
        if experiment.plan.get("source") is None:
            place = (experiment.environment_id, experiment.plan.get("layer") or "")
            layers.setdefault(place, []).append(experiment)
    for (environment_id, layer), found in layers.items():
        key = environments[environment_id].key
        yield from _due_audits(session, environment_id, key, layer, found, now)
    for row in session.exec(select(HoldoutRow).where(col(HoldoutRow.ended_at).is_(None))):
        reading = _due_effect(session, environments[row.environment_id], row, now)
        if reading is not None:
            yield reading


def _due_audits(
    session: Session,
    environment_id: int,
    environment_key: str,
    layer: str,
    found: Sequence[Experiment],
    now: dt.datetime,
) -> Iterator[Reading]:
    newest = int(now.timestamp() // PERIOD)
    for period in (newest - 1, newest):
        start = period * PERIOD
        offset = min(((now.timestamp() - SETTLE - start) // DAY) * DAY, PERIOD)
        mine = tuple(each for each in found if _lived(each, start, start + offset))
        rows = _rows(session, environment_id, audits.KIND, layer, period)
        over = bool(rows) and rows[-1].verdict in audits.LAST_VERDICTS
        if not mine or over or offset < DAY or (rows and rows[-1].data["offset"] >= offset):
            continue
        if not rows and audit_plan(environment_key, mine) is None:
            continue
        yield Reading(
            environment_id,
            environment_key,
            audits.KIND,
            layer,
            period,
            len(rows) + 1,
            offset,
            mine,
            tuple(row.data for row in rows),
        )


def _lived(experiment: Experiment, start: float, until: float) -> bool:
    assert experiment.started_at is not None
    ended = math.inf if experiment.ended_at is None else experiment.ended_at.timestamp()
    return experiment.started_at.timestamp() < until and ended > start


def _rows(
    session: Session, environment_id: int, kind: str, subject: str, period: int | None = None
) -> list[StandingRow]:
    query = select(StandingRow).where(
        StandingRow.environment_id == environment_id,
        StandingRow.kind == kind,
        StandingRow.subject == subject,
    )
    if period is not None:
        query = query.where(StandingRow.period == period)
    return list(session.exec(query.order_by(col(StandingRow.period), col(StandingRow.number))))


def _due_effect(
    session: Session, environment: Environment, row: HoldoutRow, now: dt.datetime
) -> Reading | None:
    assert environment.id is not None
    subject = holdout.rule_id(row)
    period = int((now.timestamp() - SETTLE) // DAY)
    if _rows(session, environment.id, KIND_OF_EFFECT, subject, period):
        return None
    shipped = tuple(_shipped(session, environment.id, row.started_at))
    if not shipped:
        return None
    return Reading(
        environment.id,
        environment.key,
        KIND_OF_EFFECT,
        subject,
        period,
        1,
        0.0,
        shipped,
        holdout=row,
    )


def _shipped(session: Session, environment_id: int, since: dt.datetime) -> Iterator[Experiment]:
    """Give what was shipped since, and is still kept from who is held."""
    query = select(Experiment).where(
        Experiment.environment_id == environment_id,
        col(Experiment.winner).is_not(None),
        col(Experiment.ended_at) >= since,
    )
    for experiment in session.exec(query.order_by(col(Experiment.id))):
        held = experiment.state == State.HELD and experiment.held_from in SHIPPED
        if experiment.plan.get("source") is None and (
            held or experiment.state in SHIPPED | {State.CLEANUP}
        ):
            yield experiment
