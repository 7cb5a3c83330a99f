"""Damaged files and any JSON: flags or a refusal, never another exception."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flagstone.importers.eppo import convert
from tests.sdk.engine.fuzzing import fuzzed
from tests.sdk.importers.eppo.building import NOW, allocation, condition, flag, reason, shard
from tests.sdk.importers.hostile import assert_imported_or_refused, mutated

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)
ODD = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        2**32,
        2**53,
        10**400,
        1.5,
        float("nan"),
        float("inf"),
        "",
        "on",
        "id",
        "targetingKey",
        "1.0.0",
        "NOT_MATCHES",
        "GTE",
        "JSON",
        "INTEGER",
        "(",
        "\\Q",
        "[]",
        "{}",
        "\ud800",
        "2026-06-01T00:00:00Z",
        [],
        {},
        [[]],
        [{}],
        [None],
    ]
)
WHOLE = {
    "format": "SERVER",
    "bandits": {},
    "flags": {
        "f": flag(
            allocation(
                "a",
                condition("id", "MATCHES", "a+"),
                condition("x", "GTE", "1.0.0"),
                startAt="2026-06-01T00:00:00Z",
                endAt="2026-07-01T00:00:00Z",
            ),
            allocation(
                "b",
                condition("x", "ONE_OF", ["1", "true"]),
                condition("x", "LT", 5),
                splits=[
                    {"variationKey": "on", "shards": [shard("s", (0, 5)), shard("t", (1, 2))]},
                    {"variationKey": "off", "shards": [shard("s", (0, 5)), shard("t", (2, 9))]},
                ],
            ),
            allocation(
                "c", condition("y", "IS_NULL", True), splits=[{"variationKey": "no", "shards": []}]
            ),
        )
    },
}


def check(document: Any) -> None:
    assert_imported_or_refused(convert, document, NOW)


@fuzzed(40)
@given(JSON)
def test_any_json_gives_a_result_or_a_refusal(document: Any) -> None:
    check(document)
    check({"flags": {"f": document}})


@fuzzed(40)
@given(st.data())
def test_any_mutation_of_a_file_gives_a_result_or_a_refusal(data: st.DataObject) -> None:
    check(mutated(data, WHOLE, ODD | JSON))


def test_deep_nesting_is_a_refusal() -> None:
    deep: Any = "a"
    for _ in range(100_000):
        deep = [deep]
    assert "is malformed" in reason(flag(allocation("a", condition("x", "ONE_OF", deep))))
    value = "[" * 5000 + "]" * 5000
    given = flag(variationType="JSON", variations={"on": {"key": "on", "value": value}})
    assert reason(given)
