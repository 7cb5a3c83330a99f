"""The page that compares two environments, and promotes from one to the other."""

from __future__ import annotations

from typing import Any

import pytest

from flags.changes import apply_change, parse_change
from tests.web.console.conftest import HERE, Console, Page
from tests.web.managed import ACTOR

COMPARE = f"{HERE}/compare?with=staging"


@pytest.fixture
def ahead(small_console: Console) -> Console:
    """Give a console whose staging has the flag on, for testers and by a segment."""
    change = parse_change(
        {
            "flag": "checkout",
            "instructions": [
                {"do": "add_segment", "segment": "beta", "condition": {"not": True}},
                {
                    "do": "add_rule",
                    "rule": {"id": "b", "when": {"segment": "beta"}, "serve": "on"},
                },
                {"do": "add_targets", "variant": "on", "keys": ["tester"]},
                {"do": "turn_on"},
            ],
        }
    )
    with small_console.database.write() as session:
        now = small_console.clock()
        apply_change(session, "shop", "staging", change, actor=ACTOR, now=now)
    return small_console


def press(browser: Any, what: str, **fields: str) -> Page:
    (form,) = [form for form in browser.page(COMPARE).forms if form.action == f"{HERE}/compare"]
    answer = browser.send(COMPARE, form, {"what": what, **fields})
    assert answer.status_code == 200, answer.get_data(as_text=True)[-2000:]
    return Page(answer.get_data(as_text=True))


def test_a_flag_is_promoted_through_the_preview(ahead: Console) -> None:
    editor = ahead.person("editor")
    words = editor.page(COMPARE).words.replace("\n", " ")
    assert "1 flag differs" in words
    assert "Units by name stay" in words
    shown = press(editor, "flag:checkout")
    assert "Preview: nothing is written yet" in shown.words
    assert ahead.document()["enabled"] is False
    form = shown.form("Apply")
    assert form.fields["comment"] == "Promoted from staging"
    silent = editor.send(COMPARE, form, {"comment": " "})
    assert "Preview: nothing is written yet" in silent.get_data(as_text=True)
    done = editor.follow(editor.send(COMPARE, form))
    assert "Promoted. This is revision" in done.words.replace("\n", " ")
    document = ahead.document()
    assert (document["enabled"], document["targets"]) == (True, [])
    late = editor.send(COMPARE, form)
    assert late.status_code == 412


def test_everything_is_promoted_or_asked_for_with_what_stays(ahead: Console) -> None:
    editor = ahead.person("editor")
    shown = press(editor, "all", targets="yes", segments="yes")
    form = shown.form("Ask for approval")
    asked = editor.send(COMPARE, form, {"mode": "request"})
    assert "#change-1" in asked.location
    applied = editor.follow(editor.send(COMPARE, shown.form("Apply")))
    assert "They do not differ: 1 flag is the same." in applied.words.replace("\n", " ")
    assert ahead.document()["targets"][0]["keys"] == ["tester"]


def test_only_what_is_ticked_comes_along(ahead: Console) -> None:
    editor = ahead.person("editor")
    (form,) = [form for form in editor.page(COMPARE).forms if form.action == f"{HERE}/compare"]
    none = {name: text for name, text in form.fields.items() if name != "pick"}
    nothing = editor.client.post(COMPARE, data={**none, "what": ""})
    assert (nothing.status_code, "nothing was chosen" in nothing.get_data(as_text=True)) == (
        400,
        True,
    )
    ticked = editor.client.post(COMPARE, data={**none, "what": "", "pick": ["segment:beta"]})
    text = ticked.get_data(as_text=True)
    assert "Segment beta changes." in text
    bad = editor.client.post(COMPARE, data={**none, "picks": '[["x", "y"]]'})
    assert bad.status_code == 400


def test_what_must_be_on_elsewhere_first_is_said_and_overridden(small_console: Console) -> None:
    admin, editor = small_console.person("admin"), small_console.person("editor")
    settings, flag = f"{HERE}/settings", f"{HERE}/flags/checkout"
    wanted = {"after": "staging", "after_hours": "24", "production": "yes", "sample": "yes"}
    shown = admin.follow(admin.press(settings, "Save", wanted))
    assert "on in staging first, for 24 h" in shown.words.replace("\n", " ")
    assert admin.press(settings, "Save", {"after_hours": "soon"}).status_code == 400
    small_console.change("checkout", {"do": "set_default", "variant": "on"})
    page = Page(editor.send(flag, editor.page(flag).form("Turn on"), {"preview": "yes"}).text)
    assert "only after the same was on in staging for 24 hours" in page.words
    assert "Apply it all the same" not in page.words
    refused = editor.send(flag, page.form("Apply"), {"comment": "go"})
    assert refused.status_code == 409
    page = Page(admin.send(flag, admin.page(flag).form("Turn on"), {"preview": "yes"}).text)
    assert "Apply it all the same" in page.words
    done = admin.send(flag, page.form("Apply"), {"comment": "go", "override": "the fair"})
    assert done.status_code == 303
    assert small_console.document()["enabled"] is True


def test_one_environment_alone_has_nothing_to_be_compared_with(small_console: Console) -> None:
    viewer = small_console.person("viewer")
    assert "They do not differ" in viewer.page(f"{HERE}/compare").words
    assert viewer.page(f"{HERE}/compare?with=moon").words
