"""Evaluators, metadata, types, and the two shapes of a file."""

from __future__ import annotations

from typing import Any

import pytest

from flagstone.importers.flagd import convert
from tests.sdk.importers.flagd.building import X, ask, file_with, imported, variant


def test_evaluators_are_put_in_in_the_order_of_the_file() -> None:
    document = file_with({"if": [{"$ref": "first"}, "yes", "no"]})
    document["$evaluators"] = {
        "first": {"and": [{"$ref": "second"}, True]},
        "second": {"==": [X, "a"]},
    }
    result = convert(document)
    assert (ask(result, {"x": "a"}), ask(result, {"x": "b"})) == ("yes", "no")
    document["$evaluators"] = dict(reversed(document["$evaluators"].items()))
    # The text of the first comes in when the second has already been looked for.
    assert "no evaluator 'second'" in convert(document).lossy[0].reason


def test_a_list_of_flags_is_read_and_a_key_that_occurs_twice_refused() -> None:
    flag = file_with({})["flags"]["flag"]
    document = {"flags": [{**flag, "key": "a"}, {**flag, "key": "b"}, {**flag, "key": "b"}, 5]}
    result = convert(document)
    assert list(result.flags) == ["a"]
    assert {note.flag: note.reason for note in result.refused} == {
        "[3]": "the flag has no key",
        "b": "several flags have this key",
    }


def test_metadata_of_the_file_stand_behind_those_of_the_flag() -> None:
    document = file_with({}, metadata={"a": 1, "b": True})
    document["metadata"] = {"a": 0, "c": "x"}
    assert convert(document).flags["flag"]["metadata"] == {"a": 1, "b": True, "c": "x"}


@pytest.mark.parametrize(
    ("variants", "kind"),
    [
        ({"a": True}, "boolean"),
        ({"a": ""}, "string"),
        ({"a": 0}, "integer"),
        ({"a": 1, "b": 0.5}, "float"),
        ({"a": {}, "b": [1]}, "object"),
        ({"a": 1, "b": None, "": 2}, "integer"),
    ],
)
def test_the_type_of_a_flag_is_that_of_its_values(variants: dict[str, Any], kind: str) -> None:
    flag = imported({}, variants=variants, defaultVariant="a").flags["flag"]
    assert flag["type"] == kind
    assert flag["default"] == "a"


def test_a_variant_without_a_value_gives_the_callers_default() -> None:
    assert variant({"if": [X, "b"]}, {"x": 1}, variants={"a": 1, "b": None}) is None
