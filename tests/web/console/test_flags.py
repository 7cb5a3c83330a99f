"""Flags over forms: the list, a new flag, and every change of the flag's page."""

from __future__ import annotations

from typing import Any

import pytest

from flagstone.engine import evaluate
from tests.web.console.conftest import Page

HERE = "/projects/shop/environments/production"
FLAG = f"{HERE}/flags/checkout"


# The list


def test_the_list_says_what_each_flag_does_without_repeating_where(small_console: Any) -> None:
    small_console.change(
        "checkout",
        {"do": "turn_on"},
        {"do": "add_rule", "rule": {"serve": {"split": {"weights": {"on": 1}, "coverage": 0.1}}}},
    )
    small_console.flag("banner")
    page = small_console.person("viewer").page(f"{HERE}/flags")
    assert "10 % of users get on; everyone else gets off." in page.words
    assert "The flag is off: everyone gets off." in page.words
    assert "In production" not in page.words


def test_many_flags_come_page_by_page_and_all_of_them_come(small_console: Any) -> None:
    for number in range(119):
        small_console.flag(f"flag {number:03d}/ä")
    viewer = small_console.person("viewer")
    seen: list[str] = []
    path = f"{HERE}/flags"
    for _page in range(3):
        page = viewer.page(path)
        seen += [link for link in page.links if link.startswith(f"{HERE}/flags/")]
        path = f"{HERE}/flags" + next((x for x in page.links if x.startswith("?after=")), "")
    assert len(seen) == len(set(seen)) == 120


def test_a_search_finds_words_and_gives_a_fragment_to_htmx(small_console: Any) -> None:
    small_console.flag("banner", description="Delivery <tomorrow>")
    viewer = small_console.person("viewer")
    found = viewer.get(f"{HERE}/flags?filter=tomorrow").get_data(as_text=True)
    assert f"{HERE}/flags/banner" in found
    assert f"{HERE}/flags/checkout" not in found
    fragment = viewer.get(f"{HERE}/flags?filter=tomorrow", headers={"HX-Request": "true"})
    html = fragment.get_data(as_text=True)
    assert "<html" not in html
    assert "banner" in html
    assert fragment.headers["Vary"] == "HX-Request"
    restored = {"HX-Request": "true", "HX-History-Restore-Request": "true"}
    assert "<html" in viewer.get(f"{HERE}/flags", headers=restored).get_data(as_text=True)
    assert "No flag matches “%_'”" in viewer.page(f"{HERE}/flags?filter=%25_'").words


def test_the_first_visit_says_how_to_begin(bare_console: Any) -> None:
    bare_console.project()
    assert "Make it" in bare_console.person("editor").page(f"{HERE}/flags").words
    assert "Make it" not in bare_console.person("viewer").page(f"{HERE}/flags").words


# A new flag


def test_a_flag_of_every_type_is_made(console: Any) -> None:
    editor = console.person("editor")
    lines = {
        "boolean": "",
        "string": 'control = old\nnew = "quoted = yes"',
        "integer": "few = 3\r\nmany = 30",
        "float": "half = 0.5\n",
        "object": 'plain = {}\nrich = {"a": [1, "ä"]}',
    }
    for kind, variants in lines.items():
        given = {"key": f"f-{kind}", "type": kind, "variants": variants, "client": "yes"}
        page = editor.follow(editor.press(f"{HERE}/new-flag", "Create flag", given))
        assert f"f-{kind}" in page.words
        assert console.document(f"f-{kind}")["client"] is True
    values = console.document("f-string")["variants"]
    assert {name: each["value"] for name, each in values.items()} == {
        "control": "old",
        "new": "quoted = yes",
    }
    assert console.document("f-object")["variants"]["rich"]["value"] == {"a": [1, "ä"]}
    assert console.document("f-string")["default"] == "control"


