"""The same expression compiles for the engines that do not run here, and means what it should."""

from __future__ import annotations

from typing import Any

import ibis
import pytest
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql import compilers

from experiments.measuring.aggregate import compile_analysis
from experiments.sources.tables import exposure_table, track_table
from tests.experiments.sources.conftest import ODD, query, source

DIALECTS = ("clickhouse", "bigquery", "snowflake", "trino", "postgres", "duckdb")
TIMES = ("timestamp('UTC')", "timestamp", "date", "int64", "decimal(18, 6)")


class Offline:
    """A backend as far as compiling goes: its tables are known, and nothing can be run."""

    def __init__(self, name: str, time: str) -> None:
        self.name, self.time = name, time
        self.compiler = getattr(compilers, name).compiler
        self.dialect = self.compiler.dialect

    def table(self, name: str, database: Any = None) -> ibis.Table:
        columns = {
            "seen": ("who", "feature", "allocation", "Group"),
            "done": ("who", "what"),
        }[name]
        schema = dict.fromkeys(columns, "string") | {"moment": self.time, "amount": "float64"}
        return ibis.table(schema, name=name, database=database)

    def sql(self, expression: ibis.Table) -> str:
        text: str = self.compiler.to_sqlglot(expression).sql(self.dialect)
        return text


def compiled(dialect: str, time: str) -> tuple[str, sge.Query]:
    backend: Any = Offline(dialect, time)
    kind = {"postgres": "postgresql"}.get(dialect, dialect)
    declared = source(kind)
    expression = compile_analysis(
        exposure_table(backend, declared), track_table(backend, declared), query(), dialect=dialect
    )
    text = backend.sql(expression)
    statements = sg.parse(text, read=backend.dialect)
    assert len(statements) == 1
    (statement,) = statements
    assert isinstance(statement, sge.Query)
    return text, statement


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_analysis_is_one_statement_that_reads_each_raw_table_once(
    dialect: str, time: str
) -> None:
    text, statement = compiled(dialect, time)
    read = [table.name for table in statement.find_all(sge.Table)]
    assert (read.count("seen"), read.count("done")) == (1, 1), text


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_join_is_cartesian_and_names_are_quoted(dialect: str) -> None:
    text, statement = compiled(dialect, "timestamp('UTC')")
    joins = list(statement.find_all(sge.Join))
    assert joins
    for join in joins:
        # An equality bounds each join; a comma or CROSS has none.
        on = join.args.get("on")
        assert on is not None, join.sql()
        assert on.find(sge.EQ) is not None, join.sql()
    for name in ("Group", "seen", "done", "who"):
        found = [each for each in statement.find_all(sge.Identifier) if each.name == name]
        assert found, name
        assert all(each.quoted for each in found), name
    literals = {each.this for each in statement.find_all(sge.Literal) if each.is_string}
    assert ODD in literals
    assert ODD not in text, "a quote within a name must be escaped"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_timestamp_is_never_cast_by_the_zone_of_the_session(dialect: str) -> None:
    _, statement = compiled(dialect, "timestamp('UTC')")
    naive = {sge.DataType.Type.TIMESTAMP, sge.DataType.Type.TIMESTAMPNTZ}
    for cast in statement.find_all(sge.Cast):
        assert cast.to.this not in naive or dialect == "bigquery", cast.sql()
