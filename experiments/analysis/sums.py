"""From the units' values to sums per arm: counts, powers and products that merge by adding.

A unit is mature for a metric if its whole window has passed: ``first + window <= look_at``. Only
mature units count, so that each has had the same time to act.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import ibis

from experiments.analysis.definitions import AnalysisQuery, MetricDefinition, sums_names
from experiments.analysis.units import bot_or_status
from experiments.analysis.values import Add, Part, part_column, parts

_FUNNEL = (Part("", "any", 0.0, 1.0),)


def sums_columns(query: AnalysisQuery) -> dict[str, tuple[str, ...]]:
    """Name the columns of each metric's sums, in the order of `sums_names`.

    What is equal is computed once: the units of equal windows, the powers of 0 and 1.
    """
    windows = _windows(query)
    columns = {}
    for place, metric in enumerate(query.metrics):
        names = [f"sum{place}_{k}" for k in range(1, len(sums_names(metric)))]
        if metric.binary and metric.covariate_seconds is None:
            names = [names[0]] * 3
        columns[metric.key] = (f"mature{windows.index(metric.window_seconds)}", *names)
    return columns


def sums_of_arms(wide: ibis.Table, query: AnalysisQuery, add: Add) -> ibis.Table:
    """Give one row per status and arm.

    Its columns are ``status, arm, units, first, last, newest`` and those of `sums_columns`.
    """
    windows = _windows(query)
    matures = [(wide.entered + window <= query.look_at) for window in windows]
    columns = {
        column: _value(wide[column], metric, part, matures[windows.index(metric.window_seconds)])
        for place, metric in enumerate(query.metrics)
        for column, part in _unit_columns(place, metric)
    }
    rows = wide.select(
        "arm",
        "entered",
        "last_seen",
        "newest",
        status=bot_or_status(wide, query.most_events_per_day),
        **{f"is_mature{k}": mature for k, mature in enumerate(matures)},
        **columns,
    )
    sums: dict[str, ibis.Value] = {
        f"mature{k}": rows.count(where=rows[f"is_mature{k}"]) for k in range(len(windows))
    }
    names = sums_columns(query)
    for place, metric in enumerate(query.metrics):
        values = [rows[column] for column, _ in _unit_columns(place, metric)]
        whole = metric.cap is None and all(
            part.how in {"any", "count"} for _, part in _unit_columns(place, metric)
        )
        # Whole numbers are exact in any order, up to 2^53; others are added with compensation.
        for name, term in zip(names[metric.key][1:], _terms(values), strict=False):
            if name not in sums:
                sums[name] = term.sum() if whole else add(term)
    return rows.group_by("status", "arm").aggregate(
        units=rows.count(),
        first=rows.entered.min(),
        last=rows.last_seen.max(),
        newest=rows.newest.max(),
        **sums,
    )


def _windows(query: AnalysisQuery) -> list[float]:
    return sorted({metric.window_seconds for metric in query.metrics})


def _unit_columns(place: int, metric: MetricDefinition) -> list[tuple[str, Part]]:
    found = parts(metric) or _FUNNEL
    return [(part_column(place, k), part) for k, part in enumerate(found)]


def _value(
    column: ibis.Value, metric: MetricDefinition, part: Part, mature: ibis.Value
) -> ibis.Value:
    """Give a mature unit's number; null, which adds nothing, for others."""
    if part.how == "any":
        value = ibis.ifelse(column, 1.0, 0.0)
    elif metric.of_units:
        value = ibis.ifelse(ibis.coalesce(column.cast("float64"), 0.0) > metric.threshold, 1.0, 0.0)
    else:
        value = column.cast("float64")
    if metric.cap is not None and part.event == metric.event:
        # Not least(): of a null and a cap some engines make the cap.
        value = ibis.ifelse(value > metric.cap, metric.cap, value)
    return ibis.ifelse(mature, value, ibis.null("float64"))


def _terms(values: Sequence[ibis.Value]) -> list[ibis.Value]:
    """Write what is added up: powers to the third of one value or two, or products of four."""
    if len(values) == 4:
        pairs = combinations_with_replacement(range(4), 2)
        return [*values, *(values[i] * values[j] for i, j in pairs)]
    powers = [power for y in values for power in (y, y * y, y * y * y)]
    if len(values) == 1:
        return powers
    y, d = values
    return [*powers, y * d, y * d * d, y * y * d]
