"""Damaged files and any JSON: flags or a refusal, never another exception."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine import evaluate, parse_flag_set
from flagstone.importers import ImportFileError
from flagstone.importers.growthbook import convert
from tests.sdk.engine.fuzzing import fuzzed
from tests.sdk.importers.growthbook.building import GROUPS, NOW, PARENT, child, gate

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=15,
)
VALID: dict[str, Any] = {
    "features": {
        "parent": PARENT,
        "child": child(
            gate({"value": {"$in": ["green", None]}}),
            {
                "id": "fr",
                "condition": {
                    "$or": [{"a": {"$gt": 1, "$regex": "x$"}}, {"$savedGroup": {"id": "inner"}}],
                    "b.c": {"$elemMatch": {"d": {"$vgt": "1.2.3"}}},
                    "id": {"$inGroup": "old"},
                },
                "filters": [{"seed": "s", "ranges": [[0, 0.5]], "hashVersion": 2}],
                "variations": ["x", "y", None],
                "weights": [0.5, 0.25, 0.25],
                "coverage": 0.9,
                "namespace": ["n", 0, 0.5],
                "meta": [{"key": "k"}, {"passthrough": True}],
                "hashAttribute": "id",
                "fallbackAttribute": "device",
                "hashVersion": 2,
                "seed": "s",
            },
            {"force": "z", "coverage": 0.3, "range": [0, 0.5]},
        ),
    },
    "savedGroups": GROUPS,
    "experiments": [{"key": "page"}],
}


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(document, dict):
        for key, value in document.items():
            found += places(value, (*path, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            found += places(value, (*path, index))
    return found


PLACES = places(VALID)


def check(document: Any, edge: str) -> None:
    try:
        result = convert(document, edge=edge)
    except ImportFileError:
        return
    text = json.dumps(result.flag_set())
    flag_set = parse_flag_set(json.loads(text), strict=True)
    json.dumps(result.report())
    for key in result.flags:
        evaluate(flag_set, key, {"id": "u", "a": 2, "b": {"c": [{"d": "2"}]}}, NOW)
    assert text == json.dumps(convert(document, edge=edge).flag_set())


@fuzzed(40)
@given(JSON, st.sampled_from(["inclusive", "exclusive"]))
def test_any_json_is_imported_or_refused(document: Any, edge: str) -> None:
    check(document, edge)
    check({"features": {"f": document}, "savedGroups": {"g": document}}, edge)
    check({"features": {"f": {"rules": [{"force": 1, "condition": {"a": document}}]}}}, edge)


@fuzzed(40)
@given(
    st.lists(st.tuples(st.sampled_from(PLACES), JSON | st.just(...)), min_size=1, max_size=4),
    st.sampled_from(["inclusive", "exclusive"]),
)
def test_a_damaged_file_is_imported_or_refused(
    damages: list[tuple[tuple[Any, ...], Any]], edge: str
) -> None:
    document = copy.deepcopy(VALID)
    for (*path, last), value in damages:
        inside: Any = document
        try:
            for step in path:
                inside = inside[step]
            if value is ...:
                del inside[last]
            else:
                inside[last] = value
        except (KeyError, IndexError, TypeError):
            continue
    check(document, edge)


def test_an_undamaged_file_is_imported_whole() -> None:
    result = convert(VALID)
    assert list(result.flags) == ["parent", "child"]
    assert [note.flag for note in result.refused] == ["page"]
