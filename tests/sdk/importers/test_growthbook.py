"""GrowthBook's traps, what is refused and lost, and that no file breaks the importer."""

from __future__ import annotations

import copy
import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagstone.engine import EvaluationDetails, bucket, evaluate, parse_flag_set
from flagstone.importers import ImportFileError, ImportResult
from flagstone.importers.growthbook import convert
from flagstone.importers.growthbook.patterns import of_script
from flagstone.importers.growthbook.shares import covered, first_bucket, span, spans_of

NOW = 0.0
EXAMPLES = int(os.environ.get("IMPORTER_EXAMPLES", "500"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=15,
)


def imported(features: Any, groups: Any = None, edge: str = "exclusive") -> ImportResult:
    return convert({"features": features, "savedGroups": groups}, edge=edge)


def served(result: ImportResult, key: str, context: dict[str, Any]) -> EvaluationDetails:
    document = json.loads(json.dumps(result.flag_set()))
    return evaluate(parse_flag_set(document, strict=True), key, context, NOW)


def forced(rule: dict[str, Any], *, edge: str = "exclusive", groups: Any = None) -> ImportResult:
    """Import a feature that is on for whom the rule matches."""
    feature = {"defaultValue": False, "rules": [{"force": True, **rule}]}
    return imported({"f": feature}, groups, edge)


def holds(
    condition: Any, context: dict[str, Any], *, edge: str = "exclusive", groups: Any = None
) -> bool:
    result = forced({"condition": condition}, edge=edge, groups=groups)
    assert result.refused == []
    value: bool = served(result, "f", context).value
    return value


# Buckets.


def test_the_bucket_at_the_edge_of_a_coverage_is_in_for_javascript_only() -> None:
    key = "feature"
    unit = next(f"u{n}" for n in range(9999) if bucket("growthbook-1", key, f"u{n}", 1000) == 500)
    for edge, expected in (("inclusive", True), ("exclusive", False)):
        feature = {"defaultValue": False, "rules": [{"force": True, "coverage": 0.5}]}
        assert served(imported({key: feature}, edge=edge), key, {"id": unit}).value is expected


@pytest.mark.parametrize("edge", ["inclusive", "exclusive"])
def test_a_coverage_of_nothing_takes_nobody(edge: str) -> None:
    key = "feature"
    unit = next(f"u{n}" for n in range(9999) if bucket("growthbook-1", key, f"u{n}", 1000) == 0)
    feature = {"defaultValue": False, "rules": [{"force": True, "coverage": 0}]}
    assert served(imported({key: feature}, edge=edge), key, {"id": unit}).value is False


@given(st.floats(-1, 2), st.sampled_from([1_000, 10_000]))
def test_the_first_bucket_is_the_smallest_that_the_vendor_compares_as_large(
    fraction: float, of: int
) -> None:
    first = first_bucket(fraction, of)
    assert first == of or first / of >= fraction
    assert first == 0 or (first - 1) / of < fraction


@given(st.floats(0, 1, exclude_min=True), st.sampled_from([1_000, 10_000]))
def test_a_coverage_takes_just_the_buckets_that_the_vendor_takes(coverage: float, of: int) -> None:
    near = {min(max(round(coverage * of) + step, 0), of - 1) for step in (-1, 0, 1)}
    for place in near:
        low, high = covered(coverage, of, inclusive=True)
        assert (low <= place < high) is (place / of <= coverage)
        low, high = covered(coverage, of, inclusive=False)
        assert (low <= place < high) is (place / of < coverage)


def test_a_float_a_hair_above_its_decimal_takes_one_bucket_more() -> None:
    assert span(0.0, 0.2 * 0.2, 10_000) == (0, 401)
    assert span(0.1 + 0.2, 1.0, 1_000) == (301, 1_000)


@given(st.lists(st.tuples(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5)), max_size=5))
def test_of_ranges_that_overlap_the_first_takes_the_bucket(
    ranges: list[tuple[float, float]],
) -> None:
    found = spans_of(ranges, 1_000)
    for place in range(0, 1_000, 7):
        vendor = [low <= place / 1_000 < high for low, high in ranges]
        ours = [any(low <= place < high for low, high in spans) for spans in found]
        assert ours == [index == vendor.index(True) if True in vendor else False
                        for index in range(len(ranges))]  # fmt: skip