@pytest.mark.parametrize(
    ("given", "status", "words", "wrong"),
    [
        ({"key": ""}, 400, "cannot name a flag", "key"),
        ({"key": "what?"}, 400, "cannot be a flag's key", "key"),
        ({"key": "/a"}, 400, "does not start with /", "key"),
        ({"key": "a\x07"}, 400, "cannot name a flag", "key"),
        ({"key": "checkout"}, 409, "already has a flag 'checkout'", "key"),
        ({"key": "k", "owner": "o" * 201}, 400, "200", "owner"),
        ({"key": "k", "description": "d" * 10_001}, 400, "10000", "description"),
        ({"key": "k", "type": "colour"}, 400, "", None),
        ({"key": "k", "type": "string"}, 400, "at least one variant", "variants"),
        ({"key": "k", "type": "string", "variants": "a\nb"}, 400, "line 1", "variants"),
        ({"key": "k", "type": "string", "variants": "a=1\na=2"}, 400, "line 2", "variants"),
        ({"key": "k", "type": "string", "variants": " = 1"}, 400, "line 1", "variants"),
        ({"key": "k", "type": "integer", "variants": "a = 1.5"}, 400, "", None),
        ({"key": "k", "type": "integer", "variants": "a = x"}, 400, "type integer", "variants"),
        ({"key": "k", "type": "float", "variants": "a = NaN"}, 400, "finite", None),
        ({"key": "k", "type": "object", "variants": "a = " + "[" * 9000}, 400, "", "variants"),
        ({"key": "k", "type": "object", "variants": "a = " + "[" * 90 + "]" * 90}, 400, "", None),
    ],
)
def test_a_flag_that_cannot_be_is_told_and_keeps_what_was_typed(
    small_console: Any, given: dict[str, str], status: int, words: str, wrong: str | None
) -> None:
    editor = small_console.person("editor")
    before = small_console.written()
    given = {"description": "typed before", **given}
    response = editor.press(f"{HERE}/new-flag", "Create flag", given)
    assert response.status_code == status
    html = response.get_data(as_text=True)
    page = editor.page(f"{HERE}/flags").__class__(html)
    assert words in page.words
    assert 'role="alert"' in html
    form = page.form("Create flag")
    for name in ("key", "description", "variants", "owner"):
        assert form.fields[name] == given.get(name, ""), name
    if wrong is not None:
        (field,) = page.attributes(aria_invalid="true")
        assert field["name"] == wrong
    assert small_console.written() == before


# Changes


def test_every_change_of_the_page_is_done(console: Any) -> None:
    editor = console.person("editor")

    def press(button: str, **given: str) -> Any:
        return editor.follow(editor.press(FLAG, button, given))

    page = press("Turn on")
    assert "Done: turn on – as agreed. This is revision 3." in " ".join(page.words.split())
    assert console.document()["enabled"] is True
    press("Add rule", share="33.3 %", variant="on", attr="country", values="DE, FR", comment="EU")
    (rule,) = console.document()["rules"]
    assert rule["when"] == {"attr": "country", "op": "in", "values": ["DE", "FR"]}
    assert rule["serve"]["split"]["to"] == [{"variant": "on", "ranges": [[0, 3330]]}]
    press("Set share", share="50")
    (rule,) = console.document()["rules"]
    assert rule["serve"]["split"]["to"] == [{"variant": "on", "ranges": [[0, 5000]]}]
    press("Remove rule", rule=rule["id"])
    assert console.document()["rules"] == []
    press("Add rule", share="100", attr="age", op="gte", values="18")
    assert console.document()["rules"][0]["when"]["values"] == [18]
    press("Save", keys="u1, u2\nu3", variant="on")
    (target,) = console.document()["targets"]
    assert (target["variant"], target["keys"]) == ("on", ["u1", "u2", "u3"])
    page = editor.page(FLAG)
    everyone = next(form for form in page.forms if form.fields.get("do") == "set_default")
    editor.follow(editor.send(FLAG, everyone, {"variant": "on"}))
    assert console.document()["default"] == "on"
    press("Kill checkout", comment="errors at checkout")
    assert console.document()["killed"] is True
    press("Lift the kill")
    assert console.document()["killed"] is False
    press("Go back to this", revision="3")
    assert (console.document()["rules"], console.document()["targets"]) == ([], [])
    assert console.document()["enabled"] is True
    press("Pause")
    assert console.document()["enabled"] is False


