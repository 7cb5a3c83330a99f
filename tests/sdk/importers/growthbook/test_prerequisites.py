"""Prerequisites: gates, circles, and flags that were refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sdk.importers.growthbook.building import PARENT, child, gate, imported, served


def test_a_gate_at_the_beginning_becomes_a_prerequisite() -> None:
    result = imported({"parent": PARENT, "child": child(gate({"value": "green"}))})
    assert result.flags["child"]["prerequisites"] == [{"flag": "parent", "variants": ["green"]}]
    assert served(result, "child", {"a": 1}).value == "default"
    assert served(result, "child", {}).variant is None


def test_a_gate_behind_a_rule_does_not_close_that_rule() -> None:
    first = {"force": "first", "condition": {"b": 1}}
    rules = (first, gate({"value": "green"}), {"force": "last", "condition": {"c": 1}})
    result = imported({"parent": PARENT, "child": child(*rules)})
    assert served(result, "child", {"b": 1}).value == "first"
    assert served(result, "child", {"c": 1}).variant is None
    assert served(result, "child", {}).variant is None
    assert served(result, "child", {"a": 1, "c": 1}).value == "last"
    assert served(result, "child", {"a": 1}).value == "default"


def test_a_prerequisite_that_does_not_gate_passes_its_rule_over() -> None:
    rule = {"force": "forced", **gate({"value": "green"}, gates=False)}
    result = imported({"parent": PARENT, "child": child(rule)})
    assert served(result, "child", {"a": 1}).value == "forced"
    assert served(result, "child", {}).value == "default"


def test_a_gate_behind_a_failed_prerequisite_is_not_asked() -> None:
    parents = [
        {"id": "parent", "condition": {"value": "green"}},
        {"id": "parent", "condition": {"value": "never"}, "gate": True},
    ]
    result = imported({"parent": PARENT, "child": child({"parentConditions": parents})})
    assert served(result, "child", {}).value == "default"
    assert served(result, "child", {"a": 1}).variant is None


@pytest.mark.parametrize("gates", [True, False])
def test_a_prerequisite_without_a_value_is_null(gates: bool) -> None:
    features = {"parent": {"rules": []}, "child": child(gate({"value": None}, gates=gates))}
    assert served(imported(features), "child", {}).value == "default"
    del features["parent"]
    assert served(imported(features), "child", {}).value == "default"
    features["child"] = child(gate({"value": {"$exists": True}}))
    assert served(imported(features), "child", {}).variant is None


def test_prerequisites_that_always_go_in_a_circle_never_have_a_value() -> None:
    round_about = {
        "a": {"defaultValue": 1, "rules": [{"parentConditions": [{"id": "b"}]}]},
        "b": {"defaultValue": 1, "rules": [{"parentConditions": [{"id": "a"}]}]},
        "c": child({"force": "x", "condition": {"k": 1}}, {"parentConditions": [{"id": "a"}]}),
    }
    result = imported(round_about)
    assert result.refused == []
    assert [served(result, key, {}).variant for key in round_about] == [None] * 3
    assert served(result, "c", {"k": 1}).value == "x"
    assert [note.flag for note in result.lossy] == ["a", "b"]


def test_prerequisites_that_sometimes_go_in_a_circle_are_refused() -> None:
    def asks(other: str) -> dict[str, Any]:
        rule = {"parentConditions": [{"id": other, "condition": {"value": "default"}}]}
        return child({"force": "x", "condition": {"k": 1}}, rule)

    result = imported({"a": asks("b"), "b": asks("a"), "c": child()})
    assert {note.flag for note in result.refused} == {"a", "b"}
    assert "circle" in result.refused[0].reason
    assert list(result.flags) == ["c"]


def test_who_asks_a_refused_flag_is_refused_too() -> None:
    bandit = {"rules": [{"contextualBanditRef": "cb", "contextualVariations": [1, 2]}]}
    middle = child(gate({"value": 1}))
    last = {"rules": [{"parentConditions": [{"id": "middle", "condition": {"value": 1}}]}]}
    result = imported({"last": last, "middle": middle, "parent": bandit})
    assert [(note.flag, note.reason) for note in result.refused] == [
        ("last", "its prerequisite 'parent' is refused"),
        ("middle", "its prerequisite 'parent' is refused"),
        ("parent", "contextual bandits are not supported"),
    ]