def test_a_hash_runs_over_the_units_of_utf_16() -> None:
    rule = {
        "variations": ["a", "b"],
        "hashVersion": 2,
        "key": "exp",
        "ranges": [[0, 0.5], [0.5, 1]],
    }
    result = imported({"f": {"rules": [rule]}})
    unit = "😀"
    place = bucket("growthbook-2", "exp", unit, 10_000)
    assert served(result, "f", {"id": unit}).value == ("a" if place < 5_000 else "b")


@pytest.mark.parametrize("value", ["", 0, 0.0, None, True, [], {}])
def test_what_identifies_nobody_is_in_no_experiment(value: Any) -> None:
    result = imported({"f": {"defaultValue": "none", "rules": [{"variations": ["a", "b"]}]}})
    assert served(result, "f", {"id": value}).value == "none"
    assert served(result, "f", {"id": "u"}).value in ("a", "b")


def test_without_an_id_the_targeting_key_is_read() -> None:
    rule = {"variations": ["a", "b"], "key": "exp"}
    result = imported({"f": {"rules": [{**rule, "condition": {"id": {"$regex": "^u"}}}]}})
    for n in range(20):
        by_id = served(result, "f", {"id": f"u{n}", "targetingKey": "other"})
        by_key = served(result, "f", {"targetingKey": f"u{n}"})
        assert by_id.variant == by_key.variant
        assert by_id.variant is not None


def test_another_hash_attribute_never_falls_back_on_the_targeting_key() -> None:
    result = imported({"f": {"rules": [{"variations": ["a", "b"], "hashAttribute": "company"}]}})
    assert served(result, "f", {"targetingKey": "u", "id": "u"}).variant is None
    assert served(result, "f", {"company": "u"}).variant is not None


def test_a_forced_rule_falls_back_on_its_second_attribute_in_python_only() -> None:
    rule = {"coverage": 1, "hashAttribute": "device", "fallbackAttribute": "company"}
    assert served(forced(rule), "f", {"company": "c"}).value is True
    assert served(forced(rule), "f", {"device": "", "company": "c"}).value is True
    assert served(forced(rule, edge="inclusive"), "f", {"company": "c"}).value is False
    rule["disableStickyBucketing"] = True
    assert served(forced(rule), "f", {"company": "c"}).value is False


def test_a_filter_without_a_seed_is_refused_where_javascript_would_hash_nonsense() -> None:
    rule = {"filters": [{"ranges": [[0, 1]]}]}
    assert served(forced(rule), "f", {"id": "u"}).value is True
    assert forced(rule, edge="inclusive").refused[0].reason == "a filter must have a seed"


def test_a_negative_weight_counts_in_javascript_only() -> None:
    rule = {"variations": ["a", "b"], "weights": [1.2, -0.2], "hashVersion": 2}
    for edge, expected in (("inclusive", [[0, 10_000]]), ("exclusive", [[0, 5_000]])):
        flag = imported({"f": {"rules": [rule]}}, edge=edge).flags["f"]
        assert flag["rules"][0]["serve"]["split"]["to"][0]["ranges"] == expected


def test_filters_win_over_a_namespace() -> None:
    nobody = ["ns", 0, 0]
    rule = {"variations": [1, 2], "namespace": nobody}
    assert served(imported({"f": {"rules": [rule]}}), "f", {"id": "u"}).variant is None
    rule["filters"] = [{"seed": "s", "ranges": [[0, 1]]}]
    assert served(imported({"f": {"rules": [rule]}}), "f", {"id": "u"}).variant is not None


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_hash_that_the_vendor_does_not_have_takes_nobody(version: int) -> None:
    result = forced({"coverage": 1, "hashVersion": version})
    assert served(result, "f", {"id": "u"}).value is (version != 3)


