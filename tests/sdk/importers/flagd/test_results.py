"""What the result of targeting serves: a variant, the default, or an error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flagstone.engine import FlagSetError, evaluate, parse_flag_set
from tests.sdk.importers.flagd.building import NOW, X, ask, imported, variant


@pytest.mark.parametrize(
    ("targeting", "expected"),
    [
        ("yes", "yes"),
        (True, "true"),
        (False, "false"),
        (None, "other"),
        ("unknown", None),
        ("", None),
        (5, None),
        ([], None),
    ],
)
def test_a_result_names_a_variant_or_the_default_or_fails(
    targeting: Any, expected: str | None
) -> None:
    assert variant({"if": [True, targeting]}, {}) == expected


def test_an_attribute_may_name_the_variant() -> None:
    asked = {value: variant(X, {"x": value}) for value in ("red", "unknown", "", True, False, None)}
    assert asked == {
        "red": "red",
        "unknown": None,
        "": None,
        True: "true",
        False: "false",
        None: "other",
    }


def test_a_failing_branch_serves_the_callers_default_and_is_reported() -> None:
    targeting = {"if": [{"==": [X, "a"]}, {"no_such": []}, "yes"]}
    result = imported(targeting)
    assert (ask(result, {"x": "a"}), ask(result, {"x": "b"})) == (None, "yes")
    assert "no operator 'no_such'" in result.lossy[0].reason


@pytest.mark.parametrize(
    ("targeting", "reason"),
    [
        ({"no_such": []}, "there is no operator 'no_such'"),
        ({"$ref": "nobody"}, "there is no evaluator 'nobody'"),
        ({"if": [{"<": [{"var": "$flagd.timestamp"}, 5]}, {"a": 1}, {"b": 1}]}, "no operator 'a'"),
    ],
)
def test_targeting_that_always_fails_answers_parse_error_and_is_named(
    targeting: Any, reason: str
) -> None:
    result = imported(targeting)
    (note,) = result.lossy
    assert note.reason.startswith("malformed, answers PARSE_ERROR: targeting always fails: ")
    assert reason in note.reason
    document = json.loads(json.dumps(result.flag_set()))
    details = evaluate(parse_flag_set(document, strict=False), "flag", {}, NOW)
    assert (details.error_code, details.variant) == ("PARSE_ERROR", None)
    with pytest.raises(FlagSetError):
        parse_flag_set(document, strict=True)
    off = imported(targeting, state="DISABLED").flag_set()
    assert evaluate(parse_flag_set(off, strict=False), "flag", {}, NOW).reason == "DISABLED"


def test_targeting_that_fails_at_times_fails_then_only() -> None:
    targeting = {"if": [{"<": [{"var": "$flagd.timestamp"}, 5]}, {"no_such": []}, "yes"]}
    result = imported(targeting)
    assert (ask(result, {}, now=4), ask(result, {}, now=5)) == (None, "yes")


@pytest.mark.parametrize(
    ("variants", "kind"),
    [
        ({"yes": 1, "no": "x", "other": {}}, "object"),
        ({"yes": 1, "no": 1.5, "other": 2}, "float"),
        ({"yes": 2**53 + 1, "no": 1.5, "other": 2}, "object"),
        ({"yes": True, "no": None, "other": 1}, "object"),
    ],
)
def test_variants_of_several_types_are_served_as_they_are(
    variants: dict[str, Any], kind: str
) -> None:
    for default, value in variants.items():
        result = imported({}, variants=variants, defaultVariant=default)
        assert result.refused == []
        assert result.flags["flag"]["type"] == kind
        flag_set = parse_flag_set(json.loads(json.dumps(result.flag_set())), strict=True)
        details = evaluate(flag_set, "flag", {}, NOW)
        # flagd gives the caller's default for null.
        assert details.variant == (None if value is None else default)
        assert (details.value, details.value is True) == (value, value is True)


def test_variants_that_are_all_null_are_there_and_never_served() -> None:
    nulls = {"yes": None, "no": None}
    for targeting in ({}, {"if": [X, "yes", "no"]}):
        result = imported(targeting, variants=nulls, defaultVariant="yes")
        assert list(result.flags["flag"]["variants"]) == ["yes", "no"]
        assert ask(result, {"x": 1}) is None


def test_nothing_matches_without_a_default_variant() -> None:
    for absent in ({"defaultVariant": None}, {"defaultVariant": ""}, {"defaultVariant": "gone"}):
        assert variant({"if": [X, "yes"]}, {}, **absent) is None
        assert variant({"if": [X, "yes"]}, {"x": 1}, **absent) == "yes"
        assert variant({}, {}, **absent) is None


def test_the_default_variant_may_be_a_boolean() -> None:
    assert variant({}, {}, defaultVariant=False) == "false"


def test_a_null_in_the_middle_keeps_later_branches_away() -> None:
    targeting = {"if": [{"==": [X, "a"]}, None, "yes"]}
    assert variant(targeting, {"x": "a"}) == "other"
    assert variant(targeting, {"x": "a"}, defaultVariant=None) is None
    assert variant(targeting, {"x": "b"}, defaultVariant=None) == "yes"


def test_a_disabled_flag_serves_the_callers_default() -> None:
    result = imported({"if": [True, "yes"]}, state="DISABLED")
    assert ask(result, {}) is None
    flag_set = parse_flag_set(result.flag_set())
    assert evaluate(flag_set, "flag", {}, NOW).reason.value == "DISABLED"
