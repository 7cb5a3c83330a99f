"""Whether a source will do, before anything starts on it: reachable, readable, and joined up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import ibis

from experiments.contract.plan import Plan
from experiments.contract.source import Source
from experiments.measuring.measure import all_definitions, metric_sql
from experiments.sources.connect import opened
from experiments.sources.reading import outcome_tables
from experiments.sources.tables import exposure_table, track_table

if TYPE_CHECKING:
    from ibis.backends.sql import SQLBackend

# POSIX seconds of the year 2100: whoever is beyond it counts milliseconds.
_TOO_LATE = 4_102_444_800.0


@dataclass(frozen=True)
class RelationReport:
    """What a relation of a source holds; times are POSIX seconds, ``None`` without rows."""

    rows: int
    units: int
    oldest: float | None
    newest: float | None


@dataclass(frozen=True)
class SourceReport:
    """What was found in a source that can be read.

    Parameters
    ----------
    exposures, tracks : RelationReport, optional
        ``None`` where the source has no such relation.
    shared_units : int, optional
        Units of the tracks that have an exposure; ``None`` unless both are in the source.
    metrics : tuple of str
        Metrics of a plan whose rows were found.
    warnings : tuple of str
        What will make results empty or wrong, in whole sentences.
    """

    exposures: RelationReport | None
    tracks: RelationReport | None
    shared_units: int | None
    metrics: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        """Give the report as plain data."""
        return asdict(self)


def check_source(
    source: Source,
    *,
    now: float,
    plan: Plan | None = None,
    environment: Mapping[str, str] | None = None,
) -> SourceReport:
    """Open a source and look into it: every row of its relations is read once or twice.

    Parameters
    ----------
    now : float
        POSIX seconds.
    plan : Plan, optional
        Also find the rows of each of its metrics.
    environment : mapping of str to str, optional
        Where the source's variable is looked up; the process's own environment by default.

    Raises
    ------
    SourceError
        If it cannot be reached, or a table or a column is missing or of a wrong type.
    """
    with opened(source, environment) as backend:
        asked = () if plan is None else plan.segments
        exposures = None if source.exposures is None else exposure_table(backend, source, asked)
        tracks = None if source.tracks is None else track_table(backend, source)
        if plan is not None:
            definitions = all_definitions(plan)
            outcome_tables(backend, source, definitions, metric_sql(plan))
        seen = None if exposures is None else _report(backend, exposures)
        done = None if tracks is None else _report(backend, tracks)
        shared = None
        if exposures is not None and tracks is not None:
            met = exposures.select("unit").distinct()
            shared = int(backend.to_pyarrow(tracks.semi_join(met, "unit").unit.nunique()).as_py())
    warnings = [
        *_warnings("exposures", seen, now),
        *_warnings("tracks", done, now),
    ]
    if shared == 0 and seen is not None and seen.rows and done is not None and done.rows:
        warnings.append(
            "No unit of the tracks has an exposure: do both name the same kind of unit?"
        )
    keys = () if plan is None else tuple(metric.key for metric in plan.metrics)
    return SourceReport(seen, done, shared, keys, tuple(warnings))


def find_rows(source: Source, plan: Plan, environment: Mapping[str, str] | None = None) -> None:
    """Find the rows that a plan needs; only types are read.

    Raises
    ------
    SourceError
        At the first that is missing or of a wrong type.
    """
    definitions = all_definitions(plan)
    with opened(source, environment) as backend:
        if source.exposures is not None:
            exposure_table(backend, source, plan.segments)
        outcome_tables(backend, source, definitions, metric_sql(plan))


def _report(backend: SQLBackend, table: ibis.Table) -> RelationReport:
    found = table.aggregate(
        rows=table.count(),
        units=table.unit.nunique(),
        oldest=table.time.min(),
        newest=table.time.max(),
    )
    (row,) = backend.to_pyarrow(found).to_pylist()
    times = [
        None if x is None or not math.isfinite(x) else float(x)
        for x in (row["oldest"], row["newest"])
    ]
    return RelationReport(int(row["rows"]), int(row["units"]), *times)


def _warnings(name: str, report: RelationReport | None, now: float) -> list[str]:
    if report is None:
        return []
    if report.rows == 0 or report.newest is None:
        return [f"The {name} have no row with a unit and a time."]
    if report.newest > _TOO_LATE:
        return [f"The times of the {name} lie beyond the year 2100: are they milliseconds?"]
    if report.newest > now + 86_400:
        return [f"The newest of the {name} lies more than a day in the future: which zone is it?"]
    return []
