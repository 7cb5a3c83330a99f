"""What a source is: an engine, where its address is kept, and which columns mean what.

A document (TOML or JSON) is read once, here, into frozen values; nothing in it is secret: the
address names an environment variable of the process that analyses.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.contract.document import Reader
from experiments.errors import PlanError

KINDS = (
    "duckdb",
    "parquet",
    "postgresql",
    "spark",
    "clickhouse",
    "bigquery",
    "snowflake",
    "trino",
)
MAX_SQL_LENGTH = 20_000

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,126}_URL")
_NAME = re.compile(r"[^\x00-\x1f.\"'`]{1,128}(\.[^\x00-\x1f.\"'`]{1,128}){0,2}")


@dataclass(frozen=True)
class Relation:
    """Rows of a source: a table or a SELECT, and the columns that matter.

    Parameters
    ----------
    table : tuple of str
        Name of a table, outermost schema first; empty when ``sql`` is given.
    sql : str, optional
        One SELECT in the engine's own words.
    columns : tuple of (str, str)
        What a column means and what it is called, such as ``("unit", "user_id")``.
    attributes : tuple of (str, str)
        Of exposures: an attribute of the unit, and the column that says it.
    """

    table: tuple[str, ...]
    sql: str | None
    columns: tuple[tuple[str, str], ...]
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def column_of(self) -> dict[str, str]:
        """Give the column's name by its meaning."""
        return dict(self.columns)

    def to_document(self) -> dict[str, Any]:
        """Give the relation as plain data."""
        where = {"table": ".".join(self.table)} if self.sql is None else {"sql": self.sql}
        told = {"attributes": dict(self.attributes)} if self.attributes else {}
        return {**where, **self.column_of, **told}


@dataclass(frozen=True)
class Source:
    """Where an experiment's rows are. Made by :func:`parse_source` only.

    Parameters
    ----------
    key : str
        What plans call it.
    kind : str
        One of ``KINDS``.
    url_env : str
        Name of the environment variable that holds the address, or the path of a file or folder.
    exposures : Relation, optional
        Who met what, when: ``unit``, ``variant``, ``time``; ``flag`` and ``rule`` if the table
        holds several. ``None``: what our SDKs recorded.
    tracks : Relation, optional
        What units did: ``unit``, ``name``, ``time``, and a ``value`` if there is one. ``None``:
        every metric brings SQL of its own.
    """

    key: str
    kind: str
    url_env: str
    exposures: Relation | None
    tracks: Relation | None

    def to_document(self) -> dict[str, Any]:
        """Give the source as plain data; ``parse_source`` reads the same back."""
        document: dict[str, Any] = {"key": self.key, "kind": self.kind, "url_env": self.url_env}
        for name, relation in (("exposures", self.exposures), ("tracks", self.tracks)):
            if relation is not None:
                document[name] = relation.to_document()
        return document


def parse_source(document: Mapping[str, Any] | str) -> Source:
    """Read a source from TOML text or from a mapping of the same shape.

    Raises
    ------
    PlanError
        At the first fault, with the field's path and what to write instead.
    """
    if isinstance(document, str):
        try:
            document = tomllib.loads(document)
        except tomllib.TOMLDecodeError as error:
            raise PlanError(f"the source is not TOML: {error}") from error
    reader = Reader(document)
    key = read_source_key(reader, "key")
    kind = reader.choice("kind", KINDS)
    url_env = reader.text("url_env", hint='a variable\'s name, such as url_env = "WAREHOUSE_URL"')
    if not _VARIABLE.fullmatch(url_env) or url_env.startswith("FLAGSTONE_"):
        # Else an editor of sources could point it at any secret of the process, ours first.
        raise reader.fault(
            "url_env",
            "must be the name of an environment variable that ends in _URL, and none of ours",
            'never the address itself: url_env = "WAREHOUSE_URL"',
        )
    exposures = _read_relation(reader, "exposures", ("unit", "variant", "time"), ("flag", "rule"))
    tracks = _read_relation(reader, "tracks", ("unit", "name", "time"), ("value",))
    reader.finish()
    return Source(key, kind, url_env, exposures, tracks)


def read_source_key(reader: Reader, field: str) -> str:
    """Take the key of a source."""
    return reader.key(field, "warehouse", longest=64)


def read_sql(reader: Reader, field: str) -> str | None:
    """Take the text of one SELECT; the engine reads it later, so little is asked of it here."""
    sql: str | None = reader.text(field, None)
    if sql is None:
        return None
    sql = sql.rstrip("; \n\t")
    hint = 'one statement that only reads, such as "select unit, time, value from orders"'
    if len(sql) > MAX_SQL_LENGTH or "\0" in sql:
        raise reader.fault(field, f"must be a text of at most {MAX_SQL_LENGTH} characters", hint)
    if not re.match(r"(?i)(select|with)\b", _without_comments(sql)):
        raise reader.fault(field, "must begin with SELECT or WITH", hint)
    return sql


def _without_comments(sql: str) -> str:
    return re.sub(r"\A(\s+|--[^\n]*(\n|\Z)|/\*.*?\*/)+", "", sql, flags=re.DOTALL)


def _read_relation(
    reader: Reader, field: str, needed: tuple[str, ...], optional: tuple[str, ...]
) -> Relation | None:
    if not reader.has(field):
        return None
    item = Reader(reader.take(field), reader.name(field))
    sql, table = read_sql(item, "sql"), item.text("table", None)
    if (sql is None) == (table is None):
        raise item.fault(
            "table", "is missing or given beside sql", "where the rows are: a table or a SELECT"
        )
    if table is not None and not _NAME.fullmatch(table):
        hint = "up to three plain names with dots between, such as analytics.exposures"
        raise item.fault("table", f"is {table!r}", hint)
    columns = [(name, _column(item, name, name)) for name in needed]
    columns += [(name, _column(item, name, None)) for name in optional if item.has(name)]
    attributes = _read_attributes(item) if field == "exposures" else ()
    item.finish()
    named = tuple((table or "").split(".")) if table else ()
    return Relation(named, sql, tuple(columns), attributes)


def _read_attributes(item: Reader) -> tuple[tuple[str, str], ...]:
    given = item.take("attributes", {})
    hint = 'the columns that results are seen by: attributes = { country = "country" }'
    if not isinstance(given, Mapping):
        raise item.fault("attributes", "must be a table of names and columns", hint)
    named = Reader(given, item.name("attributes"))
    found = tuple((name, _column(named, name, None)) for name in given)
    for name, _ in found:
        if not 1 <= len(name) <= 64 or not name.isprintable():
            raise item.fault("attributes", f"name {name!r}", "1 to 64 printable characters")
    return found


def _column(item: Reader, field: str, default: str | None) -> str:
    name = item.text(field, default)
    if len(name) > 128 or not name.isprintable():
        raise item.fault(field, "must be the name of a column", None)
    return name
