"""flagd's importer: what JSON Logic means, the traps, what is refused, and any JSON at all."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagstone.engine import FlagSetError, evaluate, parse_flag_set
from flagstone.engine.hashes import cbor, murmur3
from flagstone.importers import ImportFileError, ImportResult
from flagstone.importers.flagd import convert

NOW = 1_780_000_000.0
NAMES = ("yes", "no", "true", "false", "red", "blue", "other")
EXAMPLES = 500


def file_with(program: Any, **more: Any) -> dict[str, Any]:
    flag = {
        "state": "ENABLED",
        "variants": {name: name for name in NAMES},
        "defaultVariant": "other",
        "targeting": program,
        **more,
    }
    return {"flags": {"flag": flag}}


def imported(targeting: Any, *, hash_version: str = "v2", **more: Any) -> ImportResult:
    return convert(file_with(targeting, **more), hash_version=hash_version)


def ask(result: ImportResult, context: dict[str, Any], now: float = NOW) -> str | None:
    flag_set = parse_flag_set(json.loads(json.dumps(result.flag_set())), strict=True)
    return evaluate(flag_set, "flag", context, now).variant


def variant(targeting: Any, context: dict[str, Any], **more: Any) -> str | None:
    """Return the variant; ``None`` is the caller's default."""
    result = imported(targeting, **more)
    assert result.refused == []
    return ask(result, context)


def refusal(targeting: Any, **more: Any) -> str:
    result = imported(targeting, **more)
    assert result.flags == {}
    return result.refused[0].reason


def holds(condition: Any, context: dict[str, Any], **more: Any) -> bool:
    return variant({"if": [condition, "yes", "no"]}, context, **more) == "yes"


X = {"var": "x"}


