"""Keys: made once, shown once, shut for ever; the form comes back with what was typed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlmodel import select

from flags import audit
from web.auth.models import Token
from web.auth.service import TokenKind, create_token

KEYS = "/projects/shop/environments/production/keys"


@pytest.mark.parametrize(
    ("kind", "role"), [("srv", None), ("cli", None), ("usr", "viewer"), ("usr", "admin")]
)
def test_a_key_is_shown_this_once(console: Any, kind: str, role: str | None) -> None:
    admin = console.person("admin")
    given = {"name": "checkout service", "kind": kind, "role": role or "editor"}
    response = admin.press(KEYS, "Make key", given)
    html = response.get_data(as_text=True)
    assert response.status_code == 200
    start = html.index(f"fs_{kind}_")
    secret = html[start : start + 50]
    assert secret not in admin.get(KEYS).get_data(as_text=True)
    with console.database.read() as session:
        (token,) = session.exec(select(Token)).all()
    assert (token.kind, token.role, token.name) == (kind, role, "checkout service")
    assert (token.environment_id is None) == (kind == "usr")
    revoked = admin.follow(admin.press(KEYS, "Revoke"))
    assert "revoked" in revoked.words
    assert "Revoke checkout" not in revoked.words
    with console.database.read() as session:
        entries = audit.entries(session, 1, limit=2)
    assert [(each.action, each.actor) for each in entries] == [
        ("revoke_token", "user:admin@example.org"),
        ("create_token", "user:admin@example.org"),
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": ""}, "a key needs a name"),
        ({"name": "n" * 101}, "a key needs a name"),
        ({"name": "mine", "kind": "xyz"}, "no such kind of key"),
        ({"name": "mine", "kind": "usr", "role": "emperor"}, "emperor"),
        ({"name": "mine", "kind": ""}, "no such kind of key"),
    ],
)
def test_a_key_that_cannot_be_is_told_and_keeps_what_was_typed(
    small_console: Any, given: dict[str, str], words: str
) -> None:
    admin = small_console.person("admin")
    before = small_console.written()
    response = admin.press(KEYS, "Make key", given)
    page = admin.page(KEYS).__class__(response.get_data(as_text=True))
    assert response.status_code == 400
    assert words in page.words
    assert page.form("Make key").fields["name"] == given["name"]
    assert small_console.written() == before


@pytest.mark.parametrize("number", ["77", "99999999999999999999"])
def test_a_key_that_is_not_there_cannot_be_revoked(small_console: Any, number: str) -> None:
    admin = small_console.person("admin")
    form = admin.page(KEYS).form("Sign out")
    form.action = f"{KEYS}/{number}/revoke"
    assert admin.send(KEYS, form).status_code == 404


def test_a_key_that_is_over_does_not_look_good(small_console: Any) -> None:
    from web.auth import service as auth

    with small_console.database.write() as session:
        auth.create_token(
            session,
            auth.TokenKind.USER,
            name="short",
            role=auth.Role.VIEWER,
            project_id=1,
            created_by="user:ada@example.org",
            now=small_console.clock(),
            expires_at=small_console.clock().replace(hour=10),
        )
    admin = small_console.person("admin")
    assert "good" in admin.page(KEYS).words
    small_console.clock.advance(hours=2)
    page = admin.page(KEYS)
    assert "over" in page.words
    assert "good" not in page.words
    assert "by ada@example.org" in page.words


def test_the_limits_of_a_key_are_set_anew_and_what_is_left_is_said(console: Any) -> None:
    admin = console.person("admin")
    given = {"name": "bot", "kind": "usr", "role": "editor", "share_per_day": "25"}
    admin.press(KEYS, "Make key", given)
    assert "production: 25 % of 25 % left today" in admin.page(KEYS).words
    admin.follow(admin.press(KEYS, "Set limits", {"share_per_day": "40", "widen_only": "yes"}))
    words = admin.page(KEYS).words
    assert "≤ 40 % a day, only widens" in words
    assert "staging: 40 % of 40 % left today" in words
    refused = admin.press(KEYS, "Set limits", {"share_per_day": "400"})
    assert refused.status_code == 400
    html = refused.get_data(as_text=True)
    # The form of that key comes back open with what was typed; that of new keys stays empty.
    assert html.count('value="400"') == 1
    assert "40 % of 40 % left today" in html


def test_many_keys_come_page_by_page_newest_first(small_console: Any) -> None:
    with small_console.database.write() as session:
        for number in range(120):
            create_token(
                session,
                TokenKind.CLIENT,
                name=f"app {number:03}",
                created_by="test",
                now=small_console.clock(),
                project_id=1,
                environment_id=1,
            )
    admin = small_console.person("admin")
    seen: list[str] = []
    address = KEYS
    for expected in (50, 50, 20):
        page = admin.page(address)
        names = re.findall(r"app \d{3}", page.html)
        assert len(set(names)) == expected
        seen += dict.fromkeys(names)
        address = next((link for link in page.links if "before=" in link), "")
    assert seen == [f"app {number:03}" for number in reversed(range(120))]
    assert address == ""
