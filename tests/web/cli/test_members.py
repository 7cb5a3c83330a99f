"""``flagstone members`` and ``flagstone tokens`` against a real service."""

from __future__ import annotations

import dataclasses
from typing import Any

import httpx


def test_a_key_is_made_listed_rotated_and_shut(cli: Any) -> None:
    made = cli.ok("tokens", "create", "ci", "-e", "staging", "--expires", "90d")
    assert (made["role"], made["environments"]) == ("editor", ["staging"])
    ci = dataclasses.replace(cli, token=made["token"])
    assert ci.pipe("flags", "list", "-e", "staging").code == 0
    number = str(made["id"])
    shown = cli.terminal("tokens", "list").out
    assert "ci" in shown
    assert "never" not in shown
    rotated = cli.ok("tokens", "rotate", number, "--overlap", "0s")
    assert rotated["old_secret_until"] is None
    assert ci.pipe("flags", "list").code == 1
    told = cli.terminal("tokens", "rotate", number, "--overlap", "2d").out
    assert "The old secret is good until" in told
    assert "is shut" in cli.terminal("tokens", "revoke", number).out
    assert number not in {str(each["id"]) for each in cli.ok("tokens", "list")}
    assert number in {str(each["id"]) for each in cli.ok("tokens", "list", "--all")}
    shut = cli.ok("tokens", "list", "--filter", "is:revoked name:ci")
    assert number in {str(each["id"]) for each in shut}
    assert cli.pipe("tokens", "rotate", number).code == 3
    assert cli.pipe("tokens", "rotate", number, "--overlap", "soon").code == 2
    assert cli.pipe("tokens", "create", "sdk", "--kind", "srv").code == 2


def test_a_role_is_set_shown_and_taken_back(cli: Any) -> None:
    body = {"email": "mia@example.org", "password": "a long enough password", "role": "viewer"}
    key = {"Authorization": f"Bearer {cli.token}"}
    made = httpx.post(f"{cli.url}/api/v1/members", json=body, headers=key, timeout=60)
    assert made.status_code == 201
    told = cli.terminal("members", "set", "mia@example.org", "approver", "-e", "staging").out
    assert "mia@example.org is approver in staging." in told
    assert "staging approver" in told
    (mia,) = [m for m in cli.ok("members", "list") if m["email"] == "mia@example.org"]
    assert (mia["may"]["production"], mia["may"]["staging"]) == ("viewer", "approver")
    assert "mia@example.org" in cli.terminal("members", "list", columns=400).out
    assert mia in cli.ok("members", "list", "--filter", "may:approver mia")
    assert cli.ok("members", "list", "--filter", "everywhere:editor mia") == []
    assert cli.ok("members", "remove", "mia@example.org", "-e", "staging")["removed"]
    assert cli.pipe("members", "remove", "mia@example.org").code == 1
    assert cli.pipe("members", "set", "mia@example.org", "king").code == 2


def test_what_a_list_cannot_be_asked_for_is_said(cli: Any) -> None:
    lists = ("tokens", "members", "webhooks", "kill-hooks", "environments", "changes")
    for noun in lists:
        refused = cli.pipe(noun, "list", "--filter", "colour:red")
        assert (refused.code, "no field 'colour'" in refused.error) == (1, True), noun
