"""Standing comparisons, once a day in the worker: audits of every layer, and the holdout's effect.

They come after the looks of a tick, one in each tick at most, so that they never keep a harm look
waiting. An audit deals the units of a layer to two arms by a hash with a salt of its own for each
period, and lets the same sums, looks and rules decide: whatever it finds is false. The arm is the
first hexadecimal digit of an md5, which every engine computes alike.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ibis
from sqlmodel import Session, col, select

from experiments.analysis.definitions import AnalysisQuery, MetricDefinition
from experiments.analysis.statement import analyse_tables
from experiments.contract import words
from experiments.contract.document import format_duration
from experiments.contract.effects import effects_at
from experiments.contract.metric import Metric
from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.contract.policy import PROOF_28D
from experiments.judging.looks import build_look, decide, look_document, read_look
from experiments.judging.quality import Quality
from experiments.machine.states import SHIPPED, State
from experiments.measuring.measure import definition_of, typed_sums
from experiments.models import Experiment, HoldoutRow, StandingRow
from experiments.moves import holdout
from experiments.moves.enact import plan_of
from experiments.moves.lease import Held, check_fence
from experiments.rules import guard
from experiments.store.base import EventStore
from experiments.telling import audits
from experiments.value.ledger import newest_look
from flags.database import Database
from flags.models import Environment
from stats import DecisionPlan, LookData, MetricSpec, Role, cumulative_impact
from stats import Policy as Rates
from stats import decide as stats_decide

log = logging.getLogger(__name__)

KIND_OF_EFFECT = "holdout"
DAY = 86400.0
PERIOD = PROOF_28D.horizon_seconds
SETTLE = PROOF_28D.settle_seconds
ARMS = ("a", "b")
MAX_METRICS = 8
MAX_SUCCESS = 3
Z = 1.959963984540054
"""Two-sided 95 %: the interval of one reading."""

_DIGITS = [*"01234567"]
# Days whose readings are all taken: a tick of another minute need not look again.
_done: weakref.WeakKeyDictionary[Database, int] = weakref.WeakKeyDictionary()


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def md5(text: str) -> str:
    """Give the engine's own md5, in hexadecimal digits."""
    raise NotImplementedError


@dataclass(frozen=True)
class _Reading:
    """A reading that is due."""

    environment_id: int
    environment_key: str
    kind: str
    subject: str
    period: int
    number: int
    offset: float
    experiments: tuple[Experiment, ...]
    earlier: tuple[dict[str, Any], ...] = ()
    holdout: HoldoutRow | None = None


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
        priors = {} if due is None or due.holdout is None else _shrunk(session, due.experiments)
        session.expunge_all()
    if due is None:
        # A day that has just begun settles first.
        if now.timestamp() % DAY > SETTLE:
            _done[database] = today
        return 0
    try:
        found = _audit(store, due) if due.kind == audits.KIND else _effect(store, due, now, priors)
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


