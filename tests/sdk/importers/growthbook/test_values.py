"""Values, null among them, and the names of variants and rules."""

from __future__ import annotations

from typing import Any

import pytest

from flagstone.engine import bucket
from tests.sdk.importers.growthbook.building import child, imported, served


def test_a_variation_of_null_ends_the_evaluation_without_a_value() -> None:
    experiment = {"variations": [None, "b"], "key": "exp", "ranges": [[0, 0.5], [0.5, 1]]}
    result = imported({"f": child(experiment, {"force": "last"})})
    for n in range(30):
        place = bucket("growthbook-1", "exp", f"u{n}", 1000)
        details = served(result, "f", {"id": f"u{n}"})
        assert details.value == (None if place < 500 else "b")
    assert served(result, "f", {}).value == "last"


def test_a_forced_null_is_no_rule_in_python_and_an_end_in_javascript() -> None:
    features = {"f": child({"force": None, "condition": {"a": 1}})}
    assert served(imported(features), "f", {"a": 1}).value == "default"
    assert served(imported(features, edge="inclusive"), "f", {"a": 1}).variant is None


def test_who_passes_through_a_holdout_goes_on() -> None:
    holdout = {"variations": ["held", "x"], "ranges": [[0, 0.5], [0.5, 1]], "key": "holdout",
               "meta": [{"key": "h"}, {"passthrough": True}]}  # fmt: skip
    result = imported({"f": child(holdout)})
    values = {served(result, "f", {"id": f"u{n}"}).value for n in range(30)}
    assert values == {"held", "default"}
    assert "holdout" in result.lossy[0].reason


def test_variants_and_rules_keep_the_vendors_names() -> None:
    one = {
        "key": "one",
        "id": "fr_1",
        "variations": [False, True],
        "meta": [{"key": "c"}, {"key": "t"}],
    }
    two = {"key": "two", "variations": [True, False], "meta": [{"key": "c"}, {"key": "t"}]}
    flag = imported({"f": {"defaultValue": False, "rules": [one, two, two]}}).flags["f"]
    assert list(flag["variants"]) == ["c", "t", "two:c", "two:t", "false"]
    assert [rule["id"] for rule in flag["rules"]] == [
        "fr_1", "fr_1:2", "two", "two:2", "two:3", "two:4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False], "boolean"),
        (["a", ""], "string"),
        ([1, 2.0], "integer"),
        ([1, 2.5], "float"),
        ([{}, [1]], "object"),
        ([True, "C"], "object"),
    ],
)
def test_the_type_of_a_flag_is_that_of_its_values(values: list[Any], expected: str) -> None:
    features = {"f": {"defaultValue": values[0], "rules": [{"force": values[1]}]}}
    result = imported(features)
    assert result.flags["f"]["type"] == expected
    assert served(result, "f", {}).value == values[1]


@pytest.mark.parametrize(
    ("value", "on"), [(0, False), ("", False), (False, False), ({}, True), (1, True)]
)
def test_a_flag_is_on_where_its_value_is_true_to_javascript(value: Any, on: bool) -> None:
    assert served(imported({"f": {"defaultValue": value}}), "f", {}).on is on