def test_a_rule_keeps_its_range_of_nobody_so_that_it_can_be_widened() -> None:
    (rule,) = forced({"coverage": 0}).flags["f"]["rules"]
    assert "[[0, 0]]" in json.dumps(rule)


# Conditions.


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"a": {"$eq": None}}, {}, True),
        ({"a": {"$ne": 1}}, {}, True),
        ({"a": {"$ne": 1}}, {"a": True}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": {"$eq": [1]}}, {"a": [1]}, False),
        ({"a": [1]}, {"a": [1]}, True),
        ({"a": {}}, {}, True),
        ({"a": {"$lt": "b"}}, {"a": 1}, False),
        ({"a": {"$gt": -1}}, {}, False),
        ({"a": {"$in": [None]}}, {}, True),
        ({"a": {"$in": [[1], {"b": 1}]}}, {"a": [1]}, False),
        ({"a": {"$in": [1]}}, {"a": [True, 1]}, True),
        ({"a": {"$in": [1]}}, {"a": [True]}, False),
        ({"a": {"$nin": []}}, {}, True),
        ({"a": {"$ini": ["X"]}}, {"a": ["x"]}, True),
        ({"a": {"$alli": ["X", "y"]}}, {"a": ["x", "Y"]}, True),
        ({"a": {"$all": []}}, {"a": []}, True),
        ({"a": {"$all": []}}, {"a": "x"}, False),
        ({"a": {"$all": [{"$gt": 1}]}}, {"a": [0, 2]}, True),
        ({"a": {"$elemMatch": {}}}, {"a": [None]}, False),
        ({"a": {"$elemMatch": {"$in": [0]}}}, {"a": [None, 0]}, True),
        ({"a": {"$elemMatch": {"$or": [{"b": 1}, {"b": 2}]}}}, {"a": [{"b": 2}]}, True),
        ({"a": {"$not": {"$elemMatch": {"b": {"$size": 1}}}}}, {"a": [{"b": [1]}]}, False),
        ({"a": {"$size": {"$in": [1, 2]}}}, {"a": [0]}, True),
        ({"a": {"$not": {"$size": 1}}}, {"a": "x"}, True),
        ({"a.length": 2}, {"a": [1, 2]}, True),
        ({"a.length": 2}, {"a": {"length": 2}}, True),
        ({"a.length": {"$exists": False}}, {"a": "xy"}, True),
        ({"a.length": {"$vgt": "1.5"}}, {"a": [1, 2]}, False),
        ({"a.length": {"$vgt": 1.5}}, {"a": [1, 2]}, True),
        ({"a": {"$exists": False}}, {"a": None}, True),
        ({"a": {"$type": "null"}}, {}, True),
        ({"a": {"$type": "undefined"}}, {}, False),
        ({"a": {"$veq": ""}}, {"a": "0"}, True),
        ({"a": {"$veq": "0"}}, {"a": ""}, True),
        ({"a": {"$vlt": "1.0.0"}}, {"a": ""}, True),
        ({"a": {"$vne": "1"}}, {"a": 1}, True),
        ({"a": {"$veq": 1}}, {"a": 1.0}, True),
        ({"a": {"$regex": "b$"}}, {"a": "ab\n"}, True),
        ({"a": {"$notRegex": "b"}}, {}, True),
        ({"a": {"$notRegex": "("}}, {"a": "x"}, True),
        ({"a": {"$or": []}}, {"a": 1}, False),
        ({"$or": []}, {}, True),
        ({"$nor": []}, {}, False),
        ({"$savedGroups": 1}, {}, False),
        ({"$not": {"$savedGroups": 1}}, {}, True),
        ({"$groups": {"$in": ["x"]}}, {"$groups": ["x"]}, True),
    ],
)
def test_a_condition_means_what_the_python_sdk_means(
    condition: Any, context: dict[str, Any], expected: bool
) -> None:
    assert holds(condition, context) is expected


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"a": "8"}, {"a": 8}, True),
        ({"a": 8}, {"a": "8"}, True),
        ({"a": 0}, {}, True),
        ({"a": "null"}, {}, True),
        ({"a": "true"}, {"a": True}, True),
        ({"a": 1}, {"a": True}, True),
        ({"a": True}, {"a": "x"}, True),
        ({"a": True}, {}, False),
        ({"a": False}, {"a": ""}, True),
        ({"a": False}, {}, False),
        ({"a": {"$lte": 9}}, {}, True),
        ({"a": {"$gt": 0}}, {"a": True}, True),
        ({"a": {"$lt": "10"}}, {"a": 8}, True),
        ({"a": {"$lt": "10"}}, {"a": "8"}, False),
        ({"a": {"$lt": "x"}}, {"a": 8}, False),
        ({"a": {"$gt": "x"}}, {"a": "y"}, True),
        ({"a": {"$eq": "8"}}, {"a": 8}, False),
        ({"a": {"$vlt": "1.0.0"}}, {}, True),
        ({"a": {"$veq": 1}}, {"a": "1"}, True),
        ({"a": {"$vne": "0"}}, {"a": []}, False),
        ({"a": {"$regex": "^null$"}}, {}, True),
        ({"a": {"$regex": "^8$"}}, {"a": 8}, True),
        ({"a": {"$regex": "b$"}}, {"a": "ab\n"}, False),
        ({"a": {"$regex": "^.$"}}, {"a": "\r"}, False),
        ({"a": {"$regex": r"^\s$"}}, {"a": "\u00a0"}, True),
        ({"a": {}}, {}, False),
        ({"a": {}}, {"a": {}}, True),
        ({"a": {"$exists": []}}, {"a": 1}, True),
        ({"a": {"$alli": ["TRUE"]}}, {"a": [True]}, True),
        ({"a": {"$not": {"$what": 1}}}, {"a": 1}, True),
    ],
)
def test_a_condition_means_what_the_javascript_sdk_means(
    condition: Any, context: dict[str, Any], expected: bool
) -> None:
    assert holds(condition, context, edge="inclusive") is expected


