"""Conditions and saved groups mean what the released SDKs mean by them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sdk.importers.growthbook.building import GROUPS, forced, imported, served


def holds(
    condition: Any, context: dict[str, Any], *, edge: str = "exclusive", groups: Any = None
) -> bool:
    result = forced({"condition": condition}, edge=edge, groups=groups)
    assert result.refused == []
    value: bool = served(result, "f", context).value
    return value


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
