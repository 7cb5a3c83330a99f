"""What cannot be carried is refused by name, and the report says what is lost."""

from __future__ import annotations

from typing import Any

import pytest

from flagstone.engine import parse_flag_set
from flagstone.importers import ImportFileError
from flagstone.importers.growthbook import convert
from flagstone.importers.growthbook.patterns import of_script
from tests.sdk.importers.growthbook.building import child, forced, imported


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
