"""The clock and the names that flagd adds to a context."""

from __future__ import annotations

from typing import Any

from tests.sdk.importers.flagd.building import NOW, ask, imported, variant


def holds(condition: Any, context: dict[str, Any], **more: Any) -> bool:
    return variant({"if": [condition, "yes", "no"]}, context, **more) == "yes"


def test_time_becomes_start_and_end_of_rules() -> None:
    clock = {"var": "$flagd.timestamp"}
    targeting = {"if": [{"<": [clock, 100]}, "red", {"<=": [clock, 200.5]}, "blue", "yes"]}
    result = imported(targeting)
    at = {now: ask(result, {}, now) for now in (0.0, 99.9, 100.0, 200.9, 201.0, NOW)}
    assert list(at.values()) == ["red", "red", "blue", "blue", "yes", "yes"]
    assert [rule.get("start") for rule in result.flags["flag"]["rules"]] == [
        None,
        "1970-01-01T00:01:40Z",
        "1970-01-01T00:03:21Z",
    ]


def test_one_second_may_be_picked_out() -> None:
    result = imported({"if": [{"==": [{"var": "$flagd.timestamp"}, 100]}, "yes", "no"]})
    assert [ask(result, {}, now) for now in (99.9, 100.0, 100.9, 101.0)] == [
        "no",
        "yes",
        "yes",
        "no",
    ]


def test_flagd_tells_the_key_of_the_flag() -> None:
    assert holds({"==": [{"var": "$flagd.flagKey"}, "flag"]}, {})
    assert not holds({"!!": [{"var": "$flagd.other"}]}, {"$flagd": {"other": 1}})
