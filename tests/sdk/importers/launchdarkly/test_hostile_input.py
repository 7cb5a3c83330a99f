"""Damaged files and any JSON: flags or a refusal, never another exception."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine import evaluate, parse_flag_set
from flagstone.importers import ImportFileError
from flagstone.importers.launchdarkly import convert
from tests.sdk.engine.fuzzing import fuzzed
from tests.sdk.importers.launchdarkly.building import (
    NOW,
    SEGMENT,
    clause,
    flag,
    imported,
    rollout,
    when,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.integers(-3, 5)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["key", "kind", "in", "matches", "segmentMatch", "f", "s", "org", "/a//b"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
WHOLE: dict[str, Any] = {
    "flags": {
        "f": flag(
            prerequisites=[{"key": "p", "variation": 1}],
            targets=[{"variation": 0, "values": ["u"]}],
            contextTargets=[{"contextKind": "org", "variation": 2, "values": ["o"]}],
            rules=[
                {
                    "id": "r",
                    "clauses": [
                        clause("a", "in", 1, [2]),
                        clause("/b/c", "matches", "^x", contextKind="org", negate=True),
                        clause("d", "before", "2026-01-01T00:00:00Z", 5),
                        clause("e", "semVerEqual", "2.0"),
                        clause("g", "lessThan", 5),
                        clause("kind", "contains", "u"),
                        clause("anonymous", "in", True),
                        clause("", "segmentMatch", "s"),
                    ],
                    **rollout(1, 2, kind="experiment", seed=5, contextKind="org", bucketBy="a"),
                }
            ],
            fallthrough=rollout(50_000, 50_000, bucketBy="a"),
            clientSideAvailability={"usingMobileKey": True},
        ),
        "p": flag(on=False),
        "q": flag(prerequisites=[{"key": "f", "variation": 0}]),
    },
    "segments": {
        "s": {
            **SEGMENT,
            "rules": [{"clauses": [clause("a", "in", 1)], "weight": 5, "bucketBy": "a"}],
        },
        "t": {"rules": [{"clauses": [clause("", "segmentMatch", "s")]}]},
    },
}


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every container in a document, with every key or index in it."""
    found = []
    waiting = [document]
    while waiting:
        one = waiting.pop()
        inside = one.items() if isinstance(one, dict) else enumerate(one)
        for key, value in list(inside):
            found.append((one, key))
            if isinstance(value, (dict, list)):
                waiting.append(value)
    return found


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    document = copy.deepcopy(WHOLE)
    for _ in range(draw(st.integers(1, 3))):
        all_places = places(document)
        if not all_places:
            break
        container, key = all_places[draw(st.integers(0, len(all_places) - 1))]
        change = draw(st.sampled_from(["replace", "remove", "copy"]))
        if change == "replace":
            container[key] = draw(JSON)
        elif change == "remove":
            del container[key]
        else:
            other, name = all_places[draw(st.integers(0, len(all_places) - 1))]
            container[key] = copy.deepcopy(other[name])
    return document


@fuzzed(40)
@given(st.one_of(JSON, mutated(), mutated(), st.fixed_dictionaries({"flags": JSON})))
def test_any_json_gives_flags_and_a_report_or_a_refused_file(document: Any) -> None:
    before = copy.deepcopy(document)
    try:
        result = convert(document)
    except ImportFileError:
        return
    assert repr(document) == repr(before)
    again = convert(document)
    assert (again.flags, again.segments, again.report()) == (
        result.flags,
        result.segments,
        result.report(),
    )
    json.dumps([result.flag_set(), result.report()])
    malformed = {note.flag for note in result.lossy if note.reason.startswith("malformed")}
    parsed = parse_flag_set(result.flag_set(), strict=False)
    assert {key for key, one in parsed.flags.items() if one.fault} <= malformed
    if not malformed:
        parse_flag_set(result.flag_set(), strict=True)
    for key in parsed.flags:
        evaluate(parsed, key, {"targetingKey": "u", "a": 1}, NOW)


def test_a_document_nested_without_end_is_refused_by_name() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    for document in (flag(variations=[deep]), when(clause("a", "in", deep))):
        assert [note.flag for note in imported({"f": document}).refused] == ["f"]
