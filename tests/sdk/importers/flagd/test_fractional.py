"""Fractional splits take the buckets that flagd takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine.cbor import cbor
from flagstone.engine.hashes import murmur3
from tests.sdk.engine.fuzzing import fuzzed
from tests.sdk.importers.flagd.building import X, imported, variant

SPLIT = [["red", 25], ["blue", 75]]


@pytest.mark.parametrize(
    ("targeting", "hash_version", "hashed"),
    [
        ({"fractional": [X, *SPLIT]}, "v2", lambda x: x.encode()),
        ({"fractional": [X, *SPLIT]}, "v3", cbor),
        ({"fractional": [{"cat": ["s:", X]}, *SPLIT]}, "v2", lambda x: f"s:{x}".encode()),
        ({"fractional": [{"cat": ["s:", X]}, *SPLIT]}, "v3", lambda x: cbor(f"s:{x}")),
        ({"fractional": [{"cat": [{"var": "$flagd.flagKey"}, X]}, *SPLIT]}, "v2",
         lambda x: f"flag{x}".encode()),
    ],
)  # fmt: skip
@given(x=st.text(min_size=1, max_size=30).filter(lambda x: x.isprintable()))
@fuzzed(20)
def test_a_unit_lies_where_its_hash_puts_it(
    targeting: Any, hash_version: str, hashed: Any, x: str
) -> None:
    bucket = murmur3(hashed(x)) * 100 >> 32
    expected = "red" if bucket < 25 else "blue"
    assert variant(targeting, {"x": x}, hash_version=hash_version) == expected


@pytest.mark.parametrize("unit", ["u1", "u2", "ü", "😀" * 100])
def test_the_short_form_buckets_by_flag_and_targeting_key(unit: str) -> None:
    context = {"targetingKey": unit}
    place = murmur3(f"flag{unit}".encode()) * 2 >> 32
    assert variant({"fractional": [["red"], ["blue"]]}, context) == ("red", "blue")[place]
    place = murmur3(cbor(["flag", unit])) * 2 >> 32
    answer = variant({"fractional": [["red"], ["blue"]]}, context, hash_version="v3")
    assert answer == ("red", "blue")[place]


@pytest.mark.parametrize(("hash_version", "number"), [("v2", None), ("v3", "other")])
def test_a_targeting_key_that_is_no_text_fails_with_the_older_hash(
    hash_version: str, number: str | None
) -> None:
    short = {"fractional": [["red"], ["blue"]]}
    assert variant(short, {"targetingKey": 5}, hash_version=hash_version) == number
    for nothing in ({}, {"targetingKey": ""}, {"targetingKey": None}):
        assert variant(short, nothing, hash_version=hash_version) == "other"


def test_an_empty_text_is_a_unit_of_the_newer_hash_only() -> None:
    split = {"fractional": [X, ["red", 1]]}
    assert variant(split, {"x": ""}, hash_version="v2") == "other"
    assert variant(split, {"x": ""}, hash_version="v3") == "red"


def test_a_number_is_a_unit_of_the_newer_hash_only() -> None:
    split = {"fractional": [X, ["red", 1]]}
    assert variant(split, {"x": 5}, hash_version="v2") == "other"
    assert variant(split, {"x": 5}, hash_version="v3") == "red"


def test_negative_weights_are_none_and_shares_may_be_computed() -> None:
    assert variant({"fractional": [X, ["red", -5], ["blue", 1]]}, {"x": "u"}) == "blue"
    tiered = {"fractional": [X, [{"if": [{"var": "vip"}, "red", "blue"]}, 1]]}
    assert variant(tiered, {"x": "u", "vip": True}) == "red"
    assert variant(tiered, {"x": "u"}) == "blue"
    weighted = {"fractional": [X, ["red", {"if": [{"var": "vip"}, 1, 0]}], ["blue", 0]]}
    assert variant(weighted, {"x": "u", "vip": True}) == "red"
    assert variant(weighted, {"x": "u"}) == "other"


def test_a_split_is_one_rule_with_the_ranges_of_its_weights() -> None:
    rules = imported({"fractional": [X, ["red", 1], ["blue", 2], ["red", 3]]}).flags["flag"][
        "rules"
    ]
    assert rules[0]["serve"]["split"] == {
        "by": "x",
        "hash": "flagd",
        "salt": "",
        "of": 6,
        "missing": "skip",
        "to": [
            {"variant": "red", "ranges": [[0, 1], [3, 6]]},
            {"variant": "blue", "ranges": [[1, 3]]},
        ],
    }
