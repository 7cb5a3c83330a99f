"""What is broken in LaunchDarkly is broken here, and said so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flagstone.engine import FlagSetError, parse_flag_set
from flagstone.importers import ImportResult
from tests.sdk.importers.launchdarkly.building import (
    IN_SEGMENT,
    clause,
    details,
    flag,
    imported,
    rollout,
    when,
)

BAD_REFERENCES = ["/", "//", "/a//b", "/a/", "/a~2", "/a~"]


@pytest.mark.parametrize("reference", BAD_REFERENCES)
def test_a_bad_attribute_reference_makes_a_flag_answer_parse_error(reference: str) -> None:
    broken = when(clause(reference, "in", "x", contextKind="user"))
    assert_malformed(imported({"f": broken}), "f")
    segment = {"rules": [{"clauses": [clause(reference, "in", "x", contextKind="user")]}]}
    assert_malformed(imported({"f": IN_SEGMENT}, s=segment), "f")
    by = flag(fallthrough=rollout(1, 2, contextKind="user", bucketBy=reference))
    assert_malformed(imported({"f": by}), "f")


def assert_malformed(result: ImportResult, *keys: str) -> None:
    """These flags answer with an error and are named; strict reading refuses them."""
    named = {note.flag for note in result.lossy if "PARSE_ERROR" in note.reason}
    assert named == set(keys)
    for key in keys:
        assert details(result, {"targetingKey": "u"}, key).error_code == "PARSE_ERROR"
    with pytest.raises(FlagSetError):
        parse_flag_set(result.flag_set(), strict=True)


@pytest.mark.parametrize(
    "parts",
    [
        {"fallthrough": {}},
        {"fallthrough": {"variation": 3}},
        {"fallthrough": {"variation": -1}},
        {"fallthrough": {"rollout": {"variations": []}}},
        {"fallthrough": rollout(1, 1, 1, 99_997)},
        {"targets": [{"variation": 3, "values": ["u"]}]},
        {"rules": [{"clauses": [], "variation": 3}]},
        {"rules": [{"clauses": []}]},
        {"rules": [{"clauses": [clause("", "in", "x")], "variation": 0}]},
        {"on": False, "offVariation": 3},
        {"variations": []},
    ],
)
def test_a_malformed_flag_answers_parse_error_and_is_named(parts: dict[str, Any]) -> None:
    assert_malformed(imported({"f": flag(**parts), "sound": flag()}), "f")


def test_circles_answer_parse_error_and_so_does_who_asks_them() -> None:
    def asks(key: str, **parts: Any) -> dict[str, Any]:
        return flag(prerequisites=[{"key": key, "variation": 0}], **parts)

    flags = {"a": asks("b"), "b": asks("c"), "c": asks("b"), "self": asks("self"), "sound": flag()}
    assert_malformed(imported(flags), "a", "b", "c", "self")
    circle = {"rules": [{"clauses": [clause("", "segmentMatch", "s")]}]}
    assert_malformed(imported({"f": IN_SEGMENT}, s=circle), "f")


def test_a_circle_in_which_a_flag_is_off_does_no_harm() -> None:
    flags = {
        "a": flag(prerequisites=[{"key": "b", "variation": 0}], offVariation=2),
        "b": flag(on=False, prerequisites=[{"key": "a", "variation": 0}]),
    }
    result = imported(flags)
    assert details(result, {}, "a").value == "third"
    assert details(result, {}, "b").value == "other"
    assert {note.flag for note in result.lossy} == {"a", "b"}


def test_an_error_in_a_clause_comes_up_to_who_asks_but_a_missing_variation_does_not() -> None:
    bad_clause = when(clause("", "in", "x"))
    bad_variation = flag(fallthrough={"variation": 9})
    asks = flag(prerequisites=[{"key": "p", "variation": 0}])
    assert_malformed(imported({"f": asks, "p": bad_clause}), "f", "p")
    result = imported({"f": asks, "p": bad_variation})
    assert details(result, {}).value == "other"
    assert details(result, {}, "p").error_code == "PARSE_ERROR"


def test_what_nobody_reaches_breaks_nothing() -> None:
    for parts in (
        {"offVariation": 9},
        {"targets": [{"variation": 9, "values": []}]},
        {"fallthrough": {"rollout": {"variations": [
            {"variation": 1, "weight": 100_000}, {"variation": 9, "weight": 0}]}}},
        {"rules": [{"clauses": [clause("a", "in")], "variation": 9}]},
    ):  # fmt: skip
        result = imported({"f": flag(**parts)})
        parse_flag_set(result.flag_set(), strict=True)
        assert details(result, {"targetingKey": "u"}).value == "other"


def test_a_fallthrough_that_is_missing_leaves_the_rules_alone() -> None:
    document = when(clause("a", "in", 1))
    document["fallthrough"] = {}
    result = imported({"f": document})
    assert details(result, {"a": 1}).value == "match"
    assert details(result, {}).variant is None
    assert "falls through" in result.lossy[0].reason


@pytest.mark.parametrize(
    ("variations", "kind"),
    [
        (["a", 1, None], "object"),
        ([None], "object"),
        ([{}, "x", True, 1, 1.5], "object"),
        ([0.5, 2**53 + 1], "object"),
        ([0.5, 1], "float"),
        ([1, 2], "integer"),
    ],
)
def test_variations_of_several_types_or_null_are_served_as_they_are(
    variations: list[Any], kind: str
) -> None:
    for index, value in enumerate(variations):
        result = imported({"f": flag(variations=variations, fallthrough={"variation": index},
                                     offVariation=0)})  # fmt: skip
        assert result.report() == {"imported": 1, "refused": [], "lossy": []}
        parse_flag_set(json.loads(json.dumps(result.flag_set())), strict=True)
        assert result.flags["f"]["type"] == kind
        served = details(result, {"targetingKey": "u"})
        # LaunchDarkly's SDK, too, gives null with the index of its variation.
        assert (served.variant, served.value, served.error_code) == (str(index), value, None)
        assert (served.value is True) == (value is True)
