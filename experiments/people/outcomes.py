"""What all of this has led to: computed from what is stored, nothing typed in.

An outcome is one number with its definition, its unit and how many cases it rests on; with too few
of them there is no number at all. Times come from the experiments' rows and from the audit, which
has every move; amounts from the ledger.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session, col, select

from experiments.contract import words
from experiments.contract.parsing import parse_plan
from experiments.models import Experiment, LedgerEntry, Look, Request
from experiments.moves.release_state import is_release
from experiments.people.figures import Outcome, median_of, ratio_of, share_of
from experiments.value.formulas import Kind
from experiments.value.ledger import Waterfall, balances, waterfalls
from flags.models import AuditEntry, FlagRow

_PROVEN = frozenset({"VALUE_PROVEN", "NO_HARM_PROVEN", "CONFIRMED"})
_NULL = frozenset({"FUTILE", "NOT_PROVEN_IN_TIME", "NOT_CONFIRMED"})
_HARM = frozenset({"HARM", "LATE_HARM"})
_RECENT = dt.timedelta(days=90)


@dataclass
class _Past:
    """One experiment, and when it moved where."""

    experiment: Experiment
    moves: list[tuple[dt.datetime, str, str | None]] = field(default_factory=list)

    def first(self, state: str) -> dt.datetime | None:
        """Tell when it first came to a state."""
        return next((at for at, to, _verdict in self.moves if to == state), None)

    @property
    def decided(self) -> dt.datetime | None:
        """Tell when it first shipped or was rolled back."""
        ends = {"SHIPPING", "ROLLED_BACK"}
        return next((at for at, to, _verdict in self.moves if to in ends), None)

    def has(self, *verdicts: str) -> bool:
        """Tell whether one of the verdicts was ever given."""
        return any(verdict in verdicts for _at, _to, verdict in self.moves)


def outcomes(session: Session, project_id: int, *, now: dt.datetime) -> list[Outcome]:
    """Compute every outcome of a project as of ``now``."""
    pasts = _pasts(session, project_id)
    # A release claims nothing that could be proven or not; its harm and its flag count.
    claims = [past for past in pasts if not is_release(past.experiment)]
    asked = session.exec(select(Request).where(Request.project_id == project_id)).all()
    falls = waterfalls(session, project_id)
    return [
        *_times(claims, asked),
        *_harm(session, pasts),
        *_rates(claims, now),
        *_promises(session, project_id, falls),
        *_money(session, project_id, now),
        *_upkeep(session, project_id, pasts, asked, now),
    ]


def _pasts(session: Session, project_id: int) -> list[_Past]:
    rows = session.exec(select(Experiment).where(Experiment.project_id == project_id)).all()
    found = {(row.environment_id, f"experiment:{row.key}"): _Past(row) for row in rows}
    moves = session.exec(
        select(AuditEntry)
        .where(
            AuditEntry.project_id == project_id,
            col(AuditEntry.resource).startswith("experiment:"),
        )
        .order_by(col(AuditEntry.id))
    )
    for entry in moves:
        past = found.get((entry.environment_id or 0, entry.resource))
        if past is not None and isinstance(entry.after, dict) and "state" in entry.after:
            past.moves.append((entry.at, entry.after["state"], entry.after.get("verdict")))
    return list(found.values())


def _times(pasts: Sequence[_Past], asked: Sequence[Request]) -> Iterable[Outcome]:
    def between(
        start: Callable[[_Past], dt.datetime | None], end: Callable[[_Past], dt.datetime | None]
    ) -> list[float]:
        return [
            (last - first).total_seconds() / 86400
            for past in pasts
            if (first := start(past)) is not None
            and (last := end(past)) is not None
            and last >= first
        ]

    def ended_badly(past: _Past) -> dt.datetime | None:
        bad = past.has(*_HARM, *_NULL) and not past.has("VALUE_PROVEN", "NO_HARM_PROVEN")
        return past.first("ROLLED_BACK") if bad else None

    yield median_of(
        "time_to_market",
        "Time to market",
        "From the seal of a plan until the first people are served the change.",
        between(lambda p: p.experiment.sealed_at, lambda p: p.experiment.started_at),
    )
    yield median_of(
        "draft_to_shipped",
        "Draft to shipped",
        "From the draft of a plan until the change is served to all.",
        between(lambda p: p.experiment.created_at, lambda p: p.first("SHIPPING")),
    )
    yield median_of(
        "time_to_proof",
        "Time to proof, of its budget",
        "Share of the time that the plan allowed, used until the proof.",
        [
            (proof - past.experiment.started_at).total_seconds()
            / parse_plan(past.experiment.plan).prove_by_seconds
            for past in pasts
            if past.experiment.started_at is not None and (proof := _proof(past)) is not None
        ],
        unit="share",
    )
    shipped = {p.experiment.flag_key: at for p in pasts if (at := p.first("SHIPPING")) is not None}
    yield median_of(
        "customer_time_to_value",
        "Customer time to value",
        "From a request of class value until a change on its flag is served to all.",
        [
            (shipped[r.flag_key] - r.created_at).total_seconds() / 86400
            for r in asked
            if r.demand == "value" and r.flag_key in shipped and shipped[r.flag_key] >= r.created_at
        ],
    )
    yield median_of(
        "time_to_fail",
        "Time to fail",
        "From the start of an experiment until it was rolled back without a proof.",
        between(lambda p: p.experiment.started_at, ended_badly),
    )
    yield median_of(
        "request_to_resolution",
        "Request to resolution",
        "From a request until it was resolved or declined.",
        [
            (r.resolved_at - r.created_at).total_seconds() / 86400
            for r in asked
            if r.resolved_at is not None
        ],
    )


def _proof(past: _Past) -> dt.datetime | None:
    return next((at for at, _to, verdict in past.moves if verdict in _PROVEN), None)


def _harm(session: Session, pasts: Sequence[_Past]) -> Iterable[Outcome]:
    by_id = {past.experiment.id: past for past in pasts if past.has(*_HARM)}
    looks = session.exec(
        select(Look)
        .where(col(Look.experiment_id).in_(list(by_id)), col(Look.verdict).in_([*_HARM]))
        .order_by(col(Look.number))
    ).all()
    detect, restore, dose = [], [], 0.0
    for look in {look.experiment_id: look for look in looks}.values():
        past = by_id[look.experiment_id]
        shipped = look.data.get("holdback")
        started = dt.datetime.fromisoformat(shipped["since"]) if shipped else None
        started, back = started or past.experiment.started_at, past.first("ROLLED_BACK")
        if started is not None:
            detect.append((look.at - started).total_seconds() / 3600)
        if back is not None:
            restore.append(max(0.0, (back - look.at).total_seconds() / 60))
        dose += _dose(look)
    yield median_of(
        "time_to_detect",
        "Time to detect harm",
        "From the first exposure until the look that found the harm.",
        detect,
        unit="hours",
        needed=1,
    )
    yield median_of(
        "time_to_restore",
        "Time to restore",
        "From the look that found the harm until the flag served control again.",
        restore,
        unit="minutes",
        needed=1,
    )
    yield Outcome(
        "harm_dose",
        "Harm dose",
        "People who met a harmful arm, each weighed by the relative loss, at most one.",
        "people",
        len(detect),
        0,
        dose,
    )


def _dose(look: Look) -> float:
    tests = look.decision.get("tests", ())
    relative = {
        (test["metric"], test["arm"]): abs(test["relative"])
        for test in tests
        if test["relative"] is not None
    }
    worst: dict[str, float] = {}
    for test in tests:
        if test["kind"] in words.HARM_KINDS and test["passed"]:
            # Where control has none of it, no share says how much is lost: all of it.
            loss = min(1.0, relative.get((test["metric"], test["arm"]), 1.0))
            worst[test["arm"]] = max(worst.get(test["arm"], 0.0), loss)
    counts = look.data["look"]["counts"]
    return float(sum(counts.get(arm, 0) * loss for arm, loss in worst.items()))


def _rates(pasts: Sequence[_Past], now: dt.datetime) -> Iterable[Outcome]:
    ended = [past for past in pasts if past.decided is not None]
    recent = [p for p in ended if p.decided is not None and now - p.decided <= _RECENT]
    yield Outcome(
        "innovation_rate",
        "Innovation rate",
        "Experiments that were decided in the last 90 days, per month.",
        "a month",
        len(recent),
        1,
        len(recent) / 3 if recent else None,
    )
    for key, name, verdicts, what in (
        ("proof_rate", "Proof rate", _PROVEN, "were proven"),
        ("null_rate", "Null rate", _NULL, "were futile, or not proven in time"),
        ("harm_rate", "Harm rate", _HARM, "did harm"),
        ("invalid_rate", "Invalid rate", frozenset({"INVALID"}), "could not be trusted"),
    ):
        definition = f"Share of the decided experiments that {what}."
        yield share_of(key, name, definition, [past.has(*verdicts) for past in ended])
    overridden = [p for p in pasts if p.has("OVERRIDE_SHIP")]
    scored = [p for p in overridden if p.has("CONFIRMED", "NOT_CONFIRMED", "LATE_HARM")]
    yield share_of(
        "override_regret",
        "Override regret",
        "Share of the changes shipped against a verdict that the holdback then did not confirm.",
        [not past.has("CONFIRMED") for past in scored],
    )


def _promises(session: Session, project_id: int, falls: Sequence[Waterfall]) -> Iterable[Outcome]:
    pairs = [(f.predicted, f.proven) for f in falls]
    yield ratio_of(
        "proven_to_predicted",
        "Proven, of what was predicted",
        "Net benefit of the proven changes, shrunk, over what had been predicted for them.",
        pairs,
    )
    yield ratio_of(
        "realised_to_proven",
        "Realised, of what was proven",
        "Net benefit that the holdback shows, over what had been proven.",
        [(f.proven, f.realised) for f in falls],
    )
    defects = session.exec(
        select(LedgerEntry).where(
            LedgerEntry.project_id == project_id, LedgerEntry.kind == Kind.ESCAPED_DEFECT.value
        )
    ).all()
    for currency in sorted({entry.currency for entry in defects}) or [""]:
        amounts = [entry.amount for entry in defects if entry.currency == currency]
        yield Outcome(
            f"escaped_defects{'_' + currency if currency else ''}",
            "Escaped defects",
            "What changes that were shipped and then did harm have cost until they were reverted.",
            f"money {currency}",
            len(amounts),
            1,
            sum(amounts) / 100 if amounts else None,
        )


def _money(session: Session, project_id: int, now: dt.datetime) -> Iterable[Outcome]:
    found = balances(session, project_id, now=now)
    counted = len(
        session.exec(
            select(LedgerEntry.experiment_id).where(LedgerEntry.project_id == project_id).distinct()
        ).all()
    )
    name = "Business benefit"
    definition = "Balance of the value ledger, less the running costs to date."
    if not found:
        yield Outcome("business_benefit", name, definition, "money ", 0, 1)
    for balance in found:
        amount = (balance.amount + balance.accrued) / 100
        key = f"business_benefit_{balance.currency}"
        yield Outcome(key, name, definition, f"money {balance.currency}", counted, 1, amount)


def _upkeep(
    session: Session,
    project_id: int,
    pasts: Sequence[_Past],
    asked: Sequence[Request],
    now: dt.datetime,
) -> Iterable[Outcome]:
    debts = [
        ((past.first("CLOSED") or now) - past.decided).total_seconds() / 86400
        for past in pasts
        if past.decided is not None
    ]
    yield median_of(
        "flag_debt",
        "Flag debt",
        "From the decision until the flag's code was gone, or until today.",
        debts,
    )
    tried = {p.experiment.flag_key for p in pasts if p.experiment.started_at is not None}
    flags = session.exec(
        select(FlagRow.key).where(
            FlagRow.project_id == project_id, col(FlagRow.archived).is_(False)
        )
    ).all()
    yield share_of(
        "evidence_coverage",
        "Evidence coverage",
        "Share of the flags in use that an experiment has tried.",
        [key in tried for key in flags],
    )
    yield share_of(
        "failure_demand",
        "Failure demand",
        "Share of the requests that are about something that went wrong.",
        [request.demand == "failure" for request in asked],
    )


def as_documents(found: Sequence[Outcome]) -> list[Mapping[str, Any]]:
    """Give outcomes as plain data."""
    return [each.to_document() for each in found]
