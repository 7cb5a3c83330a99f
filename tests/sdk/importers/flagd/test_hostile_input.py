"""Damaged flags, any JSON and any program: flags or a refusal, never another exception."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine import evaluate, parse_flag_set
from flagstone.importers import ImportFileError, ImportResult
from flagstone.importers.flagd import convert
from tests.sdk.engine.fuzzing import fuzzed
from tests.sdk.importers.flagd.building import NOW, X, file_with

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
OPERATORS = (
    "==", "===", "!=", "!==", "<", "<=", ">", ">=", "in",
    "!", "!!", "starts_with", "ends_with", "sem_ver", "missing", "some", "all", "none",
    "if", "?:", "and", "or", "fractional", "var", "cat", "%", "+",
    "-", "/", "min", "max", "merge", "$ref", "log", "substr", "map",
    "reduce", "x",
)  # fmt: skip
ATOMS = SCALARS | st.sampled_from(
    [X, {"var": "targetingKey"}, {"var": "$flagd.timestamp"}, {"var": ""}, "red", "1.0.0", "=", "^"]
)
PROGRAMS = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(st.sampled_from(OPERATORS), st.lists(inner, max_size=4) | inner).map(
            lambda pair: {pair[0]: pair[1]}
        )
    ),
    max_leaves=12,
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


def check(document: Any, hash_version: str) -> ImportResult | None:
    """Convert; what comes out is JSON and a strict flag set, but for flags that answer errors."""
    before = copy.deepcopy(document)
    try:
        result = convert(document, hash_version=hash_version)
    except ImportFileError:
        return None
    assert repr(document) == repr(before)
    flag_set = json.loads(json.dumps(result.flag_set()))
    for note in result.lossy:
        if "PARSE_ERROR" in note.reason:
            assert evaluate(flag_set, note.flag, {}, NOW).variant is None
            del flag_set["flags"][note.flag]
    parse_flag_set(flag_set, strict=True)
    json.dumps(result.report())
    return result


@given(document=JSON, hash_version=st.sampled_from(["v2", "v3"]))
@fuzzed(40)
def test_any_json_is_imported_or_refused(document: Any, hash_version: str) -> None:
    check(document, hash_version)
    check({"flags": document}, hash_version)
    check({"flags": {"flag": document}}, hash_version)


@given(program=PROGRAMS, hash_version=st.sampled_from(["v2", "v3"]), x=JSON)
@fuzzed(40)
def test_any_program_is_carried_or_refused_the_same_way_twice(
    program: Any, hash_version: str, x: Any
) -> None:
    document = file_with({"if": [program, "yes", program]})
    result = check(document, hash_version)
    assert result is not None
    assert len(result.flags) + len(result.refused) == 1
    assert convert(document, hash_version=hash_version).report() == result.report()
    evaluate(result.flag_set(), "flag", {"x": x, "targetingKey": "u"}, NOW)


@given(data=st.data(), hash_version=st.sampled_from(["v2", "v3"]))
@fuzzed(40)
def test_a_damaged_flag_is_imported_or_refused(data: st.DataObject, hash_version: str) -> None:
    flag = file_with({"if": [{"==": [X, "a"]}, {"fractional": [X, ["red", 1]]}]})["flags"]["flag"]
    field = data.draw(st.sampled_from([*flag, "metadata", "key"]))
    flag[field] = data.draw(JSON | PROGRAMS)
    check({"flags": {"flag": flag}}, hash_version)
