"""Instances: who serves what, the receipt of a kill, and what would be if we vanished."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from flags import services
from flags.heartbeats import Heartbeat, record
from flags.models import Prediction
from tests.web.console.conftest import Console, Page
from web.auth import service as auth

HERE = "/projects/shop/environments/production"


def hear(console: Console, *said: dict[str, Any]) -> None:
    """Hear of clients: ``number``, and what is special about each."""
    with console.database.write() as session:
        environment = services.get_environment(session, "shop", "production")
        assert environment.id is not None
        heartbeats = []
        for each in said:
            number = each.pop("number")
            defaults = each.pop("defaults", None)
            told: dict[str, Any] = {
                "environment_id": environment.id,
                "id": f"0197a0b0-0000-7000-8000-{number:012}",
                "sdk": "flagstone-python 0.1.0",
                "runtime": "cpython 3.11.9 on linux",
                "host": f"host-{number}",
                "revision": environment.revision,
                "etag": None,
                "source": "stream",
                "started_at": console.clock() - dt.timedelta(hours=2),
                "seen_at": console.clock(),
                "events": {},
                "unknown_flags": [],
                "defaults": defaults and json.dumps(defaults),
                "defaults_complete": True,
                **each,
            }
            heartbeats.append(Heartbeat(**told))
        record(session, heartbeats)


def fragment(browser: Any, path: str) -> Page:
    response = browser.get(path, headers={"HX-Request": "true"})
    html: str = response.get_data(as_text=True)
    assert response.status_code == 200
    assert "<html" not in html
    return Page(html)


def test_the_receipt_of_a_kill_names_who_is_waited_for_until_all_serve_it(
    console: Console,
) -> None:
    editor = console.person("editor")
    hear(console, *({"number": number} for number in range(3)))
    sent = editor.press(f"{HERE}/flags/checkout", "Kill", {"comment": "errors"})
    done = editor.page(sent.location)
    assert "Served by 0 of 3 instances" in done.words
    hear(console, {"number": 0}, {"number": 1})
    done = editor.page(sent.location)
    assert "Served by 2 of 3 instances; waiting for host-2 (00000002)." in done.words
    (part,) = done.attributes(id="receipt")
    live = part["hx-get"]
    assert (live, part["hx-trigger"]) == (f"{HERE}/receipts/3", "every 1s")
    # A page of its own says more, and can be shared.
    whole = console.person("viewer").page(live)
    assert "host-2" in whole.words
    assert "0197a0b0-0000-7000-8000-000000000002" in whole.words
    hear(console, {"number": 2})
    arrived = fragment(editor, live)
    assert "Served by all 3 instances." in arrived.words
    assert "hx-get" not in arrived.html
    editor.page(f"{HERE}/receipts/99", status=404)


def test_who_is_silent_is_named_and_waited_for_by_nobody(small_console: Console) -> None:
    hear(small_console, {"number": 1})
    small_console.clock.advance(minutes=2)
    hear(small_console, {"number": 2})
    viewer = small_console.person("viewer")
    words = viewer.page(f"{HERE}/receipts/1").words
    assert "Served by the one instance." in words
    assert "Not heard of for 90 s, and may still serve what it had: host-1" in words
    small_console.clock.advance(minutes=2)
    words = viewer.page(f"{HERE}/receipts/1").words
    assert "No SDK was heard of here lately, so nobody serves it yet." in words


def test_the_page_lists_who_is_on_which_revision_and_listens(small_console: Console) -> None:
    viewer = small_console.person("viewer")
    empty = viewer.page(f"{HERE}/instances")
    assert "No SDK has called yet" in empty.words
    assert "from flagstone import Client" in empty.words
    assert "If we vanished now" not in empty.words
    assert empty.attributes(id="instances")[0]["hx-trigger"] == "every 2s"
    hear(
        small_console,
        {"number": 1},
        {"number": 2, "revision": 0, "host": None},
        {"number": 3, "revision": None, "unknown_flags": ["<b>chekout"]},
    )
    page = viewer.page(f"{HERE}/instances")
    assert "Served by 1 of 3 instances; waiting for" in page.words
    for words in ("current: 1", "behind: 1", "callers’ defaults: 1", "host not told"):
        assert words in page.words
    assert "asks for flags that there are not: <b>chekout" in page.words
    behind = viewer.page(f"{HERE}/instances?state=behind").words
    assert "host not told" in behind
    assert "host-1" not in behind
    silent = fragment(viewer, f"{HERE}/instances?state=silent")
    assert "None is silent." in silent.words
    again = silent.attributes(id="instances")[0]["hx-get"]
    assert again is not None
    assert viewer.get(again, headers={"HX-Request": "true"}).status_code == 204
    hear(small_console, {"number": 9})
    assert "all: 4" in fragment(viewer, again).words


def test_who_asks_over_ofrep_is_named_by_key_though_no_sdk_has_called(
    small_console: Console,
) -> None:
    viewer = small_console.person("viewer")
    assert "OFREP" not in viewer.page(f"{HERE}/instances").words
    with small_console.database.write() as session:
        environment = services.get_environment(session, "shop", "production")
        for number in range(7):
            _plain, token = auth.create_token(
                session,
                auth.TokenKind.CLIENT,
                name=f"<b>page {number}",
                project_id=environment.project_id,
                environment_id=environment.id,
                created_by="test",
                now=small_console.clock(),
            )
            token.ofrep_used_at = small_console.clock() - dt.timedelta(minutes=number)
    page = viewer.page(f"{HERE}/instances")
    assert "No SDK has called yet" in page.words
    said = fragment(viewer, f"{HERE}/instances").words
    for words in (said, page.words):
        assert "Keys that asked in the last day: <b>page 0#" in words
        assert "<b>page 4#" in words
        assert "<b>page 5#" not in words
        assert "and 2 more." in words


def test_a_thousand_instances_come_page_by_page(small_console: Console) -> None:
    hear(small_console, *({"number": number} for number in range(250)))
    viewer = small_console.person("viewer")
    seen, path = 0, f"{HERE}/instances"
    while path:
        page = viewer.page(path)
        seen += page.html.count("0197a0b0-0000-7000-8000-") - page.html.count("after=0197a0b0")
        path = next((link for link in page.links if "after=" in link), "")
    assert seen == 250


@pytest.mark.parametrize(("default", "words"), [(False, "72 %"), (True, "28 %")])
def test_what_an_outage_would_change_is_said_for_each_flag(
    small_console: Console, default: bool, words: str
) -> None:
    small_console.change(
        "checkout",
        {"do": "turn_on"},
        {
            "do": "add_rule",
            "rule": {"when": {"attr": "c", "op": "in", "values": ["DE"]}, "serve": "on"},
        },
    )
    small_console.saw(
        *({"targetingKey": f"u{n}", "c": "DE" if n < 72 else "US"} for n in range(100))
    )
    said = {"checkout": [{"type": "boolean", "value": default}], "x": [{"type": "string"}]}
    hear(small_console, {"number": 1, "defaults": said})
    page = small_console.person("viewer").page(f"{HERE}/instances")
    assert f"If the service and its snapshots were gone now, {words} would get" in page.words
    assert "no such flag: callers get their default already" in page.words
    assert "too long to tell" in page.words
    # What takes time to count is not counted again every five seconds.
    assert "vanished" not in fragment(small_console.person("editor"), f"{HERE}/instances").words


def test_an_alarm_stands_on_the_audit_and_on_the_flags_history(small_console: Console) -> None:
    small_console.change("checkout", {"do": "turn_on"}, comment="why not")
    with small_console.database.write() as session:
        environment = services.get_environment(session, "shop", "production")
        parts, agrees = (
            Prediction(
                project_id=environment.project_id,
                environment_id=environment.id or 0,
                revision=environment.revision - later,
                at=small_console.clock(),
                flags=["checkout"],
                state=state,
                predicted={"count": 50, "size": 200},
                observed={"count": count, "size": 200},
                looks=1,
                p_value=0.5,
            )
            for later, state, count in ((0, "parts", 180), (1, "agrees", 52))
        )
        session.add(parts)
        session.add(agrees)
    viewer = small_console.person("viewer")
    for path in (f"{HERE}/audit", f"{HERE}/flags/checkout"):
        words = viewer.page(path).words
        assert "Alarm: Moved 90 % of 200 seen since" in words
        assert "more than chance explains" in words
        assert "Moved 26 % of 200 seen since" in words
    assert "moved other than predicted" in viewer.page(f"{HERE}/flags/checkout").words
    small_console.clock.advance(days=8)
    later = small_console.person("editor").page(f"{HERE}/flags/checkout").words
    assert "moved other than predicted" not in later
