"""What units did on the last day before a look, by how long they have known the treatment.

Units that came on different days are different units: at one moment each day of entry shows one
day of experience, and no two of these share a unit. That is what tells a fading effect from a
steady one (STATISTICS.md §1.12).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ibis

from experiments.analysis.definitions import AnalysisQuery, Sums
from experiments.analysis.statement import NO_TABLES, adder
from experiments.analysis.sums import sums_columns, sums_of_arms
from experiments.analysis.units import COUNTED, Instants, exposed_units
from experiments.analysis.values import unit_values

DaySums = Mapping[int, Mapping[str, Mapping[str, Sums]]]
"""Whole days since the first exposure → metric → arm → the sums of `sums_names`."""

KINDS = ("conversion", "count", "mean")
"""Of these a unit has a value for any one day."""


def day_query(query: AnalysisQuery, keys: tuple[str, ...], day_seconds: float) -> AnalysisQuery:
    """Ask for some metrics' values of the last day before the look."""
    metrics = tuple(
        replace(
            metric, window_seconds=day_seconds, covariate_seconds=None, last_seconds=day_seconds
        )
        for metric in query.metrics
        if metric.key in keys and metric.kind in KINDS
    )
    return replace(query, metrics=metrics)


def compile_days(
    exposures: ibis.Table,
    tracks: ibis.Table,
    query: AnalysisQuery,
    day_seconds: float,
    *,
    metric_tables: Mapping[str, ibis.Table] = NO_TABLES,
    dialect: str = "",
    instants: Instants | None = None,
) -> ibis.Table:
    """Write the sums by days of experience as one expression, for a query of :func:`day_query`."""
    add = adder(dialect)
    times = Instants.of(query) if instants is None else instants
    units = exposed_units(exposures, query, times)
    units = units.filter(units.status == COUNTED)
    wide = unit_values(units, tracks, query, metric_tables, add, times)
    known = (times.look_at - wide.entered) / day_seconds
    # A cast truncates here and rounds there: floor first.
    wide = wide.mutate(day=known.floor().cast("int64"))
    return sums_of_arms(wide, query, metric_tables, add, times, by=("day",))


def analyse_days(
    exposures: ibis.Table,
    tracks: ibis.Table,
    query: AnalysisQuery,
    day_seconds: float,
    *,
    metric_tables: Mapping[str, ibis.Table] = NO_TABLES,
) -> DaySums:
    """Sum up by days of experience where the tables are."""
    backend = exposures.get_backend()
    expression = compile_days(
        exposures,
        tracks,
        query,
        day_seconds,
        metric_tables=metric_tables,
        dialect=backend.name,
    )
    return read_days(backend.to_pyarrow(expression).to_pylist(), query)


def read_days(rows: list[dict[str, Any]], query: AnalysisQuery) -> DaySums:
    """Read the rows of :func:`compile_days`; the unfinished first day is left out."""
    columns = sums_columns(query)
    found: dict[int, dict[str, dict[str, Sums]]] = {}
    for row in rows:
        if row["status"] != COUNTED or row["day"] < 1:
            continue
        metrics = found.setdefault(int(row["day"]), {key: {} for key in columns})
        for key, names in columns.items():
            sums = tuple(float(row[name] or 0) for name in names)
            metrics[key][query.arms[row["arm"] - 1]] = sums
    return {day: found[day] for day in sorted(found)}
