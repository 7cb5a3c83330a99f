"""``flagstone environments`` and ``flags promote`` against a real service."""

from __future__ import annotations

import uuid
from typing import Any

import pytest


@pytest.fixture
def lab(cli: Any) -> str:
    key = f"lab-{uuid.uuid4().hex[:8]}"
    cli.ok("environments", "create", key, "--name", "Lab")
    return key


def test_a_flag_is_compared_previewed_and_promoted(cli: Any, new_key: str, lab: str) -> None:
    cli.ok("flags", "create", new_key)
    cli.ok("flags", "set", new_key, "--rollout", "on=30%", "-e", "staging")
    cli.ok("flags", "on", new_key, "-e", "staging")
    told = cli.terminal("environments", "diff", "staging", lab, "--flag", new_key, "--fields")
    assert f"{new_key}  (staging: 30 %, {lab}: off; promoted: 30 %)" in told.out
    assert f"enabled: staging true, {lab} false → true" in told.out
    promote = ("flags", "promote", new_key, "--from", "staging", "-e", lab)
    assert cli.terminal(*promote, "--preview").out.startswith("Preview; nothing is written.")
    assert cli.ok("flags", "show", new_key, "-e", lab)["enabled"] is False
    assert cli.ok(*promote)["after"][new_key]["enabled"] is True
    (entry, *_) = cli.ok("flags", "history", new_key, "-e", lab)
    assert (entry["action"], entry["comment"]) == ("promote", "Promoted from staging")
    assert cli.ok("environments", "diff", "staging", lab, "--flag", new_key) == {"items": []}
    assert (
        "do not differ"
        in cli.terminal("environments", "diff", "staging", lab, "--flag", new_key).out
    )


def test_a_choice_or_everything_is_promoted_in_one_change(cli: Any, new_key: str, lab: str) -> None:
    for key in (f"{new_key}-1", f"{new_key}-2", f"{new_key}-3"):
        cli.ok("flags", "create", key)
        cli.ok("flags", "on", key, "-e", lab)
    other = f"{lab}-2"
    cli.ok("environments", "create", other)
    some = cli.ok("environments", "promote", lab, other, "--flag", f"{new_key}-1", "--preview")
    assert list(some["after"]) == [f"{new_key}-1"]
    done = cli.ok("environments", "promote", lab, other)
    assert {f"{new_key}-1", f"{new_key}-2", f"{new_key}-3"} <= set(done["after"])
    assert cli.ok("environments", "diff", lab, other)["items"] == []


def test_what_must_be_on_elsewhere_first_waits_or_is_overridden(
    cli: Any, new_key: str, lab: str
) -> None:
    cli.ok("environments", "set", lab, "--after", "staging", "--hours", "1")
    cli.ok("flags", "create", new_key)
    set_it = ("flags", "set", new_key, "-e", lab, "--default", "on")
    cli.ok(*set_it)
    preview = cli.terminal("flags", "on", new_key, "-e", lab, "--preview")
    assert f"Not yet: {new_key} may serve more in {lab} only after" in preview.out
    refused = cli.pipe("flags", "on", new_key, "-e", lab)
    assert (refused.code, "override" in refused.error) == (3, True)
    done = cli.ok("flags", "on", new_key, "-e", lab, "--override", "the fair is today")
    assert done["after"][new_key]["enabled"] is True


def test_an_environment_says_how_careful_it_is(cli: Any, lab: str) -> None:
    assert cli.ok("environments", "set", lab, "--approvals", "2")["approvals_needed"] == 2
    assert cli.ok("environments", "set", lab, "--production")["production"] is True
    (listed,) = [each for each in cli.ok("environments", "list") if each["key"] == lab]
    assert (listed["production"], listed["approvals_needed"]) == (True, 2)
    ruled = cli.terminal("environments", "set", lab, "--after", "staging", "--hours", "2")
    assert "must be on in staging first, for 2 hours" in ruled.out
    assert cli.ok("environments", "set", lab, "--after", "")["after"] is None
    assert cli.pipe("environments", "set", lab).code == 2
    assert cli.pipe("environments", "promote", lab, lab).code == 1
