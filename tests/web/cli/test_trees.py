"""``flagstone export``, ``apply`` and ``lint``."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flags import services
from flags.actor import Actor
from flags.database import Database


@pytest.fixture
def own(cli: Any) -> Any:
    """Give the command with a project of its own."""
    key = f"files-{uuid.uuid4().hex[:8]}"
    database = Database(cli.database_url)
    with database.write() as session:
        services.create_project(
            session, key=key, actor=Actor("user", "x"), now=dt.datetime.now(dt.UTC)
        )
    database.dispose()
    return replace(cli, project=key)


def texts(folder: Path) -> dict[str, str]:
    return {
        str(each.relative_to(folder)): each.read_text() for each in sorted(folder.rglob("*.json"))
    }


def test_files_are_written_applied_and_the_same_again(own: Any, tmp_path: Path) -> None:
    own.ok("flags", "create", "team/checkout")
    own.ok("flags", "set", "team/checkout", "--rollout", "on=25%")
    said = own.ok("export", "-o", str(tmp_path))
    assert (said["flags"], said["segments"]) == (1, 0)
    path = tmp_path / "flags" / "team%2Fcheckout.json"
    document = json.loads(path.read_text())
    assert document["environments"]["production"]["rules"] == [
        {"id": "rollout", "serve": {"split": {"weights": {"on": 100}, "coverage": 0.25}}}
    ]
    before = texts(tmp_path)
    apply = ("apply", "-f", str(tmp_path))
    assert own.ok(*apply, "--base", said["base"])["changed"] is False
    document["environments"]["production"]["enabled"] = True
    path.write_text(json.dumps(document))
    told = own.terminal(*apply, "--dry-run")
    assert "production: team/checkout" in told.out
    assert "25 % of users get on" in told.out
    assert own.ok("flags", "show", "team/checkout")["enabled"] is False
    assert own.ok(*apply, "-e", "staging")["changed"] is False
    assert own.ok(*apply, "-m", "from git")["changed"] is True
    late = own.pipe(*apply, "--base", said["base"])
    assert (late.code, "export it again" in late.error) == (3, True)
    own.ok("export", "-o", str(tmp_path))
    after = texts(tmp_path)
    assert [name for name in after if after[name] != before[name]] == ["flags/team%2Fcheckout.json"]
    path.unlink()
    assert own.ok(*apply)["changed"] is False
    assert own.ok(*apply, "--prune")["changed"] is True
    assert own.ok("flags", "list") == []
    own.ok("environments", "set", "production", "--approvals", "1")
    document["environments"]["production"]["enabled"] = False
    path.write_text(json.dumps(document))
    assert own.pipe(*apply).code == 4
    assert own.pipe(*apply, "--base", "x").code == 2
    assert own.pipe("apply", "-f", str(tmp_path / "nowhere")).code == 1


FLAG = {
    "key": "a",
    "type": "boolean",
    "owner": "x",
    "expires": "2999-01-01T00:00:00Z",
    "variants": {"on": {"value": True}, "off": {"value": False}},
}
STATE = {"enabled": True, "off": "off", "default": "off"}


def rules(*found: Any, **more: Any) -> dict[str, Any]:
    return {**FLAG, "environments": {"production": {**STATE, "rules": list(found), **more}}}


EVERYBODY = {"id": "all", "serve": "on"}


@pytest.mark.parametrize(
    ("document", "field", "severity"),
    [
        ({**FLAG, "environments": {}}, None, None),
        ({**FLAG, "environments": {}, "owner": ""}, "owner", "warning"),
        ({**FLAG, "environments": {}, "expires": None}, "expires", "warning"),
        ({**FLAG, "environments": {}, "expires": "2001-01-01T00:00:00Z"}, "expires", "warning"),
        ({**FLAG, "environments": {}, "colour": 1}, "colour", "error"),
        ({**FLAG, "environments": {}, "key": "b"}, "key", "error"),
        (rules(default="x"), "environments.production.default", "error"),
        (
            rules({"id": "r", "when": {"segment": "s"}, "serve": "on"}),
            "environments.production.rules[0].when.segment",
            "error",
        ),
        (
            rules(
                {"id": "r", "when": {"attr": "a", "op": "regex", "values": ["("]}, "serve": "on"}
            ),
            "environments.production.rules[0].when.values",
            "error",
        ),
        (
            rules(prerequisites=[{"flag": "z", "variants": ["on"]}]),
            "environments.production.prerequisites[0].flag",
            "error",
        ),
        (
            rules(EVERYBODY, {"id": "r", "when": {"attr": "a", "op": "exists"}, "serve": "off"}),
            "environments.production.rules[1]",
            "warning",
        ),
        (
            rules({"id": "r", "serve": {"split": {"weights": {"on": 1}, "coverage": 0}}}),
            "environments.production.rules[0].serve.split",
            "warning",
        ),
        (
            rules({"id": "r", "serve": {"split": {"weights": {"off": 1}, "coverage": 0.5}}}),
            "environments.production.rules[0].serve.split",
            "warning",
        ),
        (
            rules(
                targets=[{"variant": "on", "keys": ["u"], "until": "2001-01-01T00:00:00Z"}],
            ),
            "environments.production.targets[0].until",
            "warning",
        ),
    ],
)
def test_what_is_wrong_or_odd_is_named_by_file_and_field(
    alone: Any, tmp_path: Path, document: dict[str, Any], field: str | None, severity: str | None
) -> None:
    (tmp_path / "flags").mkdir()
    path = tmp_path / "flags" / "a.json"
    path.write_text(json.dumps(document))
    answer = alone.pipe("lint", str(tmp_path))
    assert answer.code == (1 if severity == "error" else 0), answer.everything
    found = answer.json
    if field is None:
        assert found == []
        return
    (complaint,) = found
    assert (complaint["file"], complaint["field"]) == (str(path), field)
    assert complaint["severity"] == severity
    assert complaint["problem"]
    assert complaint["hint"]
    assert alone.pipe("lint", "--strict", str(tmp_path)).code == 1


def test_one_file_alone_is_not_asked_about_others(alone: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rules({"id": "r", "when": {"segment": "s"}, "serve": "on"})))
    assert alone.pipe("lint", str(path)).code == 0
