"""One look at an experiment whose rows are in a source.

Where exposures and outcomes are both there, the engine sums up and only sums come back. Where the
exposures are what our SDKs recorded, outcomes come here: rows of the events that count, streamed,
and of these only what exposed units did is kept; then the sums are made beside the exposures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import ibis

from experiments.analysis.definitions import Analysis, AnalysisQuery, MetricDefinition
from experiments.analysis.statement import analyse_tables
from experiments.errors import SourceError
from experiments.sources.connect import opened
from experiments.sources.definition import Source
from experiments.sources.tables import exposure_table, metric_table, track_table
from experiments.store.base import EventStore

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from ibis.backends.sql import SQLBackend

_TRACKS = {"unit": "string", "name": "string", "value": "float64", "time": "float64"}
_BATCH_ROWS = 100_000


def analyse_source(
    source: Source,
    query: AnalysisQuery,
    metric_sql: Mapping[str, str],
    store: EventStore,
    environment: Mapping[str, str] | None = None,
) -> Analysis:
    """Read an experiment's rows where they are, and sum them up.

    Parameters
    ----------
    source : Source
        Where the rows are.
    query : AnalysisQuery
        What to read.
    metric_sql : mapping of str to str
        SQL of the metrics that bring their own, by key.
    store : EventStore
        Where the exposures are if the source has none.
    environment : mapping of str to str, optional
        Where the source's variable is looked up; the process's own environment by default.

    Raises
    ------
    SourceError
        If the engine cannot be reached, or has not what the document says.
    """
    with opened(source, os.environ if environment is None else environment) as backend:
        tracks, tables = outcome_tables(backend, source, query.metrics, metric_sql)
        if source.exposures is None:
            with store.relations(
                query.environment_id, since=query.read_since, until=query.look_at
            ) as connection:
                return _beside_the_exposures(connection, query, tracks, tables)
        return analyse_tables(exposure_table(backend, source), tracks, query, metric_tables=tables)


def outcome_tables(
    backend: SQLBackend,
    source: Source,
    metrics: tuple[MetricDefinition, ...],
    metric_sql: Mapping[str, str],
) -> tuple[ibis.Table, dict[str, ibis.Table]]:
    """Find the rows of every metric: the source's tracks, and the tables of metrics with SQL."""
    tables = {}
    for place, metric in enumerate(metrics):
        if metric.key in metric_sql:
            field = f"metrics[{place}].sql"
            tables[metric.key] = metric_table(
                backend, source, metric_sql[metric.key], metric.events, field
            )
    if source.tracks is not None:
        return track_table(backend, source), tables
    without = next((m for m in metrics if m.key not in tables), None)
    if without is not None:
        raise SourceError(
            f"the metric {without.key!r} has no rows: source {source.key!r} has no tracks",
            field=f"metrics[{metrics.index(without)}].sql",
            hint="give the metric sql of its own, or the source a table of tracks",
        )
    return ibis.table(_TRACKS, name="tracks"), tables


def _beside_the_exposures(
    connection: duckdb.DuckDBPyConnection,
    query: AnalysisQuery,
    tracks: ibis.Table,
    tables: Mapping[str, ibis.Table],
) -> Analysis:
    connection.execute(
        "CREATE TEMP TABLE exposed_units AS SELECT DISTINCT unit FROM exposures "
        "WHERE environment_id = $environment AND flag = $flag AND ($rule IS NULL OR rule = $rule) "
        "AND time BETWEEN $start AND $look_at",
        {
            "environment": query.environment_id,
            "flag": query.flag,
            "rule": query.rule,
            "start": query.start,
            "look_at": query.look_at,
        },
    )
    rest = [metric for metric in query.metrics if metric.key not in tables]
    here = ibis.duckdb.from_connection(connection)
    if rest:
        _fetch(connection, tracks, query, rest, "source_tracks")
    fetched = {}
    for place, metric in enumerate(query.metrics):
        if metric.key in tables:
            name = f"source_metric_{place}"
            _fetch(connection, tables[metric.key], query, [metric], name)
            fetched[metric.key] = here.table(name)
    return analyse_tables(
        here.table("exposures"),
        here.table("source_tracks" if rest else "tracks"),
        query,
        metric_tables=fetched,
    )


def _fetch(
    connection: duckdb.DuckDBPyConnection,
    table: ibis.Table,
    query: AnalysisQuery,
    metrics: list[MetricDefinition],
    into: str,
) -> None:
    """Copy the rows that may count, of exposed units, into a temporary table of the connection."""
    rows = table.filter(table.time >= query.read_since, table.time <= query.look_at)
    if "name" in rows.columns:
        rows = rows.filter(rows.name.isin(sorted({e for m in metrics for e in m.events})))
    columns = ", ".join(f"{name} {_DUCKDB[name]}" for name in rows.columns)
    connection.execute(f"CREATE TEMP TABLE {into} ({columns})")
    for batch in _batches(rows):
        connection.register("batch", batch)
        connection.execute(
            f"INSERT INTO {into} SELECT {', '.join(rows.columns)} FROM batch "  # noqa: S608
            "WHERE unit IN (SELECT unit FROM exposed_units)"
        )
        connection.unregister("batch")


def _batches(rows: ibis.Table) -> Iterator[pa.RecordBatch]:
    backend = rows.get_backend()
    if backend.name == "duckdb":
        # Ibis calls a method that newer DuckDB has no more.
        yield from backend.con.sql(backend.compile(rows)).to_arrow_reader(_BATCH_ROWS)
    else:
        yield from backend.to_pyarrow_batches(rows, chunk_size=_BATCH_ROWS)


_DUCKDB = {"unit": "VARCHAR", "name": "VARCHAR", "value": "DOUBLE", "time": "DOUBLE"}
