"""A flag's page: what comes next, the strip of environments, the verbs, rules as a form."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.web.console.conftest import HERE, Browser, Console
from web.console.flag_parts import NextStep, moment, next_step

FLAG = f"{HERE}/flags/checkout"
STAGING = "/projects/shop/environments/staging/flags/checkout"
GERMANS = {"attr": "country", "op": "in", "values": ["DE", "AT"]}


def rolled_out(console: Console, share: float = 0.25, when: Any = True) -> None:
    serve = {"split": {"weights": {"on": 1}, "coverage": share}}
    rule = {"id": "eu", "when": when, "serve": serve}
    console.change("checkout", {"do": "turn_on"}, {"do": "add_rule", "rule": rule})


def row_of(console: Console) -> dict[str, Any]:
    (rule,) = console.document()["rules"]
    return dict(rule)


def test_the_next_step_is_shown_before_it_is_taken(small_console: Console) -> None:
    rolled_out(small_console)
    editor = small_console.person("editor")
    shown = editor.press(FLAG, "Next step: 50 %")
    assert shown.status_code == 200
    assert row_of(small_console)["serve"]["split"]["to"][0]["ranges"] == [[0, 2500]]
    assert "nothing watches this flag" in shown.get_data(as_text=True)
    editor.follow(shown)
    assert row_of(small_console)["serve"]["split"]["to"][0]["ranges"] == [[0, 5000]]


@pytest.mark.parametrize(("share", "following"), [(0.0, 0.01), (0.07, 0.1), (0.5, 1.0)])
def test_the_next_step_is_the_next_rung(share: float, following: float) -> None:
    end = round(share * 10_000)
    split = {"of": 10_000, "to": [{"variant": "on", "ranges": [[0, end]]}]}
    rules = [{"id": "a", "serve": "on"}, {"id": "b", "serve": {"split": split}}]
    assert next_step(rules) == NextStep("b", following)
    assert next_step([{**rules[1], "track": True}]) is None


def test_a_flag_without_a_ramp_says_why_there_is_no_next_step(editor: Browser) -> None:
    page = editor.page(FLAG)
    disabled = {given.get("title") for tag, given in page.tags if "disabled" in given}
    assert any("roll out to a share of people first" in str(title) for title in disabled)
    order = ["Kill", "Turn on", "Next step", "Promote", "Schedule", "Revert"]
    places = [page.html.index(f">{words}<") for words in order]
    assert places == sorted(places)


def test_a_schedule_is_made_on_the_page_and_said_in_its_sentence(small_console: Console) -> None:
    rolled_out(small_console)
    editor = small_console.person("editor")
    form = editor.page(FLAG).form("Schedule it")
    said = {"do": "set_coverage", "at": "2026-12-02T09:30", "comment": "as planned"}
    assert editor.send(FLAG, form, said).status_code == 303
    words = " ".join(editor.page(FLAG).words.split())
    assert "Widening to 50 % tomorrow 09:30 UTC." in words
    assert row_of(small_console)["serve"]["split"]["to"][0]["ranges"] == [[0, 2500]]


def test_moments_are_said_as_people_say_them() -> None:
    now = dt.datetime(2026, 12, 31, 23, 30, tzinfo=dt.UTC)
    hours = [0.25, 1, 48]
    assert [moment(now + dt.timedelta(hours=each), now) for each in hours] == [
        "today 23:45 UTC",
        "tomorrow 00:30 UTC",
        "on 2 January 2027, 23:30 UTC",
    ]


def test_the_strip_leads_to_production_and_promotes_what_differs(small_console: Console) -> None:
    editor = small_console.person("editor")
    assert "differs" not in editor.page(FLAG).words
    rolled_out(small_console)
    page = editor.page(FLAG)
    assert "differs" in page.words
    assert page.html.index(">staging<") < page.html.index(">production<")
    shown = editor.press(FLAG, "Promote from staging")
    assert "everyone gets off" in shown.get_data(as_text=True)
    editor.follow(shown)
    assert small_console.document()["rules"] == []
    assert "differs" not in editor.page(FLAG).words


def test_promote_from_where_it_is_tried_out_leads_to_the_other_page(
    small_console: Console,
) -> None:
    rolled_out(small_console)
    shown = small_console.person("editor").press(STAGING, "Promote to production")
    assert "Preview: nothing is written yet" in shown.get_data(as_text=True)
    assert shown.request.path.startswith(f"{HERE}/do/checkout")


def test_a_kill_is_no_difference_that_a_promotion_would_take_away(
    small_console: Console,
) -> None:
    small_console.change("checkout", {"do": "kill"})
    page = small_console.person("editor").page(FLAG)
    assert "differs" in page.words
    with pytest.raises(AssertionError, match="no button"):
        page.form("Promote from")


def test_a_rule_is_edited_as_a_sentence_and_nobody_changes_sides(small_console: Console) -> None:
    rolled_out(small_console, when=GERMANS)
    before = row_of(small_console)
    editor = small_console.person("editor")
    form = next(form for form in editor.page(FLAG).forms if form.fields.get("do") == "edit_rule")
    assert {name: form.fields[name] for name in ("share", "variant", "attr", "op", "values")} == {
        "share": "25",
        "variant": "on",
        "attr": "country",
        "op": "in",
        "values": "DE, AT",
    }
    shown = editor.send(FLAG, form, {"share": "40", "values": "DE, AT, CH", "preview": "yes"})
    editor.follow(shown)
    after = row_of(small_console)
    assert after["when"]["values"] == ["DE", "AT", "CH"]
    assert after["serve"]["split"]["salt"] == before["serve"]["split"]["salt"]
    assert after["serve"]["split"]["to"][0]["ranges"] == [[0, 4000]]
    form = next(each for each in editor.page(FLAG).forms if each.fields.get("do") == "edit_rule")
    editor.follow(editor.send(FLAG, form, {"attr": "", "values": "", "preview": "yes"}))
    assert row_of(small_console)["when"] is True


def test_an_audience_that_no_form_can_say_stays(small_console: Console) -> None:
    when = {"all": [GERMANS, {"not": {"attr": "plan", "op": "in", "values": ["free"]}}]}
    rolled_out(small_console, when=when)
    editor = small_console.person("editor")
    form = next(form for form in editor.page(FLAG).forms if form.fields.get("do") == "edit_rule")
    assert "attr" not in form.fields
    editor.follow(editor.send(FLAG, form, {"share": "30", "preview": "yes"}))
    rule = row_of(small_console)
    assert (rule["when"], rule["serve"]["split"]["to"][0]["ranges"]) == (when, [[0, 3000]])


def test_revert_undoes_the_last_change(small_console: Console) -> None:
    rolled_out(small_console)
    small_console.change("checkout", {"do": "set_coverage", "rule": "eu", "value": 0.5})
    editor = small_console.person("editor")
    editor.follow(editor.press(FLAG, "Revert"))
    assert row_of(small_console)["serve"]["split"]["to"][0]["ranges"] == [[0, 2500]]


def test_who_may_only_look_finds_no_verbs(small_console: Console) -> None:
    rolled_out(small_console)
    page = small_console.person("viewer").page(FLAG)
    for words in ("Kill", "Pause", "Next step", "Promote", "Schedule it", "Revert", "See the"):
        with pytest.raises(AssertionError, match="no button"):
            page.form(words)
