"""The value ledger in the database: append-only, numbered without gaps, hash-chained by project.

Moves are entered by :mod:`experiments.value.entering`; here entries are read, added up and checked.
What grows with time is entered when it ends: :func:`accrued` computes it to date for whoever reads.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from experiments.contract.costs import running_costs
from experiments.contract.document import canonical_json, sha256_of
from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.errors import PlanError
from experiments.models import Experiment, LedgerEntry
from experiments.value.formulas import Kind, compute
from flags.models import Project

START = "0" * 64

_HASHED = (
    "project",
    "number",
    "experiment",
    "at",
    "actor",
    "kind",
    "amount",
    "low",
    "high",
    "currency",
    "adds",
    "record",
    "place",
    "memo",
    "previous_hash",
)


@dataclass(frozen=True)
class Balance:
    """What a project's experiments have brought, in cents of one currency.

    Parameters
    ----------
    amount : int
        The sum of the entries that add.
    by_kind : mapping of str to int
        Sums of all entries by kind, memos too.
    accrued : int
        Costs to date of what is running, not entered yet; not in ``amount``.
    """

    currency: str
    amount: int
    by_kind: Mapping[str, int]
    accrued: int = 0


@dataclass(frozen=True)
class Waterfall:
    """Predicted, proven and realised net benefit of one experiment, in cents; None: not yet."""

    experiment: str
    currency: str
    predicted: int | None
    proven: int | None
    realised: int | None


def entries(
    session: Session,
    project_id: int,
    *,
    experiment_key: str | None = None,
    before_number: int | None = None,
    limit: int | None = 100,
) -> list[LedgerEntry]:
    """Give a project's entries, newest first."""
    query = select(LedgerEntry).where(LedgerEntry.project_id == project_id)
    if experiment_key is not None:
        query = query.join(Experiment, col(Experiment.id) == col(LedgerEntry.experiment_id))
        query = query.where(Experiment.key == experiment_key)
    if before_number is not None:
        query = query.where(col(LedgerEntry.number) < before_number)
    return list(session.exec(query.order_by(col(LedgerEntry.number).desc()).limit(limit)))


def balances(session: Session, project_id: int, *, now: dt.datetime) -> list[Balance]:
    """Give the balance of every currency in the ledger, by its name."""
    query = (
        sa.select(
            col(LedgerEntry.currency),
            col(LedgerEntry.kind),
            col(LedgerEntry.adds),
            sa.func.sum(col(LedgerEntry.amount)),
        )
        .where(col(LedgerEntry.project_id) == project_id)
        .group_by(col(LedgerEntry.currency), col(LedgerEntry.kind), col(LedgerEntry.adds))
    )
    amounts: dict[str, int] = {}
    kinds: dict[str, dict[str, int]] = {}
    for currency, kind, adds, total in session.execute(query):
        by_kind = kinds.setdefault(currency, {})
        by_kind[kind] = by_kind.get(kind, 0) + int(total)
        amounts[currency] = amounts.get(currency, 0) + (int(total) if adds else 0)
    to_date = _accrued_of_project(session, project_id, now)
    return [
        Balance(
            currency,
            amounts.get(currency, 0),
            kinds.get(currency, {}),
            to_date.get(currency, 0),
        )
        for currency in sorted({*amounts, *to_date})
    ]


def waterfalls(session: Session, project_id: int) -> list[Waterfall]:
    """Give what was predicted, proven and realised, for every experiment that has an entry."""
    rows = session.exec(
        select(LedgerEntry, Experiment.key)
        .join(Experiment, col(Experiment.id) == col(LedgerEntry.experiment_id))
        .where(LedgerEntry.project_id == project_id)
        .where(col(LedgerEntry.kind).in_([Kind.PREDICTED, Kind.PROVEN, Kind.REALISED]))
        .order_by(col(LedgerEntry.number))
    )
    found: dict[tuple[int | None, str, str], dict[str, int]] = {}
    for row, key in rows:
        if row.memo["formula"] != "reversal":
            found.setdefault((row.experiment_id, key, row.currency), {})[row.kind] = row.amount
    return [
        Waterfall(
            key,
            currency,
            amounts.get(Kind.PREDICTED),
            amounts.get(Kind.PROVEN),
            amounts.get(Kind.REALISED),
        )
        for (_id, key, currency), amounts in found.items()
    ]