def test_an_entry_of_the_history_is_previewed_and_undone(console: Any) -> None:
    editor = console.person("editor")
    editor.follow(editor.press(FLAG, "Turn on"))
    editor.follow(editor.press(FLAG, "Kill checkout", {"comment": "errors"}))
    editor.follow(editor.press(FLAG, "Pause"))
    undo = next(form for form in editor.page(FLAG).forms if "Undo… kill" in str(form.buttons))
    shown = Page(editor.send(FLAG, undo, {"preview": "yes"}).get_data(as_text=True))
    assert "Preview: nothing is written yet" in shown.words
    assert console.document()["killed"] is True
    editor.follow(editor.send(FLAG, shown.form("Apply"), None))
    assert (console.document()["killed"], console.document()["enabled"]) == (False, False)
    assert editor.send(FLAG, shown.form("Apply"), None).status_code == 412
    late = editor.send(FLAG, undo, {"preview": "yes"})
    assert late.status_code == 409
    assert "a later change touched killed" in Page(late.get_data(as_text=True)).words


def test_named_people_are_removed_as_a_group_whatever_their_keys_are(console: Any) -> None:
    keys = ["a, b", "c\nd", "<e>", *(f"u{n}" for n in range(5000))]
    console.change(
        "checkout",
        {"do": "add_targets", "variant": "off", "keys": ["x"]},
        {"do": "add_targets", "variant": "on", "keys": keys},
        {"do": "add_targets", "variant": "on", "keys": ["firm"], "by": "organisation"},
    )
    editor = console.person("editor")
    response = editor.get(FLAG)
    assert "5,003 named" in response.get_data(as_text=True)
    assert len(response.get_data()) < 100_000
    page = editor.page(FLAG)
    groups = [form for form in page.forms if form.fields.get("do") == "remove_targets"]
    assert len(groups) == 3
    editor.follow(editor.send(FLAG, groups[2]))
    editor.follow(editor.send(FLAG, groups[1]))
    (left,) = console.document()["targets"]
    assert left["keys"] == ["x"]
    gone = editor.send(FLAG, groups[1])
    assert gone.status_code == 400
    assert "no longer on the list" in gone.get_data(as_text=True)


@pytest.mark.parametrize(
    ("do", "given", "status", "words", "wrong"),
    [
        ("add_rule", {"share": "two thirds"}, 400, "not a percentage", "share"),
        ("add_rule", {"share": "101"}, 400, "not a percentage", "share"),
        ("add_rule", {"share": "-1"}, 400, "not a percentage", "share"),
        ("add_rule", {"share": "NaN"}, 400, "not a percentage", "share"),
        ("add_rule", {"share": "1e999999999"}, 400, "not a percentage", "share"),
        ("add_rule", {"attr": "country"}, 400, "which values", "values"),
        ("add_rule", {"values": "DE"}, 400, "which attribute", "attr"),
        ("add_rule", {"attr": "age", "op": "gte", "values": "x"}, 400, "not a number", "values"),
        ("add_rule", {"attr": "age", "op": "gte", "values": "inf"}, 400, "finite", "values"),
        ("add_rule", {"attr": "a", "op": "like", "values": "x"}, 400, "like", None),
        ("add_rule", {"variant": "third"}, 400, "third", None),
        ("add_rule", {"comment": "c" * 2001}, 400, "2000", "comment"),
        ("set_default", {"variant": "third"}, 400, "third", None),
        ("add_targets", {"keys": " , "}, 400, "say who", "keys"),
        ("add_targets", {"keys": "k" * 1025}, 400, "1024", "keys"),
        ("kill", {"comment": "c" * 2001}, 400, "2000", "comment"),
    ],
)
def test_a_change_that_cannot_be_is_told_and_keeps_what_was_typed(
    small_console: Any, do: str, given: dict[str, str], status: int, words: str, wrong: str | None
) -> None:
    editor = small_console.person("editor")
    before = small_console.written()
    page = editor.page(FLAG)
    form = next(form for form in page.forms if form.fields.get("do") == do)
    response = editor.send(FLAG, form, given)
    assert response.status_code == status
    html = response.get_data(as_text=True)
    page = page.__class__(html)
    assert words in page.words
    assert 'role="alert"' in html
    again = next(form for form in page.forms if form.fields.get("do") == do)
    for name, value in given.items():
        if name not in {"variant", "op"}:
            assert again.fields[name] == value, name
    assert page.attributes(data_reopened="") or "data-reopened" in html
    if wrong is not None:
        (field,) = page.attributes(aria_invalid="true")
        assert field["name"] == wrong
    assert "hx-trigger" not in html
    assert small_console.written() == before


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        ({"do": "explode"}, 400, "no such change"),
        ({}, 400, "no such change"),
        ({"do": "put_state"}, 400, "no such change"),
        ({"do": "remove_rule", "rule": "nope"}, 400, "nope"),
        ({"do": "remove_rule"}, 400, ""),
        ({"do": "set_coverage", "rule": "nope", "share": "5"}, 400, "nope"),
        ({"do": "revert_to", "revision": "9" * 30}, 404, "revision"),
        ({"do": "revert_to", "revision": "0"}, 400, ""),
        ({"do": "revert_to", "revision": "x"}, 400, "a revision is a number"),
        ({"do": "revert_to", "revision": "1"}, 404, "choose a revision made after the flag"),
        ({"do": "remove_targets", "group": "0", "variant": "on"}, 400, "no longer on the list"),
    ],
)
def test_a_form_that_the_page_does_not_have_changes_nothing(
    small_console: Any, given: dict[str, str], status: int, words: str
) -> None:
    editor = small_console.person("editor")
    token = editor.page(FLAG).form("Turn on").fields["csrf_token"]
    before = small_console.written()
    response = editor.client.post(
        f"{HERE}/do/checkout/change",
        data={"csrf_token": token, **given},
        headers={"Accept": "text/html"},
    )
    html = response.get_data(as_text=True)
    assert (response.status_code in {status, 400, 404}, status) == (True, status)
    assert words in html
    assert "Who gets what" in html
    assert small_console.written() == before


