"""The worker's second reading, at looks that may ship: by segment, and by days of experience.

For looking around. Nothing here enters a decision or a record: it is stored beside the look, and a
failure leaves the look as it is.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.analysis.days import KINDS, DaySums, analyse_days, day_query
from experiments.analysis.definitions import AnalysisQuery
from experiments.analysis.segments import SegmentSums, analyse_segments
from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from experiments.contract.source import Source
from experiments.measuring.aggregate import by_day, by_segment
from experiments.measuring.measure import NO_MARKS, metric_sql, query_of, typed
from experiments.sources.reading import read_source
from experiments.store.promises import EventStore
from stats import (
    Moments,
    StatsError,
    always_valid,
    e_bh,
    effect_trend,
    heterogeneity,
    holm,
    planned_precision,
    score_difference,
)
from stats.decision.evidence import as_means
from stats.decision.look import Sums as AnySums

log = logging.getLogger(__name__)

LEAST_UNITS = 100
"""Of each arm of a cell: with fewer nothing is computed, and nothing shown."""
LEAST_EVENTS = 5
FALSE_DISCOVERIES = 0.05
ALPHA_DIFFERENT = 0.01
ALPHA_TREND = 0.01
MOST_BINS = 8
LEAST_BINS = 4
LEAST_PRECISION = 4.0
"""A mean this many standard errors above 0 has a logarithm that is about normal."""


def explore(
    store: EventStore,
    plan: Plan,
    *,
    environment_id: int,
    start: float,
    offset: float,
    counts: Mapping[str, int],
    source: Source | None = None,
    marks: Mapping[str, float] = NO_MARKS,
    earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Give what is stored beside a look: ``segments`` if the plan asks for them, ``novelty``.

    Parameters
    ----------
    start, offset : float
        When the experiment started, POSIX seconds, and seconds from then to the look.
    counts : mapping of str to int
        Exposed units per arm.
    earlier : mapping, optional
        ``segments`` of the look before that had some: how sharply evidence is read was settled
        there.
    """
    if not plan.policy.may_ship(offset, plan.deadline_seconds):
        return {}
    query = query_of(plan, environment_id=environment_id, start=start, offset=offset, marks=marks)
    found: dict[str, Any] = {}
    try:
        if plan.segments:
            segments = _by_segment(store, plan, query, source)
            share = min(1.0, offset / plan.deadline_seconds)
            found["segments"] = segments_document(plan, query, segments, share, earlier)
        days = day_query(query, _keys_of_days(plan), plan.policy.day_seconds)
        if days.metrics and _may_have_a_trend(plan, offset, counts):
            trends = novelty_document(plan, days, _by_day(store, plan, days, source))
            if trends:
                found["novelty"] = trends
    except Exception as error:
        # Whatever it is: what decides has been read, and must not wait for what does not.
        log.exception("segments of %s could not be read", plan.key)
        found["unexplored"] = f"{type(error).__name__}: {error}"[:300]
    return found


def _may_have_a_trend(plan: Plan, offset: float, counts: Mapping[str, int]) -> bool:
    """Tell whether days and units are enough for the least number of points; else read nothing."""
    days = offset / plan.policy.day_seconds
    return days > LEAST_BINS and min(counts.values(), default=0) >= LEAST_BINS * LEAST_UNITS


def _keys_of_days(plan: Plan) -> tuple[str, ...]:
    return tuple(
        metric.key
        for metric in plan.metrics
        if metric.role in {"success", "guardrail"} and metric.kind in KINDS
    )


def _by_segment(
    store: EventStore, plan: Plan, query: AnalysisQuery, source: Source | None
) -> tuple[SegmentSums, ...]:
    if source is None:
        return by_segment(store, query, plan.segments)
    return read_source(
        source,
        query,
        metric_sql(plan),
        store,
        lambda exposures, tracks, tables: analyse_segments(
            exposures, tracks, query, plan.segments, metric_tables=tables
        ),
        attributes=plan.segments,
    )


