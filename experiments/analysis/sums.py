"""From the units' values to sums per arm: counts, powers and products that merge by adding.

A unit is mature for a metric if its whole window has passed: ``first + window <= look_at``. Only
mature units count, so that each has had the same time to act.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations_with_replacement

import ibis

from experiments.analysis.definitions import AnalysisQuery, MetricDefinition
from experiments.analysis.definitions import sums_names as names_of_sums
from experiments.analysis.units import Instants, bot_or_status
from experiments.analysis.values import Add, Part, part_columns


def sums_columns(query: AnalysisQuery) -> dict[str, tuple[str, ...]]:
    """Name the columns of each metric's sums, in the order of `sums_names`.

    What is equal is computed once: the units of equal windows, the powers of 0 and 1.
    """
    windows = _windows(query)
    columns = {}
    for place, metric in enumerate(query.metrics):
        names = [f"sum{place}_{k}" for k in range(1, len(names_of_sums(metric)))]
        if metric.binary and metric.covariate_seconds is None:
            names = [names[0]] * 3
        columns[metric.key] = (f"mature{windows.index(metric.window_seconds)}", *names)
    return columns


def sums_of_arms(
    wide: ibis.Table,
    query: AnalysisQuery,
    own: Collection[str],
    add: Add,
    instants: Instants,
    *,
    by: Sequence[str] = (),
) -> ibis.Table:
    """Give one row per status and arm, and per value of the columns ``by``.

    Its columns are ``status, arm, units, first, last, newest`` and those of `sums_columns`.
    """
    windows = _windows(query)
    matures = [(wide.entered + window <= instants.look_at) for window in windows]
    columns: dict[str, ibis.Value] = {}
    values_of: list[list[str]] = []
    metrics = list(zip(query.metrics, part_columns(query, own), strict=True))
    for place, (metric, its) in enumerate(metrics):
        mature = matures[windows.index(metric.window_seconds)]
        names = [f"y{place}_{k}" for k in range(len(its))]
        values_of.append(names)
        for k, (column, part) in enumerate(its):
            # Of a ratio the numerator is cut, now and before.
            cap = None if metric.is_ratio and k % 2 else metric.cap
            value = _value(wide[column], metric, part, cap)
            # Null adds nothing.
            columns[names[k]] = ibis.ifelse(mature, value, ibis.null("float64"))
    rows = wide.select(
        "arm",
        "entered",
        "last_seen",
        "newest",
        *by,
        status=bot_or_status(wide, query.most_events_per_day),
        **{f"is_mature{k}": mature for k, mature in enumerate(matures)},
        **columns,
    )
    sums: dict[str, ibis.Value] = {
        f"mature{k}": rows.count(where=rows[f"is_mature{k}"]) for k in range(len(windows))
    }
    sums_names = sums_columns(query)
    for (metric, its), names in zip(metrics, values_of, strict=True):
        values = [rows[name] for name in names]
        whole = metric.cap is None and all(part.how in {"any", "count"} for _, part in its)
        # Whole numbers are exact in any order, up to 2^53; others are added with compensation.
        for name, term in zip(sums_names[metric.key][1:], _terms(values), strict=False):
            if name not in sums:
                sums[name] = term.sum() if whole else add(term)
    return rows.group_by("status", "arm", *by).aggregate(
        units=rows.count(),
        first=rows.entered.min(),
        last=rows.last_seen.max(),
        newest=rows.newest.max(),
        **sums,
    )


def _windows(query: AnalysisQuery) -> list[float]:
    return sorted({metric.window_seconds for metric in query.metrics})


def _value(
    column: ibis.Value, metric: MetricDefinition, part: Part, cap: float | None
) -> ibis.Value:
    if part.how == "any":
        return ibis.ifelse(column, 1.0, 0.0)
    if metric.of_units:
        return ibis.ifelse(ibis.coalesce(column.cast("float64"), 0.0) > metric.threshold, 1.0, 0.0)
    value = column.cast("float64")
    # Not least(): of a null and a cap some engines make the cap.
    return value if cap is None else ibis.ifelse(value > cap, cap, value)


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
