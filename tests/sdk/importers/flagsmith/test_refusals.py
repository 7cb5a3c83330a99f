"""What cannot be carried is refused by name, and the report says what is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flagstone.importers import ImportFileError
from flagstone.importers.flagsmith import convert
from tests.sdk.importers.flagsmith.building import (
    EVERYBODY,
    HALF,
    ask,
    context_file,
    document_file,
    rule,
    state,
    user,
)


def reason_of(document: dict[str, Any]) -> str:
    (note,) = convert(document).refused
    assert note.flag == "flag"
    return note.reason


def test_a_segment_that_cannot_be_carried_refuses_the_flags_in_it_and_no_others() -> None:
    document = context_file("own", ([rule("ALL", ("a", "REGEX", "(?=x)"))], {"value": "x"}))
    document["features"]["free"] = {**document["features"]["flag"], "name": "free"}
    result = convert(document)
    assert list(result.flags) == ["free"]
    assert result.report() == {
        "imported": 1,
        "refused": [
            {
                "flag": "flag",
                "reason": "the segment 'segment 1': the pattern '(?=x)' has lookaround, "
                "which RE2 has not",
            }
        ],
        "lossy": [],
    }


@pytest.mark.parametrize(
    ("condition", "part"),
    [
        (("$.flags.other.enabled", "EQUAL", "true"), "asks other flags"),
        (("$.segments.beta.name", "EQUAL", "true"), "asks other flags or segments"),
        (("$.identity.traits.*", "EQUAL", "x"), "more than names"),
        (("$..plan", "EQUAL", "x"), "more than names"),
        (("targetingKey", "EQUAL", "x"), "would be taken for the identity's key"),
        (("$.identity.traits.targetingKey", "EQUAL", "x"), "would be taken"),
        (("a", "EQUAL", ["x"]), "compares with a text, not with list"),
        ((None, "EQUAL", "x"), "property must be a text"),
        (("a", None, "x"), "must have an operator"),
        (("a", "REGEX", "("), "SDK fails on it"),
        (("a", "REGEX", "x" * 2000), "at most 1000 characters"),
        (("a", "GREATER_THAN", 10**400), "fails on the number"),
    ],
)
def test_what_cannot_be_carried_is_refused_with_the_reason(condition: Any, part: str) -> None:
    assert part in reason_of(context_file("own", ([rule("ALL", condition)], {"value": "x"})))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"enabled": "yes"}, "enabled must be true or false"),
        ({"name": "another"}, "is filed as"),
        ({"variants": [{"key": "a", "value": 1, "weight": 1}]}, "priority is missing"),
        ({"variants": [{"value": 1, "weight": -1, "priority": 1}]}, "numbers from 0"),
        ({"variants": [{"value": 1, "weight": "1", "priority": 1}]}, "numbers from 0"),
        ({"variants": [{"key": 1, "value": 1, "weight": 1, "priority": 1}]}, "key must be a text"),
        ({"variants": 7}, "variants must be a list"),
        ({"value": 2**60}, "an integer lies within"),
    ],
)
def test_a_malformed_feature_is_refused_by_name(change: Any, part: str) -> None:
    document = context_file()
    document["features"]["flag"].update(change)
    assert part in reason_of(document)


def test_a_missing_value_is_refused() -> None:
    document = context_file()
    del document["features"]["flag"]["value"]
    assert reason_of(document) == "value is missing"


def test_a_priority_that_is_no_number_matters_only_beside_others() -> None:
    one = context_file("own", (EVERYBODY, {"value": "x", "priority": None}))
    assert ask(one, user()).value == "x"
    two = context_file(
        "own", (EVERYBODY, {"value": "x", "priority": None}), (EVERYBODY, {"value": 1})
    )
    assert "is no number" in reason_of(two)


def test_feature_states_without_a_feature_are_reported_by_their_place() -> None:
    result = convert(document_file(state(), {"enabled": True}))
    assert [note.flag for note in result.refused] == ["feature_states[1]"]
    assert list(result.flags) == ["flag"]


def test_classes_of_characters_are_reported_as_lossy() -> None:
    words = context_file("own", ([rule("ALL", ("a", "REGEX", r"\w+$"))], {"value": "x"}))
    (note,) = convert(words).lossy
    assert note.flag == "flag"
    assert "ASCII only" in note.reason
    plain = context_file("own", ([rule("ALL", ("a", "REGEX", r"(?a)\w+\s$"))], {"value": "x"}))
    assert convert(plain).lossy == []


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], ""),
        ({}, ""),
        ({"flags": {}}, ""),
        ({"features": []}, "features"),
        ({"features": {}, "segments": {"1": 7}}, "segments.1"),
        ({"features": {}, "segments": {"1": {"overrides": [{}]}}}, "segments.1.overrides[0]"),
        ({"feature_states": {}}, "feature_states"),
        ({"feature_states": []}, "api_key"),
        (document_file(segments=[{}]), "project.segments[0]"),
        (document_file(identity_overrides=[{}]), "identity_overrides[0]"),
    ],
)
def test_a_file_that_is_none_is_refused_as_a_whole(document: Any, path: str) -> None:
    with pytest.raises(ImportFileError) as caught:
        convert(document)
    assert caught.value.path == path


def test_deep_nesting_is_refused_and_does_not_end_the_import() -> None:
    rules: Any = []
    for _ in range(3000):
        rules = [{"type": "ALL", "conditions": [], "rules": rules}]
    assert "nested too deeply" in reason_of(context_file("own", (rules, {"value": "x"})))
    some: Any = rule("ALL", ("a", "EQUAL", "x"))
    for kind in ("NONE", "ANY") * 40:
        some = {"type": kind, "conditions": [], "rules": [some, rule("ALL", ("b", "EQUAL", "y"))]}
    assert "nested deeper than" in reason_of(context_file("own", ([some], {"value": "x"})))


def test_the_same_file_gives_the_same_flags() -> None:
    document = context_file("own", (HALF, {"value": "x"}))
    assert json.dumps(convert(document).flag_set()) == json.dumps(convert(document).flag_set())
