"""What every command promises: JSON in a pipe, nothing when quiet, a code that says how it went."""

from __future__ import annotations

import dataclasses
import uuid
from pathlib import Path
from typing import Any

import click
import httpx
import pytest

from web.cli import main

# Commands that only look, with what they must be told.
LOOKS = {
    "audit verify": (),
    "changes list": (),
    "contexts show": (),
    "environments diff": ("production", "staging"),
    "environments list": (),
    "eval": ("looked-at",),
    "event-types list": (),
    "events quality": (),
    "experiments list": (),
    "flags diff": ("looked-at", "--with", "staging"),
    "flags history": ("looked-at",),
    "flags list": (),
    "flags show": ("looked-at",),
    "flags stale": (),
    "holdout show": (),
    "instances": (),
    "kill-hooks list": (),
    "layers list": (),
    "ledger": (),
    "members list": (),
    "metrics list": (),
    "notifications": (),
    "outcomes": (),
    "policies list": (),
    "policies show": ("proof-28d",),
    "releases list": (),
    "requests list": (),
    "sources list": (),
    "tokens list": (),
    "webhooks list": (),
    "whoami": (),
}


@pytest.fixture(scope="module")
def own(cli: Any) -> Any:
    """The command with a project of its own that has one flag."""
    own = dataclasses.replace(cli, project=f"p-{uuid.uuid4().hex[:8]}")
    key = {"Authorization": f"Bearer {cli.token}"}
    made = httpx.post(
        f"{cli.url}/api/v1/projects", json={"key": own.project}, headers=key, timeout=30
    )
    assert made.status_code == 201, made.text
    own.ok("flags", "create", "looked-at")
    return own


@pytest.mark.parametrize("words", sorted(LOOKS))
def test_in_a_pipe_it_is_json_and_quiet_is_nothing_at_all(own: Any, words: str) -> None:
    arguments = (*words.split(), *LOOKS[words])
    answer = own.pipe(*arguments)
    assert answer.code == 0, answer.everything
    assert isinstance(answer.json, dict | list)
    assert own.pipe("--quiet", *arguments) == dataclasses.replace(answer, out="", error="")


def test_commands_that_only_look_are_all_here() -> None:
    known = {*LOOKS, "flags list"}
    found = set()
    for group in (each for each in main.commands.values() if isinstance(each, click.Group)):
        found |= {f"{group.name} {verb}" for verb in group.commands if verb == "list"}
    assert found <= known


def test_every_exit_code_is_what_the_manual_says(own: Any, tmp_path: Path) -> None:
    assert own.pipe("flags", "list").code == 0
    assert own.pipe("flags", "show", "nothing").code == 1
    assert own.pipe("flags", "show").code == 2
    assert own.pipe("flags", "set", "looked-at").code == 2
    folder = str(tmp_path)
    base = own.ok("export", "-o", folder)["base"]
    own.ok("flags", "on", "looked-at")
    assert own.pipe("apply", "-f", folder, "--base", base).code == 3
    own.ok("environments", "set", "staging", "--approvals", "1")
    refused = own.pipe("flags", "on", "looked-at", "-e", "staging")
    assert (refused.code, "must be approved" in refused.error) == (4, True)
    asked = own.ok("apply", "-f", folder, "--request", "-m", "from git")
    assert [each["state"] for each in asked["changes"]] == ["open"]
    assert own.pipe("changes", "apply", str(asked["changes"][0]["id"])).code == 4
    # 5, not converged, is told with real SDKs in test_receipts.py.
    assert own.pipe("eval", "looked-at", "-e", "staging", "--test").code == 10
    assert own.pipe("eval", "looked-at", "--test").code in {0, 10}


def test_a_preview_gives_the_token_that_applies_exactly_it(own: Any) -> None:
    body = {"kind": "usr", "name": "careful", "role": "editor"}
    made = own.ok("tokens", "create", "careful", "--require-preview", "--per-day", "100%")
    careful = dataclasses.replace(own, token=made["token"])
    assert body["name"] == made["name"]
    change = ("flags", "set", "looked-at", "--default", "on", "-e", "production")
    refused = careful.pipe(*change)
    assert (refused.code, "preview" in refused.error) == (1, True)
    seen = careful.ok(*change, "--preview")
    assert seen["budgets"]["production"]["left_today"] == 1.0
    done = careful.ok(*change, "--preview-token", seen["preview_token"])
    assert done["mode"] == "apply"
    assert careful.pipe(*change, "--preview", "--preview-token", "x").code == 2
    told = careful.terminal(*change, "--preview")
    assert "To apply exactly this: --preview-token" in told.out
    assert "left today" in careful.terminal("whoami", columns=200).out
    set_anew = own.terminal("tokens", "set", str(made["id"]), "--per-day", "30%")
    assert "≤ 30 % a day" in set_anew.out
    assert own.ok("tokens", "set", str(made["id"]), "--unlimited")["budget"] is None
    assert own.pipe("tokens", "set", str(made["id"])).code == 2