@pytest.mark.parametrize(
    ("condition", "true_for", "false_for"),
    [
        ({"==": [X, "a"]}, ["a", ["a"], [["a"]]], ["b", 1, True, None, [], ["a", "a"], {}]),
        ({"==": [X, "10"]}, ["10", 10, 10.0, ["10"], [10]], ["1e1", 1, True, None]),
        ({"==": [X, "1"]}, ["1", 1, True], ["01", False, 0]),
        ({"==": [X, "a,b"]}, ["a,b", ["a", "b"], ["a,b"]], [["a"], ["b", "a"]]),
        ({"==": [X, "[object Object]"]}, [{}, {"a": 1}], [[], "object"]),
        ({"==": [X, 1]}, [1, 1.0, True, "1", " 1 ", "1e0", [1], ["1"], [True]], [0, "", "x", []]),
        ({"==": [X, 0]}, [0, None, False, "0", [], [None]], ["", "x", {}]),
        ({"==": [X, None]}, [None, 0, False], ["", "null", [], {}]),
        ({"==": [X, True]}, [True, 1, "1", [1]], ["true", False, 2, None]),
        ({"===": [X, 1]}, [1, True, 1.0], ["1", [1]]),
        ({"===": [X, "1"]}, ["1"], [1, True, ["1"]]),
        ({"!==": [X, "1"]}, [1, True, None], ["1"]),
        ({"!=": [X, "a"]}, ["b", None, 1], ["a", ["a"]]),
        (
            {"<": [X, 18]},
            [17, 17.5, "17", None, False, [], [17], ["3"]],
            [18, "18", "x", {}, [1, 2]],
        ),
        ({">=": [X, 1]}, [1, True, "1", [1], [True]], [0, False, None, "x", []]),
        ({"<": [18, X]}, [19, "19"], [18, None, "x"]),
        ({"<": [1, X, 10]}, [2, "9", [5]], [1, 10, None, "x", {}]),
        ({"<=": [1, X, 10]}, [1, 10], [0, 11]),
        ({"<": [X, "b"]}, ["a", "", []], ["b", 5, None, True]),
        ({">": [X, "5"]}, ["6", 6, "a", None, [6], ["6", 1]], [4, "4", True, ["4", 9]]),
        ({"in": [X, ["a", 1, None]]}, ["a", 1, True, None], ["1", "b", [], False]),
        ({"in": ["b", X]}, ["abc", ["b"]], ["a", ["abc"], 5, None, {"b": 1}]),
        ({"in": [1, X]}, ["a1", [1], [True]], [["1"], 1, None]),
        ({"in": [X, "abc"]}, ["b", "", "abc", [], ["b"]], ["ac", 1, None]),
        ({"!": [X]}, [None, "", 0, False, []], ["a", 1, True, [0], {}]),
        ({"!!": X}, ["a", 1, True, [0], {}, "0"], [None, "", 0, False, []]),
        ({"starts_with": [X, "ab"]}, ["abc"], ["b", 5, None]),
        ({"starts_with": ["abc", X]}, ["", "ab"], ["b", None]),
        ({"ends_with": [X, "bc"]}, ["abc"], ["b", ["abc"]]),
        ({"==": [{"cat": ["p-", X]}, "p-1"]}, ["1", 1, ["1"]], [True, None, "p-1"]),
        ({"==": [{"cat": ["p-", X]}, "p-null"]}, ["null", None], ["", 0]),
        ({"==": [{"%": [X, 10]}, 3]}, [3, 13, "23", -7], [4, "x", None]),
        ({"%": [X, 2]}, [1, "3", True, [1]], [2, "x", None, 0, False, [2], {}]),
        ({"some": [X, {"==": [{"var": ""}, "a"]}]}, [["b", "a"]], [[], "a", None]),
        ({"some": [X, {">": [{"var": "n"}, 1]}]}, [[{"n": 2}]], [[{"n": 1}], [{}], [5]]),
        ({"all": [X, {">": [{"var": ""}, 1]}]}, [[2, 3]], [[], [1, 2], None]),
        ({"none": [X, {">": [{"var": ""}, 1]}]}, [[], [1], None, "x"], [[2]]),
        ({"missing": ["x"]}, [None, ""], ["a", 0]),
        ({">": [{"var": "x.length"}, 2]}, ["abc", [1, 2, 3]], ["ab", [], None, {}]),
        ({"==": [{"var": "x.length"}, False]}, ["", [], None, 0], ["a", [0]]),
        ({"==": [{"var": ["x", "d"]}, "d"]}, ["d", None], ["e", ""]),
        ({"and": [X, {"==": [X, "a"]}]}, ["a"], ["b", "", None]),
        ({"or": [{"==": [X, "a"]}, {"==": [X, "b"]}]}, ["a", "b"], ["c"]),
        ({"sem_ver": [X, "^", "1.2.0"]}, ["1.9.9", "1.0.0-a", 1, 1.5], ["2.0.0", "2.0.0-a"]),
        ({"sem_ver": [X, "~", "1.2.0"]}, ["1.2.9", "v1.2", "1.2.0-a"], ["1.3.0-a", "1"]),
        (
            {"sem_ver": [X, ">=", "v1.2"]},
            ["1.2.0", "1.2.0+b", 1.2],
            ["1.2.0-a", "01.2.0", "1.2.0.0"],
        ),
        ({"sem_ver": ["1.0.0", "<", X]}, ["1.0.1"], ["1.0.0", None, True]),
        ({"sem_ver": [X, "!=", "1.0.0"]}, ["1.0.1"], ["1.0.0", "no version", None]),
    ],
)
def test_a_condition_coerces_as_json_logic_does(
    condition: Any, true_for: list[Any], false_for: list[Any]
) -> None:
    result = imported({"if": [condition, "yes", "no"]})
    assert result.refused == []
    for value in true_for:
        assert ask(result, {"x": value}) == "yes", value
    for value in false_for:
        assert ask(result, {"x": value}) == "no", value
    assert ask(result, {}) == ("yes" if None in true_for else "no")


@pytest.mark.parametrize(
    "targeting",
    [
        {"starts_with": [X, "ab"]},
        {"ends_with": ["abc", X]},
        {"sem_ver": [X, "=", "1.0.0"]},
        {"sem_ver": [X, "===", "1.0.0"]},
        {"sem_ver": [X, "=", "not a version"]},
        {"sem_ver": [X, "="]},
        {"starts_with": [X]},
        {"fractional": [X, ["yes", 1.5]]},
        {"fractional": [X, ["yes", "1"]]},
        {"fractional": [X, ["yes", True]]},
        {"fractional": [X, ["yes", 0]]},
        {"fractional": [X, ["yes", 2**31]]},
        {"fractional": [X, ["yes", 1, 2]]},
        {"fractional": [X, "yes"]},
        {"fractional": []},
    ],
)
@pytest.mark.parametrize("hash_version", ["v2", "v3"])
def test_an_operator_on_bad_input_gives_the_default_variant_not_false(
    targeting: Any, hash_version: str
) -> None:
    assert variant(targeting, {"x": {"no": "text"}}, hash_version=hash_version) == "other"


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


