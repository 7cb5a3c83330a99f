"""Webhooks in the console: made, looked into, sent again; the secret once."""

from __future__ import annotations

import re
from typing import Any

from sqlmodel import select

from flags import changes
from flags.actor import Actor
from web.console.kill_hooks import PAGE
from web.webhooks.models import KillHook

HERE = "/projects/shop/environments/production/webhooks"
GIVEN = {"name": "release bot", "url": "https://hooks.example.com/services/T0/PATH"}


def test_a_webhook_is_made_and_its_secret_shown_this_once(console: Any) -> None:
    admin = console.person("admin")
    assert "Nobody is told yet" in admin.page(HERE).words
    made = admin.press(HERE, "Make webhook", {**GIVEN, "form": "slack", "only": "production"})
    html = made.get_data(as_text=True)
    (secret,) = set(re.findall(r"whsec_[A-Za-z0-9+/=]+", html))
    page = admin.page(f"{HERE}/1")
    assert secret not in page.html
    assert "https://hooks.example.com/… is told of everything in production" in page.words
    assert "as a text for Slack" in page.words
    listed = admin.page(HERE)
    assert "PATH" not in listed.html
    assert "release bot" in listed.words
    rotated = admin.press(f"{HERE}/1", "Make a new secret").get_data(as_text=True)
    assert secret not in rotated
    assert "The old secret signs too until" in rotated


def test_a_test_a_replay_and_a_change_say_what_they_did(small_console: Any) -> None:
    small_console.webhook()
    admin = small_console.person("admin")

    def press(button: str, **given: str) -> Any:
        response = admin.press(f"{HERE}/1", button, given)
        html = response.get_data(as_text=True)
        return response.status_code, admin.page(HERE).__class__(html).words

    assert "A test is on its way." in press("Send a test")[1]
    page = admin.page(f"{HERE}/1")
    assert page.words.count("tests the webhook ours") == 2
    assert "not sent yet" in page.words
    assert "0 messages are on their way" in press("Replay")[1]
    status, words = press("Save", name="other", url="http://10.0.0.1/")
    assert status == 400
    assert "is not a public address" in words
    assert "It is changed." in press("Save", name="other")[1]
    assert "It is disabled." in press("Disable")[1]
    assert "Send a test" not in admin.page(f"{HERE}/1").words
    assert "It is enabled." in press("Enable")[1]
    assert admin.press(f"{HERE}/1", "Delete").status_code == 303
    assert admin.get(f"{HERE}/1").status_code == 404


def test_a_webhook_that_cannot_be_keeps_what_was_typed(small_console: Any) -> None:
    admin = small_console.person("admin")
    response = admin.press(HERE, "Make webhook", {**GIVEN, "url": "https://127.0.0.1/x"})
    page = admin.page(HERE).__class__(response.get_data(as_text=True))
    assert response.status_code == 400
    assert page.form("Make webhook").fields["name"] == "release bot"
    assert "is not a public address" in page.words


def test_a_kill_hook_is_made_shown_once_and_revoked(small_console: Any) -> None:
    admin = small_console.person("admin")
    here = HERE.replace("/webhooks", "/kill-hooks")
    assert "No alert can kill anything yet" in admin.page(here).words
    given = {"name": "payments alerts", "names": "checkout\n"}
    html = admin.press(here, "Make kill hook", given).get_data(as_text=True)
    (secret,) = set(re.findall(r"fs_hook_[A-Za-z0-9_-]{43}", html))
    assert "webhook_configs" in html
    page = admin.page(here)
    assert secret not in page.html
    assert "payments alerts" in page.words
    headers = {"Authorization": f"Bearer {secret}"}
    sent = small_console.app.test_client().post(
        "/hooks/kill", json={"alert": "payments fail"}, headers=headers
    )
    assert sent.get_json()["killed"] == ["checkout"]
    news = admin.page(HERE.replace("/webhooks", "/news"))
    assert "the kill hook payments alerts#1 killed checkout in production" in news.words
    assert "Why: alert: payments fail" in news.words
    assert "revoked" in admin.follow(admin.press(here, "Revoke")).words
    wrong = admin.press(here, "Make kill hook", {"name": "x", "names": "nix"})
    assert wrong.status_code == 400
    assert "there is no flag &#39;nix&#39;" in wrong.get_data(as_text=True)


def test_news_are_new_until_they_are_read_and_never_ones_own(small_console: Any) -> None:
    here = HERE.replace("/webhooks", "/news")
    admin, viewer = small_console.person("admin"), small_console.person("viewer")
    assert "Nothing to tell yet" in viewer.page(here).words
    small_console.change("checkout", {"do": "kill"}, comment="it burns")
    with small_console.database.write() as session:
        for do in ("unkill", "kill"):
            change = changes.parse_change({"flag": "checkout", "instructions": [{"do": do}]})
            changes.apply_change(
                session,
                "shop",
                "production",
                change,
                actor=Actor("user", "admin@example.org"),
                now=small_console.clock(),
            )
    page = viewer.page(here)
    assert "2 new" in page.words
    assert "killed checkout in production" in page.words
    assert viewer.follow(viewer.press(here, "Mark all as read")).words.count("New ·") == 0
    assert "1 new" in admin.page(here).words


def test_kill_hooks_are_shown_in_pages_the_newest_first(small_console: Any) -> None:
    admin = small_console.person("admin")
    place = HERE.replace("webhooks", "kill-hooks")
    given = {"name": "alerts 0", "scope": "flags", "names": "checkout"}
    assert admin.press(place, "Make kill hook", given).status_code == 200
    with small_console.database.write() as session:
        (first,) = session.exec(select(KillHook)).all()
        copied = first.model_dump(exclude={"id", "name", "secret_hash"})
        session.add_all(
            KillHook(**copied, name=f"alerts {n}", secret_hash=f"{n:064x}")
            for n in range(1, PAGE + 1)
        )
    page = admin.page(place)
    assert page.words.count("Revoke alerts") == PAGE
    assert "alerts 0" not in page.words
    (older,) = [link for link in page.links if link.startswith("?before=")]
    assert admin.page(f"{place}{older}").words.count("Revoke alerts") == 1
    assert "No older ones" in admin.page(f"{place}?before=1").words
