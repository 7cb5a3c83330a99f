"""From a plan to what is asked of the events, and from their sums to what decides.

The monitor asks through this module and no other: which metric is read how is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, cast

from experiments.analysis.definitions import Aggregation, sums_names
from experiments.contract.attrition import STAYING, Attrition
from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from experiments.contract.source import Source
from experiments.measuring.aggregate import (
    Adds,
    Analysis,
    AnalysisQuery,
    MetricDefinition,
    MetricKind,
    Sums,
    analyse,
    past_values,
)
from experiments.rules.serving import ship_rule_id
from experiments.sources.reading import analyse_source
from experiments.store.promises import EventStore
from stats import CovariateMoments, Moments, RatioMoments
from stats.decision.look import Sums as AnySums
from stats.sums.ratio import RatioCovariateMoments

LEAST_PAST_VALUES = 200
LEAST_PAST_BEYOND = 10
"""A quantile of the past is read from this many values, and as many beyond it, at the least."""

NO_MARKS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Measured:
    """What a look reads.

    Parameters
    ----------
    analysis : Analysis
        Counts, quality and raw sums.
    sums : dict
        For each metric and arm the sums in the type that `stats` reads.
    marks : dict
        For each metric that asks for a quantile of the past its value, from the first look that
        knew it: what the next looks are given.
    lost : dict, optional
        By arm ``units`` that were watched long enough and how many of them were ``lost``; ``None``
        unless the plan says how that is told.
    """

    analysis: Analysis
    sums: dict[str, dict[str, AnySums]]
    marks: dict[str, float]
    lost: dict[str, dict[str, int]] | None = None


def measure(
    store: EventStore,
    plan: Plan,
    *,
    environment_id: int,
    start: float,
    offset: float,
    source: Source | None = None,
    marks: Mapping[str, float] = NO_MARKS,
    winner: str | None = None,
) -> Measured:
    """Read the events of an experiment for one look.

    Parameters
    ----------
    store : EventStore
        What our SDKs recorded.
    start : float
        When it started, POSIX seconds.
    offset : float
        Seconds from then to the look.
    source : Source, optional
        Where the rows are that the store has not.
    marks : mapping of str to float
        What earlier looks have frozen (`Measured.marks`): a mark that is known is never chosen
        anew.
    winner : str, optional
        The arm that ships: then it is compared with its holdback, and ``start`` is when that began.
    """
    known = dict(marks)
    ask = partial(
        query_of, plan, environment_id=environment_id, start=start, offset=offset, winner=winner
    )
    query = ask()
    for metric in plan.metrics:
        if metric.reading.waits_for_past is not None and metric.key not in known:
            chosen = _choose_mark(store, query, metric)
            if chosen is not None:
                known[metric.key] = chosen
    query = ask(marks=known)
    if winner is None and plan.attrition is not None:
        query = replace(query, metrics=(*query.metrics, staying(plan.attrition)))
    if source is None:
        analysis = analyse(store, query)
    else:
        analysis = analyse_source(source, query, metric_sql(plan), store)
    sums = typed_sums(query, analysis)
    missing = {
        metric.key: dict.fromkeys(query.arms, _none(metric))
        for metric in plan.metrics
        if metric.key not in sums
    }
    ordered = {metric.key: (sums | missing)[metric.key] for metric in plan.metrics}
    return Measured(analysis, ordered, known, _lost(analysis))


def query_of(
    plan: Plan,
    *,
    environment_id: int,
    start: float,
    offset: float,
    marks: Mapping[str, float] = NO_MARKS,
    winner: str | None = None,
) -> AnalysisQuery:
    """Say what to read for a look, or for a comparison of the winner with its holdback.

    A metric whose mark is not known yet is left out.
    """
    ships = winner is not None
    return AnalysisQuery(
        environment_id=environment_id,
        flag=plan.flag,
        rule=ship_rule_id(plan) if ships else plan.rule_id,
        arms=plan.arms if winner is None else (plan.control, winner),
        start=start,
        look_at=start + offset,
        enrol_until=None if ships else start + plan.enrol_seconds,
        metrics=tuple(
            definition_of(metric, marks.get(metric.key))
            for metric in plan.metrics
            if metric.reading.waits_for_past is None or metric.key in marks
        ),
        most_events_per_day=plan.most_events_per_day,
    )


def all_definitions(plan: Plan) -> tuple[MetricDefinition, ...]:
    """Give all that is read for a look, whatever its marks will be."""
    asked = () if plan.attrition is None else (staying(plan.attrition),)
    return (*(definition_of(metric) for metric in plan.metrics), *asked)


def staying(attrition: Attrition) -> MetricDefinition:
    """Say how it is read who is still there: one more metric of the same statement."""
    return MetricDefinition(
        STAYING,
        "retention",
        attrition.events[0],
        attrition.window_seconds,
        also=attrition.events[1:],
        from_seconds=attrition.from_seconds,
    )


def _lost(analysis: Analysis) -> dict[str, dict[str, int]] | None:
    if STAYING not in analysis.moments:
        return None
    return {
        arm: {"units": int(sums[0]), "lost": int(sums[0] - sums[1])}
        for arm, sums in analysis.moments[STAYING].items()
    }


def metric_sql(plan: Plan) -> dict[str, str]:
    """Give the SQL of the metrics that bring their own, by key."""
    return {metric.key: metric.sql for metric in plan.metrics if metric.sql is not None}


def definition_of(metric: Metric, mark: float | None = None) -> MetricDefinition:
    """Say how a metric of a plan is read from events.

    Parameters
    ----------
    mark : float, optional
        What was read from the past, for a metric that asks for it.
    """
    reading, ratio = metric.reading, metric.ratio
    is_quantile = metric.kind == "quantile"
    halves: dict[str, Any] = {}
    if ratio is not None:
        halves = {
            "numerator": cast("Adds", ratio.numerator),
            "denominator_event": ratio.denominator_events[0],
            "denominator_also": ratio.denominator_events[1:],
            "denominator": cast("Adds", ratio.denominator),
        }
    return MetricDefinition(
        metric.key,
        cast("MetricKind", metric.kind),
        metric.events[0],
        metric.window_seconds,
        also=metric.events[1:],
        **halves,
        from_seconds=reading.from_seconds,
        steps=reading.steps,
        aggregation=cast("Aggregation", reading.aggregation),
        cap=reading.cap if reading.cap_quantile is None else mark,
        threshold=mark if is_quantile and reading.threshold is None else reading.threshold,
        of_units=reading.of_units,
        covariate_seconds=reading.covariate_seconds,
    )


def _choose_mark(store: EventStore, query: AnalysisQuery, metric: Metric) -> float | None:
    """Read a quantile of the past, once there is enough of it; else wait for a later look."""
    quantile = metric.reading.waits_for_past
    assert quantile is not None
    counts = metric.kind == "count" or (
        metric.ratio is not None and metric.ratio.numerator == "count"
    )
    past = MetricDefinition(
        metric.key,
        "count" if counts else "mean",
        metric.events[0],
        metric.window_seconds,
        also=metric.events[1:],
        aggregation=cast("Aggregation", metric.reading.aggregation),
        covariate_seconds=metric.window_seconds,
    )
    of_events = metric.kind == "quantile" and not metric.reading.of_units
    values = past_values(store, replace(query, metrics=(past,)), of_events=of_events)
    if values.n < max(LEAST_PAST_VALUES, LEAST_PAST_BEYOND / (1 - quantile)):
        return None
    return values.quantile(quantile)


def _none(metric: Metric) -> AnySums:
    is_ratio = metric.ratio is not None or (metric.kind == "quantile" and not metric.binary)
    return RatioMoments() if is_ratio else Moments()


def typed_sums(query: AnalysisQuery, analysis: Analysis) -> dict[str, dict[str, AnySums]]:
    """Give the sums of each metric and arm as the type that `stats` reads."""
    return {
        metric.key: typed(query, metric.key, analysis.moments[metric.key])
        for metric in query.metrics
    }


def typed(query: AnalysisQuery, key: str, moments: Mapping[str, Sums]) -> dict[str, AnySums]:
    """Give one metric's sums of each arm as the type that `stats` reads."""
    metric = next(each for each in query.metrics if each.key == key)
    return {arm: _typed(metric, sums) for arm, sums in moments.items()}


def _typed(metric: MetricDefinition, sums: Sums) -> AnySums:
    named = dict(zip(sums_names(metric), sums, strict=True))
    if metric.is_ratio:
        kind: type[AnySums] = (
            RatioMoments if metric.covariate_seconds is None else RatioCovariateMoments
        )
    else:
        kind = Moments if metric.covariate_seconds is None else CovariateMoments
    return kind(**named)
