"""Damaged files, any JSON and any constant: flags or a refusal, never another exception."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flagstone.importers.unleash import convert
from tests.sdk.engine.fuzzing import fuzzed
from tests.sdk.importers.hostile import assert_imported_or_refused, mutated
from tests.sdk.importers.unleash.building import (
    NOW,
    compared,
    constraint,
    feature,
    reason,
    strategy,
    variant,
)

ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        2**70,
        1.5,
        float("nan"),
        "",
        "\ud800",
        "default",
        "x",
        "userId",
        "IN",
        "50",
    ]
)
JSON = st.recursive(
    ODD | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
WHOLE: dict[str, Any] = {
    "version": 2,
    "features": [
        feature(
            strategy("default", constraint("STR_CONTAINS", "a", "1"), compared("NUM_EQ", "5")),
            strategy(
                "flexibleRollout",
                compared("REGEX", "a\\d+"),
                parameters={"rollout": "50", "stickiness": "default", "groupId": "g"},
                segments=[1],
                variants=[variant("a", 5, ("json", "[1]")), variant("b", 5, ("number", "1"))],
            ),
            strategy("gradualRolloutRandom", parameters={"percentage": "50"}),
            name="parent",
        ),
        feature(
            strategy(
                "default",
                {**compared("DATE_AFTER", "2022-01-29T13:00:00Z"), "contextName": "currentTime"},
            ),
            strategy(
                "remoteAddress", constraint("IN_CIDR", "::1/8"), parameters={"IPs": "10.0.0.1"}
            ),
            strategy("userWithId", compared("SEMVER_GT", "1.2.3"), parameters={"userIds": "a,b"}),
            variants=[
                variant("a", 5, overrides=[{"contextName": "x", "values": ["1"]}]),
                variant("b", 7, stickiness="x"),
            ],
            dependencies=[{"feature": "parent", "enabled": True, "variants": ["a"]}],
        ),
    ],
    "segments": [{"id": 1, "constraints": [constraint("NOT_IN", "a")]}],
}


def check(document: Any) -> None:
    assert_imported_or_refused(convert, document, NOW)


@fuzzed(40)
@given(JSON)
def test_any_json_gives_a_result_or_a_refusal(document: Any) -> None:
    check(document)
    check({"features": [document], "segments": [document]})
    check({"features": [{"name": "f", "enabled": True, "strategies": document}]})


@fuzzed(40)
@given(st.data())
def test_any_mutation_of_a_file_gives_a_result_or_a_refusal(data: st.DataObject) -> None:
    check(mutated(data, WHOLE, ODD | JSON))


@fuzzed(40)
@given(
    st.text(st.sampled_from('0123456789.+-eEvZT:nai"\\ \tor'), max_size=12),
    st.sampled_from(["NUM_EQ", "NUM_LT", "SEMVER_GT", "DATE_AFTER", "REGEX"]),
)
def test_any_constant_gives_a_result_or_a_refusal(value: str, operator: str) -> None:
    check({"features": [feature(strategy("default", compared(operator, value)))]})


def test_deep_nesting_is_a_refusal() -> None:
    deep: Any = "a"
    for _ in range(100_000):
        deep = [deep]
    assert "is malformed" in reason(feature(strategy("default", constraint("IN", deep))))
