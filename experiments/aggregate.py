"""From raw events to the sums that a decision needs: one pass, one row per unit, then one per arm.

The raw rows are read once: exposures become one row per unit (its arm, its first exposure), and
the outcomes are joined to those. What leaves is additive: counts, and for each metric and arm the
sums ``n, s1, s2, s3`` of the units' values, their squares and their cubes (STATISTICS.md §5); for a
ratio ``n, m1, m2, m3, d1, d2, d3, md, md2, m2d`` of the units' numerators and denominators.

The rules, in one place:

- A unit belongs to the experiment if its first exposure lies in ``start`` … ``enrol_until``.
- A unit that met more than one variant of the rule up to ``look_at`` is quarantined: it is counted
  apart, and appears nowhere else.
- A unit is mature for a metric if its whole window has passed: ``first + window <= look_at``. Only
  mature units count, so that each has had the same time to act.
- An outcome counts if ``first <= time < first + window`` and ``time <= look_at``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import duckdb

from experiments.store.base import EventStore

MetricKind = Literal["conversion", "mean", "count", "ratio"]
Adds = Literal["count", "value"]
Sums = tuple[float, ...]
"""``(n, s1, s2, s3)``: units, and the sums of y, y² and y³ over them.

Of a ratio ``(n, m1, m2, m3, d1, d2, d3, md, md2, m2d)``: md2 is the sum of m·d².
"""


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """How a unit's events become the unit's value.

    Parameters
    ----------
    key : str
        Name of the metric.
    kind : {"conversion", "mean", "count", "ratio"}
        The unit's value: 1 if the event happened, else 0; the sum of the events' values (an event
        without a value adds 0); the number of events; for a ratio two values.
    event : str
        Name of the tracking event.
    window_seconds : float
        How long after its first exposure a unit is watched.
    binary : bool, optional
        Whether the value is 0 or 1; follows from ``kind``.
    numerator, denominator : {"count", "value"}
        Whether a half of a ratio is the number of its events or the sum of their values; ``event``
        is the numerator's.
    denominator_event : str, optional
        Event of a ratio's denominator: given for ratios, and only for them.
    """

    key: str
    kind: MetricKind
    event: str
    window_seconds: float
    binary: bool | None = None
    numerator: Adds = "count"
    denominator_event: str | None = None
    denominator: Adds = "count"

    def __post_init__(self) -> None:
        if self.kind not in {"conversion", "mean", "count", "ratio"}:
            msg = f"unknown kind of metric {self.kind!r}"
            raise ValueError(msg)
        if (self.kind == "ratio") != (self.denominator_event is not None):
            msg = f"{self.key!r}: a ratio, and nothing else, has a denominator"
            raise ValueError(msg)
        if not 0 < self.window_seconds < math.inf:
            msg = f"the window of {self.key!r} must be positive and finite"
            raise ValueError(msg)
        if self.binary not in {None, self.kind == "conversion"}:
            msg = f"{self.key!r}: a {self.kind} metric cannot have binary={self.binary}"
            raise ValueError(msg)
        object.__setattr__(self, "binary", self.kind == "conversion")


@dataclass(frozen=True, slots=True)
class AnalysisQuery:
    """What to read, for one look of one experiment.

    Parameters
    ----------
    environment_id : int
        Environment of the experiment.
    flag : str
        The flag that was split.
    rule : str or None
        The rule that split it; ``None`` for any rule.
    arms : tuple of str
        Variants, control first.
    start : float
        Exposures before this are not the experiment's. POSIX seconds, as all times here.
    look_at : float
        Nothing after this is read.
    enrol_until : float or None
        Units whose first exposure is later are left out; ``None`` for no limit.
    metrics : tuple of MetricDefinition
        May be empty.
    """

    environment_id: int
    flag: str
    rule: str | None
    arms: tuple[str, ...]
    start: float
    look_at: float
    enrol_until: float | None
    metrics: tuple[MetricDefinition, ...]

    def __post_init__(self) -> None:
        for name, keys in (("arms", self.arms), ("metrics", [m.key for m in self.metrics])):
            if len(set(keys)) != len(keys):
                msg = f"{name} contains a name twice"
                raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found; every sum is additive over days and over stores.

    Parameters
    ----------
    counts : mapping of str to int
        Exposed units per arm, mature or not: the numbers that a test of the sample ratio reads.
    quarantined : int
        Units that met an arm and another variant of the rule.
    moments : mapping
        For each metric and arm the sums of `Sums` over mature units.
    newest_event : float or None
        Time of the newest event that was read: an exposure, or an outcome of an exposed unit.
    exposure_times : mapping of str to (float, float)
        First and last exposure per arm; an arm without units is absent.
    """

    counts: Mapping[str, int]
    quarantined: int
    moments: Mapping[str, Mapping[str, Sums]]
    newest_event: float | None
    exposure_times: Mapping[str, tuple[float, float]]


