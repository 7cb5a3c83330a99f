"""A source's document is read once, strictly, and holds no secret."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

import experiments.sources
from experiments.contract.parsing import parse_plan
from experiments.contract.source import KINDS, parse_source
from experiments.errors import PlanError, SourceError
from experiments.sources.connect import saying
from tests.experiments.conftest import plan_document
from tests.experiments.sources.conftest import document, source


def test_a_document_is_read_back_as_it_was() -> None:
    source = parse_source(document("spark"))
    assert parse_source(source.to_document()) == source
    assert source.exposures is not None
    assert source.exposures.column_of["variant"] == "Group"


def test_toml_is_read_and_columns_have_plain_defaults() -> None:
    source = parse_source(
        'key = "lake"\nkind = "parquet"\nurl_env = "LAKE_URL"\n'
        '[tracks]\nsql = """\n-- all of them\nselect * from events;\n"""\n'
    )
    assert source.exposures is None
    assert source.tracks is not None
    assert source.tracks.sql == "-- all of them\nselect * from events"
    assert source.tracks.column_of == {"unit": "unit", "name": "name", "time": "time"}


def test_the_example_of_the_readme_is_a_source() -> None:
    text = (Path(experiments.sources.__file__).parent / "README.md").read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    source = parse_source('key = "warehouse"\n' + example)
    assert (source.kind, source.url_env) == ("postgresql", "WAREHOUSE_URL")
    assert source.exposures is not None
    assert source.exposures.table == ("analytics", "exposures")
    assert source.tracks is not None
    for kind in KINDS:
        assert f"`{kind}`" in text or f"{kind}://" in text, kind


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"key": "Ware House"}, "key"),
        ({"kind": "oracle"}, "kind"),
        ({"kind": None}, "kind"),
        ({"url_env": "postgresql://me:secret@host/db"}, "url_env"),
        ({"url_env": "FLAGSTONE_DATABASE_URL"}, "url_env"),
        ({"url_env": "AWS_SECRET_ACCESS_KEY"}, "url_env"),
        ({"password": "secret"}, "password"),
        ({"tracks": {"table": "t", "sql": "select 1"}}, "tracks.table"),
        ({"tracks": {"unit": "who"}}, "tracks.table"),
        ({"tracks": {"table": 'a"; drop table x'}}, "tracks.table"),
        ({"tracks": {"table": "a.b.c.d"}}, "tracks.table"),
        ({"tracks": {"sql": "drop table x"}}, "tracks.sql"),
        ({"tracks": {"sql": "-- select\ndelete from x"}}, "tracks.sql"),
        ({"tracks": {"table": "t", "when": "at"}}, "tracks.when"),
        ({"exposures": {"table": "t", "unit": 7}}, "exposures.unit"),
        ({"exposures": "seen"}, "exposures"),
    ],
)
def test_a_fault_names_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse_source(document("duckdb") | change)
    assert caught.value.field == field
    assert "secret" not in str(caught.value)


def test_a_plan_names_its_source_and_a_metric_its_sql() -> None:
    plain = plan_document()
    metrics = [dict(metric) for metric in plain["metrics"]]
    metrics[0]["sql"] = "select unit, time from orders"
    del metrics[0]["event"]
    plan = parse_plan(plain | {"source": "warehouse", "metrics": metrics})
    assert (plan.source, plan.metrics[0].event) == ("warehouse", "purchase")
    assert parse_plan(plan.to_document()) == plan
    assert "source" not in parse_plan(plain).to_document()
    with pytest.raises(PlanError) as caught:
        parse_plan(plain | {"metrics": metrics})
    assert caught.value.field == "metrics[0].sql"
    with pytest.raises(PlanError) as caught:
        parse_plan(plain | {"source": "no such key"})
    assert caught.value.field == "source"


@pytest.mark.parametrize("where", ["url_env", None])
def test_what_an_engine_says_is_told_without_address_and_password(where: str | None) -> None:
    address = "postgresql://me:hunter2@db.internal/shop"
    with (
        pytest.raises(SourceError, match="no route") as caught,
        saying(source("postgresql"), address, where, "cannot be opened"),
    ):
        raise duckdb.IOException(f"no route to {address}: me:hunter2@db.internal, hunter2")
    assert "hunter2" not in caught.value.message
    assert "db.internal" not in caught.value.message
