"""Features that ask their parents."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sdk.importers.unleash.building import (
    ask,
    constraint,
    feature,
    imported,
    reason,
    rollout,
    strategy,
    variant,
)


@pytest.mark.parametrize(
    ("parent", "dependency", "on"),
    [
        ({}, {}, True),
        ({}, {"enabled": False}, False),
        ({"enabled": False}, {}, False),
        ({"enabled": False}, {"enabled": False}, True),
        ({}, {"variants": ["v"]}, True),
        ({}, {"variants": []}, True),
        ({"variants": [variant("v")]}, {"variants": ["v", "w"]}, True),
        ({"variants": [variant("v")]}, {"variants": ["w"]}, False),
        ({"variants": [variant("v", 1, ("string", "x"))]}, {"enabled": False}, False),
        (
            {"enabled": False, "variants": [variant("v", 1, ("string", "x"))]},
            {"enabled": False},
            True,
        ),
        ({"dependencies": [{"feature": "grand"}]}, {}, False),
        ({"dependencies": []}, {}, True),
        ({"strategies": [strategy("default", constraint("NOPE"))]}, {"enabled": False}, True),
    ],
)
def test_a_child_asks_its_parent(
    parent: dict[str, Any], dependency: dict[str, Any], *, on: bool
) -> None:
    child = feature(dependencies=[{"feature": "parent", **dependency}])
    grand = feature(name="grand")
    result = imported(child, {**feature(name="parent"), **parent}, grand)
    assert ask(result, targetingKey="u").on is on
    assert not result.refused


@pytest.mark.parametrize("parent", ["nowhere", "f"])
def test_a_missing_parent_and_oneself_are_never_satisfied(parent: str) -> None:
    result = imported(feature(dependencies=[{"feature": parent}]))
    assert not ask(result).on
    assert "parent" in result.lossy[0].reason


def test_what_hangs_on_a_refused_parent_is_refused() -> None:
    child, parent = (
        feature(dependencies=[{"feature": "p"}]),
        feature(strategy("ours"), name="p"),
    )
    assert "'p' was not imported" in reason(child, parent)
    assert "'p' was not imported" in reason(child, {"name": "p"})


def test_a_parent_that_would_hash_the_childs_name_is_refused() -> None:
    child = feature(dependencies=[{"feature": "p"}])
    assert "without groupId" in reason(child, feature(rollout("50"), name="p"))
    assert imported(child, feature(rollout("100"), name="p")).flags


def test_the_variant_of_a_parent_that_is_off_is_refused() -> None:
    child = feature(dependencies=[{"feature": "p", "enabled": False, "variants": ["v"]}])
    assert "would have" in reason(child, feature(name="p", variants=[variant("v")]))
    assert not ask(imported(child, feature(name="p"))).on
