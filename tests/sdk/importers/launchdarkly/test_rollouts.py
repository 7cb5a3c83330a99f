"""Rollouts and experiments keep every bucket."""

from __future__ import annotations

from typing import Any

import pytest

from flagstone.engine import parse_flag_set
from tests.sdk.importers.launchdarkly.building import (
    IN_SEGMENT,
    details,
    flag,
    imported,
    matches,
    place,
    rollout,
    weighted,
)


def variant(serve: dict[str, Any], context: dict[str, Any]) -> str | None:
    result = imported({"f": flag(fallthrough=serve)})
    parse_flag_set(result.flag_set(), strict=True)
    return details(result, context).variant


@pytest.mark.parametrize("seed", [None, 61, 0])
def test_a_rollout_keeps_every_bucket(seed: int | None) -> None:
    salt = "f.salt" if seed is None else str(seed)
    result = imported({"f": flag(fallthrough=rollout(20_000, 30_000, 50_000, seed=seed))})
    for number in range(500):
        bucket = place(salt, f"u{number}")
        expected = "0" if bucket < 0.2 else "1" if bucket < 0.5 else "2"
        assert details(result, {"targetingKey": f"u{number}"}).variant == expected


def test_a_weight_ends_between_a_unit_and_the_next_bucket() -> None:
    for number in range(100):
        bucket, context = (
            int(place("f.salt", f"u{number}") * 100_000),
            {"targetingKey": f"u{number}"},
        )
        assert variant(rollout(bucket, 100_000 - bucket), context) == "1"
        assert variant(rollout(bucket + 1, 99_999 - bucket), context) == "0"
        assert not matches(IN_SEGMENT, context, s=weighted(bucket, salt="salt", key="f"))
        assert matches(IN_SEGMENT, context, s=weighted(bucket + 1, salt="salt", key="f"))


def test_an_integer_key_has_the_bucket_of_its_text() -> None:
    serve = rollout(50_000, 50_000)
    for number in range(50):
        expected = "0" if place("f.salt", str(number)) < 0.5 else "1"
        assert variant(serve, {"targetingKey": number}) == expected


def test_past_the_end_of_the_weights_is_the_last_variation() -> None:
    assert {variant(rollout(1, 1), {"targetingKey": f"u{n}"}) for n in range(20)} == {"1"}
    assert variant(rollout(0, 0), {}) == "0"


def test_a_context_without_the_kind_gets_the_first_variation_even_at_no_weight() -> None:
    assert variant(rollout(0, 100_000, contextKind="org"), {"targetingKey": "u"}) == "0"
    serve = rollout(0, 100_000, contextKind="org", bucketBy="/a")
    assert variant(serve, {"targetingKey": "u"}) == "0"
    assert variant(serve, {"org": {"key": "o"}}) == "1"


@pytest.mark.parametrize("value", [True, 1.5, None, ["x"], {"a": 1}])
def test_an_attribute_that_is_no_unit_lies_in_the_first_bucket(value: Any) -> None:
    serve = rollout(0, 1, 99_999, bucketBy="a")
    assert variant(serve, {"targetingKey": "u", "a": value}) == "1"
    assert variant(serve, {"targetingKey": "u"}) == "1"


def test_a_rollout_may_be_by_an_attribute_or_another_kind() -> None:
    for serve, context in (
        (rollout(50_000, 50_000, bucketBy="a"), lambda n: {"targetingKey": "u", "a": n}),
        (rollout(50_000, 50_000, contextKind="org"), lambda n: {"org": {"key": str(n)}}),
        (
            rollout(50_000, 50_000, contextKind="org", bucketBy="/a/b"),
            lambda n: {"org": {"key": "o", "a": {"b": str(n)}}},
        ),
    ):
        for number in range(30):
            expected = "0" if place("f.salt", str(number)) < 0.5 else "1"
            assert variant(serve, context(number)) == expected


def test_an_experiment_is_by_key_and_tracks_what_is_not_untracked() -> None:
    parts = [
        {"variation": 0, "weight": 50_000},
        {"variation": 1, "weight": 50_000, "untracked": True},
    ]
    serve = {"rollout": {"kind": "experiment", "bucketBy": "a", "variations": parts}}
    result = imported({"f": flag(fallthrough=serve)})
    seen = set()
    for number in range(30):
        found = details(result, {"targetingKey": f"u{number}", "a": "same"})
        assert found.variant == ("0" if place("f.salt", f"u{number}") < 0.5 else "1")
        assert found.track is (found.variant == "0")
        seen.add(found.variant)
    assert seen == {"0", "1"}
    assert details(result, {}).variant == "0"
    assert details(result, {}).track is False