def test_time_becomes_start_and_end_of_rules() -> None:
    clock = {"var": "$flagd.timestamp"}
    targeting = {"if": [{"<": [clock, 100]}, "red", {"<=": [clock, 200.5]}, "blue", "yes"]}
    result = imported(targeting)
    at = {now: ask(result, {}, now) for now in (0.0, 99.9, 100.0, 200.9, 201.0, NOW)}
    assert list(at.values()) == ["red", "red", "blue", "blue", "yes", "yes"]
    assert [rule.get("start") for rule in result.flags["flag"]["rules"]] == [
        None,
        "1970-01-01T00:01:40Z",
        "1970-01-01T00:03:21Z",
    ]


def test_one_second_may_be_picked_out() -> None:
    result = imported({"if": [{"==": [{"var": "$flagd.timestamp"}, 100]}, "yes", "no"]})
    assert [ask(result, {}, now) for now in (99.9, 100.0, 100.9, 101.0)] == [
        "no",
        "yes",
        "yes",
        "no",
    ]


def test_flagd_tells_the_key_of_the_flag() -> None:
    assert holds({"==": [{"var": "$flagd.flagKey"}, "flag"]}, {})
    assert not holds({"!!": [{"var": "$flagd.other"}]}, {"$flagd": {"other": 1}})


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
@settings(max_examples=40)
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


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
OPERATORS = (
    "==", "===", "!=", "!==", "<", "<=", ">", ">=", "in",
    "!", "!!", "starts_with", "ends_with", "sem_ver", "missing", "some", "all", "none",
    "if", "?:", "and", "or", "fractional", "var", "cat", "%", "+",
    "-", "/", "min", "max", "merge", "$ref", "log", "substr", "map",
    "reduce", "x",
)  # fmt: skip
ATOMS = SCALARS | st.sampled_from(
    [X, {"var": "targetingKey"}, {"var": "$flagd.timestamp"}, {"var": ""}, "red", "1.0.0", "=", "^"]
)
PROGRAMS = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(st.sampled_from(OPERATORS), st.lists(inner, max_size=4) | inner).map(
            lambda pair: {pair[0]: pair[1]}
        )
    ),
    max_leaves=12,
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


def check(document: Any, hash_version: str) -> ImportResult | None:
    """Convert; what comes out is JSON and a strict flag set, but for flags that answer errors."""
    before = copy.deepcopy(document)
    try:
        result = convert(document, hash_version=hash_version)
    except ImportFileError:
        return None
    assert repr(document) == repr(before)
    flag_set = json.loads(json.dumps(result.flag_set()))
    for note in result.lossy:
        if "PARSE_ERROR" in note.reason:
            assert evaluate(flag_set, note.flag, {}, NOW).variant is None
            del flag_set["flags"][note.flag]
    parse_flag_set(flag_set, strict=True)
    json.dumps(result.report())
    return result


@given(document=JSON, hash_version=st.sampled_from(["v2", "v3"]))
@settings(max_examples=EXAMPLES // 2)
def test_any_json_is_imported_or_refused(document: Any, hash_version: str) -> None:
    check(document, hash_version)
    check({"flags": document}, hash_version)
    check({"flags": {"flag": document}}, hash_version)


@given(program=PROGRAMS, hash_version=st.sampled_from(["v2", "v3"]), x=JSON)
@settings(max_examples=EXAMPLES)
def test_any_program_is_carried_or_refused_the_same_way_twice(
    program: Any, hash_version: str, x: Any
) -> None:
    document = file_with({"if": [program, "yes", program]})
    result = check(document, hash_version)
    assert result is not None
    assert len(result.flags) + len(result.refused) == 1
    assert convert(document, hash_version=hash_version).report() == result.report()
    evaluate(result.flag_set(), "flag", {"x": x, "targetingKey": "u"}, NOW)


@given(data=st.data(), hash_version=st.sampled_from(["v2", "v3"]))
@settings(max_examples=EXAMPLES // 2)
def test_a_damaged_flag_is_imported_or_refused(data: st.DataObject, hash_version: str) -> None:
    flag = file_with({"if": [{"==": [X, "a"]}, {"fractional": [X, ["red", 1]]}]})["flags"]["flag"]
    field = data.draw(st.sampled_from([*flag, "metadata", "key"]))
    flag[field] = data.draw(JSON | PROGRAMS)
    check({"flags": {"flag": flag}}, hash_version)
