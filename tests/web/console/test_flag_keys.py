"""Flag keys of every kind work in every link and form, also through the bridge of the service."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from flask import url_for
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.routing import Map

from web.console.paths import FlagKeyConverter
from web.edge.bridge import Bridge

HERE = "/projects/shop/environments/production"
KEYS = [
    "a/kill",
    "a/change",
    "a/b/c",
    "a//b",
    "a/",
    "kill",
    "..",
    ".",
    "a/../b",
    "../../../login",
    "~..",
    "a/~./~~../b",
    "%2e%2e/%2F",
    "100 %",
    "a b+c",
    " leading and trailing ",
    "ünïcode/日本語/🚀",
    "a;b=c,d&e",
    "a\\b",
    "'\"<b>",
    "a:b@c",
    "static",
    "x" * 256,
]
# What every form does is tried with these; that a form's address holds, with all.
HARDEST = {"a/kill", "a/../b", "%2e%2e/%2F", "ünïcode/日本語/🚀"}


def as_browsers_do(path: str) -> str:
    """Take dots out of a path, as the URL standard has browsers do before they ask."""
    parts = urlsplit(path)
    kept: list[str] = []
    segments = parts.path.replace("\\", "/").split("/")[1:]
    for number, segment in enumerate(segments):
        bare = segment.lower().replace("%2e", ".")
        last = number == len(segments) - 1
        if bare == "..":
            kept = kept[:-1] + ([""] if last else [])
        elif bare == ".":
            kept += [""] if last else []
        else:
            kept.append(segment)
    return urlunsplit(("", "", "/" + "/".join(kept), parts.query, ""))


@pytest.mark.parametrize("key", KEYS)
def test_a_flag_of_any_key_is_found_changed_killed_and_brought_back(
    small_console: Any, key: str
) -> None:
    small_console.flag(key)
    editor = small_console.person("editor")
    listed = editor.page(f"{HERE}/flags")
    (link,) = [x for x in listed.links if "/flags/" in x and not x.endswith("/checkout")]
    assert as_browsers_do(link) == link
    page = editor.page(link)
    assert key.strip() in page.words
    for form in page.forms:
        assert as_browsers_do(form.action) == form.action

    def press(button: str, **given: str) -> None:
        response = editor.explained(editor.press(link, button, given))
        assert response.status_code == 303
        assert as_browsers_do(response.location) == response.location
        assert key.strip() in editor.page(response.location).words

    press("Turn on")
    assert small_console.document(key)["enabled"] is True
    if key not in HARDEST:
        return
    press("Add rule", share="10")
    press("Set share", share="20")
    press("Kill", comment="why not")
    assert small_console.document(key)["killed"] is True
    press("Lift the kill")
    press("Go back to this", revision="4")
    assert small_console.document(key)["rules"] == []
    assert editor.press(link, "Add rule", {"share": "x"}).status_code == 400


def test_the_flag_of_the_key_before_kill_is_another_flag(small_console: Any) -> None:
    small_console.flag("a")
    small_console.flag("a/kill")
    editor = small_console.person("editor")
    editor.follow(editor.press(f"{HERE}/flags/a/kill", "Turn on"))
    assert small_console.document("a/kill")["enabled"] is True
    assert small_console.document("a")["enabled"] is False
    editor.press(f"{HERE}/flags/a", "Kill")
    assert small_console.document("a")["killed"] is True
    assert small_console.document("a/kill")["killed"] is False


@pytest.mark.parametrize("key", KEYS)
def test_a_key_survives_the_way_through_the_service(small_console: Any, key: str) -> None:
    small_console.flag(key)
    editor = small_console.person("editor")
    with small_console.app.test_request_context():
        path = url_for(
            "console.show_flag",
            project_key="shop",
            environment_key="production",
            flag_key=key,
        )
    cookie = editor.client.get_cookie("fs_session")
    answer = asyncio.run(_ask(small_console.app, path, f"fs_session={cookie.value}"))
    assert answer.status == 200
    assert editor.page(path).html[:300] == answer.body.decode()[:300]
    assert key.strip() in editor.page(path).__class__(answer.body.decode()).words


async def _ask(app: Any, path: str, cookie: str) -> Any:
    # What uvicorn makes of the address: the path decoded, the query as it came.
    from urllib.parse import unquote

    scope = {
        "type": "http",
        "method": "GET",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "scheme": "http",
        "http_version": "1.1",
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1),
        "headers": [
            (b"host", b"localhost"),
            (b"accept", b"text/html"),
            (b"cookie", cookie.encode()),
        ],
    }
    bridge = Bridge(lambda: app)
    try:
        return await bridge.answer(scope, b"")
    finally:
        bridge.close()


@given(
    st.text(st.sampled_from("./~%aä \\"), min_size=1, max_size=12).filter(
        lambda key: not key.startswith("/")
    )
)
def test_every_key_has_an_address_of_its_own_that_browsers_leave_alone(key: str) -> None:
    from urllib.parse import unquote

    converter = FlagKeyConverter(Map())
    path = f"/flags/{converter.to_url(key)}"
    assert as_browsers_do(path) == path
    assert converter.to_python(unquote(path.removeprefix("/flags/"))) == key


@pytest.mark.parametrize("key", KEYS)
def test_a_new_flag_of_any_key_leads_to_its_page(small_console: Any, key: str) -> None:
    editor = small_console.person("editor")
    response = editor.press(f"{HERE}/new-flag", "Create flag", {"key": key})
    assert key.strip() in editor.follow(response).words


def test_the_pages_of_the_list_can_begin_after_any_key(small_console: Any) -> None:
    for key in KEYS:
        small_console.flag(key)
    for number in range(50):
        small_console.flag(f"zz{number}")
    editor = small_console.person("editor")
    seen: set[str] = set()
    path = f"{HERE}/flags"
    while path:
        page = editor.page(path)
        seen |= {link for link in page.links if link.startswith(f"{HERE}/flags/")}
        more = next((x for x in page.links if x.startswith("?after=")), "")
        path = f"{HERE}/flags{more}" if more else ""
    assert len(seen) == len(KEYS) + 51