def test_what_python_cannot_tell_stays_untold_when_negated() -> None:
    unknown = {"a": {"$what": 1}}
    assert not holds(unknown, {"a": 1})
    assert not holds({"$not": unknown}, {"a": 1})
    assert not holds({"$not": {"$and": [unknown, {}]}}, {"a": 1})
    assert holds({"$not": {"$and": [unknown, {"b": 1}]}}, {"a": 1})
    assert holds({"$or": [unknown, {"a": 1}]}, {"a": 1})
    assert not holds({"a": {"$not": {"$elemMatch": {"b": {"$what": 1}}}}}, {"a": [{}]})
    assert holds({"a": {"$not": {"$elemMatch": {"b": {"$what": 1}}}}}, {"a": [None]})


GROUPS = {
    "old": ["x", 1],
    "list": {"type": "list", "attributeKey": "a", "values": ["x"]},
    "where": {"type": "condition", "condition": {"a": {"$gt": 1}}},
    "inner": {"type": "condition", "condition": {"$savedGroup": {"id": "where"}}},
    "loop": {"type": "condition", "condition": {"$not": {"$savedGroup": {"id": "loop"}}}},
    "newer": {"type": "vector"},
    "broken": {"type": "list", "values": 1},
}


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"a": {"$inGroup": "old"}}, {"a": ["y", 1]}, True),
        ({"a": {"$inGroup": "old"}}, {"a": True}, False),
        ({"a": {"$inGroup": "list"}}, {"a": "x"}, True),
        ({"a": {"$inGroup": "missing"}}, {"a": "x"}, False),
        ({"a": {"$notInGroup": "missing"}}, {"a": "x"}, True),
        ({"a": {"$notInGroup": "broken"}}, {"a": "x"}, False),
        ({"a": {"$notInGroup": "where"}}, {"a": "x"}, False),
        ({"a": {"$notInGroup": 5}}, {"a": "x"}, False),
        ({"$not": {"a": {"$inGroup": "newer"}}}, {"a": "x"}, False),
        ({"$savedGroup": {"id": "list"}}, {"a": "x"}, True),
        ({"$savedGroup": {"id": "list", "attributeKey": "b"}}, {"a": "x"}, False),
        ({"$savedGroup": {"id": "list", "attributeKey": 1}}, {"a": "x"}, False),
        ({"$savedGroup": {"id": "old"}}, {"a": "x"}, False),
        ({"$savedGroup": {"id": "inner"}}, {"a": 2}, True),
        ({"$not": {"$savedGroup": {"id": "inner"}}}, {"a": 2}, False),
        ({"$savedGroup": {"id": "loop"}}, {}, True),
        ({"$not": {"$savedGroup": {"id": "newer"}}}, {}, False),
        ({"b": {"$elemMatch": {"$savedGroup": {"id": "where"}}}}, {"a": 0, "b": [{"a": 2}]}, True),
        ({"b": {"$elemMatch": {"a": {"$inGroup": "old"}}}}, {"b": [{"a": "x"}]}, True),
        ({"id": {"$inGroup": "old"}}, {"targetingKey": "x"}, True),
        ({"id": {"$inGroup": "old"}}, {"id": "y", "targetingKey": "x"}, False),
    ],
)
def test_a_saved_group_means_what_the_python_sdk_means(
    condition: Any, context: dict[str, Any], expected: bool
) -> None:
    assert holds(condition, context, groups=GROUPS) is expected