def analyse(source: EventStore | duckdb.DuckDBPyConnection, query: AnalysisQuery) -> Analysis:
    """Read raw events once and sum them up.

    Parameters
    ----------
    source : EventStore or duckdb.DuckDBPyConnection
        A store, or a connection that has the two relations of
        :meth:`experiments.store.base.EventStore.relations` (see :func:`open_relations`). Of a
        connection only rows of ``query.environment_id`` are read.
    query : AnalysisQuery
        What to read.

    Returns
    -------
    Analysis
        Counts and conversions are exact; sums of values are compensated (Kahan), so correct to
        about the last digit in any order of reading.
    """
    if isinstance(source, duckdb.DuckDBPyConnection):
        opened: AbstractContextManager[duckdb.DuckDBPyConnection] = nullcontext(source)
    else:
        opened = source.relations(query.environment_id, since=query.start, until=query.look_at)
    with opened as connection:
        return _analyse(connection, query)


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


# One statement, so that the raw rows are read once and no table is left behind. A unit that enters
# after the last day of enrolment is not the experiment's, whatever it met.
# A variant that is no arm has place 0: it counts as another one, but never as an arm.
_SQL = """
WITH exposed AS MATERIALIZED (
    SELECT unit, max(place) AS arm, min(place) <> max(place) AS in_two, max(place) > 0 AS in_arm,
           min(time) AS entered, max(time) AS last_seen
    FROM (SELECT *, coalesce(list_position($arms, variant), 0) AS place FROM exposures)
    WHERE environment_id = $environment AND flag = $flag AND ($rule IS NULL OR rule = $rule)
      AND time >= $start AND time <= $look_at
    GROUP BY unit
),
units AS MATERIALIZED (
    SELECT unit, arm, entered, last_seen
    FROM exposed
    WHERE in_arm AND entered <= $enrol_until AND NOT in_two
),
outcomes AS (
    SELECT units.unit, max(time) AS newest{values}
    FROM tracks JOIN units ON tracks.unit = units.unit AND tracks.time >= units.entered
    WHERE environment_id = $environment AND list_contains($names, name)
      AND time >= $start AND time <= $look_at
    GROUP BY units.unit
),
per_arm AS (
    SELECT arm, count(*) AS units, min(entered) AS first, max(last_seen) AS last,
           max(newest) AS newest{sums}
    FROM units LEFT JOIN outcomes ON units.unit = outcomes.unit
    GROUP BY arm
),
totals AS (
    SELECT count(*) FILTER (WHERE in_two AND in_arm AND entered <= $enrol_until) AS quarantined,
           max(last_seen) AS newest
    FROM exposed
)
SELECT quarantined, totals.newest, arm, units, first, last, per_arm.newest{columns}
FROM totals LEFT JOIN per_arm ON true
"""
_VALUE = {
    "conversion": "bool_or({counted})::HUGEINT",
    "count": "count(*) FILTER (WHERE {counted})::HUGEINT",
    "mean": "fsum(value) FILTER (WHERE {counted})",
}
# Whole numbers are summed exactly; others with compensation (Kahan), whatever the order.
_SUM = {"conversion": "sum", "count": "sum", "mean": "fsum"}
# A ratio's halves are what other kinds have alone.
_HALF = {"count": "count", "value": "mean"}
_POWERS = ("{y}", "{y} * {y}", "{y} * {y} * {y}")
_PRODUCTS = ("{y} * {d}", "{y} * {d} * {d}", "{y} * {y} * {d}")


