"""The relations of a source as the analysis wants them, whatever they are called there.

Exposures have ``unit, variant, time`` (and ``flag``, ``rule`` if the source says so), tracks
``unit, name, value, time``, a metric's own SQL ``unit, time, value`` (or ``unit, time`` alone, and
``name``, ``value`` where it has them). Units are text, times POSIX seconds, values doubles; a row
without a unit or a time is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import ibis
import sqlglot as sg
import sqlglot.expressions as sge

from experiments.analysis.segments import segment_column
from experiments.contract.source import Relation, Source
from experiments.errors import SourceError
from experiments.sources.connect import is_engine_error
from experiments.sources.times import posix_seconds

if TYPE_CHECKING:
    from ibis.backends.sql import SQLBackend

_WRITES = (
    *(sge.Insert, sge.Update, sge.Delete, sge.Merge, sge.Create, sge.Drop, sge.Alter),
    *(sge.Into, sge.Command, sge.Copy, sge.Set, sge.Lock),
)


def exposure_table(
    backend: SQLBackend, source: Source, attributes: Sequence[str] = ()
) -> ibis.Table:
    """Give the exposures of a source that has some, and what they say of units.

    Parameters
    ----------
    attributes : sequence of str
        Each in a column of text of its own (`analysis.segments.segment_column`), in this order.
    """
    assert source.exposures is not None
    table = _raw(backend, source, source.exposures, "exposures")
    columns, said = source.exposures.column_of, dict(source.exposures.attributes)
    for place, name in enumerate(attributes):
        if name not in said:
            raise SourceError(
                f"source {source.key!r} does not say where the attribute {name!r} is",
                field=f"exposures.attributes.{name}",
                hint=f'attributes = {{ "{name}" = "the column\'s name" }}',
            )
        columns[segment_column(place)] = said[name]
    return _named(table, columns, "exposures", backend.name)


def track_table(backend: SQLBackend, source: Source) -> ibis.Table:
    """Give the tracks of a source that has some."""
    assert source.tracks is not None
    table = _raw(backend, source, source.tracks, "tracks")
    return _named(table, source.tracks.column_of, "tracks", backend.name, valued=True)


def metric_table(
    backend: SQLBackend, source: Source, sql: str, events: tuple[str, ...], field: str
) -> ibis.Table:
    """Give the rows of a metric that brings its own SQL.

    Parameters
    ----------
    events : tuple of str
        The metric's events: with several, the SQL must say which event a row is.
    field : str
        Where the SQL was written.
    """
    table = _selected(backend, source, sql, field)
    columns = {name: name for name in ("unit", "time")}
    columns |= {name: name for name in ("value", "name") if name in table.columns}
    if len(events) > 1:
        columns["name"] = "name"
    return _named(table, columns, field, backend.name, valued=True)


def _raw(backend: SQLBackend, source: Source, relation: Relation, field: str) -> ibis.Table:
    if relation.sql is not None:
        return _selected(backend, source, relation.sql, f"{field}.sql")
    *where, name = relation.table
    try:
        found: ibis.Table = backend.table(name, database=tuple(where) or None)
    except ibis.common.exceptions.TableNotFound:
        raise SourceError(
            f"source {source.key!r} has no table {'.'.join(relation.table)!r}",
            field=f"{field}.table",
            hint=_tables_hint(backend, tuple(where)),
        ) from None
    return found


def _tables_hint(backend: SQLBackend, where: tuple[str, ...]) -> str | None:
    try:
        if backend.name == "duckdb":
            # Ibis calls a method that newer DuckDB has no more.
            shown = backend.con.execute("SELECT name FROM (SHOW ALL TABLES)").fetchall()
            names = sorted({name for (name,) in shown})
        else:
            names = sorted(backend.list_tables(database=where or None))
    except Exception:  # noqa: BLE001
        # Only a hint: whoever may not list tables is told without it.
        return None
    return f"there are: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}"


def _selected(backend: SQLBackend, source: Source, sql: str, field: str) -> ibis.Table:
    _check_reads_only(backend, sql, field)
    try:
        return backend.sql(sql, schema=_schema(backend, sql))
    except Exception as error:
        if not is_engine_error(error):
            raise
        reason = " ".join(str(error).split())[:300]
        raise SourceError(
            f"source {source.key!r} cannot run the SQL of {field}: {reason}",
            field=field,
            hint=f"try it in {source.kind} itself",
        ) from None


def _schema(backend: SQLBackend, sql: str) -> ibis.Schema | None:
    """Learn the columns of a SELECT where Ibis's own way does not work; else ``None``."""
    if backend.name == "duckdb":
        # Ibis calls a method that newer DuckDB has no more.
        rows = backend.con.execute(f"DESCRIBE {sql}").fetchall()
        types = {name: kind for name, kind, *_ in rows}
    elif backend.name == "postgres":
        # Ibis would make a temporary view, which a session that only reads may not.
        with backend.con.cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({sql}) AS asked LIMIT 0")  # noqa: S608
            types = {each.name: each.type_display for each in cursor.description or ()}
    else:
        return None
    mapper = backend.compiler.type_mapper
    return ibis.schema({name: mapper.from_string(kind) for name, kind in types.items()})