def _by_day(store: EventStore, plan: Plan, query: AnalysisQuery, source: Source | None) -> DaySums:
    day = plan.policy.day_seconds
    if source is None:
        return by_day(store, query, day)
    own = metric_sql(plan)
    asked = {metric.key: own[metric.key] for metric in query.metrics if metric.key in own}
    return read_source(
        source,
        query,
        asked,
        store,
        lambda exposures, tracks, tables: analyse_days(
            exposures, tracks, query, day, metric_tables=tables
        ),
    )


# --- segments


def segments_document(
    plan: Plan,
    query: AnalysisQuery,
    segments: Sequence[SegmentSums],
    share: float,
    earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Read every cell (segment, metric, treatment) as if it had been looked at all the time.

    Parameters
    ----------
    share : float
        How much of the experiment is over, 0 to 1: says what information is still to come.
    earlier : mapping, optional
        The document of an earlier look: a cell keeps the precision of its first reading.
    """
    known = {_name(cell): cell["precision"] for cell in (earlier or {}).get("cells", ())}
    cells: list[dict[str, Any]] = []
    too_few = 0
    for segment in segments:
        for metric in _asked(plan, query):
            arms = typed(query, metric.key, segment.moments[metric.key])
            for arm in plan.treatments:
                pair = arms[plan.control], arms[arm]
                if min(pair[0].n, pair[1].n) < LEAST_UNITS:
                    too_few += 1
                    continue
                head = {
                    "attribute": segment.attribute,
                    "what": segment.what,
                    "value": segment.value,
                    "metric": metric.key,
                    "arm": arm,
                    "units_control": pair[0].n,
                    "units_arm": pair[1].n,
                }
                cell = _cell(metric, pair, known.get(_name(head)), share)
                cells.append(head | cell)
    tested = [cell for cell in cells if cell["log_e"] is not None]
    reported = e_bh([cell["log_e"] for cell in tested], FALSE_DISCOVERIES)
    for cell in cells:
        cell["reported"] = False
    for cell, is_reported in zip(tested, reported, strict=True):
        cell["reported"] = bool(is_reported)
    return {
        "attributes": list(plan.segments),
        "segments": [_segment_document(segment) for segment in segments],
        "cells": cells,
        "too_few": too_few,
        "differences": _differences(tested),
    }


def _name(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(cell[name] for name in ("attribute", "what", "value", "metric", "arm"))


def _asked(plan: Plan, query: AnalysisQuery) -> list[Metric]:
    keys = {metric.key for metric in query.metrics}
    return [metric for metric in plan.metrics if metric.key in keys]


def _cell(
    metric: Metric, pair: tuple[AnySums, AnySums], precision: float | None, share: float
) -> dict[str, Any]:
    nothing = dict.fromkeys(("estimate", "se", "low", "high", "log_e", "precision"))
    try:
        control, treatment = as_means(*pair)
        binary = metric.binary and control is pair[0]
        if binary and control.total + treatment.total < LEAST_EVENTS:
            return nothing
        score = score_difference(control, treatment, binary=binary)
        # The score without its skewness, as a decision reads it: never sharper than it is.
        corrected = abs(score.difference / score.z) if score.z else 0.0
        se = max(score.se, corrected)
        if precision is None:
            # Settled at the first reading, from the variance alone: later ones may not choose.
            precision = planned_precision(1 / se**2 / max(share, 0.01))
        read = always_valid(score.difference, se, precision)
    except StatsError:
        return nothing
    return {
        "estimate": read.difference,
        "se": se,
        "low": read.low,
        "high": read.high,
        "log_e": read.log_e,
        "precision": precision,
    }


def _segment_document(segment: SegmentSums) -> dict[str, Any]:
    return {
        "attribute": segment.attribute,
        "what": segment.what,
        "value": segment.value,
        "counts": dict(segment.counts),
        "sums": {
            key: {arm: list(sums) for arm, sums in arms.items()}
            for key, arms in segment.moments.items()
        },
    }


def _differences(cells: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Ask of each attribute, metric and treatment whether its segments share one effect."""
    families: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for cell in cells:
        key = (cell["attribute"], cell["metric"], cell["arm"])
        families.setdefault(key, []).append(cell)
    found: list[dict[str, Any]] = []
    for (attribute, metric, arm), members in families.items():
        if len(members) < 2:
            continue
        test = heterogeneity([c["estimate"] for c in members], [c["se"] for c in members])
        found.append(
            {
                "attribute": attribute,
                "metric": metric,
                "arm": arm,
                "segments": test.segments,
                "q": test.q,
                "p_value": test.p_value,
                "i2": test.i2,
            }
        )
    return [
        each | {"p_adjusted": p, "reported": p < ALPHA_DIFFERENT}
        for each, p in zip(found, _adjusted(found), strict=True)
    ]


def _adjusted(found: Sequence[Mapping[str, Any]]) -> list[float]:
    return [float(p) for p in holm([each["p_value"] for each in found])] if found else []


# --- novelty


def novelty_document(plan: Plan, query: AnalysisQuery, sums: DaySums) -> list[dict[str, Any]]:
    """Tell of each metric and treatment whether the effect fades or grows with experience.

    The effect of a day is relative (the logarithm of the ratio of means), since what people do at
    all falls after their first days, in every arm. Metrics with too few days are left out.
    """
    found: list[dict[str, Any]] = []
    for metric in query.metrics:
        days = {day: typed(query, metric.key, metrics[metric.key]) for day, metrics in sums.items()}
        for arm in plan.treatments:
            points = _points(days, plan.control, arm)
            if points is None:
                continue
            at, effects, ses = zip(*points, strict=True)
            trend = effect_trend(at, effects, ses)
            found.append(
                {
                    "metric": metric.key,
                    "arm": arm,
                    "days": list(at),
                    "effects": list(effects),
                    "ses": list(ses),
                    "slope": trend.slope,
                    "slope_se": trend.slope_se,
                    "first": trend.first,
                    "last": trend.intercept + trend.slope * max(at),
                    "p_value": trend.p_value,
                }
            )
    return [
        each | {"p_adjusted": p, "course": _course(each, p)}
        for each, p in zip(found, _adjusted(found), strict=True)
    ]


def _course(trend: Mapping[str, Any], p: float) -> str:
    if p >= ALPHA_TREND:
        return "steady"
    return "growing" if trend["slope"] * trend["first"] >= 0 else "fading"


def _points(
    days: Mapping[int, Mapping[str, AnySums]], control: str, arm: str
) -> list[tuple[float, float, float]] | None:
    """Give day, effect and standard error of each bin of days; ``None`` if they are too few."""
    both = [
        (day, sums[control], sums[arm])
        for day, sums in days.items()
        if control in sums and arm in sums
    ]
    smaller = sum(min(first.n, second.n) for _, first, second in both)
    least = max(float(LEAST_UNITS), smaller / MOST_BINS)
    points: list[tuple[float, float, float]] = []
    waiting: list[tuple[int, AnySums, AnySums]] = []
    for each in both:
        waiting.append(each)
        if sum(min(first.n, second.n) for _, first, second in waiting) < least:
            continue
        point = _point(waiting)
        if point is None:
            return None
        points.append(point)
        waiting = []
    # What is left over at the end are the few who came first; they fill no day.
    return points if len(points) >= LEAST_BINS else None


def _point(members: Sequence[tuple[int, AnySums, AnySums]]) -> tuple[float, float, float] | None:
    control, treatment = Moments(), Moments()
    total = weighted = 0.0
    for day, first, second in members:
        assert isinstance(first, Moments)
        assert isinstance(second, Moments)
        control, treatment = control + first, treatment + second
        total += first.n + second.n
        weighted += day * (first.n + second.n)
    square = 0.0
    for arm in (control, treatment):
        if not arm.mean > 0 or not arm.variance > 0:
            return None
        relative = arm.variance / arm.n / arm.mean**2
        if relative * LEAST_PRECISION**2 > 1:
            return None
        square += relative
    return weighted / total, math.log(treatment.mean / control.mean), math.sqrt(square)
