"""A unit's value for each metric: from recorded events, or from a metric's own table.

An outcome counts if ``first <= time < first + window`` and ``time <= look_at``; for a covariate if
``first - covariate <= time < first``.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import ibis

from experiments.analysis.definitions import AnalysisQuery, MetricDefinition
from experiments.analysis.units import COUNTED, Instants

_ANY_TIME = 1e10
"""Seconds: longer than any experiment."""
How = Literal["any", "count", "sum", "max"]
Add = Callable[..., ibis.Value]
"""How an engine adds up floats; takes ``where``, as all aggregates do."""


@dataclass(frozen=True, slots=True)
class Part:
    """One number of a unit, of the events from ``low`` to just before ``high`` after it entered.

    ``above`` counts only events whose value is larger; ``valued`` only those that have a value;
    ``last`` only those of so many seconds before the look. ``also`` names further events that
    count like ``event``.
    """

    event: str
    how: How
    low: float
    high: float
    above: float | None = None
    valued: bool = False
    last: float | None = None
    also: tuple[str, ...] = ()

    def counts(self, name: ibis.Value) -> ibis.Value:
        """Tell whether an event of that name counts."""
        return name.isin((self.event, *self.also)) if self.also else name == self.event


def parts(metric: MetricDefinition) -> tuple[Part, ...]:
    """Give the numbers of a unit that a metric is made of.

    They are its value, or the halves of a ratio; then the same of the time before.
    """
    low, high = metric.from_seconds, metric.window_seconds
    if metric.kind == "funnel":
        return ()
    if metric.denominator_event is not None:
        halves = [
            Part(event, "sum" if adds == "value" else "count", low, high, also=also)
            for event, also, adds in (
                (metric.event, metric.also, metric.numerator),
                (metric.denominator_event, metric.denominator_also, metric.denominator),
            )
        ]
    elif metric.kind == "quantile" and not metric.of_units:
        halves = [
            Part(metric.event, "count", low, high, above=metric.threshold, also=metric.also),
            Part(metric.event, "count", low, high, valued=True, also=metric.also),
        ]
    else:
        how: How = metric.aggregation
        if metric.kind in {"conversion", "retention"}:
            how = "any"
        elif metric.kind == "count":
            how = "count"
        if metric.last_seconds is not None:
            last = metric.last_seconds
            return (Part(metric.event, how, low, _ANY_TIME, last=last, also=metric.also),)
        halves = [Part(metric.event, how, low, high, also=metric.also)]
    before = metric.covariate_seconds
    if before is not None:
        halves += [Part(half.event, half.how, -before, 0.0, also=half.also) for half in halves]
    return tuple(halves)


def part_columns(query: AnalysisQuery, own: Collection[str]) -> list[list[tuple[str, Part]]]:
    """Name the columns of each metric's parts; what several metrics read alike is read once.

    ``own`` are the keys of the metrics that have a table of their own.
    """
    names: dict[tuple[str, tuple[str, ...], Part], str] = {}
    found = []
    for metric in query.metrics:
        table = metric.key if metric.key in own else ""
        columns = []
        for part in parts(metric) or (Part("", "any", 0.0, metric.window_seconds),):
            same = (table, metric.steps, part)
            columns.append((names.setdefault(same, f"value{len(names)}"), part))
        found.append(columns)
    return found


def unit_values(
    units: ibis.Table,
    tracks: ibis.Table,
    query: AnalysisQuery,
    metric_tables: Mapping[str, ibis.Table],
    add: Add,
    instants: Instants,
) -> ibis.Table:
    """Give every unit its values, beside what is known of it.

    Parameters
    ----------
    units : ibis.Table
        As :func:`experiments.analysis.units.exposed_units` gives them.
    tracks : ibis.Table
        Columns ``unit, name, value, time``; ``environment_id`` if it holds several.
    metric_tables : mapping
        Columns ``unit, time, value`` for a metric that is read from a table of its own; if there
        is a column ``name`` too, only rows of the metric's events count.

    Returns
    -------
    ibis.Table
        The units with ``newest``, ``outcomes`` and a column for each part (`part_columns`); a part
        is null, or nought, for a unit without such events.
    """
    columns = list(zip(query.metrics, part_columns(query, metric_tables), strict=True))
    sources = [(tracks, [pair for pair in columns if pair[0].key not in metric_tables])]
    sources += [
        (metric_tables[pair[0].key], [pair]) for pair in columns if pair[0].key in metric_tables
    ]
    counted = units.filter(units.status == COUNTED).select("unit", "entered")
    newest, outcomes, wide = [], [], units
    for number, (table, chosen) in enumerate(sources):
        if not chosen:
            continue
        events, has_past = events_of_units(
            table, counted, query, [metric for metric, _ in chosen], instants
        )
        entered = events.time >= events.entered if has_past else None
        found = events.group_by("unit").aggregate(
            **{
                f"newest{number}": events.time.max(),
                f"outcomes{number}": events.count(where=entered),
            },
            **{
                column: aggregate_part(
                    events, part, add, has_past=has_past, look_at=instants.look_at
                )
                for metric, its in chosen
                if metric.kind != "funnel"
                for column, part in its
            },
        )
        wide = _left_join(wide, found)
        newest.append(f"newest{number}")
        outcomes.append(f"outcomes{number}")
        funnels = {its[0][0]: metric for metric, its in chosen if metric.kind == "funnel"}
        for column, metric in funnels.items():
            wide = _left_join(wide, _funnel(events, metric, column))
    times = [ibis.coalesce(wide[name], wide.last_seen) for name in newest]
    counts = [ibis.coalesce(wide[name], 0) for name in outcomes]
    return wide.mutate(
        newest=ibis.greatest(wide.last_seen, *times) if times else wide.last_seen,
        outcomes=functools.reduce(operator.add, counts, ibis.literal(0)),
    )


def events_of_units(
    table: ibis.Table,
    units: ibis.Table,
    query: AnalysisQuery,
    metrics: Sequence[MetricDefinition],
    instants: Instants,
) -> tuple[ibis.Table, bool]:
    """Give ``unit, name, value, time, entered`` for the events of the units that count.

    The second value tells whether some of them may lie before the unit's first exposure.
    """
    rows = table
    if "environment_id" in rows.columns:
        rows = rows.filter(rows.environment_id == query.environment_id)
    names = sorted({name for metric in metrics for name in metric.events})
    if "name" in rows.columns:
        rows = rows.filter(rows.name.isin(names))
        name = rows.name
    elif len(names) > 1:
        msg = f"the table of {metrics[0].key!r} needs a column name, to tell {names} apart"
        raise ValueError(msg)
    else:
        name = ibis.literal(names[0])
    before = max((metric.covariate_seconds or 0.0 for metric in metrics), default=0.0)
    rows = rows.select(
        unit=rows.unit.cast("string"),
        name=name,
        value=rows.value.cast("float64"),
        time=rows.time.cast("float64"),
    )
    rows = rows.filter(rows.time >= instants.start - before, rows.time <= instants.look_at)
    units = units.select(owner="unit", entered="entered")
    joined = rows.join(
        units, [rows.unit == units.owner, rows.time >= _later(units.entered, -before)]
    )
    return joined.select("unit", "name", "value", "time", "entered"), before > 0


def add_plainly(x: ibis.Value, *, where: ibis.Value | None = None) -> ibis.Value:
    """Add up as every engine can."""
    return x.sum(where=where)


def aggregate_part(
    events: ibis.Table, part: Part, add: Add, *, has_past: bool, look_at: Any = None
) -> ibis.Value:
    """Make one number of the events of each unit."""
    counts = part.counts(events.name)
    if part.low != 0:
        counts &= events.time >= _later(events.entered, part.low)
    elif has_past:
        counts &= events.time >= events.entered
    counts &= events.time < _later(events.entered, part.high)
    if part.last is not None:
        counts &= events.time >= look_at - part.last
    if part.above is not None:
        counts &= events.value > part.above
    if part.valued:
        counts &= events.value.notnull()
    if part.how == "any":
        return counts.any()
    if part.how == "count":
        return events.count(where=counts)
    if part.how == "max":
        return events.value.max(where=counts)
    return add(events.value, where=counts)


def _funnel(events: ibis.Table, metric: MetricDefinition, column: str) -> ibis.Table:
    """Tell of every unit whether the steps happened in their order, the earliest taken of each.

    Two steps at the same instant are in order: which came first is not known.
    """
    in_window = events.time < _later(events.entered, metric.window_seconds)
    rows = events.filter(events.name.isin(metric.steps), events.time >= events.entered, in_window)
    rows = rows.mutate(since=rows.entered)
    for step in metric.steps[:-1]:
        met = (rows.name == step) & (rows.time >= rows.since)
        first = ibis.ifelse(met, rows.time, ibis.null("float64")).min()
        rows = rows.mutate(since=first.over(ibis.window(group_by="unit")))
    reached = (rows.name == metric.steps[-1]) & (rows.time >= rows.since)
    return rows.group_by("unit").aggregate(**{column: reached.any()})


def _later(time: ibis.Value, seconds: float) -> ibis.Value:
    return time + seconds if seconds else time


def _left_join(left: ibis.Table, right: ibis.Table) -> ibis.Table:
    right = right.rename(owner="unit")
    joined = left.left_join(right, left.unit == right.owner)
    return joined.drop("owner")
