"""Metrics and sources written in forms: what every kind can say, faults by field, who may."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.catalogue import services as catalogue
from experiments.catalogue.definition import parse_entry
from experiments.catalogue.models import MetricSensitivity
from experiments.contract.metric import KINDS
from experiments.contract.source import parse_source
from experiments.sources import services as sources
from flags.database import Database
from tests.web.console.conftest import HERE, Browser, Console, Page, open_console
from web.console import metric_form
from web.console import sources as source_pages

NEW = f"{HERE}/new-metric"


@pytest.fixture(scope="module")
def shared(filled_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """One console for all forms that are refused: nothing is written to it."""
    folder = tmp_path_factory.mktemp("forms")
    shutil.copy(filled_file, folder / "one.db")
    database = Database(f"sqlite:///{folder / 'one.db'}")
    yield open_console(database, folder)
    database.dispose()


@pytest.fixture(scope="module")
def metric_editor(shared: Console) -> Browser:
    return shared.person("editor")


@pytest.fixture(scope="module")
def source_editor(shared: Console) -> Browser:
    return shared.person("admin")


DOCUMENTS: tuple[dict[str, Any], ...] = (
    {"kind": "conversion", "event": "purchase", "covariate_window": "14d"},
    {"kind": "conversion", "event": ["a, b", "refund"], "direction": "down"},
    {"kind": "conversion", "event": "a, b"},
    {"kind": "conversion", "event": "orders", "sql": "select unit, time, 1 from orders, lines"},
    {"kind": "count", "event": "visit", "cap": 20, "covariate_window": "7d"},
    {"kind": "mean", "event": "order", "cap_quantile": 0.99},
    {"kind": "mean", "event": "load", "aggregation": "max", "cap": 2.5},
    {
        "kind": "ratio",
        "event": "order",
        "numerator": "value",
        "denominator_event": ["visit", "call"],
        "denominator": "count",
    },
    {"kind": "retention", "event": "visit", "from": "7d", "window": "14d"},
    {"kind": "funnel", "steps": ["view", "add, to cart", "buy"]},
    {"kind": "quantile", "event": "load", "threshold": 800},
    {"kind": "quantile", "event": "load", "quantile": 0.95, "of": "units", "aggregation": "max"},
)


def errors(page: Page) -> list[str]:
    return [str(each.get("name")) for each in page.attributes(aria_invalid="true")]


def definition(console: Console, key: str) -> dict[str, Any]:
    with console.database.read() as session:
        row = catalogue.get_metric(session, "shop", key)
        return {**row.definition, "owner": row.owner, "version": row.version}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: each["kind"])
def test_the_form_says_everything_that_the_catalogue_keeps(document: dict[str, Any]) -> None:
    kept = parse_entry("it", {"window": "28d", **document}).definition
    kind = metric_form.BY_NAME[kept["kind"]]
    again = metric_form.document_of(kind, metric_form.form_of(kept))
    assert parse_entry("it", again).definition == kept


def test_every_kind_of_metric_has_its_form() -> None:
    assert set(metric_form.BY_NAME) == set(KINDS)
    assert {each["kind"] for each in DOCUMENTS} == set(KINDS)


def test_a_metric_is_added_edited_and_taken_out_of_use(small_console: Console) -> None:
    editor = small_console.person("editor")
    filled = {"key": "revenue", "event": "order", "window": "7d", "cap_quantile": "0,99"}
    path = f"{NEW}?kind=mean"
    page = editor.page(path)
    assert "Revenue per person" in page.words
    form = page.form("Add the metric")
    shown = editor.send(path, form, {**filled, "preview": "yes"})
    words = " ".join(Page(shown.get_data(as_text=True)).words.split())
    assert "Values added up of order per unit within 7 days of a unit's first exposure" in words
    assert "order: none in the last two days; is it spelled so?" in words
    with small_console.database.read() as session:
        assert catalogue.list_metrics(session, "shop") == []
    done = editor.send(path, form, filled)
    assert (done.status_code, done.location) == (303, f"{HERE}/metrics/revenue")
    assert definition(small_console, "revenue") == {
        "kind": "mean",
        "event": "order",
        "window": "7d",
        "direction": "up",
        "cap_quantile": 0.99,
        "owner": "editor@example.org",
        "version": 1,
    }
    # A second one of that name is refused, and would not be the first one's next version.
    again = editor.send(path, form, filled)
    assert again.status_code == 400
    assert errors(Page(again.get_data(as_text=True))) == ["key"]
    assert definition(small_console, "revenue")["version"] == 1
    edit = f"{HERE}/metrics/revenue/edit"
    old = editor.page(edit).form("Save the next version")
    assert old.fields["cap_quantile"] == "0.99"
    assert editor.send(edit, old, {"direction": "down"}).status_code == 303
    assert definition(small_console, "revenue")["direction"] == "down"
    assert editor.send(edit, old, {"direction": "up"}).status_code == 412
    editor.press(f"{HERE}/metrics/revenue", "Archive")
    assert "revenue" not in editor.page(f"{HERE}/metrics").words
    editor.press(f"{HERE}/metrics/revenue", "Take back into use")
    assert "revenue" in editor.page(f"{HERE}/metrics").words


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        ("conversion", {"event": ""}, "event"),
        ("conversion", {"window": "soon"}, "window"),
        ("conversion", {"key": "Big One"}, "key"),
        ("conversion", {"sql": "drop table orders"}, "sql"),
        ("mean", {"cap": "much"}, "cap"),
        ("mean", {"cap": "5", "cap_quantile": "0.9"}, "cap"),
        ("count", {"cap_quantile": "0.2"}, "cap_quantile"),
        ("ratio", {"denominator_event": ""}, "denominator_event"),
        ("ratio", {"denominator_event": "order"}, "denominator_event"),
        ("retention", {"from": "9d"}, "from"),
        ("funnel", {"steps": "view"}, "steps"),
        ("quantile", {"threshold": ""}, "quantile"),
        ("conversion", {"covariate_window": "900d"}, "covariate_window"),
    ],
)
def test_a_fault_is_shown_at_its_field_and_nothing_typed_is_lost(
    shared: Console, metric_editor: Browser, kind: str, change: dict[str, str], field: str
) -> None:
    editor = metric_editor
    filled = {
        "key": "it",
        "event": "order",
        "window": "7d",
        "denominator_event": "visit",
        "from": "1d",
        "steps": "view\nbuy",
        "threshold": "800",
        "description": "kept <as> it is",
        **change,
    }
    path = f"{NEW}?kind={kind}"
    form = editor.page(path).form("Add the metric")
    before = shared.written()
    answer = editor.send(path, form, filled)
    page = Page(answer.get_data(as_text=True))
    assert (answer.status_code, errors(page)) == (400, [field])
    assert page.form("Add the metric").fields["description"].strip() == "kept <as> it is"
    assert shared.written() == before


def test_a_metrics_page_waits_for_its_value_and_then_stops(small_console: Console) -> None:
    small_console.metric("buyers")
    viewer = small_console.person("viewer")
    path = f"{HERE}/metrics/buyers"
    (part,) = viewer.page(path).attributes(id="value")
    assert part["hx-trigger"] == "every 2s"
    found = {
        "sentence": "Not enough data yet: 2 days of events are recorded.",
        "mean": 0.25,
        "cv": 1.7,
        "units": 1200,
        "units_per_day": None,
        "covariate": None,
        "cap": None,
        "environment": "production",
        "provable": None,
    }
    with small_console.database.write() as session:
        session.add(
            MetricSensitivity(
                metric_id=1,
                metric_version=1,
                computed_at=small_console.clock(),
                renew_at=small_console.clock(),
                document=found,
            )
        )
    piece = viewer.get(path, headers={"HX-Request": "true"}).get_data(as_text=True)
    assert "0.25" in piece
    assert "<h1" not in piece
    assert "hx-get" not in piece
    small_console.metric("buyers", direction="down")
    words = viewer.page(path).words
    assert "This is of version 1; version 2 is being read." in words


def test_a_kind_that_there_is_not_is_no_page(small_console: Console) -> None:
    small_console.person("editor").page(f"{NEW}?kind=magic", 404)


def test_nobody_edits_the_built_in_metric(small_console: Console) -> None:
    small_console.event("purchase", "value")
    small_console.event("refund", "failure")
    editor = small_console.person("editor")
    page = editor.page(f"{HERE}/metrics/failure-demand")
    assert not any("Archive" in button for form in page.forms for button in form.buttons)


# Sources

SOURCES: tuple[dict[str, Any], ...] = (
    {"kind": "parquet", "url_env": "LAKE_URL", "tracks": {"table": "a.events", "value": "amount"}},
    {
        "kind": "postgresql",
        "url_env": "WAREHOUSE_URL",
        "exposures": {"sql": "select 1", "flag": "f", "attributes": {"country": "cc"}},
    },
    {"kind": "duckdb", "url_env": "FILE_URL"},
)


@pytest.mark.parametrize("document", SOURCES, ids=lambda each: each["kind"])
def test_the_form_says_everything_that_a_source_is(document: dict[str, Any]) -> None:
    kept = parse_source({"key": "it", **document}).to_document()
    again = source_pages.document_of(source_pages.form_of(kept))
    assert parse_source({"key": "it", **again}).to_document() == kept


def add(admin: Browser, change: dict[str, str]) -> Any:
    path = f"{HERE}/new-source"
    filled = {"key": "lake", "kind": "parquet", "url_env": "LAKE_URL", **change}
    return admin.send(path, admin.page(path).form("Add the source"), filled)


def test_a_source_is_declared_edited_and_deleted(small_console: Console) -> None:
    admin = small_console.person("admin")
    page = admin.follow(add(admin, {"tracks.table": "events", "tracks.unit": "user_id"}))
    assert "lake" in page.words
    edit = f"{HERE}/sources/lake/edit"
    form = admin.page(edit).form("Save")
    assert form.fields["tracks.unit"] == "user_id"
    assert admin.send(edit, form, {"tracks.table": "facts.events"}).status_code == 303
    with small_console.database.read() as session:
        row = sources.get_source(session, "shop", "lake")
        assert row.document["tracks"]["table"] == "facts.events"
    assert admin.send(edit, form, {"tracks.table": "other"}).status_code == 412
    assert add(admin, {}).status_code == 400
    shown = small_console.person("editor").page(f"{HERE}/sources")
    assert "facts.events" in shown.words
    assert "New source" not in shown.words
    admin.press(f"{HERE}/sources", "Delete lake")
    assert "No source, and none is needed" in admin.page(f"{HERE}/sources").words


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"key": "Lake!"}, "key"),
        ({"url_env": "postgres://me:secret@host"}, "url_env"),
        ({"url_env": "FLAGSTONE_DATABASE_URL"}, "url_env"),
        ({"exposures.table": "a.b.c.d"}, "exposures.table"),
        ({"exposures.table": "t", "exposures.sql": "select 1"}, "exposures.table"),
        ({"tracks.sql": "delete from x"}, "tracks.sql"),
        ({"tracks.table": "t", "tracks.value": "v" * 129}, "tracks.value"),
        (
            {"exposures.table": "t", "exposures.attributes": "cc = " + "c" * 129},
            "exposures.attributes",
        ),
        (
            {"exposures.table": "t", "exposures.attributes": f"{'x' * 65} = y"},
            "exposures.attributes",
        ),
    ],
)
def test_a_fault_of_a_source_is_shown_at_its_field(
    source_editor: Browser, change: dict[str, str], field: str
) -> None:
    answer = add(source_editor, change)
    assert answer.status_code == 400
    assert errors(Page(answer.get_data(as_text=True))) == [field]