def test_a_change_of_a_flag_that_is_not_there_is_a_page(small_console: Any) -> None:
    editor = small_console.person("editor")
    token = editor.page(FLAG).form("Turn on").fields["csrf_token"]
    for path in (
        f"{HERE}/do/nope/kill",
        f"{HERE}/do/nope/change",
        "/projects/shop/environments/mars/do/checkout/kill",
        "/projects/nope/environments/production/do/checkout/kill",
    ):
        for do in ("turn_on", "remove_targets"):
            response = editor.client.post(
                path, data={"csrf_token": token, "do": do}, headers={"Accept": "text/html"}
            )
            assert response.status_code == 404
            assert "Go back" in response.get_data(as_text=True)


def test_a_share_that_is_wrong_comes_back_with_its_form_open(small_console: Any) -> None:
    small_console.change(
        "checkout",
        {"do": "add_rule", "rule": {"serve": {"split": {"weights": {"on": 1}, "coverage": 0.1}}}},
    )
    editor = small_console.person("editor")
    response = editor.press(FLAG, "Set share", {"share": "two thirds"})
    page = editor.page(FLAG).__class__(response.get_data(as_text=True))
    assert response.status_code == 400
    assert page.form("Set share").fields["share"] == "two thirds"
    (field,) = page.attributes(aria_invalid="true")
    assert field["name"] == "share"
    assert field["id"] != "r-share"


def test_a_change_that_changes_nothing_says_so_and_makes_no_revision(console: Any) -> None:
    editor = console.person("editor")
    before = console.written()
    response = editor.press(FLAG, "Turn on", {"do": "turn_off"})
    assert "Nothing changed: it was so already." in editor.follow(response).words
    assert console.written() == before


def test_only_who_did_it_just_now_is_told_that_it_is_done(console: Any) -> None:
    editor, viewer = console.person("editor"), console.person("viewer")
    response = editor.explained(editor.press(FLAG, "Turn on"))
    assert "Done:" in editor.page(response.location).words
    assert "Done:" not in viewer.page(response.location).words
    assert "Done:" not in editor.page(f"{FLAG}?done=1").words
    assert "Done:" not in editor.page(f"{FLAG}?done=x").words
    console.clock.advance(minutes=2)
    assert "Done:" not in editor.page(response.location).words


# Kill


