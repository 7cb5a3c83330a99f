"""Who asks and where: kept for a person, for a directory, and sent to no other place."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from web.cli import main


@pytest.fixture
def kept(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the command after a login, without variables, in a directory of its own."""
    path = tmp_path / "own" / "config.json"
    first = replace(cli, variables={"FLAGSTONE_CONFIG": str(path)})
    said = first.ok("login")
    assert said["file"] == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert cli.token not in str(said)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    class Plain(type(cli)):  # type: ignore[misc]
        @property
        def environment(self) -> dict[str, str]:
            given = super().environment
            return {k: v for k, v in given.items() if k not in {"FLAGSTONE_URL", "FLAGSTONE_TOKEN"}}

    return Plain(cli.url, cli.token, cli.project, {"FLAGSTONE_CONFIG": str(path)})


def test_a_login_is_kept_and_used(kept: Any) -> None:
    who = kept.ok("whoami")
    assert (who["role"], who["url"]) == ("admin", kept.url)
    assert who["csrf_token"] is None


def test_a_key_goes_to_no_other_address(kept: Any) -> None:
    Path(".flagstone.json").write_text(json.dumps({"url": "http://127.0.0.1:9"}))
    answer = kept.pipe("whoami")
    assert (answer.code, "needs a personal key" in answer.error) == (2, True)


def test_a_directory_names_its_project(kept: Any) -> None:
    assert kept.pipe("init").code == 0
    text = Path(".flagstone.json").read_text()
    assert json.loads(text) == {"url": kept.url, "project": kept.project}
    assert "fs_usr" not in text
    Path(".flagstone.json").write_text("[]")
    assert kept.pipe("whoami").code == 1


def test_a_login_that_fails_keeps_nothing(cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for token, code in (("fs_usr_wrong", 1), ("fs_srv_x", 2)):
        wrong = replace(cli, token=token, variables={"FLAGSTONE_CONFIG": str(path)})
        assert wrong.pipe("login").code == code
    assert not path.exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_completion(alone: Any, shell: str) -> None:
    answer = alone.pipe("completion", shell)
    assert answer.code == 0
    assert "_FLAGSTONE_COMPLETE" in answer.out


def test_flags_keys_are_completed(cli: Any, new_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.shell_completion import ShellComplete

    cli.ok("flags", "create", new_key)
    for name, value in cli.environment.items():
        monkeypatch.setenv(name, value)
    completing = ShellComplete(main, {}, "flagstone", "_FLAGSTONE_COMPLETE")
    found = completing.get_completions(["flags", "show"], new_key[:-1])
    assert new_key in {each.value for each in found}
    monkeypatch.setenv("FLAGSTONE_URL", "http://127.0.0.1:9")
    assert completing.get_completions(["flags", "show"], "") == []


def test_a_flag_is_compared_with_its_past_and_taken_back(cli: Any, new_key: str) -> None:
    cli.ok("flags", "create", new_key)
    cli.ok("flags", "on", new_key)
    revision = cli.ok("flags", "history", new_key)[0]["revision"]
    cli.ok("flags", "set", new_key, "--default", "on")
    found = cli.ok("flags", "diff", new_key, "--revision", str(revision))
    assert found["fields"] == [{"field": "default", "before": "off", "after": "on"}]
    told = cli.terminal("flags", "diff", new_key, "--with", "staging")
    assert "enabled: false → true" in told.out
    assert cli.pipe("flags", "diff", new_key).code == 2
    preview = cli.ok("flags", "revert", new_key, "--to", str(revision), "--preview")
    assert preview["changed"] is True
    cli.ok("flags", "revert", new_key, "--to", str(revision))
    same = cli.terminal("flags", "diff", new_key, "--revision", str(revision))
    assert f"{new_key} is as in revision {revision}." in same.out