def accrued(experiment: Experiment, plan: Plan, now: dt.datetime) -> int:
    """Compute the running costs to date of an experiment that goes on, in cents, negative.

    From shipping on the net benefit has them.
    """
    if plan.value is None or experiment.started_at is None or experiment.ended_at is not None:
        return 0
    seconds = (now - experiment.started_at).total_seconds()
    return -running_costs(plan.value, seconds, plan.policy.day_seconds)


def entry_document(
    row: LedgerEntry, project_key: str, experiment_key: str | None
) -> dict[str, Any]:
    """Give an entry complete, as it was hashed: what a sceptic recomputes."""
    return {
        "project": project_key,
        "number": row.number,
        "experiment": experiment_key,
        "at": row.at.astimezone(dt.UTC).isoformat(timespec="microseconds"),
        "actor": row.actor,
        "kind": row.kind,
        "amount": row.amount,
        "low": row.low,
        "high": row.high,
        "currency": row.currency,
        "adds": row.adds,
        "record": row.record,
        "place": row.place,
        "memo": row.memo,
        "previous_hash": row.previous_hash,
        "hash": row.hash,
    }


def documents(session: Session, rows: Sequence[LedgerEntry]) -> list[dict[str, Any]]:
    """Give entries complete, with the keys of their project and experiments."""
    projects = dict(session.exec(select(Project.id, Project.key)).all())
    keys = dict(
        session.exec(
            select(Experiment.id, Experiment.key).where(
                col(Experiment.id).in_({row.experiment_id for row in rows})
            )
        ).all()
    )
    return [entry_document(r, projects[r.project_id], keys.get(r.experiment_id)) for r in rows]


def as_csv(found: Iterable[Mapping[str, Any]]) -> str:
    """Write entries as CSV, amounts in units of the currency, the memo as JSON."""
    text = io.StringIO()
    writer = csv.writer(text)
    columns = ("number", "at", "experiment", "kind", "amount", "low", "high", "currency", "adds")
    writer.writerow([*columns, "actor", "memo", "hash"])
    for entry in found:
        amounts = [
            "" if entry[name] is None else f"{Decimal(entry[name]) / 100:.2f}"
            for name in ("amount", "low", "high")
        ]
        head = [entry[name] for name in columns[:4]]
        tail = [entry["currency"], "yes" if entry["adds"] else "no", entry["actor"]]
        writer.writerow([*head, *amounts, *tail, canonical_json(entry["memo"]), entry["hash"]])
    return text.getvalue()


def hash_of(document: Mapping[str, Any]) -> str:
    """Give the hash that an entry's document must carry."""
    return sha256_of({name: document.get(name) for name in _HASHED})


def first_fault(documents: Iterable[Mapping[str, Any]]) -> str | None:
    """Recompute a project's whole ledger, oldest entry first; say what does not hold, or ``None``.

    Numbers without gaps, the chain of hashes, and every amount from its memo.
    """
    previous = START
    for number, document in enumerate(documents, start=1):
        place = f"entry {document.get('number')}"
        if document.get("number") != number:
            return f"{place} stands where {number} belongs"
        if document.get("previous_hash") != previous:
            return f"{place} does not continue the entry before it"
        previous = hash_of(document)
        if document.get("hash") != previous:
            return f"{place} was altered after it was written"
        try:
            worth = compute(document["memo"])
        except (KeyError, TypeError, AttributeError, PlanError) as error:
            return f"{place} has a memo that cannot be computed: {error}"
        if (worth.likely, worth.low, worth.high) != tuple(
            document[name] for name in ("amount", "low", "high")
        ):
            return f"{place} is {document['amount']} cents, but its memo gives {worth.likely}"
    return None


def _accrued_of_project(session: Session, project_id: int, now: dt.datetime) -> dict[str, int]:
    running = session.exec(
        select(Experiment).where(
            Experiment.project_id == project_id,
            col(Experiment.started_at).is_not(None),
            col(Experiment.ended_at).is_(None),
        )
    )
    found: dict[str, int] = {}
    # Plans without money are most of them, and reading one takes half a millisecond.
    for experiment in (each for each in running if each.plan.get("value")):
        plan = parse_plan(experiment.plan)
        if plan.value is not None:
            currency = plan.value.currency
            found[currency] = found.get(currency, 0) + accrued(experiment, plan, now)
    return found


def _refuse(_mapper: Any, _connection: Any, target: Any) -> None:
    msg = f"{type(target).__name__} is append-only"
    raise TypeError(msg)


for _event in ("before_update", "before_delete"):
    sa.event.listen(LedgerEntry, _event, _refuse)
