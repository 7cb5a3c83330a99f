"""A column of any engine's time type as POSIX seconds.

The rules, the same on every engine: a timestamp with a zone is the instant that it names; one
without is read as UTC; a date is its midnight in UTC; a number is POSIX seconds. A text is refused.
Fractions are kept to the microsecond.

Ibis's own conversions are not used: they cut fractions off on one engine and keep them on another,
and a cast to a timestamp without a zone asks the session which zone that is.
"""

from __future__ import annotations

from collections.abc import Callable

import ibis
import ibis.expr.datatypes as dt
from ibis import udf


def posix_seconds(column: ibis.Value, engine: str) -> ibis.Value | None:
    """Convert a column; ``None`` if its type says no time.

    Parameters
    ----------
    column : ibis.Value
        A column of an engine's table.
    engine : str
        Ibis's name of the backend.
    """
    kind = column.type()
    if kind.is_numeric():
        return column.cast("float64")
    if kind.is_timestamp() or kind.is_date():
        return _CONVERT[engine](column)
    return None


def _call(
    name: str, column: ibis.Value, *, before: tuple[str, ...] = (), result: str = "int64"
) -> ibis.Value:
    """Call an engine's own function, with text arguments before the column."""

    def function(*_arguments: object) -> None: ...

    names = [f"a{i}" for i in range(len(before) + 1)]
    types = (*[dt.string] * len(before), column.type())
    function.__signature__ = _signature(names)  # type: ignore[attr-defined]
    function.__name__ = name
    made = udf.scalar.builtin(name=name, signature=(types, dt.dtype(result)))(function)
    return made(*before, column)


def _signature(names: list[str]) -> object:
    from inspect import Parameter, Signature

    return Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names])


def _micros(value: ibis.Value) -> ibis.Value:
    # Both as doubles: some engines would divide decimals, and round.
    return value.cast("float64") / ibis.literal(1e6, type="float64")


def _as_instant(column: ibis.Value) -> ibis.Value:
    """Make a date the midnight that begins it; a timestamp stays as it is."""
    return column.cast("timestamp") if column.type().is_date() else column


def _duckdb(column: ibis.Value) -> ibis.Value:
    return _micros(_call("epoch_us", _as_instant(column)))


def _postgresql(column: ibis.Value) -> ibis.Value:
    return _call("date_part", column, before=("epoch",), result="float64")


def _spark(column: ibis.Value) -> ibis.Value:
    # Ibis sets the session's zone to UTC, and a timestamp without a zone becomes one with it.
    return _micros(_call("unix_micros", column.cast("timestamp('UTC')")))


def _clickhouse(column: ibis.Value) -> ibis.Value:
    return _micros(_call("toUnixTimestamp64Micro", column.cast("timestamp('UTC', 6)")))


def _bigquery(column: ibis.Value) -> ibis.Value:
    # TIMESTAMP(x) takes a DATETIME and a DATE as UTC.
    return _micros(_call("unix_micros", _call("timestamp", column, result="timestamp('UTC')")))


def _snowflake(column: ibis.Value) -> ibis.Value:
    return _micros(_call("date_part", _as_instant(column), before=("epoch_microsecond",)))


def _trino(column: ibis.Value) -> ibis.Value:
    return _call("to_unixtime", _as_instant(column), result="float64")


_CONVERT: dict[str, Callable[[ibis.Value], ibis.Value]] = {
    "duckdb": _duckdb,
    "postgres": _postgresql,
    "pyspark": _spark,
    "clickhouse": _clickhouse,
    "bigquery": _bigquery,
    "snowflake": _snowflake,
    "trino": _trino,
}
