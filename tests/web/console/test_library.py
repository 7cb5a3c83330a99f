"""The library: found by words, metric and verdict; the same plan once more."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.contract.parsing import parse_plan
from experiments.models import Experiment
from experiments.people import library
from experiments.telling.plan_text import plan_as_toml

HERE = "/projects/shop/environments/production"


@pytest.fixture
def shelf(running: Any, plan: Any) -> Any:
    console = running(looks=1, verdict="HARM", state="ROLLED_BACK", note="Fewer bought.")
    console.experiment({**plan(), "key": "never-started"})
    return console


def _keys(console: Any, **asked: Any) -> list[str]:
    with console.database.read() as session:
        return [each.key for each in library.search(session, "shop", **asked).experiments]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, True),
        ({"words": "page VISITORS"}, True),
        ({"words": "umbrella"}, False),
        ({"metric": "PURCH"}, True),
        ({"metric": "refund"}, False),
        ({"verdict": "HARM"}, True),
        ({"verdict": "FUTILE"}, False),
        ({"words": "bought", "metric": "purchases", "verdict": "HARM"}, True),
    ],
)
def test_an_experiment_is_found_by_what_it_was(
    shelf: Any, asked: dict[str, str], found: bool
) -> None:
    assert _keys(shelf, **asked) == (["one-page"] if found else [])
    page = shelf.person("viewer").page(f"{HERE}/library?" + "&".join(map("=".join, asked.items())))
    assert ("One page makes more visitors buy." in page.words) == found
    assert "never-started" not in page.words


def test_the_shelf_is_read_page_by_page(running: Any) -> None:
    console = running(looks=0)
    for number in range(2, 6):
        _copy(console, f"copy-{number}")
    with console.database.read() as session:
        first = library.search(session, "shop", metric="purchases", limit=3, batch=2)
        rest = library.search(session, "shop", before_id=first.next_before, limit=3)
    assert [each.key for each in first.experiments] == ["copy-5", "copy-4", "copy-3"]
    assert [each.key for each in rest.experiments] == ["copy-2", "one-page"]
    assert rest.next_before is None


def _copy(console: Any, key: str) -> None:
    with console.database.write() as session:
        tried = console_row(session)
        values = tried.model_dump(exclude={"id", "key", "version"})
        session.add(type(tried)(key=key, **values))


def console_row(session: Any) -> Any:
    return session.get_one(Experiment, 1)


def test_a_replica_is_the_same_plan_under_a_free_key(shelf: Any, plan: Any) -> None:
    editor = shelf.person("editor")
    form = editor.page(f"{HERE}/new-experiment?like=one-page").form("Save the draft of this text")
    text = form.fields["plan"]
    assert text.startswith('key = "one-page-2"\n')
    with shelf.database.read() as session:
        tried = console_row(session)
        same = parse_plan({**tried.plan, "key": "one-page-2"})
    assert parse_plan(text) == same
    assert editor.send(f"{HERE}/new-experiment", form).status_code == 303
    assert shelf.state_of("one-page-2") == "DRAFT"
    again = editor.page(f"{HERE}/new-experiment?like=one-page").form("Save the draft of this text")
    assert again.fields["plan"].startswith('key = "one-page-3"\n')


def test_whatever_a_plan_holds_is_written_so_that_it_is_read_back(plan: Any) -> None:
    odd = plan(
        hypothesis='A "quoted" \\ line\nof two, with ü, \x7f and 🙂.',
        control="not on",
        treatments=["on: all"],
        weights={"not on": 1, "on: all": 3},
        audience={"all": [{"attr": ["a.b", "c"], "op": "in", "values": ["x", 1, True]}]},
        value={"per_unit": 1.5, "eligible_units_per_month": 1000, "currency": "EUR"},
    )
    assert parse_plan(plan_as_toml(odd)) == parse_plan(odd)


def test_nothing_like_an_experiment_that_is_not_there(shelf: Any) -> None:
    page = shelf.person("editor").page(f"{HERE}/new-experiment?like=nope", 404)
    assert "there is no experiment 'nope'" in page.words
