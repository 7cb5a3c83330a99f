"""Every command is documented, and asking for help loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from web.cli import main

README = Path(__file__).resolve().parents[3] / "web" / "cli" / "README.md"
REQUIRED = {
    *(
        "demo",
        "serve",
        "worker",
        "db upgrade",
        "db backup",
        "eval",
        "replay",
        "calibrate",
        "verify",
    ),
    *(f"flags {verb}" for verb in ("list", "show", "create", "on", "off", "kill", "unkill")),
    *("flags set", "flags history", "flags undo", "import", "audit export", "audit verify"),
    *(f"experiments {verb}" for verb in ("list", "create", "seal", "start", "status", "card")),
    *(f"experiments {verb}" for verb in ("explain", "extend", "override", "approve", "decline")),
    *("experiments confirm", "experiments stop", "experiments record", "experiments results"),
    *("experiments forecast", "experiments accept", "experiments close", "experiments look"),
    "experiments learn",
    *("ledger", "outcomes", *(f"requests {v}" for v in ("list", "add", "link", "resolve"))),
    *("release", *(f"releases {verb}" for verb in ("list", "create", "start", "approve"))),
    *("releases stop", "releases card"),
    *(f"holdout {verb}" for verb in ("show", "set", "end")),
    *(
        "export",
        "apply",
        "lint",
        "flags promote",
        "flags diff",
        "flags revert",
        "login",
        "whoami",
        "init",
        "completion",
        "flags stale",
        "flags archive",
        "flags restore",
        "flags describe",
        *(f"environments {v}" for v in ("list", "create", "diff", "promote", "set")),
    ),
    *(f"members {verb}" for verb in ("list", "set", "remove")),
    *(f"tokens {verb}" for verb in ("list", "create", "set", "rotate", "revoke")),
    *(f"contexts {verb}" for verb in ("show", "on", "off")),
    *(f"policies {verb}" for verb in ("list", "show", "create", "publish", "archive", "try")),
    *(f"metrics {verb}" for verb in ("list", "show", "set", "archive")),
    *("event-types list", "event-types set"),
    *(f"kill-hooks {verb}" for verb in ("list", "create", "revoke")),
    "notifications",
    *(
        f"webhooks {verb}"
        for verb in ("list", "create", "update", "delete", "rotate", "test", "log", "replay")
    ),
    *(
        f"changes {verb}"
        for verb in ("list", "show", "edit", "approve", "decline", "withdraw", "apply")
    ),
    *(f"layers {verb}" for verb in ("list", "create", "delete")),
    *(f"sources {verb}" for verb in ("list", "show", "set", "delete", "check")),
    *(
        "bench eval",
        "bench serve",
        "instances",
        "events quality",
        "events tail",
        "events status",
        "compare",
        "plan",
    ),
}


def commands(group: click.Group, *before: str) -> dict[str, click.Command]:
    """Give every command by its words."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, *before, name)
        else:
            found[" ".join((*before, name))] = command
    return found


ALL = commands(main)


def test_the_required_commands_are_there() -> None:
    assert set(ALL) == REQUIRED


@pytest.mark.parametrize("words", sorted(ALL))
def test_a_command_and_its_options_have_help(alone: Any, words: str) -> None:
    answer = alone.pipe(*words.split(), "--help")
    assert answer.code == 0
    assert ALL[words].help
    for parameter in ALL[words].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{words} {parameter.opts[0]}"


@pytest.mark.parametrize("words", sorted(ALL))
def test_the_readme_lists_every_command(words: str) -> None:
    assert f"`flagstone {words}" in README.read_text(encoding="utf-8")


def test_no_command_or_an_unknown_one_is_a_usage_error(alone: Any) -> None:
    assert alone.pipe().code == 2
    assert alone.pipe("fly").code == 2
    assert alone.pipe("-h").code == 0
    assert alone.pipe("--version").code == 0


def test_help_loads_no_statistics_no_database_and_no_server() -> None:
    program = (
        "import sys\n"
        "from web.cli import main\n"
        "main(['flags', '--help'], standalone_mode=False)\n"
        "heavy = {'scipy', 'numpy', 'duckdb', 'pyarrow', 'sqlalchemy', 'flask', 'alembic'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"
