"""Coverages, ranges, filters and hashes take the buckets that GrowthBook takes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine import bucket
from flagstone.importers.growthbook.shares import covered, first_bucket, span, spans_of
from tests.sdk.importers.growthbook.building import forced, imported, served


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