def test_a_list_of_ids_becomes_one_segment_for_all_features() -> None:
    rule = {"force": True, "condition": {"country": {"$inGroup": "old"}}}
    features = {name: {"defaultValue": False, "rules": [rule]} for name in ("a", "b")}
    result = imported(features, GROUPS)
    assert result.segments == {
        "old/country": {"attr": "country", "op": "in", "values": ["x", 1], "elements": True}
    }
    assert [flag["rules"][0]["when"] for flag in result.flags.values()] == [
        {"segment": "old/country"}
    ] * 2


# Prerequisites, nulls and names.


def child(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"defaultValue": "default", "rules": list(rules)}


PARENT = {"defaultValue": "red", "rules": [{"force": "green", "condition": {"a": 1}}]}


def gate(condition: Any, *, gates: bool = True) -> dict[str, Any]:
    return {"parentConditions": [{"id": "parent", "condition": condition, "gate": gates}]}


def test_a_gate_at_the_beginning_becomes_a_prerequisite() -> None:
    result = imported({"parent": PARENT, "child": child(gate({"value": "green"}))})
    assert result.flags["child"]["prerequisites"] == [{"flag": "parent", "variants": ["green"]}]
    assert served(result, "child", {"a": 1}).value == "default"
    assert served(result, "child", {}).variant is None


def test_a_gate_behind_a_rule_does_not_close_that_rule() -> None:
    first = {"force": "first", "condition": {"b": 1}}
    rules = (first, gate({"value": "green"}), {"force": "last", "condition": {"c": 1}})
    result = imported({"parent": PARENT, "child": child(*rules)})
    assert served(result, "child", {"b": 1}).value == "first"
    assert served(result, "child", {"c": 1}).variant is None
    assert served(result, "child", {}).variant is None
    assert served(result, "child", {"a": 1, "c": 1}).value == "last"
    assert served(result, "child", {"a": 1}).value == "default"


