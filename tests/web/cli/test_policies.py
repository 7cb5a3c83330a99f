"""Policies from the command line: written, checked by the service's worker, taken by a plan."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from experiments.contract.policy import PROOF_28D

# Few looks: a check takes the worker a tenth of a second.
RULES = """
description = "Two weeks, looked at once a day."
horizon = "14d"
looks = [{every = "1d"}]
alpha_ship = 0.3
"""


@pytest.fixture
def policy_file(tmp_path: Path) -> tuple[str, str]:
    """A policy's file, and a name that no other test uses."""
    path, name = tmp_path / "policy.toml", f"ours-{uuid.uuid4().hex[:8]}"
    path.write_text(f'name = "{name}"\n{RULES}')
    return str(path), name


def checked(cli: Any, wait_until: Any, name: str) -> Any:
    """Wait for a worker that may be busy with what other tests have left it."""
    show = ("policies", "show", name)
    return wait_until(
        lambda: (found := cli.ok(*show))["state"] == "checked" and found, seconds=60, every=0.5
    )


def test_a_policy_goes_from_a_file_into_a_plan(
    cli: Any, wait_until: Any, policy_file: tuple[str, str], new_key: str, tmp_path: Path
) -> None:
    path, name = policy_file
    assert cli.ok("policies", "create", "-f", path)["version"] == 1
    drafted = checked(cli, wait_until, name)
    assert (drafted["name"], drafted["version"]) == (name, 1)
    assert drafted["characteristics"]["warnings"][0].startswith("Lax: ")
    published = cli.ok("policies", "publish", name)
    assert (published["state"], published["published_version"]) == ("published", 2)
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f"""
key = "{new_key}"
flag = "{new_key}"
control = "old"
treatments = ["new"]
hypothesis = "It sells more."
customer = "ada@example.org"
owner = "team"
policy = "{name}"
[[metrics]]
key = "purchases"
role = "success"
kind = "conversion"
event = "purchase"
window = "1d"
mde = 0.05
"""
    )
    made = cli.ok("experiments", "create", str(plan))
    assert (made["plan"]["policy_version"], made["plan"]["prove_by"]) == (2, "14d")
    assert made["plan"]["policy"]["alpha_ship"] == 0.3
    listed = {each["name"]: each for each in cli.ok("policies", "list")}
    assert listed[name]["published_version"] == 2
    assert listed["proof-28d"]["document"] == PROOF_28D.to_document()
    assert cli.ok("policies", "archive", name)["archived"] is True
    refused = cli.pipe("policies", "publish", name)
    assert (refused.code, "archived" in refused.error) == (3, True)
    assert cli.ok("policies", "archive", name, "--undo")["state"] == "published"
    moved = cli.ok("experiments", "status", new_key)
    assert moved["newer_policy"] is None


def test_what_a_policy_does_is_said_in_plain_words_beside_the_houses(
    cli: Any, wait_until: Any, policy_file: tuple[str, str]
) -> None:
    path, name = policy_file
    cli.ok("policies", "create", "-f", path)
    checked(cli, wait_until, name)
    said = cli.terminal("policies", "show", name)
    assert said.code == 0
    assert "Of 1,000 changes that do nothing, " in said.out
    assert "are proven by the horizon: " in said.out
    assert "(proof-28d 811 ± 13)" in said.out
    table = cli.terminal("policies", "list", columns=160).out
    assert "nothing: ships" in table
    assert name in table
    assert "has nothing to prove" not in cli.terminal("policies", "show", "release-1d").out


def test_a_policy_is_tried_without_a_service(alone: Any, policy_file: tuple[str, str]) -> None:
    path, name = policy_file
    found = alone.ok("policies", "try", "-f", path)
    assert (found["name"], found["characteristics"]["looks"]) == (name, 14)
    assert found["characteristics"]["warnings"]


def test_a_file_without_a_name_or_with_a_fault_is_refused(alone: Any, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(RULES)
    nameless = alone.pipe("policies", "create", "-f", str(path))
    assert (nameless.code, "says no name" in nameless.error) == (2, True)
    path.write_text("alpha_ship = 3")
    refused = alone.pipe("policies", "try", "-f", str(path))
    assert (refused.code, "at:   alpha_ship" in refused.error) == (1, True)