def test_a_killed_flag_says_since_when_by_whom_and_why(console: Any) -> None:
    editor = console.person("editor")
    response = editor.press(FLAG, "Kill checkout", {"comment": "errors at checkout"})
    console.clock.advance(seconds=3)
    page = console.person("viewer").page(FLAG)
    said = "Killed 3 s ago by editor@example.org – errors at checkout"
    assert said in " ".join(page.words.split())
    console.clock.advance(hours=2)
    for number in range(35):
        do = ("turn_on", "turn_off")[number % 2]
        console.change("checkout", {"do": do})
    assert "Killed 2 h ago by editor@example.org" in " ".join(editor.page(FLAG).words.split())
    editor.follow(editor.press(FLAG, "Lift the kill"))
    assert "Killed 2 h" not in editor.page(FLAG).words
    assert "Lift the kill" not in editor.page(FLAG).words
    assert response.location.startswith(FLAG)


def test_a_flag_that_went_back_to_a_killed_state_says_so_too(console: Any) -> None:
    console.change("checkout", {"do": "kill"})
    console.change("checkout", {"do": "unkill"})
    editor = console.person("editor")
    editor.press(FLAG, "Go back to this", {"revision": "3", "comment": "as it was"})
    page = editor.page(FLAG)
    assert "Killed just now by editor@example.org – as it was" in " ".join(page.words.split())


def test_an_open_page_learns_of_a_kill_and_is_left_alone_otherwise(console: Any) -> None:
    viewer = console.person("viewer")
    (part,) = [given for _tag, given in viewer.page(FLAG).tags if given.get("id") == "flag"]
    htmx = {"HX-Request": "true"}
    assert part["hx-trigger"] == "every 5s"
    quiet = viewer.get(part["hx-get"], headers=htmx)
    assert (quiet.status_code, quiet.get_data()) == (204, b"")
    console.change("checkout", {"do": "kill"}, comment="smoke")
    fresh = viewer.get(part["hx-get"], headers=htmx)
    html = fresh.get_data(as_text=True)
    assert fresh.status_code == 200
    assert "<html" not in html
    assert "Killed just now" in html.replace("</time>", "").replace(
        html[html.find("<time") : html.find(">", html.find("<time")) + 1], ""
    )
    # Without htmx the same address is the whole page.
    assert "<html" in viewer.get(part["hx-get"]).get_data(as_text=True)
    console.clock.advance(minutes=1)
    (part,) = [
        given for _tag, given in viewer.page(FLAG).__class__(html).tags if given.get("id") == "flag"
    ]
    assert viewer.get(part["hx-get"], headers=htmx).status_code == 200


# Preview


@pytest.mark.parametrize(
    ("button", "given", "sentence"),
    [
        ("Add rule", {"share": "25"}, "In production, 25 % of users get on"),
        ("Set share", {"share": "70"}, "In production, 70 % of users get on"),
        ("Save", {"do": "set_default", "variant": "on", "comment": "all"}, "everyone else gets on"),
    ],
)
def test_a_preview_says_what_would_be_and_writes_nothing(
    console: Any, button: str, given: dict[str, str], sentence: str
) -> None:
    console.change("checkout", {"do": "turn_on"})
    if button != "Add rule":
        split = {"split": {"weights": {"on": 1}, "coverage": 0.1}}
        console.change("checkout", {"do": "add_rule", "rule": {"serve": split}})
    editor = console.person("editor")
    before = console.written()
    response = editor.press(FLAG, button, {**given, "preview": "yes"})
    html = response.get_data(as_text=True)
    page = editor.page(FLAG).__class__(html)
    assert response.status_code == 200
    assert "Preview: nothing is written yet" in page.words
    assert sentence in page.words
    assert "The fields that would change" in page.words
    assert console.written() == before
    # What was typed is there, to be sent in earnest.
    do = given.get("do") or {"Add rule": "add_rule", "Set share": "set_coverage"}[button]
    form = next(form for form in page.forms if form.fields.get("do") == do)
    assert all(form.fields[name] == value for name, value in given.items())
    editor.follow(editor.send(FLAG, form))
    assert console.written() > before


