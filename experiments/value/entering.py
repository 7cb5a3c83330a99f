"""Enter into the value ledger what a move was worth: :func:`note_move` is what ``enact`` calls.

Which amounts a move brings is decided in ``entries``. What grows with time (RUN, WAITING,
FLAG_DEBT) is entered when it ends: nothing is lost with a worker, and no entry depends on when it
ran.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from experiments.contract import words
from experiments.contract.effects import Effect, effects_at
from experiments.contract.plan import Plan
from experiments.machine.lifecycle import PROVEN, Position
from experiments.models import DecisionRecord, Experiment, LedgerEntry, Look
from experiments.value.entries import Facts, entries_for
from experiments.value.formulas import Entry, Kind
from experiments.value.ledger import START, entry_document, hash_of
from flags.actor import Actor
from flags.models import Project


def note_move(
    session: Session,
    experiment: Experiment,
    plan: Plan,
    before: Position,
    after: Position,
    body: Mapping[str, Any] | None,  # noqa: ARG001  see the docstring
    actor: Actor,
    now: dt.datetime,
) -> list[LedgerEntry]:
    """Enter what a move of the lifecycle is worth; a second call for the same move does nothing.

    Parameters
    ----------
    body : mapping, optional
        What led to the move. What counts of it is read from the rows that it was stored in.

    Notes
    -----
    The caller holds the environment's lock. Call it after the move's record has been written.
    """
    if plan.value is None or experiment.id is None:
        return []
    session.flush()
    rows = _rows_of(session, experiment.id)
    record = _newest_record(session, experiment.id)
    if any(row.record == record for row in rows):
        return []
    if after == before and any(row.kind == Kind.PREDICTED for row in rows):
        return []
    facts = _facts(session, experiment, plan, now)
    if before.waits_for_customer:
        facts = replace(facts, proven_at=_proven_at(session, experiment.id))
    found = entries_for(plan, before, after, facts, [_entry(row) for row in rows])
    return [
        _append(session, experiment, entry, plan.value.currency, actor, record, place)
        for place, entry in enumerate(found)
    ]


def _rows_of(session: Session, experiment_id: int) -> Sequence[LedgerEntry]:
    return session.exec(
        select(LedgerEntry)
        .where(LedgerEntry.experiment_id == experiment_id)
        .order_by(col(LedgerEntry.number))
    ).all()


def _newest_record(session: Session, experiment_id: int) -> int:
    newest = session.exec(
        select(sa.func.max(DecisionRecord.number)).where(
            DecisionRecord.experiment_id == experiment_id
        )
    ).one()
    return int(newest or 0)


def _proven_at(session: Session, experiment_id: int) -> dt.datetime | None:
    # The row's own `verdict_at` may be that of this very move.
    proofs = select(sa.func.max(Look.at)).where(
        Look.experiment_id == experiment_id, col(Look.verdict).in_([*PROVEN])
    )
    return session.exec(proofs).one()


def _promised(experiment: Experiment) -> float | None:
    """Give the relative effect that whoever overrides has put down."""
    promised = (experiment.override or {}).get("predicted") or {}
    return promised.get("relative")


def newest_look(session: Session, experiment_id: int) -> Look | None:
    """Give the newest look at the experiment itself, not at its holdback."""
    query = select(Look).where(Look.experiment_id == experiment_id)
    rows = session.exec(query.order_by(col(Look.number).desc()))
    return next((row for row in rows if "holdback" not in row.data), None)


def _facts(session: Session, experiment: Experiment, plan: Plan, now: dt.datetime) -> Facts:
    assert experiment.id is not None
    newest = newest_look(session, experiment.id)
    effects: Mapping[str, Effect] = {}
    baseline = look = None
    if newest is not None:
        data, look = newest.data["look"], newest.number
        effects = effects_at(plan, data, newest.decision, newest.data.get("priors"))
        baseline = words.means(data, plan.success_metrics[0].key).get(plan.control)
    return Facts(
        now=now,
        started_at=experiment.started_at,
        effects=effects,
        baseline=baseline,
        look=look,
        holdback=_realised(experiment, plan),
        predicted=_promised(experiment),
    )


def _realised(experiment: Experiment, plan: Plan) -> Effect | None:
    """Give the realised effect; nobody chose it because it looked good, so it is not shrunk."""
    told = experiment.realised or {"metrics": []}
    first = next(iter(plan.success_metrics), None)
    for row in told["metrics"]:
        if first is not None and row["metric"] == first.key and row["estimate"] is not None:
            units = int(told["units"].get(row["arm"], 0))
            return Effect(row["estimate"], low=row["low"], high=row["high"], units=units)
    return None


def _entry(row: LedgerEntry) -> Entry:
    return Entry(Kind(row.kind), row.amount, row.low, row.high, row.adds, row.memo, row.at)


def _append(
    session: Session,
    experiment: Experiment,
    entry: Entry,
    currency: str,
    actor: Actor,
    record: int,
    place: int,
) -> LedgerEntry:
    # Two environments of a project may end experiments at one time: numbers have no gaps.
    project = session.exec(
        select(Project).where(Project.id == experiment.project_id).with_for_update(key_share=True)
    ).one()
    last = session.execute(
        sa.select(col(LedgerEntry.number), col(LedgerEntry.hash))
        .where(col(LedgerEntry.project_id) == experiment.project_id)
        .order_by(col(LedgerEntry.number).desc())
        .limit(1)
    ).first()
    row = LedgerEntry(
        project_id=experiment.project_id,
        experiment_id=experiment.id,
        number=1 if last is None else last.number + 1,
        at=entry.at.astimezone(dt.UTC),
        actor=str(actor),
        kind=entry.kind.value,
        amount=entry.amount,
        low=entry.low,
        high=entry.high,
        currency=currency,
        adds=entry.adds,
        record=record,
        place=place,
        memo=dict(entry.memo),
        previous_hash=START if last is None else last.hash,
        hash="",
    )
    document = entry_document(row, project.key, experiment.key)
    row.hash = hash_of(document)
    session.add(row)
    session.flush()
    return row
