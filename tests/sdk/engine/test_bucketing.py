"""Buckets: the same for ever, cut by one convention."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flagstone.engine import FlagSetError, bucket, evaluate, parse_flag, parse_flag_set
from flagstone.engine.bucketing import END, digest, prefix, threshold
from flagstone.engine.cbor import cbor
from flagstone.engine.hashes import FOREIGN_HASHES
from flagstone.engine.units import (
    javascript_text,
    joined_text,
    scalar_text,
    trait_text,
    unit_text,
)

VECTORS = json.loads((Path(__file__).parent / "vectors" / "bucketing.json").read_text("utf-8"))


def served(of: int, cuts: list[tuple[str, int, int]], unit: object, salt: str = "s") -> str | None:
    """Return what a split of these ranges serves to a unit."""
    split = {
        "salt": salt,
        "of": of,
        "to": [{"variant": name, "ranges": [[low, high]]} for name, low, high in cuts],
    }
    rule = {"id": "r", "when": True, "serve": {"split": split}}
    variants = {name: {"value": name} for name, _, _ in cuts}
    flag = {"type": "string", "variants": variants, "rules": [rule]}
    return evaluate(
        parse_flag_set({"flags": {"f": flag}}), "f", {"targetingKey": unit}, 0.0
    ).variant


def in_bucket(of: int, ranges: list[list[int]], unit: object, salt: str = "s") -> bool:
    """Return whether a rule with this bucket condition holds."""
    when = {"bucket": {"salt": salt, "of": of, "ranges": ranges}}
    flag = {
        "type": "boolean",
        "variants": {"on": {"value": True}},
        "rules": [{"id": "r", "when": when, "serve": "on"}],
    }
    context = {"targetingKey": unit}
    return evaluate(parse_flag_set({"flags": {"f": flag}}), "f", context, 0.0).variant == "on"


def test_buckets_are_those_of_another_program() -> None:
    assert len(VECTORS["vectors"]) == 180
    for vector in VECTORS["vectors"]:
        assert bucket("flagstone", vector["salt"], vector["unit"], vector["of"]) == vector["bucket"]
        start = digest(prefix(vector["salt"]), vector["unit"])[:8].hex()
        assert start == vector["sha256_start"]


@pytest.mark.parametrize("of", range(1, 9))
def test_every_range_is_half_open(of: int) -> None:
    """Exhaustive: all ranges of all small numbers of buckets, as a split and as a condition."""
    units = [f"u{number}" for number in range(40)]
    assert {bucket("flagstone", "s", unit, of) for unit in units} == set(range(of))
    for low in range(of + 1):
        for high in range(low, of + 1):
            cuts = [("in", low, high)]
            for unit in units:
                inside = low <= bucket("flagstone", "s", unit, of) < high
                assert in_bucket(of, [[low, high]], unit) is inside
                assert (served(of, cuts, unit) == "in") is inside


@given(st.integers(1, 12), st.data())
@settings(deadline=None)
def test_ranges_that_touch_serve_everybody_exactly_once(of: int, data: Any) -> None:
    """Also past the number of ranges from which a look-up takes the place of comparisons."""
    inner = data.draw(st.lists(st.integers(0, of), max_size=9).map(sorted))
    edges = [0, *inner, of]
    cuts = [(f"v{i}", edges[i], edges[i + 1]) for i in range(len(edges) - 1)]
    for number in range(20):
        place = bucket("flagstone", "s", number, of)
        wanted = [name for name, low, high in cuts if low <= place < high]
        assert [served(of, cuts, number)] == wanted


@given(st.text(), st.text() | st.integers(), st.integers(1, 2**53 - 1), st.data())
@settings(deadline=None)
def test_comparing_hashes_is_comparing_buckets(
    salt: str, unit: str | int, of: int, data: Any
) -> None:
    edge = data.draw(st.integers(0, of))
    text = unit_text(unit)
    assert text is not None
    reached = bucket("flagstone", salt, unit, of) >= edge
    assert (digest(prefix(salt), text) >= threshold(edge, of)) is reached


@given(st.integers(1, 2**53 - 1), st.data())
@settings(deadline=None)
def test_a_threshold_is_the_least_hash_of_its_bucket(of: int, data: Any) -> None:
    edge = data.draw(st.integers(1, of - 1)) if of > 1 else 1
    if edge == of:
        assert threshold(edge, of) == END
        return
    least = int.from_bytes(threshold(edge, of), "big")
    assert least * of >> 64 == edge
    assert (least - 1) * of >> 64 == edge - 1


@pytest.mark.parametrize(
    "ranges",
    [[[0, 8], [2, 3]], [[2, 3], [0, 8]], [[0, 5], [3, 8]], [[1, 2], [4, 6], [5, 9], [6, 7]]],
)
def test_ranges_of_one_variant_may_overlap(ranges: list[list[int]]) -> None:
    split = {"salt": "s", "of": 10, "to": [{"variant": "in", "ranges": ranges}]}
    rule = {"id": "r", "when": True, "serve": {"split": split}}
    flag = {"type": "string", "variants": {"in": {"value": "in"}}, "rules": [rule]}
    flag_set = parse_flag_set({"flags": {"f": flag}})
    for unit in range(60):
        place = bucket("flagstone", "s", unit, 10)
        inside = any(low <= place < high for low, high in ranges)
        found = evaluate(flag_set, "f", {"targetingKey": unit}, 0.0).variant
        assert (found == "in") is inside
        assert evaluate(flag_set, "f", {"targetingKey": str(unit)}, 0.0).variant == found
        assert in_bucket(10, ranges, unit) is inside
        assert in_bucket(10, ranges, str(unit)) is inside


def test_the_extreme_hashes_lie_in_the_first_and_the_last_bucket() -> None:
    for of in (1, 3, 10_000, 2**53 - 1):
        assert threshold(0, of) <= bytes(32)
        assert threshold(1, of) > bytes(32) or of == 1
        assert threshold(of, of) == END > b"\xff" * 32
        assert threshold(of - 1, of) <= b"\xff" * 32


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("u1", "u1"), ("", ""), (7, "7"), (-7, "-7"), (7.0, "7"), (-0.0, "0"), (2**70, str(2**70)),
        (1e21, "1000000000000000000000"), ("\ud800", "\ud800"),
        (7.5, None), (True, None), (False, None), (None, None), (float("nan"), None),
        (float("inf"), None), (b"u1", None), (["u1"], None), (1j, None),
    ],
)  # fmt: skip
def test_texts_and_whole_numbers_are_units(value: object, text: str | None) -> None:
    assert unit_text(value) == text
    expected = None if text is None else "in"
    assert served(1, [("in", 0, 1)], value) == expected
    assert in_bucket(1, [[0, 1]], value) is (text is not None)


def test_a_number_too_long_to_print_is_no_unit() -> None:
    assert unit_text(10**5000) is None
    assert served(1, [("in", 0, 1)], 10**5000) is None


@given(st.integers(-(2**53), 2**53))
@settings(deadline=None)
def test_an_integer_is_in_the_bucket_of_its_text(number: int) -> None:
    place = bucket("flagstone", "s", str(number), 10_000)
    assert bucket("flagstone", "s", number, 10_000) == place
    assert bucket("flagstone", "s", float(number), 10_000) == place


def test_salts_make_places_independent() -> None:
    both = Counter(
        (bucket("flagstone", "one", unit, 2), bucket("flagstone", "two", unit, 2))
        for unit in range(4000)
    )
    # Four cells of 1,000 expected, standard deviation 27.
    assert all(abs(count - 1000) < 140 for count in both.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("murmur", "s", "u", 10), "unknown hash"),
        (("flagstone", "s", True, 10), "a unit is"),
        (("flagstone", "s", "u", 0), "at least one bucket"),
    ],
)
def test_what_has_no_bucket_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bucket(*arguments)


FOREIGN_VECTORS = [
    # Buckets computed with mmh3 5.3.1, growthbook 4.0.0, hashlib and cbor2 5.9.0.
    ("unleash", "group", "user-1", 100, 84),
    ("unleash-variant", "group", "user-1", 1000, 178),
    ("growthbook-1", "exp", "user-1", 1000, 331),
    ("growthbook-2", "exp", "é😀", 10000, 605),
    ("flagsmith", "12", "user-1", 9998, 4498),
    ("flagsmith-trait", "12", "user-1", 9998, 4498),
    ("flagsmith-trait", "12", "007", 9998, 3341),
    ("launchdarkly", "key.salt", "user-1", 100000, 81664),
    ("posthog-variant", "flag", "user-1", 100000, 10526),
    ("eppo", "flag-split", "user-1", 10000, 2426),
    ("flagd", "flag", "user-1", 100, 70),
    ("flagd-cbor", "flag", "user-1", 100, 6),
    ("flagd-cbor", "", 17, 100, 15),
    ("flagd-cbor-pair", "flag", "user-1", 100, 28),
]


@pytest.mark.parametrize(("name", "salt", "unit", "of", "expected"), FOREIGN_VECTORS)
def test_foreign_hashes_keep_their_buckets(
    name: str, salt: str, unit: Any, of: int, expected: int
) -> None:
    assert bucket(name, salt, unit, of) == expected


def test_every_hash_has_a_vector() -> None:
    assert {vector[0] for vector in FOREIGN_VECTORS} == set(FOREIGN_HASHES)


@pytest.mark.parametrize("name", sorted(FOREIGN_HASHES))
@given(unit=st.text() | st.integers(), data=st.data())
def test_generated_and_careful_code_agree_for_every_hash(
    name: str, unit: str | int, data: st.DataObject
) -> None:
    of = 100 if not name.startswith("flagsmith") else 9998
    low, high = sorted(data.draw(st.tuples(st.integers(0, of), st.integers(0, of))))
    bucketing = {"hash": name, "salt": "s", "of": of}
    share = {"variant": "on", "ranges": [[low, high]]}
    flags = {
        "split": {"split": {**bucketing, "to": [share]}},
        "condition": "on",
    }
    document = {
        "flags": {
            key: {
                "type": "boolean",
                "variants": {"on": {"value": True}},
                "rules": [
                    {
                        "id": "rule",
                        "when": True
                        if key == "split"
                        else {"bucket": {**bucketing, "ranges": [[low, high]]}},
                        "serve": serve,
                    }
                ],
            }
            for key, serve in flags.items()
        }
    }
    flag_set = parse_flag_set(document)
    inside = low <= bucket(name, "s", unit, of) < high
    for key in flags:
        for context in ({"targetingKey": unit}, MyMapping({"targetingKey": unit})):
            assert (flag_set_answer(flag_set, key, context) == "on") is inside


class MyMapping(dict):  # type: ignore[type-arg]
    """A mapping that is no plain ``dict``."""


def flag_set_answer(flag_set: Any, key: str, context: Any) -> str | None:
    return evaluate(flag_set, key, context, 0.0).variant


@given(st.text())
def test_canonical_cbor_of_a_text_is_its_length_and_its_bytes(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    assert cbor(text).endswith(data)
    assert len(cbor(text)) - len(data) == 1 + (len(data) > 23) + (len(data) > 255)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "00"), (23, "17"), (24, "1818"), (255, "18ff"), (256, "190100"), (-1, "20"),
        (-500, "3901f3"), (1.5, "f93e00"), (100000.5, "fa47c35040"), (1.1, "fb3ff199999999999a"),
        (3.0, "03"), (True, "f5"), (None, "f6"), (2**64, "c249010000000000000000"),
        (-(2**64) - 1, "c349010000000000000000"), ({"bb": 1, "a": [2.0]}, "a26161810262626201"),
        (["a", 1], "82616101"), (2**64 - 1, "1bffffffffffffffff"),
    ],
)  # fmt: skip
def test_canonical_cbor_is_rfc_7049s(value: Any, expected: str) -> None:
    assert cbor(value).hex() == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", "x"), (1, "1"), (1.0, "1"), (-0.0, "0"), (1.5, "1.5"), (-2.25, "-2.25"),
        (1e-6, "0.000001"), (1.23e-7, "1.23e-7"), (1e21, "1e+21"), (2**60, "1152921504606847000"),
        (123456789012345680000.0, "123456789012345680000"), (5e-324, "5e-324"),
        (True, None), (float("nan"), None), (float("inf"), None), (10**400, None), ([1], None),
    ],
)  # fmt: skip
def test_growthbook_prints_units_as_javascript_does(value: Any, expected: str | None) -> None:
    assert javascript_text(value) == expected


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted), min_size=1, max_size=4),
    st.integers(0, 999),
)
@example([[0, 0], [19, 20]], 1)
def test_generated_and_careful_code_agree_on_any_ranges(ranges: list[Any], unit: int) -> None:
    """Empty ones among them, in any order, touching or one in another."""
    bucketing = {"salt": "s", "of": 20, "ranges": ranges}
    rule = {"id": "rule", "when": {"bucket": bucketing}, "serve": "on"}
    flag = {"type": "boolean", "variants": {"on": {"value": True}}, "rules": [rule]}
    flag_set = parse_flag_set({"flags": {"f": flag}})
    place = bucket("flagstone", "s", str(unit), 20)
    inside = any(low <= place < high for low, high in ranges)
    for context in ({"targetingKey": str(unit)}, {"targetingKey": unit}):
        assert (flag_set_answer(flag_set, "f", context) == "on") is inside


def test_other_products_salts_may_be_empty_but_ours_may_not() -> None:
    split = {"hash": "growthbook-2", "salt": "", "to": [{"variant": "on", "ranges": [[0, 1]]}]}
    flag = {
        "key": "f",
        "type": "boolean",
        "variants": {"on": {"value": True}},
        "rules": [{"id": "r", "when": True, "serve": {"split": split}}],
    }
    parse_flag(flag)
    split["hash"] = "flagstone"
    with pytest.raises(FlagSetError, match="salt"):
        parse_flag(flag)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", "x"), (3, "3"), (3.0, "3"), (1.5, "1.5"), (1e15, "1e+15"), (True, "True"),
        (None, "null"), ([1, ["a", None]], "1,a,null"), ({"a": 1}, "[object Object]"),
        (object(), None),
    ],
)  # fmt: skip
def test_flagd_joins_any_value_to_a_text(value: Any, expected: str | None) -> None:
    assert joined_text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", "x"), ("007", "7"), ("-0", "0"), ("1.50", "1.5"), ("1.", "1."), (" 1", " 1"),
        ("9" * 5000, None), (True, "True"), (7, "7"), (1.0, "1.0"), (1.5, "1.5"), (None, None),
        ([1], None), (float("inf"), None),
    ],
)  # fmt: skip
def test_flagsmith_prints_the_texts_of_numbers_as_numbers(value: Any, expected: str | None) -> None:
    assert trait_text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", "x"), (3, "3"), (3.0, "3"), (1.5, "1.5"), (1e-7, "1e-07"), (True, "true"),
        (False, "false"), (None, None), ([1], None), (float("nan"), None),
    ],
)  # fmt: skip
def test_unleash_prints_any_scalar_as_json(value: Any, expected: str | None) -> None:
    assert scalar_text(value) == expected
