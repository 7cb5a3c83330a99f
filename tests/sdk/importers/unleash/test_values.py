"""Flags, their types, values and names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sdk.importers.unleash.building import ask, feature, imported, reason, strategy, variant


def test_a_feature_without_variants_is_a_boolean_flag() -> None:
    result = imported(feature(strategy("userWithId", parameters={"userIds": "a, b"})))
    assert result.flags["f"]["type"] == "boolean"
    on, off = ask(result, targetingKey="b"), ask(result, targetingKey="c")
    assert (on.value, on.variant, on.on) == (True, "enabled", True)
    assert (off.value, off.variant, off.on) == (False, "disabled", False)


def test_variants_without_payloads_keep_their_names_and_the_flag_boolean() -> None:
    result = imported(feature(variants=[variant("red")]))
    details = ask(result, targetingKey="a")
    assert (details.value, details.variant, details.on) == (True, "red", True)


@pytest.mark.parametrize(
    ("payload", "kind", "value"),
    [
        (("string", "5"), "string", "5"),
        (("csv", "a,b"), "string", "a,b"),
        (("number", "5"), "integer", 5),
        (("number", "-1.50"), "float", -1.5),
        (("number", "1e400"), "string", "1e400"),
        (("number", "many"), "string", "many"),
        (("number", "9007199254740993"), "float", 9007199254740992.0),
        (("json", '{"a": [1, null]}'), "object", {"a": [1, None]}),
        (("json", "true"), "boolean", True),
        (("json", "{broken"), "string", "{broken"),
        (("json", "[NaN]"), "string", "[NaN]"),
        (("json", "[" * 100_000), "string", "[" * 100_000),
        (("json", "[1e999]"), "string", "[1e999]"),
        (("other", "x"), "string", "x"),
    ],
)
def test_a_payload_is_read_by_its_type(payload: tuple[str, str], kind: str, value: Any) -> None:
    result = imported(feature(variants=[variant("v", 1, payload)]))
    assert result.flags["f"]["type"] == kind
    details = ask(result, targetingKey="a")
    assert details.value == value
    assert type(details.value) is type(value)


def test_a_feature_with_payloads_gives_the_callers_default_while_it_is_off() -> None:
    one = feature(variants=[variant("v", 1, ("string", "x"))])
    details = ask(imported({**one, "enabled": False}), targetingKey="a")
    assert (details.variant, details.value, details.on) == (None, None, False)
    assert str(details.reason) == "DISABLED"


def test_a_missing_payload_beside_others_is_null() -> None:
    result = imported(
        feature(variants=[variant("v", 0, ("string", "x")), variant("w", 1)]),
    )
    assert result.flags["f"]["type"] == "object"
    details = ask(result, targetingKey="a")
    assert (details.variant, details.value, details.on) == ("w", None, True)


def test_a_strategy_without_variants_among_others_with_them_is_plainly_on() -> None:
    result = imported(
        feature(
            strategy("userWithId", parameters={"userIds": "a"}),
            strategy("default", variants=[variant("v", 1, ("string", "x"))]),
        )
    )
    # The first strategy that lets somebody in decides of the variant too.
    assert (ask(result, targetingKey="a").variant, ask(result, targetingKey="a").on) == (
        "enabled",
        True,
    )
    assert ask(result, targetingKey="b").variant == "v"


def test_variants_that_have_our_names_push_ours_into_brackets() -> None:
    result = imported(
        feature(
            strategy("userWithId", parameters={"userIds": "a"}),
            strategy(
                "userWithId",
                parameters={"userIds": "b"},
                variants=[variant("enabled")],
            ),
            strategy(
                "userWithId",
                parameters={"userIds": "c"},
                variants=[variant("disabled")],
            ),
        )
    )
    served = [(ask(result, targetingKey=u).variant, ask(result, targetingKey=u).on) for u in "abcd"]
    assert served == [
        ("(enabled)", True),
        ("enabled", True),
        ("disabled", True),
        ("(disabled)", False),
    ]


def test_two_variants_of_one_name_and_different_payloads_are_refused() -> None:
    both = [variant("v", 1, ("string", "x")), variant("v", 1, ("string", "y"))]
    assert "two variants are called 'v'" in reason(feature(variants=both))
    alike = [variant("v", 1, ("string", "x")), variant("v", 1, ("string", "x"))]
    assert imported(feature(variants=alike)).flags


def test_names_of_strategies_become_ids_of_rules() -> None:
    result = imported(feature(strategy(), strategy(), impressionData=True))
    rules = result.flags["f"]["rules"]
    assert [rule["id"] for rule in rules] == ["default", "default-2"]
    assert all(rule["track"] for rule in rules)


def test_of_two_features_with_one_name_the_last_counts() -> None:
    result = imported(feature(), {**feature(), "enabled": False})
    assert not ask(result).on
    assert list(result.flags) == ["f"]


def test_the_order_of_the_features_is_kept() -> None:
    result = imported(
        feature(name="b", dependencies=[{"feature": "c"}]), feature(name="c"), feature(name="a")
    )
    assert list(result.flags) == ["b", "c", "a"]
