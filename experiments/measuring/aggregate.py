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

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import duckdb
import ibis

from experiments.analysis.days import DaySums, analyse_days, compile_days, read_days
from experiments.analysis.definitions import (
    Adds,
    Analysis,
    AnalysisQuery,
    MetricDefinition,
    MetricKind,
    Sums,
)
from experiments.analysis.past import compile_past
from experiments.analysis.segments import (
    SegmentSums,
    analyse_segments,
    compile_segments,
    read_segments,
    with_segments,
)
from experiments.analysis.statement import analyse_tables, compile_analysis, read_sums
from experiments.analysis.units import Instants
from experiments.store.promises import EventStore
from stats.sums.histogram import LogHistogram

__all__ = [
    "Adds",
    "Analysis",
    "AnalysisQuery",
    "MetricDefinition",
    "MetricKind",
    "Sums",
    "analyse",
    "analyse_tables",
    "by_day",
    "by_segment",
    "compile_analysis",
    "open_relations",
    "past_values",
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
        return _on_duckdb(source, query)
    with _opened(source, query) as (exposures, tracks):
        backend = exposures.get_backend()
        if backend.name == "duckdb":
            return _on_duckdb(backend.con, query)
        return analyse_tables(exposures, tracks, query)


def by_segment(
    source: EventStore, query: AnalysisQuery, attributes: Sequence[str]
) -> tuple[SegmentSums, ...]:
    """Read raw events once more and sum them up by what units are (see `analysis.segments`)."""
    chosen = tuple(attributes)
    with _opened(source, query) as (exposures, tracks):
        backend = exposures.get_backend()
        if backend.name == "duckdb":
            rows = _rows_on_duckdb(backend.con, query, partial(_segments, attributes=chosen))
            return read_segments(rows, query, chosen)
        return analyse_segments(with_segments(exposures, chosen), tracks, query, chosen)


def by_day(source: EventStore, query: AnalysisQuery, day_seconds: float) -> DaySums:
    """Read what units did on the last day, by days since their first exposure."""
    with _opened(source, query) as (exposures, tracks):
        backend = exposures.get_backend()
        if backend.name == "duckdb":
            rows = _rows_on_duckdb(backend.con, query, partial(_days, day_seconds=day_seconds))
            return read_days(rows, query)
        return analyse_days(exposures, tracks, query, day_seconds)


def _opened(
    source: EventStore, query: AnalysisQuery
) -> AbstractContextManager[tuple[ibis.Table, ibis.Table]]:
    return source.tables(query.environment_id, since=query.read_since, until=query.look_at)


def _on_duckdb(connection: duckdb.DuckDBPyConnection, query: AnalysisQuery) -> Analysis:
    return read_sums(_rows_on_duckdb(connection, query, _statement), query)


def _rows_on_duckdb(
    connection: duckdb.DuckDBPyConnection,
    query: AnalysisQuery,
    statement: Callable[[AnalysisQuery], str],
) -> list[dict[str, Any]]:
    # Looks of one plan differ in nothing but their times: the statement is written once.
    timeless = replace(
        query, start=0.0, look_at=0.0, enrol_until=None if query.enrol_until is None else 0.0
    )
    for name, time in _times(query).items():
        connection.execute(f"SET VARIABLE {name} = $1::DOUBLE", [time])
    found = connection.execute(statement(timeless))
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def past_values(source: EventStore, query: AnalysisQuery, *, of_events: bool) -> LogHistogram:
    """Read what units did before their first exposure, all arms together.

    Parameters
    ----------
    query : AnalysisQuery
        With one metric (see :func:`experiments.analysis.past.compile_past`).

    Returns
    -------
    LogHistogram
        Of the values above 0, of units or of their events.
    """
    with _opened(source, query) as (exposures, tracks):
        past = compile_past(exposures, tracks, query, of_events=of_events)
        rows = exposures.get_backend().to_pyarrow(past).to_pylist()
    return LogHistogram(positive=tuple(sorted((row["bucket"], row["values"]) for row in rows)))


def _times(query: AnalysisQuery) -> dict[str, float]:
    times = {"start": query.start, "look_at": query.look_at, "enrol_until": query.enrol_until}
    return {f"flagstone_{name}": time for name, time in times.items() if time is not None}


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def getvariable(variable: str) -> float:
    """DuckDB's variable of this session."""
    raise NotImplementedError


@lru_cache(maxsize=256)
def _statement(query: AnalysisQuery) -> str:
    """Write DuckDB's SQL for a query whose times are variables of the session."""
    expression = compile_analysis(
        _EXPOSURES, _TRACKS, query, dialect="duckdb", instants=_variables(query)
    )
    return str(ibis.to_sql(expression, dialect="duckdb"))


@lru_cache(maxsize=64)
def _segments(query: AnalysisQuery, *, attributes: tuple[str, ...]) -> str:
    expression = compile_segments(
        with_segments(_EXPOSURES, attributes),
        _TRACKS,
        query,
        len(attributes),
        dialect="duckdb",
        instants=_variables(query),
    )
    return str(ibis.to_sql(expression, dialect="duckdb"))


@lru_cache(maxsize=64)
def _days(query: AnalysisQuery, *, day_seconds: float) -> str:
    expression = compile_days(
        _EXPOSURES, _TRACKS, query, day_seconds, dialect="duckdb", instants=_variables(query)
    )
    return str(ibis.to_sql(expression, dialect="duckdb"))


def _variables(query: AnalysisQuery) -> Instants:
    return Instants(
        **{name.removeprefix("flagstone_"): getvariable(name) for name in _times(query)}
    )


_EVENTS = {"environment_id": "int64", "unit": "string", "time": "float64"}
_MET = {"flag": "string", "rule": "string", "variant": "string", "attributes": "string"}
_EXPOSURES = ibis.table(_EVENTS | _MET, name="exposures")
_TRACKS = ibis.table(_EVENTS | {"name": "string", "value": "float64"}, name="tracks")


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