def test_a_prerequisite_that_does_not_gate_passes_its_rule_over() -> None:
    rule = {"force": "forced", **gate({"value": "green"}, gates=False)}
    result = imported({"parent": PARENT, "child": child(rule)})
    assert served(result, "child", {"a": 1}).value == "forced"
    assert served(result, "child", {}).value == "default"


def test_a_gate_behind_a_failed_prerequisite_is_not_asked() -> None:
    parents = [
        {"id": "parent", "condition": {"value": "green"}},
        {"id": "parent", "condition": {"value": "never"}, "gate": True},
    ]
    result = imported({"parent": PARENT, "child": child({"parentConditions": parents})})
    assert served(result, "child", {}).value == "default"
    assert served(result, "child", {"a": 1}).variant is None


@pytest.mark.parametrize("gates", [True, False])
def test_a_prerequisite_without_a_value_is_null(gates: bool) -> None:
    features = {"parent": {"rules": []}, "child": child(gate({"value": None}, gates=gates))}
    assert served(imported(features), "child", {}).value == "default"
    del features["parent"]
    assert served(imported(features), "child", {}).value == "default"
    features["child"] = child(gate({"value": {"$exists": True}}))
    assert served(imported(features), "child", {}).variant is None


def test_prerequisites_that_always_go_in_a_circle_never_have_a_value() -> None:
    round_about = {
        "a": {"defaultValue": 1, "rules": [{"parentConditions": [{"id": "b"}]}]},
        "b": {"defaultValue": 1, "rules": [{"parentConditions": [{"id": "a"}]}]},
        "c": child({"force": "x", "condition": {"k": 1}}, {"parentConditions": [{"id": "a"}]}),
    }
    result = imported(round_about)
    assert result.refused == []
    assert [served(result, key, {}).variant for key in round_about] == [None] * 3
    assert served(result, "c", {"k": 1}).value == "x"
    assert [note.flag for note in result.lossy] == ["a", "b"]


def test_prerequisites_that_sometimes_go_in_a_circle_are_refused() -> None:
    def asks(other: str) -> dict[str, Any]:
        rule = {"parentConditions": [{"id": other, "condition": {"value": "default"}}]}
        return child({"force": "x", "condition": {"k": 1}}, rule)

    result = imported({"a": asks("b"), "b": asks("a"), "c": child()})
    assert {note.flag for note in result.refused} == {"a", "b"}
    assert "circle" in result.refused[0].reason
    assert list(result.flags) == ["c"]


def test_who_asks_a_refused_flag_is_refused_too() -> None:
    bandit = {"rules": [{"contextualBanditRef": "cb", "contextualVariations": [1, 2]}]}
    middle = child(gate({"value": 1}))
    last = {"rules": [{"parentConditions": [{"id": "middle", "condition": {"value": 1}}]}]}
    result = imported({"last": last, "middle": middle, "parent": bandit})
    assert [(note.flag, note.reason) for note in result.refused] == [
        ("last", "its prerequisite 'parent' is refused"),
        ("middle", "its prerequisite 'parent' is refused"),
        ("parent", "contextual bandits are not supported"),
    ]


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


# The report, and what is no file.


