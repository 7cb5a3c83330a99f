"""``flagstone audit …``: what was exported can be checked anywhere; what was touched is named."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flags.actor import Actor
from flags.database import Database
from flags.services import create_flag, create_project


@pytest.fixture
def export(cli: Any, new_key: str, tmp_path: Path) -> Path:
    """Give an export of a project in which something happened."""
    cli.ok("flags", "create", new_key)
    cli.ok("flags", "on", new_key, "-m", "go")
    file = tmp_path / "audit.jsonl"
    assert cli.ok("audit", "export", str(file))["ok"] is True
    return file


def test_an_export_is_verified_without_a_service(cli: Any, alone: Any, export: Path) -> None:
    offline = alone.ok("audit", "verify", str(export))
    online = cli.ok("audit", "verify")
    assert offline == online
    assert offline["entries"] == len(export.read_bytes().splitlines()) - 1
    assert len(offline["chains"]) == 3
    shown = alone.terminal("audit", "verify", str(export), columns=200)
    assert "The audit holds" in shown.out
    assert all(each["newest_hash"] in shown.out for each in offline["chains"])
    assert list(export.parent.iterdir()) == [export]
    piped = cli.pipe("audit", "export", "-")
    assert piped.out.encode() == export.read_bytes()


def test_the_first_bad_entry_is_named_and_the_exit_code_is_1(alone: Any, export: Path) -> None:
    lines = export.read_text(encoding="utf-8").splitlines(keepends=True)
    index = next(i for i, line in enumerate(lines) if '"comment":"go"' in line)
    entry = json.loads(lines[index])
    lines[index] = lines[index].replace('"comment":"go"', '"comment":"no"')
    export.write_text("".join(lines), encoding="utf-8")
    answer = alone.pipe("audit", "verify", str(export))
    assert answer.code == 1
    bad = answer.json["first_bad"]
    assert (bad["chain"], bad["number"], bad["line"]) == (
        entry["chain"],
        entry["number"],
        index + 1,
    )
    shown = alone.terminal("audit", "verify", str(export))
    assert shown.code == 1
    assert f"entry {entry['number']} of chain {entry['chain']}" in " ".join(shown.out.split())


def test_a_hash_that_was_written_down_finds_a_chain_that_was_cut(
    alone: Any, export: Path, tmp_path: Path
) -> None:
    known = alone.ok("audit", "verify", str(export))["chains"][-1]["newest_hash"]
    assert alone.ok("audit", "verify", str(export), "--expect", known)["missing"] == []
    answer = alone.pipe("audit", "verify", str(export), "--expect", "0" * 64)
    assert (answer.code, answer.json["missing"]) == (1, ["0" * 64])
    assert alone.pipe("audit", "verify", str(export), "--expect", "abc").code == 2


def test_an_operator_verifies_the_database_itself(cli: Any, export: Path) -> None:
    database_url = cli.database_url
    found = cli.ok("audit", "verify", "--database", database_url)
    assert found == cli.ok("audit", "verify")
    assert cli.pipe("audit", "verify", "--database", "sqlite:////no/where.db").code == 1
    assert cli.pipe("audit", "verify", "--database", "nonsense").code == 1
    assert cli.pipe("audit", "verify", str(export), "--database", database_url).code == 2


def test_a_flag_set_that_was_altered_in_the_database_is_named(
    cli: Any, new_key: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'own.db'}"
    database = Database(url)
    database.create_all()
    with database.write() as session:
        actor, now = Actor("user", "ada@example.org"), dt.datetime.now(dt.UTC)
        create_project(session, key=cli.project, actor=actor, now=now)
        create_flag(session, cli.project, {"key": new_key}, actor=actor, now=now)
    assert cli.ok("audit", "verify", "--database", url)["ok"]
    with database.write() as session:
        session.execute(sa.text("UPDATE revisions SET flag_set = zeroblob(9) WHERE number = 2"))
    database.dispose()
    answer = cli.pipe("audit", "verify", "--database", url)
    assert answer.code == 1
    assert answer.json["first_bad"]["reason"].startswith("the flag set of revision 2 ")