def test_production_asks_why_and_shows_who_moves_before_it_applies(console: Any) -> None:
    country = {"attr": "country", "op": "in", "values": ["DE"]}
    document = {"when": country, "serve": {"split": {"weights": {"on": 1}, "coverage": 0.1}}}
    console.change("checkout", {"do": "turn_on"}, {"do": "add_rule", "rule": document})
    people = [{"targetingKey": f"u{each}", "country": "DE", "name": "Ada"} for each in range(40)]
    console.saw(*people)
    editor = console.person("editor")
    before, at_ten = console.written(), console.document()
    response = editor.press(FLAG, "Set share", {"share": "60"})
    asked = page = editor.page(FLAG).__class__(response.get_data(as_text=True))
    words = " ".join(page.words.split())
    assert console.written() == before
    assert "only widens Nobody who has it loses it." in words
    assert "Counted over 40 contexts, all seen in the last 7 days; the newest just now." in words
    assert '{"country": "DE", "targetingKey": "•••"}' in words
    assert "Ada" not in page.html
    form = page.form("Apply")
    (reason,) = page.attributes(id="save-why")
    assert "required" in reason
    again = editor.send(FLAG, form, {"comment": " "})
    assert (again.status_code, console.written()) == (200, before)
    console.change("checkout", {"do": "set_off_variant", "variant": "on"})
    late = editor.send(FLAG, form, {"comment": "no complaints"})
    assert late.status_code == 412
    assert "and not at" in late.get_data(as_text=True)
    page = editor.follow(editor.press(FLAG, "Set share", {"share": "60"}))
    assert "Done: set coverage – as agreed" in " ".join(page.words.split())
    moved = sum(
        evaluate({"flags": {"checkout": at_ten}}, "checkout", each, 0.0).value
        is not evaluate({"flags": {"checkout": console.document()}}, "checkout", each, 0.0).value
        for each in people
    )
    assert f'<td data-label="Contexts">{moved}</td>' in asked.html


def test_where_it_is_not_production_nobody_is_asked_why(small_console: Any) -> None:
    editor = small_console.person("editor")
    staging = FLAG.replace("production", "staging")
    assert editor.press(staging, "Turn on").status_code == 303


def test_a_preview_of_nothing_and_a_preview_of_nonsense(small_console: Any) -> None:
    editor = small_console.person("editor")
    before = small_console.written()
    given = {"do": "set_default", "variant": "off", "preview": "yes"}
    response = editor.press(FLAG, "Save", given)
    assert "Nothing would change" in response.get_data(as_text=True)
    response = editor.press(FLAG, "Add rule", {"share": "x", "preview": "yes"})
    assert response.status_code == 400
    assert small_console.written() == before


def test_a_viewer_previews_nothing(small_console: Any) -> None:
    viewer = small_console.person("viewer")
    token = viewer.page(FLAG).form("Sign out").fields["csrf_token"]
    data = {"csrf_token": token, "do": "turn_on", "preview": "yes"}
    assert viewer.client.post(f"{HERE}/do/checkout/change", data=data).status_code == 403


# What is unusual


def test_an_archived_flag_says_so_and_can_only_be_restored(console: Any) -> None:
    console.change("checkout", {"do": "turn_on"}, {"do": "archive"})
    editor = console.person("editor")
    page = editor.page(FLAG)
    assert "This flag is archived" in page.words
    for button in ("Kill", "Turn", "Add rule"):
        with pytest.raises(AssertionError, match="no button"):
            page.form(button)
    editor.follow(editor.press(FLAG, "Restore"))
    assert "archived:" not in editor.page(FLAG).words
    assert console.document()["enabled"] is True


def test_a_flag_with_two_hundred_rules_is_shown_whole(small_console: Any) -> None:
    rules = [
        {
            "do": "add_rule",
            "rule": {
                "id": f"r{number}",
                "when": {"attr": "country", "op": "in", "values": [f"c{number}"]},
                "serve": {"split": {"weights": {"on": 1}, "coverage": 0.5}},
            },
        }
        for number in range(200)
    ]
    small_console.change("checkout", {"do": "turn_on"}, *rules[:199])
    small_console.change("checkout", rules[199])
    page = small_console.person("editor").page(FLAG)
    assert sum(any("Set share" in words for words in form.buttons) for form in page.forms) == 200
    ids = [given["id"] for _tag, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))


def test_a_revision_is_shown_as_it_was_published(console: Any) -> None:
    console.change("checkout", {"do": "turn_on"}, comment="here <we> go")
    page = console.person("viewer").page(f"{HERE}/revisions/3")
    assert "here <we> go" in page.words
    assert '"enabled": true' in page.words
    assert "ETag" in page.words
