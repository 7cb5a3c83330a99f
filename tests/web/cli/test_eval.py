"""``flagstone eval``: the service's answer and the file's are one."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

FLAG_SET = {
    "schema": 1,
    "environment": "production",
    "version": 7,
    "flags": {
        "checkout": {
            "key": "checkout",
            "type": "boolean",
            "version": 1,
            "client": False,
            "variants": {"on": {"value": True}, "off": {"value": False, "on": False}},
            "enabled": True,
            "killed": False,
            "off": "off",
            "prerequisites": [],
            "targets": [],
            "rules": [
                {
                    "id": "germans",
                    "when": {"attr": "country", "op": "in", "values": ["DE"]},
                    "serve": "on",
                    "start": "2026-12-01T00:00:00Z",
                }
            ],
            "default": "off",
            "metadata": {},
        }
    },
    "segments": {},
}
GERMAN = '{"targetingKey": "u1", "country": "DE"}'


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(FLAG_SET), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def beta(cli: Any) -> str:
    """A flag that is on for Germans."""
    cli.ok("flags", "create", "beta")
    rule = {"id": "germans", "when": FLAG_SET["flags"]["checkout"]["rules"][0]["when"]}
    instruction = {"do": "add_rule", "rule": {**rule, "serve": "on"}}
    turn_on = '{"do": "turn_on"}'
    cli.ok(
        "flags", "set", "beta", "--instruction", json.dumps(instruction), "--instruction", turn_on
    )
    return "beta"


def test_the_service_says_what_somebody_gets_and_why(cli: Any, beta: str) -> None:
    answer = cli.ok("eval", beta, "--context", GERMAN, "--explain")
    assert (answer["value"], answer["variant"], answer["rule"]) == (True, "on", "germans")
    assert answer["explanation"]["text"]
    shown = cli.terminal("eval", beta, "--context", GERMAN, "--explain")
    assert shown.code == 0
    first, *rest = shown.out.splitlines()
    assert first == f"true  ({answer['reason']}, variant on)"
    assert "\n".join(rest) == answer["explanation"]["text"].rstrip("\n")
    assert "explanation" not in cli.ok("eval", beta, "--context", GERMAN)


def test_every_environment_is_asked_side_by_side_now_and_then(cli: Any, beta: str) -> None:
    found = cli.ok("eval", beta, "--context", GERMAN, "--everywhere")["environments"]
    values = {each["environment"]: each["items"][0]["value"] for each in found}
    # Other tests make environments of their own here.
    assert (values["production"], values["staging"]) == (True, False)
    production = found[0]
    at = production["published_at"]
    same = cli.ok("eval", beta, "--context", GERMAN, "--at", at)
    assert (same["revision"], same["value"]) == (production["revision"], True)
    just_before = dt.datetime.fromisoformat(at) - dt.timedelta(microseconds=1)
    before = cli.ok("eval", beta, "--context", GERMAN, "--at", just_before.isoformat())
    assert (before["revision"], before["value"]) == (production["revision"] - 1, False)
    shown = cli.terminal("eval", beta, "--context", GERMAN, "--everywhere", columns=160)
    assert "true  (TARGETING_MATCH, variant on)" in shown.out
    early = cli.pipe("eval", beta, "--at", "2001-01-01T00:00:00Z")
    assert early.code == 1
    assert "no revision yet" in early.error
    assert cli.pipe("eval", beta, "--everywhere", "--test").code == 2


def test_a_test_exits_with_10_when_the_flag_is_false(cli: Any, beta: str) -> None:
    assert cli.pipe("eval", beta, "--context", GERMAN, "--test").code == 0
    false = cli.pipe("eval", beta, "--context", '{"country": "FR"}', "--test")
    assert (false.code, false.json["value"]) == (10, False)
    assert cli.pipe("eval", beta).code == 0, "without --test an answer is an answer"


def test_a_past_instant_takes_the_revision_that_was_in_force_then(cli: Any, new_key: str) -> None:
    cli.ok("flags", "create", new_key)
    before = dt.datetime.now(dt.UTC).isoformat()
    cli.ok("flags", "set", new_key, "--default", "on", "--instruction", '{"do": "turn_on"}')
    assert cli.ok("eval", new_key)["value"] is True
    assert cli.ok("eval", new_key, "--at", before)["value"] is False


def test_file_and_service_answer_in_the_same_shape(cli: Any, beta: str, file: str) -> None:
    live = cli.ok("eval", beta, "--context", GERMAN, "--explain")
    offline = cli.ok("eval", "checkout", "--flagset", file, "--context", GERMAN, "--explain")
    assert set(offline) == set(live)
    assert set(offline["explanation"]) == set(live["explanation"])


def test_a_file_needs_no_service_and_knows_other_times(alone: Any, file: str) -> None:
    arguments = ("eval", "checkout", "--flagset", file, "--context", GERMAN, "--explain")
    later = alone.ok(*arguments, "--at", "2026-12-01T01:00:00+00:00")
    assert (later["value"], later["rule"], later["revision"]) == (True, "germans", 7)
    assert later["at"] == "2026-12-01T01:00:00Z"
    earlier = alone.terminal(*arguments, "--at", "2026-11-30T23:59:59Z")
    assert earlier.out.startswith("false  (")
    assert "germans" in earlier.out


def test_a_missing_flag_and_a_caller_s_default_are_told_apart(
    alone: Any, file: str, tmp_path: Path
) -> None:
    missing = alone.terminal("eval", "nowhere", "--flagset", file)
    assert missing.code == 1
    assert "FLAG_NOT_FOUND" in missing.out
    undecided = json.loads(json.dumps(FLAG_SET))
    undecided["flags"]["checkout"]["default"] = None
    path = tmp_path / "undecided.json"
    path.write_text(json.dumps(undecided))
    answer = alone.terminal("eval", "checkout", "--flagset", str(path))
    assert answer.code == 0
    assert answer.out.startswith("the caller's default")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--context", "{"), 2, "--context is not JSON"),
        (("--context", "[]"), 2, "must be a JSON object"),
        (("--context", "[" * 100_000), 2, "nested too deeply"),
        (("--at", "yesterday"), 2, "not an instant"),
        (("--at", "2026-12-01T00:00:00"), 2, "time zone"),
        (("--at", "9999-12-31T23:59:59-23:00"), 2, "not an instant"),
        (("--flagset", "/nowhere.json"), 2, "does not exist"),
    ],
)
def test_bad_options_are_usage_errors(
    alone: Any, file: str, arguments: tuple[str, ...], code: int, words: str
) -> None:
    answer = alone.pipe("eval", "checkout", "--flagset", file, *arguments)
    assert answer.code == code, answer.everything
    assert words in answer.error


@pytest.mark.parametrize("context", ['{"n": NaN}', '{"u": "\\ud800"}', '{"a": 1, "a": 2}', "{}"])
def test_any_context_gets_an_answer_or_a_sentence(cli: Any, beta: str, context: str) -> None:
    answer = cli.pipe("eval", beta, "--context", context, "--explain")
    assert answer.code in {0, 1}
    assert answer.code == 0 or answer.error.startswith("Error: ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"", "JSON"),
        (b"[]", "flags.json"),
        (b'{"flags": {"checkout": {"variants": 3}}}', "flags.checkout"),
        (b"[" * 100_000, "Error: "),
    ],
)
def test_a_bad_flag_set_names_its_place(
    alone: Any, tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "flags.json"
    path.write_bytes(content)
    answer = alone.pipe("eval", "checkout", "--flagset", str(path))
    assert answer.code == 1, answer.everything
    assert words in answer.error


def test_what_a_terminal_cannot_show_is_escaped(alone: Any, file: str) -> None:
    context = '{"targetingKey": "gr\\u00f6\\ud800e"}'
    answer = alone.process(
        *("eval", "größe", "--flagset", file, "--context", context, "--explain"),
        PYTHONIOENCODING="ascii",
    )
    assert answer.code == 1
    assert "FLAG_NOT_FOUND" in answer.out
    assert "Traceback" not in answer.error