@pytest.mark.parametrize(
    ("feature", "reason"),
    [
        (5, "a feature must be an object"),
        ({"rules": 5}, "rules must be a list"),
        ({"rules": [5]}, "each of rules must be an object"),
        ({"rules": [{"force": 1, "condition": [1]}]}, "a condition must be an object"),
        ({"rules": [{"force": 1, "condition": {"$or": 5}}]}, "$or must be a list"),
        ({"rules": [{"force": 1, "condition": {"a": {"$elemMatch": 1}}}]}, "$elemMatch must be"),
        ({"rules": [{"force": 1, "condition": {"a.0": 1}}]}, "by its place"),
        ({"rules": [{"force": 1, "condition": {"a": {"$lt": "😀"}}}]}, "UTF-16"),
        ({"rules": [{"force": 1, "condition": {"a": {"$regex": "(?=x)"}}}]}, "the pattern"),
        ({"rules": [{"force": 1, "coverage": "1"}]}, "coverage must be a number"),
        ({"rules": [{"force": 1, "range": [1]}]}, "range must be a pair"),
        ({"rules": [{"force": 1, "coverage": 1, "seed": 5}]}, "seed must be a text"),
        ({"rules": [{"variations": 5}]}, "variations must be a list"),
        ({"rules": [{"variations": [1, 2], "namespace": ["a"]}]}, "a namespace must be"),
        ({"rules": [{"force": 1, "filters": [{"ranges": 1}]}]}, "the ranges of a filter"),
        ({"defaultValue": 2**60}, "an integer lies within"),
        ({"rules": [{"force": 1, "parentConditions": [{"id": 5}]}]}, "must be a text"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name(feature: Any, reason: str) -> None:
    result = imported({"bad": feature, "good": {"defaultValue": 1}})
    assert list(result.flags) == ["good"]
    (note,) = result.report()["refused"]
    assert note["flag"] == "bad"
    assert reason in note["reason"]


def test_what_was_left_behind_is_named() -> None:
    experiment = {"variations": [1, 2], "bucketVersion": 2, "phase": "1"}
    tracked = {"force": 3, "tracks": [{"experiment": {}, "result": {}}],
               "condition": {"a": {"$regex": r"\d"}, "b": {"c": 1, "d": 2}}}  # fmt: skip
    (note,) = imported({"f": {"rules": [experiment, tracked]}}).lossy
    for word in ("sticky", "tracks", "ASCII", "order of its fields"):
        assert word in note.reason


def test_what_goes_without_saying_of_every_experiment_is_said_once() -> None:
    experiment = {"variations": [1, 2], "bucketVersion": 1, "minBucketVersion": 0}
    plain = {"variations": [1, 2]}
    result = imported({"f": {"rules": [experiment]}, "g": {"rules": [experiment, plain]}})
    (note,) = result.lossy
    assert note.flag == "*"
    assert "sticky buckets of 2 flags" in note.reason
    assert imported({"f": {"rules": [plain]}}).lossy == []


def test_experiments_of_a_page_are_refused_by_name() -> None:
    document = {"features": {}, "experiments": [{"key": "redirect", "variations": [{}, {}]}, 5]}
    assert [note.flag for note in convert(document).refused] == ["redirect"]


def test_a_long_chain_of_prerequisites_is_refused_where_it_becomes_too_long() -> None:
    def link(n: int) -> dict[str, Any]:
        return child({"parentConditions": [{"id": f"f{n - 1}", "condition": {"value": "default"}}]})

    features: dict[str, Any] = {"f0": child(), **{f"f{n}": link(n) for n in range(1, 1200)}}
    for n in range(1, 1200):
        features[f"f{n}"]["rules"][0]["force"] = "x"
    result = imported(features)
    parse_flag_set(result.flag_set(), strict=True)
    assert len(result.flags) == 51
    assert len(result.refused) == 1200 - 51


def test_a_nesting_without_end_is_refused() -> None:
    condition: Any = {"a": 1}
    for _ in range(5000):
        condition = {"$not": condition}
    value: Any = {"a": 1}
    for _ in range(5000):
        value = {"a": {"$not": value}}
    rules = [{"force": 1, "condition": part} for part in (condition, {"b": {"$elemMatch": value}})]
    result = imported({"deep": {"rules": rules}, "deeper": {"rules": rules[1:]}, "good": child()})
    assert list(result.flags) == ["good"]


def test_groups_that_multiply_are_refused() -> None:
    groups = {
        f"g{n}": {
            "type": "condition",
            "condition": {"$or": [{"$savedGroup": {"id": f"g{n + 1}"}}] * 2},
        }
        for n in range(30)
    }
    result = forced({"condition": {"$savedGroup": {"id": "g0"}}}, groups=groups)
    assert "parts" in result.refused[0].reason


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"features": []},
        {"features": {}, "savedGroups": []},
        {"encryptedFeatures": "abc.def"},
    ],
)
def test_what_is_no_file_of_features_is_said_to_be_none(document: Any) -> None:
    with pytest.raises(ImportFileError):
        convert(document)


