"""Targets, prerequisites, and being off: what comes before any rule."""

from __future__ import annotations

from typing import Any

import pytest

from flagstone.engine import evaluate, parse_flag_set
from flagstone.importers import ImportResult
from flagstone.importers.launchdarkly import convert
from tests.sdk.importers.launchdarkly.building import NOW, clause, details, flag, imported, when


def test_targets_come_before_rules_and_the_first_list_wins() -> None:
    document = when(clause("key", "in", "u"))
    document["targets"] = [
        {"variation": 2, "values": ["u", "7"]},
        {"variation": 1, "values": ["u"]},
    ]
    result = imported({"f": document})
    assert details(result, {"targetingKey": "u"}).variant == "2"
    assert details(result, {"targetingKey": 7}).variant == "2"


def test_context_targets_say_in_which_order_the_lists_of_users_are_asked() -> None:
    document = flag(
        targets=[{"variation": 0, "values": ["u"]}, {"variation": 2, "values": ["v"]}],
        contextTargets=[
            {"contextKind": "org", "variation": 2, "values": ["o"]},
            {"contextKind": "user", "variation": 0, "values": []},
        ],
    )
    result = imported({"f": document})
    assert details(result, {"targetingKey": "u"}).variant == "0"
    assert details(result, {"targetingKey": "u", "org": {"key": "o"}}).variant == "2"
    # The list of the third variation is not among them.
    assert details(result, {"targetingKey": "v"}).variant == "1"


def asking(variation: int, **other: Any) -> ImportResult:
    prerequisite = [{"key": "p", "variation": variation}]
    flags = {
        "f": flag(prerequisites=prerequisite, fallthrough={"variation": 0}),
        "p": flag(key="p", **other),
    }
    result = convert({"flags": flags, "segments": {}})
    parse_flag_set(result.flag_set(), strict=True)
    return result


def test_a_prerequisite_that_is_off_is_not_met_whatever_it_serves() -> None:
    result = asking(1, on=False)
    assert details(result, {}, "p").value == "other"
    unmet = details(result, {})
    assert (unmet.value, unmet.reason, unmet.metadata) == (
        "other",
        "DISABLED",
        {"prerequisite": "p"},
    )
    assert details(asking(1), {}).value == "match"


def test_killing_an_imported_prerequisite_stops_who_asks_it() -> None:
    document = asking(1).flag_set()
    assert details_of(document, "f") == "match"
    document["flags"]["p"]["killed"] = True
    assert details_of(document, "f") == "other"
    assert details_of(document, "p") == "other"


def details_of(document: dict[str, Any], key: str) -> Any:
    return evaluate(parse_flag_set(document), key, {"targetingKey": "u"}, NOW).value


def test_an_unmet_prerequisite_serves_off_and_that_may_meet_another() -> None:
    unmet = [{"key": "q", "variation": 0}]
    flags = {
        "f": flag(prerequisites=[{"key": "p", "variation": 1}], fallthrough={"variation": 0}),
        "p": flag(prerequisites=unmet, fallthrough={"variation": 0}),
        "q": flag(),
    }
    result = convert({"flags": flags})
    assert details(result, {}, "p").value == "other"
    assert details(result, {}).value == "match"


@pytest.mark.parametrize(
    "prerequisite", [{"key": "nowhere", "variation": 0}, {"key": "p", "variation": 9}]
)
def test_a_prerequisite_that_cannot_be_met_serves_off(prerequisite: Any) -> None:
    result = imported(
        {"f": flag(prerequisites=[prerequisite], fallthrough={"variation": 0}), "p": flag()}
    )
    parse_flag_set(result.flag_set(), strict=True)
    found = details(result, {})
    assert (found.value, found.reason) == ("other", "DISABLED")
    assert found.metadata == {"prerequisite": prerequisite["key"]}
    assert "a prerequisite is never met" in result.lossy[0].reason


def test_without_an_off_variation_the_caller_decides() -> None:
    found = details(imported({"f": flag(on=False, offVariation=None)}), {})
    assert (found.variant, found.error_code) == (None, None)
