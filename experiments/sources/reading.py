"""One look at an experiment whose rows are in a source.

Where exposures and outcomes are both there, the engine sums up and only sums come back. Where the
exposures are what our SDKs recorded, outcomes come here: rows of the events that count, streamed,
and of these only what exposed units did is kept; then the sums are made beside the exposures.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

import duckdb
import ibis

from experiments.analysis.definitions import Analysis, AnalysisQuery, MetricDefinition
from experiments.analysis.segments import segment_column, with_segments
from experiments.analysis.statement import analyse_tables
from experiments.contract.attrition import STAYING
from experiments.contract.source import Source
from experiments.errors import SourceError
from experiments.sources.connect import opened
from experiments.sources.tables import exposure_table, metric_table, track_table
from experiments.store.promises import EventStore

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.backends.sql import SQLBackend

T = TypeVar("T")
SumUp = Callable[[ibis.Table, ibis.Table, Mapping[str, ibis.Table]], T]

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

    def sum_up(
        exposures: ibis.Table, tracks: ibis.Table, tables: Mapping[str, ibis.Table]
    ) -> Analysis:
        return analyse_tables(exposures, tracks, query, metric_tables=tables)

    return read_source(source, query, metric_sql, store, sum_up, environment=environment)


def read_source(
    source: Source,
    query: AnalysisQuery,
    metric_sql: Mapping[str, str],
    store: EventStore,
    sum_up: SumUp[T],
    *,
    attributes: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> T:
    """Open an experiment's rows where they are, and let them be summed up.

    Parameters
    ----------
    sum_up : callable
        Takes exposures, tracks, and the tables of metrics that have one of their own.
    attributes : sequence of str
        What exposures are to say of units, each in a column of its own.
    """
    with opened(source, os.environ if environment is None else environment) as backend:
        tracks, tables = outcome_tables(backend, source, query.metrics, metric_sql)
        if source.exposures is None:
            return _beside_our_exposures(store, query, tracks, tables, sum_up, attributes)
        return sum_up(exposure_table(backend, source, attributes), tracks, tables)


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
        raise _without_rows(source, metrics, without)
    return ibis.table(_TRACKS, name="tracks"), tables


def _without_rows(
    source: Source, metrics: tuple[MetricDefinition, ...], without: MetricDefinition
) -> SourceError:
    if without.key == STAYING:
        return SourceError(
            f"nothing tells who was lost: source {source.key!r} has no tracks",
            field="attrition",
            hint="give the source a table of tracks, or leave attrition out",
        )
    return SourceError(
        f"the metric {without.key!r} has no rows: source {source.key!r} has no tracks",
        field=f"metrics[{metrics.index(without)}].sql",
        hint="give the metric sql of its own, or the source a table of tracks",
    )


def _beside_our_exposures(
    store: EventStore,
    query: AnalysisQuery,
    tracks: ibis.Table,
    tables: Mapping[str, ibis.Table],
    sum_up: SumUp[T],
    attributes: Sequence[str],
) -> T:
    rest = [metric for metric in query.metrics if metric.key not in tables]
    # In a file, so that memory stays small however many rows there are.
    with (
        TemporaryDirectory(prefix="flagstone-look-") as folder,
        duckdb.connect(str(Path(folder) / "rows.duckdb")) as scratch,
    ):
        here = ibis.duckdb.from_connection(scratch)
        with store.tables(query.environment_id, since=query.start, until=query.look_at) as (
            exposures,
            _,
        ):
            _copy(scratch, _of_query(exposures, query, attributes), "exposures")
        scratch.execute("CREATE TABLE exposed AS SELECT DISTINCT unit FROM exposures")
        if rest:
            _copy(scratch, _that_may_count(tracks, query, rest), "tracks", of_exposed=True)
        fetched = {}
        for place, metric in enumerate(query.metrics):
            if metric.key in tables:
                rows = _that_may_count(tables[metric.key], query, [metric])
                _copy(scratch, rows, f"metric_{place}", of_exposed=True)
                fetched[metric.key] = here.table(f"metric_{place}")
        return sum_up(here.table("exposures"), here.table("tracks") if rest else tracks, fetched)


def _of_query(exposures: ibis.Table, query: AnalysisQuery, attributes: Sequence[str]) -> ibis.Table:
    rows = exposures.filter(
        exposures.environment_id == query.environment_id,
        exposures.flag == query.flag,
        exposures.time >= query.start,
        exposures.time <= query.look_at,
    )
    if query.rule is not None:
        rows = rows.filter(rows.rule == query.rule)
    if attributes:
        rows = with_segments(rows, attributes)
    said = [segment_column(place) for place in range(len(attributes))]
    return rows.select("unit", "variant", "time", *said)


def _that_may_count(
    table: ibis.Table, query: AnalysisQuery, metrics: list[MetricDefinition]
) -> ibis.Table:
    rows = table.filter(table.time >= query.read_since, table.time <= query.look_at)
    if "name" in rows.columns:
        rows = rows.filter(rows.name.isin(sorted({e for m in metrics for e in m.events})))
    return rows


def _copy(
    scratch: duckdb.DuckDBPyConnection, rows: ibis.Table, into: str, *, of_exposed: bool = False
) -> None:
    """Copy rows, batch by batch, into a table of their own; of exposed units only, if asked."""
    types = {name: _DUCKDB.get(name, "VARCHAR") for name in rows.columns}
    columns = ", ".join(f"{name} {kind}" for name, kind in types.items())
    scratch.execute(f"CREATE TABLE {into} ({columns})")
    only = " WHERE unit IN (SELECT unit FROM exposed)" if of_exposed else ""
    for batch in _batches(rows):
        scratch.register("batch", batch)
        scratch.execute(f"INSERT INTO {into} SELECT {', '.join(types)} FROM batch{only}")  # noqa: S608
        scratch.unregister("batch")


def _batches(rows: ibis.Table) -> Iterator[pa.RecordBatch]:
    backend = rows.get_backend()
    if backend.name == "duckdb":
        # Ibis calls a method that newer DuckDB has no more.
        yield from backend.con.sql(backend.compile(rows)).to_arrow_reader(_BATCH_ROWS)
    else:
        yield from backend.to_pyarrow_batches(rows, chunk_size=_BATCH_ROWS)


_DUCKDB = {"value": "DOUBLE", "time": "DOUBLE"}