def test_an_edge_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="inclusive"):
        convert({"features": {}}, edge="other")


def test_a_class_of_brackets_is_read_as_the_vendor_reads_it() -> None:
    assert of_script("[[:alpha:]x]") == r"[\[:alpha:]x]"
    assert of_script(r"a\/b\u00e9") == r"a\/b\x{00e9}"
    assert of_script(r"\z") == "z"


# Any JSON.

VALID: dict[str, Any] = {
    "features": {
        "parent": PARENT,
        "child": child(
            gate({"value": {"$in": ["green", None]}}),
            {
                "id": "fr",
                "condition": {
                    "$or": [{"a": {"$gt": 1, "$regex": "x$"}}, {"$savedGroup": {"id": "inner"}}],
                    "b.c": {"$elemMatch": {"d": {"$vgt": "1.2.3"}}},
                    "id": {"$inGroup": "old"},
                },
                "filters": [{"seed": "s", "ranges": [[0, 0.5]], "hashVersion": 2}],
                "variations": ["x", "y", None],
                "weights": [0.5, 0.25, 0.25],
                "coverage": 0.9,
                "namespace": ["n", 0, 0.5],
                "meta": [{"key": "k"}, {"passthrough": True}],
                "hashAttribute": "id",
                "fallbackAttribute": "device",
                "hashVersion": 2,
                "seed": "s",
            },
            {"force": "z", "coverage": 0.3, "range": [0, 0.5]},
        ),
    },
    "savedGroups": GROUPS,
    "experiments": [{"key": "page"}],
}


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(document, dict):
        for key, value in document.items():
            found += places(value, (*path, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            found += places(value, (*path, index))
    return found


PLACES = places(VALID)


def check(document: Any, edge: str) -> None:
    try:
        result = convert(document, edge=edge)
    except ImportFileError:
        return
    text = json.dumps(result.flag_set())
    flag_set = parse_flag_set(json.loads(text), strict=True)
    json.dumps(result.report())
    for key in result.flags:
        evaluate(flag_set, key, {"id": "u", "a": 2, "b": {"c": [{"d": "2"}]}}, NOW)
    assert text == json.dumps(convert(document, edge=edge).flag_set())


@settings(max_examples=EXAMPLES, deadline=None)
@given(JSON, st.sampled_from(["inclusive", "exclusive"]))
def test_any_json_is_imported_or_refused(document: Any, edge: str) -> None:
    check(document, edge)
    check({"features": {"f": document}, "savedGroups": {"g": document}}, edge)
    check({"features": {"f": {"rules": [{"force": 1, "condition": {"a": document}}]}}}, edge)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(PLACES), JSON | st.just(...)), min_size=1, max_size=4),
    st.sampled_from(["inclusive", "exclusive"]),
)
def test_a_damaged_file_is_imported_or_refused(
    damages: list[tuple[tuple[Any, ...], Any]], edge: str
) -> None:
    document = copy.deepcopy(VALID)
    for (*path, last), value in damages:
        inside: Any = document
        try:
            for step in path:
                inside = inside[step]
            if value is ...:
                del inside[last]
            else:
                inside[last] = value
        except (KeyError, IndexError, TypeError):
            continue
    check(document, edge)


def test_an_undamaged_file_is_imported_whole() -> None:
    result = convert(VALID)
    assert list(result.flags) == ["parent", "child"]
    assert [note.flag for note in result.refused] == ["page"]
