"""An audit of a layer: its units dealt to two arms that are the same, and judged by the same rules.

The arms come from a hash with a salt of its own for each period; sums, looks and rules are those of
experiments: whatever it finds is false. The arm is the first hexadecimal digit of an md5, which
every engine computes alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis

from experiments.analysis.definitions import AnalysisQuery
from experiments.analysis.statement import analyse_tables
from experiments.contract.document import format_duration
from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.judging.looks import build_look, decide, look_document, read_look
from experiments.judging.quality import Quality
from experiments.measuring.measure import definition_of, typed_sums
from experiments.models import Experiment
from experiments.monitoring.standing_reading import MAX_METRICS, PERIOD, Reading, usable_metrics
from experiments.moves.enact import plan_of
from experiments.store.promises import EventStore

ARMS = ("a", "b")
MAX_SUCCESS = 3
_DIGITS = [*"01234567"]


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def md5(text: str) -> str:
    """Give the engine's own md5, in hexadecimal digits."""
    raise NotImplementedError


def audit_plan(environment_key: str, experiments: Sequence[Experiment]) -> Plan | None:
    """Make the claim that an audit tests: that one half of a layer's units is better.

    Success metrics, guardrails and safety metrics are those of the layer's experiments, without
    break-even marks; where nothing claims a value, the first guardrail does. ``None`` if no metric
    can be used.
    """
    metrics: list[dict[str, Any]] = []
    for metric in usable_metrics(experiments):
        document = metric.to_document() | {"key": f"{len(metrics) + 1}-{metric.key}"}
        document.pop("superiority_margin", None)
        successes = sum(each["role"] == "success" for each in metrics)
        if metric.role == "guardrail" and not successes:
            document |= {"role": "success", "mde": document.pop("margin")}
        if len(metrics) < MAX_METRICS and (metric.role != "success" or successes < MAX_SUCCESS):
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


def audit_salt(environment_id: int, layer: str, period: int) -> str:
    """Give the salt under which an audit deals units to its arms."""
    return f"audit-{environment_id}-{period}:{layer}"


def dealt_anew(exposures: ibis.Table, salt: str) -> ibis.Table:
    """Give the exposures with an audit's arms in place of what was met."""
    digit = md5(ibis.literal(f"{salt}.").concat(exposures.unit)).substr(0, 1)
    arm = ibis.cases((digit.isin(_DIGITS), ARMS[0]), else_=ARMS[1])
    return exposures.select(unit=exposures.unit, variant=arm, time=exposures.time)


def audit_layer(store: EventStore, due: Reading) -> tuple[str, dict[str, Any]]:
    """Look at the audit of a layer; give the verdict, and what is kept of it."""
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
