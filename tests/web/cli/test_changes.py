"""``flagstone changes``: ask, approve and apply from a terminal, with exit codes for scripts."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any

import pytest

from flags import approvals, services
from flags.actor import Actor
from flags.database import Database
from web.auth import service as auth

ADMIN = Actor("user", "admin@example.org")


@pytest.fixture
def two(cli: Any, new_key: str) -> tuple[Any, Any]:
    """Give an editor and an approver of a project whose production wants one approval."""
    database = Database(cli.database_url)
    now, project = dt.datetime.now(dt.UTC), f"p-{uuid.uuid4().hex[:8]}"
    keys = {}
    with database.write() as session:
        services.create_project(session, key=project, actor=ADMIN, now=now)
        services.create_flag(session, project, {"key": new_key}, actor=ADMIN, now=now)
        approvals.protect(session, project, "production", needed=1, actor=ADMIN, now=now)
        for name, role in (("ada", auth.Role.EDITOR), ("bob", auth.Role.APPROVER)):
            maker = Actor("user", f"{name}@example.org")
            keys[name], _ = auth.create_token(
                session, auth.TokenKind.USER, name=name, role=role, created_by=maker, now=now
            )
    database.dispose()
    return (
        dataclasses.replace(cli, token=keys["ada"], project=project),
        dataclasses.replace(cli, token=keys["bob"], project=project),
    )


def test_a_change_is_asked_for_approved_and_applied(two: Any, new_key: str) -> None:
    ada, bob = two
    refused = ada.pipe("flags", "on", new_key)
    assert (refused.code, "approved by another person" in refused.error) == (4, True)
    asked = ada.ok("flags", "on", new_key, "--request", "-m", "launch")
    number = str(asked["id"])
    assert ada.pipe("changes", "apply", number).code == 4
    assert bob.pipe("changes", "approve", number, "--hash", "0000").code == 3
    assert bob.ok("changes", "approve", number, "--hash", asked["content_hash"][:8])["approvals"]
    assert [each["id"] for each in bob.ok("changes", "list", "--state", "approved")] == [
        asked["id"]
    ]
    assert ada.ok("changes", "apply", number)["state"] == "applied"
    assert ada.pipe("changes", "apply", number).code == 3
    assert ada.ok("flags", "show", new_key)["enabled"]
    shown = ada.terminal("changes", "show", number)
    assert f"Change {number} of production is applied." in shown.out
    assert "Approved by user:bob@example.org (1 of 1)" in shown.out


def test_a_change_is_scheduled_and_taken_back(two: Any, new_key: str) -> None:
    ada, bob = two
    made = ada.ok("flags", "on", new_key, "--at", "2099-01-01T09:00:00+01:00")
    assert (made["state"], made["at"]) == ("open", "2099-01-01T08:00:00Z")
    assert ada.pipe("flags", "on", new_key, "--at", "yesterday").code == 1
    assert bob.pipe("changes", "withdraw", str(made["id"])).code == 1
    assert ada.ok("changes", "withdraw", str(made["id"]))["state"] == "withdrawn"
    other = ada.ok("flags", "set", new_key, "--default", "off", "--request")
    assert bob.ok("changes", "decline", str(other["id"]), "-m", "no")["state"] == "declined"


def test_a_change_is_edited_and_renewed(two: Any, new_key: str, tmp_path: Any) -> None:
    ada, bob = two
    number = str(ada.ok("flags", "on", new_key, "--request", "-m", "launch")["id"])
    approved = bob.ok("changes", "approve", number)
    renewed = ada.ok("changes", "edit", number)
    assert (renewed["state"], renewed["approvals"]) == ("open", [])
    assert renewed["content_hash"] == approved["content_hash"]
    other = tmp_path / "instructions.json"
    other.write_text(f'[{{"do": "set_default", "flag": "{new_key}", "variant": "off"}}]')
    edited = ada.ok("changes", "edit", number, str(other), "--at", "2036-12-01T09:00:00Z")
    assert edited["content_hash"] != approved["content_hash"]
    assert (edited["at"], edited["comment"]) == ("2036-12-01T09:00:00Z", "launch")
    assert edited["instructions"][0]["do"] == "set_default"
    assert ada.pipe("changes", "edit", number, "--at", "soon").code == 1
