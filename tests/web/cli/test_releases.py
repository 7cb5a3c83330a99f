"""``flagstone release`` and ``releases``: from one line to a step that waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

QUICK = """
flag = "{key}"
control = "off"
variant = "on"
customer = "head of the shop"
guards = ["crash"]
steps = [{{ share = 0.01, approval = true }}, {{ share = 0.5 }}]
"""


def test_one_line_starts_a_release_and_says_what_is_served(cli: Any, new_key: str) -> None:
    cli.ok("flags", "create", new_key)
    cli.ok("flags", "on", new_key)
    line = ("release", new_key, "--variant", "on", "--guard", "crash", "--customer", "ada")
    answer = cli.terminal(
        *line, "--steps", "1, 5,50,100", "--hold", "30m", "--approval", columns=200
    )
    assert answer.code == 0, answer.everything
    assert f"{new_key}-on has started. Step 1 of 4 (1 %)" in answer.out
    key = f"{new_key}-on"
    card = cli.terminal("releases", "card", key, columns=100).out
    assert "step 2 of 4 (5 %); waits for" in " ".join(card.split())
    listed = cli.terminal("releases", "list", "--flag", new_key, columns=200).out
    assert "1 of 4" in listed
    assert "hold, sample, approval" in listed
    refused = cli.pipe("releases", "approve", key)
    assert refused.code != 0
    assert "approves nothing" in refused.everything
    stopped = cli.ok("releases", "stop", key, "-m", "a test")
    assert (stopped["state"], stopped["verdict"]) == ("ROLLED_BACK", "OVERRIDE_STOP")


def test_a_release_in_a_file_is_drafted_then_started(
    cli: Any, new_key: str, tmp_path: Path
) -> None:
    cli.ok("flags", "create", new_key)
    cli.ok("flags", "on", new_key)
    file = tmp_path / "release.toml"
    file.write_text(QUICK.format(key=new_key), encoding="utf-8")
    drafted = cli.ok("releases", "create", "-f", str(file))
    assert drafted["state"] == "DRAFT"
    started = cli.ok("releases", "start", drafted["key"], "-e", "production")
    assert started["release"]["steps"] == 3
    (tmp_path / "bad.toml").write_text("flag = ", encoding="utf-8")
    bad = cli.pipe("releases", "create", "-f", str(tmp_path / "bad.toml"))
    assert bad.code == 1
    assert "is not TOML" in bad.everything


def test_a_step_that_is_no_number_is_refused(cli: Any) -> None:
    line = ("release", "x", "--variant", "on", "--guard", "crash", "--customer", "ada")
    answer = cli.pipe(*line, "--steps", "1,half")
    assert answer.code == 1
    assert "'half' is no step" in answer.everything
