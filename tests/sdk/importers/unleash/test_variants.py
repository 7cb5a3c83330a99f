"""Weights, stickiness and overrides of variants."""

from __future__ import annotations

from typing import Any

from tests.sdk.importers.unleash.building import (
    USERS,
    ask,
    bucket,
    feature,
    imported,
    reason,
    strategy,
    variant,
)


def served_by_unleash(variants: list[Any], group: str, unit: str) -> str:
    total, place = sum(one["weight"] for one in variants), 0
    target = bucket(group, unit, total, 86028157)
    for one in variants:
        place += one["weight"]
        if target < place:
            return str(one["name"])
    raise AssertionError


def test_feature_variants_hash_the_features_name() -> None:
    variants = [variant("a", 33), variant("none", 0), variant("b", 1), variant("c", 966)]
    grouped = strategy("default", parameters={"groupId": "g"})
    result = imported(feature(grouped, variants=variants))
    for user in USERS:
        assert ask(result, targetingKey=user).variant == served_by_unleash(variants, "f", user)


def test_strategy_variants_hash_the_strategys_group_by_its_stickiness() -> None:
    variants = [variant("a", 500, stickiness="userId"), variant("b", 500)]
    parameters = {"rollout": "100", "groupId": "g", "stickiness": "sessionId"}
    one = strategy("flexibleRollout", parameters=parameters, variants=variants)
    result = imported(feature(one, variants=[variant("other")]))
    for unit in USERS:
        served = ask(result, targetingKey="u", sessionId=unit).variant
        assert served == served_by_unleash(variants, "g", unit)


def test_the_first_variants_stickiness_is_everybodys() -> None:
    variants = [variant("a", 5, stickiness="x"), variant("b", 5, stickiness="userId")]
    result = imported(feature(variants=variants))
    for unit in USERS[:50]:
        assert ask(result, targetingKey="u", x=unit).variant == served_by_unleash(
            variants, "f", unit
        )


def test_without_a_user_the_session_and_then_chance_decide() -> None:
    variants = [variant("a", 5), variant("b", 6)]
    result = imported(feature(variants=variants))
    for unit in USERS[:50]:
        expected = served_by_unleash(variants, "f", unit)
        assert ask(result, sessionId=unit).variant == expected
        assert ask(result, **{"$random": unit}).variant == expected
    assert ask(result).variant == "b"
    assert result.lossy


def test_random_stickiness_of_variants_is_an_attribute_first() -> None:
    variants = [variant("a", 5, stickiness="random"), variant("b", 5)]
    result = imported(feature(variants=variants))
    for unit in USERS[:50]:
        assert ask(result, random=unit).variant == served_by_unleash(variants, "f", unit)


def test_overrides_go_before_the_hash_and_need_no_weight() -> None:
    overrides = [
        {"contextName": "userId", "values": ["u1", "5"]},
        {"contextName": "x", "values": ["true"]},
    ]
    variants = [variant("a", 0, overrides=overrides), variant("b", 7)]
    result = imported(feature(variants=variants))
    contexts: list[dict[str, Any]] = [
        {"targetingKey": "u1"},
        {"targetingKey": 5},
        {"targetingKey": "u", "x": True},
        {"targetingKey": "u"},
    ]
    assert [ask(result, **context).variant for context in contexts] == ["a", "a", "a", "b"]


def test_a_single_variant_leaves_nothing_to_chance() -> None:
    result = imported(feature(variants=[variant("a"), variant("b", 0)]))
    assert ask(result).variant == "a"
    assert not result.lossy


def test_weights_that_sum_up_to_nothing_are_refused() -> None:
    assert "no weight" in reason(feature(variants=[variant("a", 0)]))


def test_negative_weights_are_refused() -> None:
    assert "a weight is" in reason(feature(variants=[variant("a", -1), variant("b", 5)]))
