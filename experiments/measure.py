"""From a plan to what is asked of the events, and from their sums to what decides.

The monitor asks through this module and no other: which metric is read how is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from experiments.aggregate import (
    Adds,
    Analysis,
    AnalysisQuery,
    MetricDefinition,
    MetricKind,
    Sums,
    analyse,
)
from experiments.analysis.definitions import sums_names
from experiments.plan import Metric, Plan
from experiments.store.base import EventStore
from stats import CovariateMoments, Moments, RatioMoments
from stats.decision.look import Sums as AnySums
from stats.sums.ratio import RatioCovariateMoments


@dataclass(frozen=True)
class Measured:
    """What a look reads.

    Parameters
    ----------
    analysis : Analysis
        Counts, quality and raw sums.
    sums : dict
        For each metric and arm the sums in the type that `stats` reads.
    """

    analysis: Analysis
    sums: dict[str, dict[str, AnySums]]


def measure(
    store: EventStore, plan: Plan, *, environment_id: int, start: float, offset: float
) -> Measured:
    """Read the events of an experiment for one look.

    Parameters
    ----------
    start : float
        When it started, POSIX seconds.
    offset : float
        Seconds from then to the look.
    """
    query = query_of(plan, environment_id=environment_id, start=start, offset=offset)
    analysis = analyse(store, query)
    return Measured(analysis, typed_sums(query, analysis))


def query_of(plan: Plan, *, environment_id: int, start: float, offset: float) -> AnalysisQuery:
    """Say what to read for a look."""
    return AnalysisQuery(
        environment_id=environment_id,
        flag=plan.flag,
        rule=plan.rule_id,
        arms=plan.arms,
        start=start,
        look_at=start + offset,
        enrol_until=start + plan.enrol_seconds,
        metrics=tuple(definition_of(metric) for metric in plan.metrics),
    )


def definition_of(metric: Metric) -> MetricDefinition:
    """Say how a metric of a plan is read from events."""
    kind, ratio = cast("MetricKind", metric.kind), metric.ratio
    if ratio is None:
        return MetricDefinition(metric.key, kind, metric.event, metric.window_seconds)
    return MetricDefinition(
        metric.key,
        kind,
        metric.event,
        metric.window_seconds,
        numerator=cast("Adds", ratio.numerator),
        denominator_event=ratio.denominator_event,
        denominator=cast("Adds", ratio.denominator),
    )


def typed_sums(query: AnalysisQuery, analysis: Analysis) -> dict[str, dict[str, AnySums]]:
    """Give the sums of each metric and arm as the type that `stats` reads."""
    return {
        metric.key: {
            arm: _typed(metric, sums) for arm, sums in analysis.moments[metric.key].items()
        }
        for metric in query.metrics
    }


def _typed(metric: MetricDefinition, sums: Sums) -> AnySums:
    named = dict(zip(sums_names(metric), sums, strict=True))
    if metric.is_ratio:
        kind: type[AnySums] = (
            RatioMoments if metric.covariate_seconds is None else RatioCovariateMoments
        )
    else:
        kind = Moments if metric.covariate_seconds is None else CovariateMoments
    return kind(**named)
