"""Variations, their types and values."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sdk.importers.eppo.building import DEFAULT, allocation, flag, imported, served


@pytest.mark.parametrize(
    ("kind", "ours", "value", "stored"),
    [
        ("STRING", "string", "", ""),
        ("INTEGER", "integer", 3.0, 3),
        ("NUMERIC", "float", 3, 3),
        ("BOOLEAN", "boolean", False, False),
        ("JSON", "object", '{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        ("JSON", "object", "[]", []),
        ("JSON", "object", "5", 5),
        ("JSON", "object", "null", None),
    ],
)
def test_a_value_comes_in_its_type(kind: str, ours: str, value: Any, stored: Any) -> None:
    given = flag(allocation(), variationType=kind, variations={"on": {"key": "on", "value": value}})
    found = imported(given).flags["f"]
    assert (found["type"], found["variants"]["on"]["value"]) == (ours, stored)
    assert served(given) == "on"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("STRING", 5),
        ("STRING", True),
        ("INTEGER", 1.5),
        ("INTEGER", "1"),
        ("INTEGER", True),
        ("NUMERIC", "1.5"),
        ("NUMERIC", False),
        ("BOOLEAN", "true"),
        ("BOOLEAN", 1),
        ("JSON", "{not json"),
        ("JSON", "NaN"),
        ("JSON", 5),
    ],
)
def test_one_of_another_type_gives_the_callers_default(kind: str, value: Any) -> None:
    given = flag(allocation(), variationType=kind, variations={"on": {"key": "on", "value": value}})
    assert served(given) is DEFAULT
