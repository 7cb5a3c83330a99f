"""The one expression of an analysis, and how it is run where the tables are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis

from experiments.analysis.definitions import Analysis, AnalysisQuery
from experiments.analysis.sums import sums_columns, sums_of_arms
from experiments.analysis.units import BOT, COUNTED, QUARANTINED, Instants, exposed_units
from experiments.analysis.values import Add, add_plainly, unit_values

NO_TABLES: Mapping[str, ibis.Table] = {}


@ibis.udf.agg.builtin  # type: ignore[untyped-decorator]
def fsum(x: float) -> float:
    """DuckDB's sum with compensation (Kahan)."""
    raise NotImplementedError


@ibis.udf.agg.builtin(name="sumKahan")  # type: ignore[untyped-decorator]
def sum_kahan(x: float) -> float:
    """ClickHouse's sum with compensation (Kahan)."""
    raise NotImplementedError


_ADD: Mapping[str, Add] = {"duckdb": fsum, "clickhouse": sum_kahan}


def adder(dialect: str) -> Add:
    """Give how an engine adds up floats best."""
    return _ADD.get(dialect, add_plainly)


def compile_analysis(
    exposures: ibis.Table,
    tracks: ibis.Table,
    query: AnalysisQuery,
    *,
    metric_tables: Mapping[str, ibis.Table] = NO_TABLES,
    dialect: str = "",
    instants: Instants | None = None,
) -> ibis.Table:
    """Write an analysis as one expression, without running it.

    Parameters
    ----------
    exposures, tracks, metric_tables
        As in :func:`analyse_tables`; unbound tables will do.
    dialect : str
        The engine that will run it, as Ibis names it: sums are compensated where it can.
    instants : Instants, optional
        Expressions in place of the query's times.

    Returns
    -------
    ibis.Table
        One row per arm and status of units; ``ibis.to_sql(expression, dialect=…)`` is its SQL.

    Raises
    ------
    ValueError
        If there is a table for a metric that the query has not, or one that lacks a column.
    """
    unknown = set(metric_tables) - {metric.key for metric in query.metrics}
    if unknown:
        msg = f"there are tables for unknown metrics: {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    add = adder(dialect)
    times = Instants.of(query) if instants is None else instants
    units = exposed_units(exposures, query, times)
    wide = unit_values(units, tracks, query, metric_tables, add, times)
    return sums_of_arms(wide, query, metric_tables, add, times)


def analyse_tables(
    exposures: ibis.Table,
    tracks: ibis.Table,
    query: AnalysisQuery,
    *,
    metric_tables: Mapping[str, ibis.Table] = NO_TABLES,
) -> Analysis:
    """Run an analysis where its tables are; only sums come back.

    Parameters
    ----------
    exposures : ibis.Table
        Columns ``unit, variant, time`` (POSIX seconds); ``environment_id``, ``flag``, ``rule`` if
        it holds several of them.
    tracks : ibis.Table
        Columns ``unit, name, value, time``; ``environment_id`` if it holds several.
    query : AnalysisQuery
        What to read.
    metric_tables : mapping of str to ibis.Table
        For a metric's key a table of its own, ``unit, time, value``: each row is an event of that
        metric. With a column ``name`` only the rows of the metric's events count.

    Returns
    -------
    Analysis
        Counts and conversions are exact. Sums of values are compensated on DuckDB and ClickHouse
        (right to about the last digit in any order of reading), and plain elsewhere.
    """
    backend = exposures.get_backend()
    expression = compile_analysis(
        exposures, tracks, query, metric_tables=metric_tables, dialect=backend.name
    )
    return read_sums(backend.to_pyarrow(expression).to_pylist(), query)


def read_sums(rows: list[dict[str, Any]], query: AnalysisQuery) -> Analysis:
    """Read the rows that the expression of :func:`compile_analysis` gives."""
    columns = sums_columns(query)
    counts = dict.fromkeys(query.arms, 0)
    zeros = {key: (0.0,) * len(names) for key, names in columns.items()}
    moments = {key: dict.fromkeys(query.arms, none) for key, none in zeros.items()}
    times: dict[str, tuple[float, float]] = {}
    bots: dict[str, int] = {}
    quarantined = 0
    for row in sorted(rows, key=lambda row: int(row["arm"])):
        if row["status"] == QUARANTINED:
            quarantined += row["units"]
        if row["status"] not in {COUNTED, BOT}:
            continue
        arm = query.arms[row["arm"] - 1]
        if row["status"] == BOT:
            bots[arm] = row["units"]
            continue
        counts[arm] = row["units"]
        times[arm] = (row["first"], row["last"])
        for key, names in columns.items():
            moments[key][arm] = tuple(float(row[name] or 0) for name in names)
    return Analysis(
        counts=counts,
        quarantined=quarantined,
        moments=moments,
        newest_event=max((row["newest"] for row in rows), default=None),
        exposure_times=times,
        bots=bots,
    )
