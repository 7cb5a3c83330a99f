"""``flagstone flags`` against a real service: on a terminal, in a pipe, and refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

KEYS = ["team/checkout", "new flag", "größe-日本", "100%", "a%2Fb", "a+b&c=d", "x/../y", "~.-_"]


def test_a_pipe_gets_json_and_a_terminal_a_table(cli: Any, new_key: str) -> None:
    cli.ok("flags", "create", new_key, "--description", "[b]old[/b] checkout")
    (listed,) = cli.ok("flags", "list", "--filter", new_key)
    assert listed["key"] == new_key
    assert listed["environments"]["production"]["state_word"] == "off"
    shown = cli.terminal("flags", "list", "--filter", new_key)
    assert shown.code == 0
    heading, row = shown.out.splitlines()
    assert heading.split() == ["flag", "production", "type", "description"]
    assert row.split() == [new_key, "off", "boolean", "[b]old[/b]", "checkout"]


def test_an_empty_list_says_what_to_do(cli: Any) -> None:
    assert cli.ok("flags", "list", "--filter", "no such words") == []
    assert cli.terminal("flags", "list", "--filter", "no such words").out == "No such flag.\n"
    assert cli.ok("flags", "list", "--archived") == []


def test_a_long_list_is_read_to_its_end(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        cli.ok("flags", "create", f"many-{number}")
    monkeypatch.setattr("web.cli.remote.PAGE", 2)
    found = [each["key"] for each in cli.ok("flags", "list", "--filter", "many-")]
    assert found == [f"many-{number}" for number in range(5)]


def test_a_flag_is_turned_on_off_killed_and_unkilled_in_words(cli: Any, new_key: str) -> None:
    created = cli.terminal("flags", "create", new_key)
    assert f"Created {new_key}; it is off everywhere." in created.out
    for verb, words in (
        ("on", "In production, everyone gets off."),
        ("kill", "In production, the flag is killed: everyone gets off."),
        ("unkill", "In production, everyone gets off."),
        ("off", "In production, the flag is off: everyone gets off."),
    ):
        answer = cli.terminal("flags", verb, new_key, "-m", f"because of {verb}")
        assert answer.code == 0, answer.everything
        assert words in answer.out
        assert cli.terminal("flags", "show", new_key).out == words + "\n"
    shown = cli.ok("flags", "show", new_key)
    assert (shown["key"], shown["enabled"], shown["killed"]) == (new_key, False, False)


def test_the_history_says_who_when_what_and_why(cli: Any, new_key: str) -> None:
    cli.ok("flags", "create", new_key, "-m", "a fresh start")
    cli.ok("flags", "on", new_key, "-m", "let them in\x1b]0;title")
    newest, *older = cli.ok("flags", "history", new_key)
    assert (newest["action"], newest["comment"][:11]) == ("turn_on", "let them in")
    assert older
    assert cli.ok("flags", "history", new_key, "--limit", "1") == [newest]
    shown = cli.terminal("flags", "history", new_key, columns=140)
    heading, first, *_rest = shown.out.splitlines()
    assert heading.split() == ["entry", "when", "who", "what", "revision", "why"]
    assert newest["at"][:10] in first
    assert "turn_on" in first
    assert "let them in" in first
    assert "\x1b" not in shown.out, "a comment does not steer the terminal"


def test_a_rollout_is_added_and_then_widened(cli: Any, new_key: str) -> None:
    cli.ok("flags", "create", new_key)
    cli.ok("flags", "on", new_key)
    added = cli.ok("flags", "set", new_key, "--rollout", "on=10%")
    assert added["changed"] is True
    assert [rule["id"] for rule in added["after"][new_key]["rules"]] == ["rollout"]
    before = split_of(added, new_key)
    widened = cli.terminal("flags", "set", new_key, "--rollout", "on=0.25", "-m", "it holds")
    assert "25 % of users get on" in widened.out
    after = cli.ok("flags", "show", new_key)["rules"][0]["serve"]["split"]
    assert after["salt"] == before["salt"]
    assert after["to"][0]["ranges"][0][0] == before["to"][0]["ranges"][0][0]
    narrowed = cli.terminal("flags", "set", new_key, "--coverage", "rollout=5 %")
    assert narrowed.code == 0, narrowed.everything
    assert "5 % of users get on" in narrowed.out


def split_of(answer: dict[str, Any], key: str) -> dict[str, Any]:
    split: dict[str, Any] = answer["after"][key]["rules"][0]["serve"]["split"]
    return split


def test_a_rollout_of_another_variant_is_not_widened_by_mistake(cli: Any, new_key: str) -> None:
    cli.ok("flags", "create", new_key, "--type", "string", "--variant", "a=1", "--variant", "b=2")
    cli.ok("flags", "set", new_key, "--rollout", "a=10%")
    answer = cli.pipe("flags", "set", new_key, "--rollout", "b=20%")
    assert answer.code == 1
    assert "serves something else than b" in answer.error


def test_a_change_in_between_is_a_conflict_and_writes_nothing(
    cli: Any, new_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from web.cli import flags

    cli.ok("flags", "create", new_key)
    read = flags._state

    def read_and_let_another_write(*arguments: Any) -> Any:
        document = read(*arguments)
        monkeypatch.setattr(flags, "_state", read)
        cli.ok("flags", "on", new_key)
        return document

    monkeypatch.setattr(flags, "_state", read_and_let_another_write)
    answer = cli.pipe("flags", "set", new_key, "--rollout", "on=10%")
    assert answer.code == 3, answer.everything
    assert cli.ok("flags", "show", new_key)["rules"] == []


def test_defaults_off_variant_and_any_instruction_are_set_in_one_change(
    cli: Any, new_key: str
) -> None:
    variants = ("--variant", 'old="o"', "--variant", "new=n", "--variant", "twelve=12")
    created = cli.ok("flags", "create", new_key, "--type", "string", *variants)
    assert created["variants"]["new"] == {"value": "n"}
    assert created["variants"]["twelve"] == {"value": "12"}
    assert created["variants"]["old"] == {"value": "o", "on": False}
    instruction = {"do": "add_rule", "rule": {"id": "beta", "serve": "twelve"}}
    answer = cli.ok(
        *("flags", "set", new_key, "--default", "new", "--off", "twelve"),
        *("--instruction", '{"do": "turn_on"}', "--instruction", json.dumps(instruction)),
    )
    after = answer["after"][new_key]
    assert (after["default"], after["off"], after["enabled"]) == ("new", "twelve", True)
    assert [rule["id"] for rule in after["rules"]] == ["beta"]
    newest, created_at = cli.ok("flags", "history", new_key)
    assert newest["revision"] == answer["revision"] == created_at["revision"] + 1


def test_a_preview_says_what_would_be_and_writes_nothing(cli: Any, new_key: str) -> None:
    cli.ok("flags", "create", new_key)
    before = cli.ok("flags", "show", new_key)
    shown = cli.terminal("flags", "set", new_key, "--default", "on", "--preview")
    assert shown.out.startswith("Preview; nothing is written.")
    answer = cli.ok("flags", "set", new_key, "--rollout", "on=50%", "--preview")
    assert (answer["mode"], answer["changed"]) == ("preview", True)
    assert answer["verdict"] == "no_op"
    turned_on = cli.terminal("flags", "on", new_key, "--preview").out
    assert "No-op: nobody gets another answer." in turned_on
    assert "No context was seen here in the last 7 days" in " ".join(turned_on.split())
    both = ("--instruction", '{"do": "turn_on"}', "--rollout", "on=50%")
    words = " ".join(cli.terminal("flags", "set", new_key, *both, "--preview").out.split())
    assert "Only widens: nobody who has it loses it." in words
    assert f"For example, {new_key} goes from off (false) to on (true) for {{" in words
    assert cli.ok("flags", "show", new_key) == before


def test_an_entry_of_the_history_is_undone_once(cli: Any, new_key: str) -> None:
    cli.ok("flags", "create", new_key)
    cli.ok("flags", "on", new_key)
    before = cli.ok("flags", "show", new_key)
    cli.ok("flags", "kill", new_key)
    entry = str(cli.ok("flags", "history", new_key)[0]["id"])
    assert entry in cli.terminal("flags", "history", new_key).out
    assert cli.ok("flags", "undo", entry, "--preview")["after"][new_key]["killed"] is False
    assert cli.ok("flags", "show", new_key)["killed"] is True
    cli.ok("flags", "undo", entry, "--together", "-m", "sorry")
    assert cli.ok("flags", "history", new_key)[0]["comment"] == "sorry"
    numbers = {"version", "updated_at"}
    after = cli.ok("flags", "show", new_key)
    assert {k: v for k, v in after.items() if k not in numbers} == {
        k: v for k, v in before.items() if k not in numbers
    }
    again = cli.pipe("flags", "undo", entry)
    assert again.code == 3
    assert "killed" in again.error


@pytest.mark.parametrize("key", KEYS)
def test_keys_with_odd_characters_go_the_whole_way(cli: Any, key: str) -> None:
    assert cli.ok("flags", "create", key)["key"] == key
    assert cli.ok("flags", "on", key)["after"][key]["enabled"] is True
    assert cli.ok("flags", "set", key, "--rollout", "on=50%")["changed"] is True
    assert cli.ok("flags", "show", key)["key"] == key
    assert cli.ok("flags", "history", key)[0]["resource"] == f"flag:{key}"
    assert cli.ok("eval", key, "--context", '{"targetingKey": "u1"}')["flag"] == key


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("show", "nowhere"), 1, "nowhere"),
        (("on", "nowhere"), 1, "nowhere"),
        (("show", "checkout", "-e", "moon"), 1, "moon"),
        (("create", "checkout"), 3, "checkout"),
        (("create", "what?"), 1, "at:   key"),
        (("create", "x", "--variant", "new"), 2, "NAME=VALUE"),
        (("create", "x", "--variant", "a=1", "--variant", "a=2"), 2, "twice"),
        (("create", "x", "--type", "string"), 2, "needs its variants"),
        (("create", "x", "--type", "integer", "--variant", "a=b"), 1, "variants.a.value"),
        (("create", "x", "--default", "moon"), 1, "moon"),
        (("create", "x", "--type", "float", "--variant", "a=NaN"), 1, "JSON"),
        (("create", "x", "--type", "colour"), 2, "colour"),
        (("set", "checkout"), 2, "nothing to set"),
        (("set", "checkout", "--rollout", "on"), 2, "NAME=SHARE"),
        (("set", "checkout", "--rollout", "on=two"), 2, "NAME=SHARE"),
        (("set", "checkout", "--rollout", "on=120%"), 2, "NAME=SHARE"),
        (("set", "checkout", "--rollout", "on=nan"), 2, "NAME=SHARE"),
        (("set", "checkout", "--rollout", "moon=10%"), 1, "moon"),
        (("set", "checkout", "--coverage", "beta=10%"), 1, "beta"),
        (("set", "checkout", "--instruction", "{"), 2, "not JSON"),
        (("set", "checkout", "--instruction", "[]"), 2, "JSON object"),
        (("set", "checkout", "--instruction", "[" * 100_000), 2, "nested too deeply"),
        (("set", "checkout", "--instruction", '{"do": "fly"}'), 1, "instructions[0].do"),
        (("history", "checkout", "--limit", "0"), 2, "limit"),
        (("fly",), 2, "fly"),
    ],
)
def test_a_refusal_says_what_is_wrong(
    cli: Any, arguments: tuple[str, ...], code: int, words: str
) -> None:
    cli.pipe("flags", "create", "checkout")
    answer = cli.pipe("flags", *arguments)
    assert (answer.code, answer.out) == (code, ""), answer.everything
    assert words in answer.error


def test_quiet_prints_nothing_and_json_prints_json_on_a_terminal(cli: Any, new_key: str) -> None:
    assert cli.terminal("--quiet", "flags", "create", new_key).out == ""
    assert cli.terminal("--json", "flags", "show", new_key).json["key"] == new_key
