"""What cannot be carried is refused by name, and what is left behind is said."""

from __future__ import annotations

from typing import Any

import pytest

from flagstone.importers import ImportFileError
from flagstone.importers.flagd import convert
from tests.sdk.importers.flagd.building import X, file_with, imported


def refusal(targeting: Any, **more: Any) -> str:
    result = imported(targeting, **more)
    assert result.flags == {}
    return result.refused[0].reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": "ON"}, '"state" is neither ENABLED nor DISABLED'),
        ({"variants": {}}, "there are no variants"),
        ({"variants": {"": 1}}, "there are no variants"),
        ({"defaultVariant": 5}, '"defaultVariant" is not the name of a variant'),
        ({"targeting": "yes"}, '"targeting" is not an object'),
        ({"metadata": {"a": None}}, '"metadata" may hold texts, numbers and booleans only'),
        ({"variants": {"a": 2**60}}, "an integer lies within"),
    ],
)
def test_a_malformed_flag_is_refused_by_name(changes: dict[str, Any], reason: str) -> None:
    document = file_with({}, **changes)
    document["flags"]["fine"] = file_with({})["flags"]["flag"]
    result = convert(document)
    assert list(result.flags) == ["fine"]
    assert result.refused[0].flag == "flag"
    assert reason in result.refused[0].reason


@pytest.mark.parametrize(
    ("targeting", "reason"),
    [
        ({"==": [X, {"var": "y"}]}, "compares two attributes with each other"),
        ({"==": [{"+": [X, 1]}, 2]}, 'the operator "+" computes with attributes'),
        ({"<": [{"%": [X, 10]}, 3]}, '"%" can only be compared for equality'),
        ({"map": [X, 1]}, 'the operator "map" is not carried'),
        ({"var": "x.0"}, "reads a list by place"),
        ({"var": {"cat": ["x", X]}}, 'the name in "var" is not a constant'),
        ({"fractional": [{"cat": [X, {"var": "y"}]}, ["red"]]}, '"cat" of more than one attribute'),
        ({"fractional": [{"cat": [X, "y"]}, ["red"]]}, "buckets by"),
        ({"fractional": [X, ["red", {"var": "y"}]]}, "a weight is not a constant"),
        ({"fractional": [X, {"var": "y"}]}, 'an attribute is a share of "fractional"'),
        ({"some": [X, {"fractional": [["red"]]}]}, "inside"),
        ({"==": [X, 2**60]}, "beyond 2^53"),
    ],
)
def test_what_cannot_be_carried_exactly_is_refused_with_the_reason(
    targeting: Any, reason: str
) -> None:
    assert reason in refusal(targeting)


def test_a_variant_called_like_a_number_may_not_be_named_by_an_attribute() -> None:
    assert "may name the variant '1'" in refusal(X, variants={"1": "a"}, defaultVariant=None)


def test_a_large_or_deep_program_is_refused_and_not_followed() -> None:
    deep: Any = X
    for _ in range(5000):
        deep = {"!": [deep]}
    assert refusal(deep) == "is nested too deeply"
    document = file_with({"$ref": "e0"})
    document["$evaluators"] = {f"e{n}": {"and": [{"$ref": f"e{n + 1}"}] * 9} for n in range(9)}
    assert convert(document).refused[0].reason == "the targeting is too large"
    wide = {"or": [{"if": [{"var": f"a{n}"}, f"v{n}"]} for n in range(3000)]}
    assert refusal(wide)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (5, "the file must hold a JSON object"),
        ({"flags": 5}, "must be an object or a list"),
        ({"metadata": {"a": []}}, "may hold texts"),
        ({"$evaluators": [1]}, "must be an object"),
    ],
)
def test_a_file_that_is_none_of_flagds_is_refused_as_a_whole(document: Any, message: str) -> None:
    with pytest.raises(ImportFileError, match=message):
        convert(document)


def test_an_unknown_hash_is_refused() -> None:
    with pytest.raises(ImportFileError, match="there is no hash 'v9'"):
        convert({}, hash_version="v9")


def test_fields_that_mean_nothing_are_reported() -> None:
    result = imported({}, owner="me")
    assert result.report()["lossy"] == [
        {"flag": "flag", "reason": "the field 'owner' is left behind"}
    ]
