"""From raw events to the sums that a decision needs: one pass, one row per unit, then one per arm.

The raw rows are read once: exposures become one row per unit (its arm, its first exposure), and
the outcomes are joined to those. What leaves is additive: counts, and for each metric and arm sums
of the units' values, their powers and products (STATISTICS.md §5).

The rules, in one place:

- A unit belongs to the experiment if its first exposure lies in ``start`` … ``enrol_until``.
- A unit that met more than one variant of the rule up to ``look_at`` is quarantined: it is counted
  apart, and appears nowhere else. So is one that has more events than any person: a bot.
- A unit is mature for a metric if its whole window has passed: ``first + window <= look_at``. Only
  mature units count, so that each has had the same time to act.
- An outcome counts if ``first <= time < first + window`` and ``time <= look_at``; for a covariate
  if ``first - covariate <= time < first``.

The expression is in :mod:`experiments.analysis`; here it is run over an event store.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import ibis

from experiments.analysis.definitions import (
    Adds,
    Analysis,
    AnalysisQuery,
    MetricDefinition,
    MetricKind,
    Sums,
)
from experiments.analysis.statement import analyse_tables, compile_analysis
from experiments.store.base import EventStore

__all__ = [
    "Adds",
    "Analysis",
    "AnalysisQuery",
    "MetricDefinition",
    "MetricKind",
    "Sums",
    "analyse",
    "analyse_tables",
    "compile_analysis",
    "open_relations",
]


def analyse(source: EventStore | duckdb.DuckDBPyConnection, query: AnalysisQuery) -> Analysis:
    """Read raw events once and sum them up.

    Parameters
    ----------
    source : EventStore or duckdb.DuckDBPyConnection
        A store, or a connection that has the two tables of
        :meth:`experiments.store.base.EventStore.tables` (see :func:`open_relations`). Of a
        connection only rows of ``query.environment_id`` are read.
    query : AnalysisQuery
        What to read.

    Returns
    -------
    Analysis
        Counts and conversions are exact; sums of values are compensated (Kahan) on DuckDB, so
        correct to about the last digit in any order of reading.
    """
    if isinstance(source, duckdb.DuckDBPyConnection):
        tables = ibis.duckdb.from_connection(source)
        return analyse_tables(tables.table("exposures"), tables.table("tracks"), query)
    environment_id, since, until = query.environment_id, query.read_since, query.look_at
    with source.tables(environment_id, since=since, until=until) as (exposures, tracks):
        return analyse_tables(exposures, tracks, query)


@contextmanager
def open_relations(
    exposures: object, tracks: object, *, environment_id: int = 0, flag: str, rule: str | None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Make the two relations out of tables from elsewhere, such as somebody's history.

    Parameters
    ----------
    exposures : pyarrow.Table or anything DuckDB reads
        Columns ``unit``, ``variant``, ``time`` (POSIX seconds).
    tracks : pyarrow.Table or anything DuckDB reads
        Columns ``unit``, ``name``, ``value``, ``time``.
    environment_id, flag, rule
        Given to every row, so that a query can name them.
    """
    with duckdb.connect() as connection:
        connection.register("given_exposures", exposures)
        connection.register("given_tracks", tracks)
        constants = {"environment": environment_id, "flag": flag, "rule": rule}
        connection.execute(
            "CREATE TABLE exposures AS SELECT $environment::BIGINT AS environment_id, "
            "unit::VARCHAR AS unit, $flag::VARCHAR AS flag, $rule::VARCHAR AS rule, "
            "variant::VARCHAR AS variant, NULL::BIGINT AS revision, time::DOUBLE AS time "
            "FROM given_exposures",
            constants,
        )
        connection.execute(
            "CREATE TABLE tracks AS SELECT $environment::BIGINT AS environment_id, "
            "unit::VARCHAR AS unit, name::VARCHAR AS name, value::DOUBLE AS value, "
            "time::DOUBLE AS time FROM given_tracks",
            {"environment": environment_id},
        )
        yield connection
