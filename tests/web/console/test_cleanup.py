"""Owners, expiry, and the nudge to take a flag away that had its time."""

from __future__ import annotations

import datetime as dt

from tests.web.console.conftest import HERE, Console, Page

FLAG = f"{HERE}/flags/checkout"


def test_a_flag_that_had_its_time_is_archived_from_its_page(small_console: Console) -> None:
    small_console.change("checkout", {"do": "set_default", "variant": "on"}, {"do": "turn_on"})
    viewer = small_console.person("viewer")
    assert "No flag asks for anything" in viewer.page(f"{HERE}/cleanup").words
    small_console.clock.now += dt.timedelta(days=41)
    editor = small_console.person("editor")
    listed = editor.page(f"{HERE}/cleanup").words
    assert "Safe to remove: 100 % true for 41 days, 0 dependants" in listed
    page = Page(editor.press(FLAG, "Archive…", {"preview": "yes"}).get_data(as_text=True))
    assert "Preview: nothing is written yet" in page.words
    assert editor.send(FLAG, page.form("Apply")).status_code == 303
    assert "This flag is archived" in editor.page(FLAG).words


def test_owner_and_expiry_are_said_and_mended(small_console: Console) -> None:
    editor = small_console.person("editor")
    said = {"owner": "growth", "expires": "2031-02-03", "permanent": "yes", "comment": "x"}
    form = next(f for f in editor.page(FLAG).forms if f.fields.get("do") == "update_flag")
    shown = editor.follow(editor.send(FLAG, form, said))
    words = " ".join(shown.words.split())
    assert "Owner: growth. Permanent. Expires 3 February 2031, 00:00 UTC" in words
    wrong = editor.send(FLAG, form, {**said, "expires": "soon"})
    assert wrong.status_code == 400
    form = editor.page(f"{HERE}/new-flag").form("Create flag")
    made = editor.send(f"{HERE}/new-flag", form, {"key": "brief", "expires": "2031-02-03"})
    assert "Expires 3 February 2031" in editor.follow(made).words
