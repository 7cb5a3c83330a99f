"""The same sums by what units are: a country, a plan; for looking around, never for deciding.

A unit belongs to what its sender said of it at its *first* exposure: the treatment had not touched
it yet. What was said later could be the treatment's own doing, and would compare unlike with
unlike. Of each attribute the values with the most units are told apart, all arms together; the
others are one, and units of which nothing was said are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import ibis
import ibis.expr.datatypes as dt

from experiments.analysis.definitions import AnalysisQuery, Sums
from experiments.analysis.statement import NO_TABLES, adder
from experiments.analysis.sums import sums_columns, sums_of_arms
from experiments.analysis.units import COUNTED, Instants, exposed_units, rows_of_query
from experiments.analysis.values import unit_values

MOST_VALUES = 20
"""As many values of an attribute are told apart; the rest is one."""
SAID, OTHER, NOT_SAID = range(3)
What = Literal["value", "other", "not said"]
_WHAT: tuple[What, ...] = ("value", "other", "not said")


@ibis.udf.scalar.builtin(signature=((dt.json, dt.string), dt.string))
def json_extract_path_text(said, name):  # type: ignore[no-untyped-def]
    """Read a text out of an object: DuckDB and PostgreSQL, where our stores are, call it so."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class SegmentSums:
    """What was found of the units of one segment.

    Parameters
    ----------
    attribute : str
        Such as ``country``.
    what : {"value", "other", "not said"}
        Whether the segment is one value, all that are not told apart, or nothing.
    value : str or None
        Such as ``DE``; only of a value.
    counts : mapping of str to int
        Exposed units per arm, mature or not.
    moments : mapping
        For each metric and arm the sums of `sums_names` over mature units.
    """

    attribute: str
    what: What
    value: str | None
    counts: Mapping[str, int]
    moments: Mapping[str, Mapping[str, Sums]]


def segment_column(place: int) -> str:
    """Name the column of exposures that holds what was said of an attribute."""
    return f"segment{place}"


def with_segments(exposures: ibis.Table, attributes: Sequence[str]) -> ibis.Table:
    """Add a column for each attribute, out of the text that our stores keep.

    Parameters
    ----------
    exposures : ibis.Table
        With a column ``attributes``: null, or a JSON object of texts.
    """
    said = exposures.attributes.cast("json")
    columns = {
        segment_column(place): json_extract_path_text(said, name)
        for place, name in enumerate(attributes)
    }
    return exposures.mutate(**columns)


def compile_segments(
    exposures: ibis.Table,
    tracks: ibis.Table,
    query: AnalysisQuery,
    segments: int,
    *,
    metric_tables: Mapping[str, ibis.Table] = NO_TABLES,
    dialect: str = "",
    instants: Instants | None = None,
) -> ibis.Table:
    """Write the sums of every segment as one expression, without running it.

    Parameters
    ----------
    exposures, tracks, metric_tables
        As in :func:`experiments.analysis.statement.analyse_tables`; exposures with a column of
        text for each attribute (:func:`segment_column`).
    segments : int
        How many attributes there are.

    Returns
    -------
    ibis.Table
        One row per attribute, segment, arm and status of units.
    """
    add = adder(dialect)
    times = Instants.of(query) if instants is None else instants
    units = exposed_units(exposures, query, times)
    units = units.filter(units.status == COUNTED)
    labels = _labels(exposures, units, query, segments, times)
    wide = unit_values(units, tracks, query, metric_tables, add, times)
    joined = wide.join(labels, wide.unit == labels.owner).drop("owner")
    return sums_of_arms(
        joined, query, metric_tables, add, times, by=("attribute", "what", "segment")
    )


def analyse_segments(
    exposures: ibis.Table,
    tracks: ibis.Table,
    query: AnalysisQuery,
    attributes: Sequence[str],
    *,
    metric_tables: Mapping[str, ibis.Table] = NO_TABLES,
) -> tuple[SegmentSums, ...]:
    """Sum up by segment where the tables are; only sums come back."""
    backend = exposures.get_backend()
    expression = compile_segments(
        exposures,
        tracks,
        query,
        len(attributes),
        metric_tables=metric_tables,
        dialect=backend.name,
    )
    return read_segments(backend.to_pyarrow(expression).to_pylist(), query, attributes)


def read_segments(
    rows: list[dict[str, Any]], query: AnalysisQuery, attributes: Sequence[str]
) -> tuple[SegmentSums, ...]:
    """Read the rows of :func:`compile_segments`: largest segment first, the rest at the end."""
    columns = sums_columns(query)
    zeros = {key: (0.0,) * len(names) for key, names in columns.items()}
    found: dict[tuple[int, int, str | None], SegmentSums] = {}
    for row in rows:
        if row["status"] != COUNTED:
            continue
        place, what, value = int(row["attribute"]), int(row["what"]), row["segment"]
        arm = query.arms[row["arm"] - 1]
        segment = found.setdefault(
            (place, what, value),
            SegmentSums(
                attributes[place],
                _WHAT[what],
                value,
                dict.fromkeys(query.arms, 0),
                {key: dict.fromkeys(query.arms, none) for key, none in zeros.items()},
            ),
        )
        segment.counts[arm] = int(row["units"])  # type: ignore[index]
        for key, names in columns.items():
            segment.moments[key][arm] = tuple(float(row[name] or 0) for name in names)  # type: ignore[index]
    order = sorted(
        found, key=lambda key: (key[0], key[1], -sum(found[key].counts.values()), key[2] or "")
    )
    return tuple(found[key] for key in order)


def _labels(
    exposures: ibis.Table,
    units: ibis.Table,
    query: AnalysisQuery,
    segments: int,
    instants: Instants,
) -> ibis.Table:
    """Give ``owner, attribute, what, segment`` for each unit and attribute."""
    names = [segment_column(place) for place in range(segments)]
    rows = rows_of_query(exposures, query, instants, *names)
    entered = units.select(owner="unit", entered="entered")
    first = rows.join(entered, [rows.unit == entered.owner, rows.time == entered.entered])
    # Of two exposures in the same microsecond the lesser text counts: the same on every engine.
    said = first.group_by("owner").aggregate(**{name: first[name].min() for name in names})
    places = ibis.range(0, segments).unnest().name("attribute").as_table()
    long = said.cross_join(places)
    value = ibis.cases(*((long.attribute == k, long[name]) for k, name in enumerate(names)))
    long = long.select("owner", attribute=long.attribute.cast("int64"), said=value)
    # What is no value for us is none: an empty text says nothing.
    long = long.mutate(said=long.said.nullif(""))
    told = long.filter(long.said.notnull())
    counted = told.group_by("attribute", "said").aggregate(units=told.count())
    rank = ibis.row_number().over(
        group_by="attribute", order_by=[counted.units.desc(), counted.said.asc()]
    )
    ranked = counted.mutate(rank=rank)
    common = ranked.filter(ranked["rank"] < MOST_VALUES).select(place="attribute", segment="said")
    joined = long.left_join(common, [long.attribute == common.place, long.said == common.segment])
    what = ibis.cases(
        (joined.said.isnull(), NOT_SAID), (joined.segment.isnull(), OTHER), else_=SAID
    )
    return joined.select("owner", "attribute", "segment", what=what.cast("int64"))