def _check_reads_only(backend: SQLBackend, sql: str, field: str) -> None:
    """Refuse what is not one SELECT. The account of the source is what really keeps data safe."""
    try:
        statements = [each for each in sg.parse(sql, read=backend.dialect) if each is not None]
    except sg.errors.SqlglotError as error:
        reason = " ".join(str(error).split())[:300]
        raise SourceError(
            f"{field} is not SQL of {backend.name}: {reason}", field=field, hint="one SELECT"
        ) from None
    if len(statements) != 1 or not isinstance(statements[0], sge.Query):
        raise SourceError(f"{field} is not one SELECT", field=field, hint="one SELECT, no more")
    if statements[0].find(*_WRITES) is not None:
        raise SourceError(
            f"{field} does more than read", field=field, hint="one SELECT that changes nothing"
        )


def _named(
    table: ibis.Table, columns: Mapping[str, str], field: str, engine: str, *, valued: bool = False
) -> ibis.Table:
    """Rename and convert columns; ``columns`` leads from the meaning to the name there."""
    missing = next((m for m, name in columns.items() if name not in table.columns), None)
    if missing is not None:
        raise SourceError(
            f"{field} has no column {columns[missing]!r}",
            field=f"{field}.{missing}",
            hint=f"there are: {', '.join(table.columns)}",
        )
    made = {}
    for meaning, name in columns.items():
        made[meaning] = _converted(table[name], meaning, f"{field}.{meaning}", engine)
    if valued and "value" not in columns:
        made["value"] = ibis.null("float64")
    named = table.select(**made)
    return named.filter(named.unit.notnull(), named.time.notnull())


def _converted(column: ibis.Value, meaning: str, field: str, engine: str) -> ibis.Value:
    kind = column.type()
    if meaning == "time":
        seconds = posix_seconds(column, engine)
        if seconds is None:
            hint = "a timestamp, a date, or a number of POSIX seconds: convert it in sql"
            raise SourceError(f"{field} is {_words(kind)}", field=field, hint=hint)
        return seconds
    if meaning == "value":
        if not (kind.is_numeric() or kind.is_boolean()):
            hint = "a number: convert it in sql"
            raise SourceError(f"{field} is {_words(kind)}", field=field, hint=hint)
        return column.cast("float64")
    if not (kind.is_string() or kind.is_integer() or kind.is_uuid() or kind.is_boolean()):
        # A float's text differs by engine (1.0, 1), and so would the units.
        hint = "a text, a whole number or a UUID: convert it in sql"
        raise SourceError(f"{field} is {_words(kind)}", field=field, hint=hint)
    return column if kind.is_string() else column.cast("string")


def _words(kind: object) -> str:
    return f"of type {str(kind).removeprefix('!')}"