def _due(session: Session, now: dt.datetime) -> Iterator[_Reading]:
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
) -> Iterator[_Reading]:
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
        yield _Reading(
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
) -> _Reading | None:
    assert environment.id is not None
    subject = holdout.rule_id(row)
    period = int((now.timestamp() - SETTLE) // DAY)
    if _rows(session, environment.id, KIND_OF_EFFECT, subject, period):
        return None
    shipped = tuple(_shipped(session, environment.id, row.started_at))
    if not shipped:
        return None
    return _Reading(
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


# --- audits


def audit_plan(environment_key: str, experiments: Sequence[Experiment]) -> Plan | None:
    """Make the claim that an audit tests: that one half of a layer's units is better.

    Success metrics, guardrails and safety metrics are those of the layer's experiments, without
    break-even marks; where nothing claims a value, the first guardrail does. ``None`` if no metric
    can be used.
    """
    metrics: list[dict[str, Any]] = []
    seen: set[MetricDefinition] = set()
    for role in ("success", "guardrail", "safety"):
        for metric in _metrics(experiments, seen, role):
            document = metric.to_document() | {"key": f"{len(metrics) + 1}-{metric.key}"}
            document.pop("superiority_margin", None)
            successes = sum(each["role"] == "success" for each in metrics)
            if role == "guardrail" and not successes:
                document |= {"role": "success", "mde": document.pop("margin")}
            if len(metrics) < MAX_METRICS and (role != "success" or successes < MAX_SUCCESS):
                metrics.append(document)
    if not any(each["role"] == "success" for each in metrics):
        return None
    return parse_plan(
        {
            "key": "audit",
            "flag": "audit",
            "environment": environment_key,
            "control": ARMS[0],
            "treatments": [ARMS[1]],
            "hypothesis": "Nothing is different.",
            "customer": "audit",
            "owner": "monitor",
            "prove_by": format_duration(PERIOD),
            "metrics": metrics,
            "policy": {"name": "audit-28d", "looks": [{"every": "1d"}]},
        }
    )


def _metrics(
    experiments: Sequence[Experiment], seen: set[MetricDefinition], role: str
) -> Iterator[Metric]:
    for experiment in experiments:
        for metric in plan_of(experiment).metrics:
            usable = metric.reading.waits_for_past is None and metric.sql is None
            if metric.role != role or not usable or metric.window_seconds >= PERIOD:
                continue
            # The same numbers under another name would be tested twice.
            same = _nameless(definition_of(metric))
            if same not in seen:
                seen.add(same)
                yield metric


def _nameless(definition: MetricDefinition) -> MetricDefinition:
    return replace(definition, key="")


def audit_salt(environment_id: int, layer: str, period: int) -> str:
    """Give the salt under which an audit deals units to its arms."""
    return f"audit-{environment_id}-{period}:{layer}"


def dealt_anew(exposures: ibis.Table, salt: str) -> ibis.Table:
    """Give the exposures with an audit's arms in place of what was met."""
    digit = md5(ibis.literal(f"{salt}.").concat(exposures.unit)).substr(0, 1)
    arm = ibis.cases((digit.isin(_DIGITS), ARMS[0]), else_=ARMS[1])
    return exposures.select(unit=exposures.unit, variant=arm, time=exposures.time)


def _audit(store: EventStore, due: _Reading) -> tuple[str, dict[str, Any]]:
    plan = (
        parse_plan(due.earlier[0]["plan"])
        if due.earlier
        else audit_plan(due.environment_key, due.experiments)
    )
    assert plan is not None
    start = due.period * PERIOD
    query = AnalysisQuery(
        environment_id=due.environment_id,
        flag="",
        rule=None,
        arms=ARMS,
        start=start,
        look_at=start + due.offset,
        enrol_until=start + plan.enrol_seconds,
        metrics=tuple(definition_of(metric) for metric in plan.metrics),
    )
    rules = sorted(plan_of(each).rule_id for each in due.experiments)
    salt = audit_salt(due.environment_id, due.subject, due.period)
    tables = store.tables(due.environment_id, since=query.read_since, until=query.look_at)
    with tables as (exposures, tracks):
        met = exposures.filter(
            exposures.environment_id == due.environment_id, exposures.rule.isin(rules)
        )
        dealt = dealt_anew(met, salt)
        own = tracks.filter(tracks.environment_id == due.environment_id)
        analysis = analyse_tables(dealt, own, query)
    earlier = tuple(read_look(each["look"]) for each in due.earlier)
    look = build_look(
        plan,
        number=due.number,
        offset=due.offset,
        counts=analysis.counts,
        sums=typed_sums(query, analysis),
        quality=Quality(),
        earlier=earlier,
    )
    decision = decide(plan, (*earlier, look))
    data = {
        "offset": due.offset,
        "salt": salt,
        "rules": rules,
        "look": look_document(look),
        "decision": decision.to_document(),
    } | ({} if due.earlier else {"plan": plan.to_document()})
    return decision.verdict.value, data


# --- what all that shipped has brought


def _effect(
    store: EventStore, due: _Reading, now: dt.datetime, shrunk: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Compare who is held with who is not, on the metrics of what has shipped."""
    assert due.holdout is not None
    look_at = now.timestamp() - SETTLE
    first = min(each.ended_at.timestamp() for each in due.experiments if each.ended_at is not None)
    start = max(first, due.holdout.changed_at.timestamp(), look_at - PERIOD)
    seen: set[MetricDefinition] = set()
    metrics = [
        metric
        for role in ("success", "guardrail", "safety")
        for metric in _metrics(due.experiments, seen, role)
    ][: 2 * MAX_METRICS]
    named = [replace(metric, key=f"{i}-{metric.key}") for i, metric in enumerate(metrics, 1)]
    query = AnalysisQuery(
        environment_id=due.environment_id,
        flag=guard.FLAG,
        rule=due.subject,
        arms=(guard.HELD, guard.OPEN),
        start=start,
        look_at=max(look_at, start),
        enrol_until=None,
        metrics=tuple(definition_of(metric) for metric in named),
    )
    tables = store.tables(due.environment_id, since=query.read_since, until=query.look_at)
    with tables as (exposures, tracks):
        own = tracks.filter(tracks.environment_id == due.environment_id)
        analysis = analyse_tables(exposures, own, query)
    look = LookData(1, 1.0, False, False, True, analysis.counts, typed_sums(query, analysis))
    rates = Rates()
    decision = stats_decide(
        [look],
        DecisionPlan(
            arms=(guard.HELD, guard.OPEN),
            weights=(float(due.holdout.buckets), float(holdout.OPEN_BUCKETS)),
            # Estimates without a test: nothing is decided here.
            metrics=tuple(
                MetricSpec(
                    key=metric.key,
                    role=Role.EXPLORE,
                    binary=metric.binary,
                    direction="up" if metric.direction == "up" else "down",
                )
                for metric in named
            ),
        ),
        rates,
    )
    document = look_document(look)
    rows = [
        _row(metric, plain, decision, document, shrunk)
        for metric, plain in zip(named, metrics, strict=True)
    ]
    return decision.verdict.value, {
        "since": dt.datetime.fromtimestamp(start, dt.UTC).isoformat(),
        "until": dt.datetime.fromtimestamp(query.look_at, dt.UTC).isoformat(),
        "share": due.holdout.buckets / 10_000,
        "counts": document["counts"],
        "quarantined": analysis.quarantined,
        "experiments": [each.key for each in due.experiments],
        "confidence_level": 0.95,
        "metrics": rows,
    }


def _row(
    metric: Metric, plain: Metric, decision: Any, document: dict[str, Any], shrunk: dict[str, Any]
) -> dict[str, Any]:
    test = next((each for each in decision.tests if each.metric == metric.key), None)
    row: dict[str, Any] = {
        "metric": plain.key,
        "role": plain.role,
        "unit": plain.unit,
        "direction": plain.direction,
        "shrunk": shrunk.get(plain.key),
    }
    if test is None or test.estimate is None or test.se is None:
        reason = "not compared" if test is None else test.reason
        return row | {"estimate": None, "reason": reason or "too few units yet"}
    control = words.means(document, metric.key).get(guard.HELD)
    return row | {
        "held": control,
        "estimate": test.estimate,
        "se": test.se,
        "low": test.estimate - Z * test.se,
        "high": test.estimate + Z * test.se,
        "relative": test.estimate / control if control else None,
    }


def _shrunk(session: Session, experiments: Sequence[Experiment]) -> dict[str, dict[str, Any]]:
    """Add up what each of them was expected to bring, shrunk for the winner's curse."""
    parts: dict[str, list[tuple[float, float]]] = {}
    for experiment in experiments:
        plan = plan_of(experiment)
        assert experiment.id is not None
        look = newest_look(session, experiment.id)
        if look is None or not plan.success_metrics:
            continue
        effects = effects_at(plan, look.data["look"], look.decision, look.data.get("priors"))
        effect = effects.get(str(experiment.winner))
        if effect is not None:
            sd = math.sqrt(effect.kept) * effect.se
            parts.setdefault(plan.success_metrics[0].key, []).append((effect.shrunk, sd))
    found = {}
    for key, pairs in parts.items():
        values, sds = [p[0] for p in pairs], [p[1] for p in pairs]
        impact = cumulative_impact(values, sds, [1.0] * len(pairs))
        found[key] = {
            "total": impact.total,
            "low": impact.low,
            "high": impact.high,
            "experiments": len(pairs),
        }
    return found
