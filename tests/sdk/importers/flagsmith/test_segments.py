"""Segments and the order of their overrides."""

from __future__ import annotations

from typing import Any

import pytest

from flagstone.importers.flagsmith import convert
from tests.sdk.importers.flagsmith.building import (
    EVERYBODY,
    PREFIX,
    ask,
    context_file,
    document_file,
    rule,
    segment,
    state,
    user,
)


def test_the_least_priority_wins_and_of_equal_ones_the_first() -> None:
    document = context_file(
        "own",
        (EVERYBODY, {"value": "weakest"}),
        (EVERYBODY, {"value": "second", "priority": 1}),
        (EVERYBODY, {"value": "first", "priority": 0}),
        (EVERYBODY, {"value": "late", "priority": 0}),
    )
    assert ask(document, user()).value == "first"
    assert ask(document, user()).rule_id == "segment 3"


def test_a_segment_without_rules_is_nobodys() -> None:
    assert ask(context_file("own", ([], {"value": "never"})), user()).value == "own"


@pytest.mark.parametrize(
    ("name", "value"),
    [("NOT_CONTAINS", "env"), ("EQUAL", ""), ("EQUAL", PREFIX), ("REGEX", "$"), ("IS_SET", None),
     ("PERCENTAGE_SPLIT", 50)],
)  # fmt: skip
def test_an_empty_key_is_the_default_one_of_an_empty_identifier(name: str, value: Any) -> None:
    inside = [rule("ALL", ("$.identity.key", name, value))]
    document = context_file("out", (inside, {"value": "in"}))
    empty, default = (ask(document, {"targetingKey": key}).value for key in ("", PREFIX))
    assert empty == default


def test_segments_are_shared_by_the_flags_and_keep_their_names() -> None:
    result = convert(context_file("own", ([rule("ALL", ("plan", "EQUAL", "pro"))], {"value": "x"})))
    assert list(result.segments) == ["segment 1"]
    assert result.flags["flag"]["rules"][0]["when"] == {"segment": "segment 1"}


def test_segments_of_one_name_stay_apart() -> None:
    document = context_file("own", (EVERYBODY, {"value": "a"}), ([], {"value": "b"}))
    for one in document["segments"].values():
        one["name"] = "beta"
    assert list(convert(document).segments) == ["beta", "beta (2)"]
    assert ask(document, user()).value == "a"


def test_a_segment_without_a_name_gets_one() -> None:
    document = context_file("own", (EVERYBODY, {"value": "x"}))
    document["segments"] = {"": {**document["segments"]["1"], "name": ""}}
    assert list(convert(document).segments) == ["segment"]
    assert ask(document, user()).value == "x"
    by_id = document_file(
        segments=[{**segment(0, [{"type": "ALL"}], state(value="x")), "name": ""}]
    )
    by_id["project"]["segments"][0]["id"] = ""
    assert ask(by_id, user()).value == "x"