def _statement(metrics: Sequence[MetricDefinition]) -> tuple[str, dict[str, object]]:
    """Write the SQL for these metrics. Names from users are bound, never written into the text."""
    values, sums, columns = "", "", ""
    events = {metric.event for metric in metrics}
    events |= {m.denominator_event for m in metrics if m.denominator_event is not None}
    parameters: dict[str, object] = {"names": sorted(events)}
    for index, metric in enumerate(metrics):
        parameters[f"window{index}"] = metric.window_seconds
        halves = _halves(index, metric)
        for (value, event), kind in halves.items():
            place = f"event_{value}"
            parameters[place] = event
            counted = f"name = ${place} AND time < entered + $window{index}"
            values += f",\n{_VALUE[kind].format(counted=counted)} AS {value}"
        mature = f"FILTER (WHERE entered + $window{index} <= $look_at)"
        terms = [f"count(*) {mature}"]
        for (value, _), kind in halves.items():
            terms += [f"{_SUM[kind]}({power.format(y=value)}) {mature}" for power in _POWERS]
        if metric.kind == "ratio":
            # A unit that lacks one half has nothing to multiply: NULL, which adds nothing.
            add = "fsum" if "mean" in halves.values() else "sum"
            names = {"y": f"y{index}", "d": f"d{index}"}
            terms += [f"{add}({product.format(**names)}) {mature}" for product in _PRODUCTS]
        for number, term in enumerate(terms):
            sums += f",\n{term} AS sum{index}_{number}"
            columns += f", sum{index}_{number}"
    return _SQL.format(values=values, sums=sums, columns=columns), parameters


def _halves(index: int, metric: MetricDefinition) -> dict[tuple[str, str], str]:
    """Name the values that a unit has for a metric, with their events, and how each is made."""
    if metric.denominator_event is None:
        return {(f"y{index}", metric.event): metric.kind}
    return {
        (f"y{index}", metric.event): _HALF[metric.numerator],
        (f"d{index}", metric.denominator_event): _HALF[metric.denominator],
    }


def _width(metric: MetricDefinition) -> int:
    """Count the sums of a metric."""
    return 10 if metric.kind == "ratio" else 4


def _analyse(connection: duckdb.DuckDBPyConnection, query: AnalysisQuery) -> Analysis:
    sql, parameters = _statement(query.metrics)
    rows = connection.execute(
        sql,
        parameters
        | {
            "arms": list(query.arms),
            "environment": query.environment_id,
            "flag": query.flag,
            "rule": query.rule,
            "start": query.start,
            "look_at": query.look_at,
            "enrol_until": math.inf if query.enrol_until is None else query.enrol_until,
        },
    ).fetchall()
    counts = dict.fromkeys(query.arms, 0)
    times: dict[str, tuple[float, float]] = {}
    moments: dict[str, dict[str, Sums]] = {
        metric.key: dict.fromkeys(query.arms, (0.0,) * _width(metric)) for metric in query.metrics
    }
    newest: list[float | None] = []
    for _, newest_exposure, place, units, first, last, newest_outcome, *sums in rows:
        newest += [newest_exposure, newest_outcome]
        if place is None:
            continue
        arm = query.arms[place - 1]
        counts[arm] = units
        times[arm] = (first, last)
        found = iter(sums)
        for metric in query.metrics:
            moments[metric.key][arm] = tuple(
                float(x or 0) for x in itertools.islice(found, _width(metric))
            )
    return Analysis(
        counts=counts,
        quarantined=rows[0][0],
        moments=moments,
        newest_event=max((time for time in newest if time is not None), default=None),
        exposure_times=dict(sorted(times.items(), key=lambda item: query.arms.index(item[0]))),
    )
