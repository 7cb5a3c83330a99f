"""What is malformed is refused by name, and the rest is imported."""

from __future__ import annotations

from typing import Any

import pytest

from flagstone.importers import ImportFileError
from flagstone.importers.unleash import convert
from tests.sdk.importers.unleash.building import constraint, feature, imported, strategy, variant


@pytest.mark.parametrize(
    "document", [None, 5, [], {}, {"features": {}}, {"features": [], "segments": 5}]
)
def test_another_file_is_refused_as_a_whole(document: Any) -> None:
    with pytest.raises(ImportFileError):
        convert(document)


@pytest.mark.parametrize(
    ("document", "key"),
    [
        (5, "features[1]"),
        ({}, "features[1]"),
        ({"name": "", "enabled": True}, "features[1]"),
        ({"name": "f"}, "f"),
        (feature(5), "f"),
        ({**feature(), "strategies": {}}, "f"),
        (feature(strategy(parameters={"rollout": 50})), "f"),
        (feature(strategy(parameters=[])), "f"),
        (feature(strategy("default", constraint("IN", 5))), "f"),  # type: ignore[arg-type]
        (feature(strategy("default", {"operator": "IN"})), "f"),
        (feature(strategy(segments=["1"])), "f"),
        (feature(variants=[{"name": "v"}]), "f"),
        (feature(variants=[variant("", 1)]), "f"),
        (feature(variants=[variant("v", payload=("string", 5))]), "f"),  # type: ignore[arg-type]
        (feature(variants=[variant("v", overrides=[{"contextName": "x"}])]), "f"),
        (feature(dependencies=[{}]), "f"),
        (feature(dependencies=[{"feature": "g", "enabled": 1}]), "f"),
    ],
)
def test_a_malformed_feature_is_refused_and_the_rest_imported(document: Any, key: str) -> None:
    result = imported(feature(name="good"), document)
    assert list(result.flags) == ["good"]
    assert [note.flag for note in result.refused] == [key]
    assert "is malformed" in result.refused[0].reason


def test_a_feature_that_asks_too_much_is_refused_alone() -> None:
    many = feature(*(strategy(segments=[1] * 30) for _ in range(400)))
    segments = [{"id": 1, "constraints": [constraint("IN", "a")]}]
    result = imported(many, feature(name="good"), segments=segments)
    assert list(result.flags) == ["good"]
    assert "asks more than 10000" in result.refused[0].reason


def test_the_report_counts_names_and_explains() -> None:
    report = imported(feature(name="good"), feature(strategy("ours"))).report()
    assert report["imported"] == 1
    assert report["refused"] == [
        {"flag": "f", "reason": "the custom strategy 'ours' is code of the application"}
    ]
