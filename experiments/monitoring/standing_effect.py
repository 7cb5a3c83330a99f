"""What all that shipped has brought: who is held is compared with who is not, once a day."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlmodel import Session

from experiments.analysis.definitions import AnalysisQuery
from experiments.analysis.statement import analyse_tables
from experiments.contract import words
from experiments.contract.effects import effects_at
from experiments.contract.metric import Metric
from experiments.judging.looks import look_document
from experiments.measuring.measure import definition_of, typed_sums
from experiments.models import Experiment
from experiments.monitoring.standing_reading import (
    MAX_METRICS,
    PERIOD,
    SETTLE,
    Reading,
    usable_metrics,
)
from experiments.moves import holdout
from experiments.moves.enact import plan_of
from experiments.rules import guard
from experiments.store.promises import EventStore
from experiments.value.entering import newest_look
from stats import DecisionPlan, LookData, MetricSpec, Role, cumulative_impact
from stats import Policy as Rates
from stats import decide as stats_decide

Z = 1.959963984540054
"""Two-sided 95 %: the interval of one reading."""


def compare_held(
    store: EventStore, due: Reading, now: dt.datetime, shrunk: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Compare who is held with who is not, on the metrics of what has shipped."""
    assert due.holdout is not None
    look_at = now.timestamp() - SETTLE
    first = min(each.ended_at.timestamp() for each in due.experiments if each.ended_at is not None)
    start = max(first, due.holdout.changed_at.timestamp(), look_at - PERIOD)
    metrics = [*usable_metrics(due.experiments)][: 2 * MAX_METRICS]
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


def expected_gains(
    session: Session, experiments: Sequence[Experiment]
) -> dict[str, dict[str, Any]]:
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
