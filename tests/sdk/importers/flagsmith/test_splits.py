"""Percentages and multivariate options take the buckets that Flagsmith takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine.bucketing import bucket
from flagstone.importers.flagsmith import convert
from flagstone.importers.flagsmith.shares import BUCKETS, buckets_up_to, shares_of
from tests.sdk.importers.flagsmith.building import EVERYBODY, HALF, ask, context_file, user


def test_an_override_hashes_with_its_own_key() -> None:
    variants = [{"key": "a", "value": "A", "weight": 50, "priority": 1}]
    override = {"value": "own", "variants": variants}
    document = context_file("own", (EVERYBODY, override), variants=variants)
    serves = [one["serve"] for one in convert(document).flags["flag"]["rules"]]
    salts = [one["split"]["salt"] for one in serves if isinstance(one, dict)]
    assert salts == ["o1", "f1"]
    for number in range(50):
        identity = user(f"u{number}")
        inside = bucket("flagsmith", "o1", identity["targetingKey"], BUCKETS) < BUCKETS / 2
        assert ask(document, identity).variant == ("a" if inside else "control")


def test_options_stand_in_the_order_of_their_priorities() -> None:
    variants = [
        {"key": "b", "value": "B", "weight": 50, "priority": 2},
        {"key": "a", "value": "A", "weight": 30, "priority": 1},
    ]
    split = convert(context_file("C", variants=variants)).flags["flag"]["rules"][0]["serve"][
        "split"
    ]
    assert [one["variant"] for one in split["to"]] == ["a", "b", "control"]
    assert split["to"][0]["ranges"][0][0] == 0


def test_without_an_identity_a_split_serves_the_features_own_value() -> None:
    variants = [{"key": "a", "value": "A", "weight": 100, "priority": 1}]
    assert ask(context_file("C", variants=variants), {}).value == "C"
    assert ask(context_file("C", variants=variants), user()).value == "A"


def test_two_values_of_one_name_get_a_number_behind_it() -> None:
    variants = [{"key": "a", "value": "A", "weight": 0.5, "priority": 1}]
    document = context_file(
        "C", (EVERYBODY, {"value": "D", "variants": variants}), variants=variants
    )
    assert set(convert(document).flags["flag"]["variants"]) == {"control", "a", "control (2)"}


def test_an_empty_key_is_the_default_key_of_an_empty_identifier() -> None:
    """Flagsmith's engine makes a key where the one given is empty."""
    for number in range(40):
        document = context_file("out", (HALF, {"value": "in"}))
        document["segments"]["1"]["key"] = f"salt {number}"
        assert ask(document, {"targetingKey": ""}).value == ask(document, user("")).value
        variants = [{"key": "a", "value": "A", "weight": 50, "priority": 1}]
        split = {**context_file("C", variants=variants)}
        split["features"]["flag"]["key"] = f"salt {number}"
        assert ask(split, {"targetingKey": ""}).value == ask(split, user("")).value


@given(st.floats(0, 100) | st.sampled_from([0, 33.3, 50, 100, 99.98999799959992]))
def test_a_percentage_takes_the_buckets_that_flagsmith_compares_with_it(percentage: float) -> None:
    count = buckets_up_to(percentage)
    for k in range(max(count - 3, 0), min(count + 3, BUCKETS)):
        assert (k < count) is ((k / 9998) * 100 <= percentage)


def test_percentages_include_their_edge_and_shares_do_not() -> None:
    assert buckets_up_to(0) == 1
    assert buckets_up_to(50) == 5000
    assert shares_of([50, 50]) == ([[[0, 4999]], [[4999, 9998]]], [])
    assert shares_of([0.0, 10.0]) == ([[], [[0, 1000]]], [[1000, 9998]])


@given(st.lists(st.floats(0, 70), max_size=5))
def test_shares_are_where_flagsmiths_running_sum_puts_them(weights: list[float]) -> None:
    shares, rest = shares_of(weights)
    for k in (0, 1, 17, 999, 1000, 2499, 4998, 4999, 5000, 7777, 9996, 9997):
        start, expected = 0.0, len(weights)
        for index, weight in enumerate(weights):
            limit = weight + start
            if start <= (k / 9998) * 100 < limit:
                expected = index
                break
            start = limit
        found = [
            i for i, ranges in enumerate([*shares, rest]) if any(a <= k < b for a, b in ranges)
        ]
        assert found == [expected]
