"""``flagstone compare``: proofs for each flag, and counts over contexts."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

PEOPLE = [{"targetingKey": f"user-{number}", "country": "DE"} for number in range(100)]


def document(share: int) -> dict[str, Any]:
    to = [{"variant": "on", "ranges": [[0, share]]}]
    rollout = {"id": "r", "when": True, "serve": {"split": {"salt": "s", "of": 100, "to": to}}}
    steady = {"id": "r", "when": {"attr": "country", "op": "in", "values": ["DE"]}, "serve": "on"}
    flag = {
        "type": "boolean",
        "variants": {"on": {"value": True}, "off": {"value": False}},
        "off": "off",
        "default": "off",
    }
    return {"flags": {"rollout": {**flag, "rules": [rollout]}, "same": {**flag, "rules": [steady]}}}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    contents = {
        "before": json.dumps(document(10)),
        "after": json.dumps(document(20)),
        "people": json.dumps(PEOPLE),
        "lines": "\n".join(map(json.dumps, PEOPLE)) + "\n\n",
        "list": "[1]",
        "broken": '{"a": 1}\n{',
    }
    for name, text in contents.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return {name: str(tmp_path / name) for name in contents}


def test_each_flag_gets_its_verdict(alone: Any, files: dict[str, str]) -> None:
    found = alone.ok("compare", files["before"], files["after"])["flags"]
    verdicts = {key: flag["verdict"] for key, flag in found.items()}
    assert verdicts == {"rollout": "only widens", "same": "no-op"}
    assert found["rollout"]["no_op"]["witness"]["after"]["value"] is True
    back = alone.ok("compare", files["after"], files["before"], "--flag", "rollout")["flags"]
    assert {key: flag["verdict"] for key, flag in back.items()} == {"rollout": "only narrows"}


@pytest.mark.parametrize("form", ["people", "lines"])
def test_contexts_are_counted(alone: Any, files: dict[str, str], form: str) -> None:
    arguments = ("compare", files["before"], files["after"], "--contexts", files[form])
    counted = alone.ok(*arguments)["comparison"]
    assert counted["contexts"] == 100
    (move,) = counted["moves"]
    assert (move["flag"], move["before"]["value"], move["after"]["value"]) == (
        "rollout",
        False,
        True,
    )
    assert 0 < move["count"] < 30


def test_on_a_terminal_people_get_sentences_and_a_table(alone: Any, files: dict[str, str]) -> None:
    shown = alone.terminal(
        "compare", files["before"], files["after"], "--contexts", files["people"], columns=160
    )
    assert shown.code == 0
    first, second, *table = shown.out.splitlines()
    assert first.startswith("rollout: Only widens: nobody who has it loses it; for example {")
    assert second == "1 flag unchanged for everybody"
    assert table[0].split() == ["flag", "contexts", "before", "after", "for", "example"]
    assert table[1].split()[0] == "rollout"
    same = alone.terminal(
        "compare", files["before"], files["before"], "--contexts", files["people"]
    )
    assert same.out.splitlines() == [
        "2 flags unchanged for everybody",
        "nobody moves, of 100 contexts",
    ]


def test_an_instant_narrows_the_proof(alone: Any, files: dict[str, str], tmp_path: Path) -> None:
    later = copy.deepcopy(document(10))
    later["flags"]["same"]["rules"][0]["start"] = "2026-12-01T00:00:00Z"
    path = tmp_path / "later"
    path.write_text(json.dumps(later), encoding="utf-8")
    verdicts = [
        alone.ok("compare", files["before"], str(path), "--flag", "same", *at)["flags"]["same"]
        for at in ((), ("--at", "2026-12-01T00:00:00Z"), ("--at", "2026-11-30T23:59:59Z"))
    ]
    assert [found["verdict"] for found in verdicts] == ["only narrows", "no-op", "only narrows"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("before", "after", "--contexts", "broken"), 1, "line 2 is not JSON"),
        (("before", "after", "--contexts", "list"), 1, "context 1 of"),
        (("before", "list"), 1, "must be an object"),
        (("before", "after", "--flag", "none"), 1, "neither file has a flag 'none'"),
        (("before", "after", "--at", "now"), 2, "not an instant"),
        (("before", "nowhere"), 2, "does not exist"),
    ],
)
def test_what_cannot_be_read_is_named(
    alone: Any, files: dict[str, str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    answer = alone.pipe("compare", *(files.get(name, name) for name in arguments))
    assert answer.code == code, answer.everything
    assert words in answer.everything
