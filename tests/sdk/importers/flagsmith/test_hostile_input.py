"""Damaged files, any JSON and any text: flags or a refusal, never another exception."""

from __future__ import annotations

import copy
import json
import random
import string
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine import evaluate, parse_flag_set
from flagstone.importers import ImportFileError
from flagstone.importers.flagsmith import convert
from tests.sdk.engine.fuzzing import fuzzed
from tests.sdk.importers.flagsmith.building import (
    HALF,
    context_file,
    document_file,
    rule,
    segment,
    share,
    state,
    user,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
WHOLE = (
    context_file(
        "own",
        (HALF, {"value": "x", "priority": 1}),
        (
            [rule("ANY", ("a", "IN", "1,b"), ("b", "REGEX", "a+$"), ("c", "MODULO", "2|1"))],
            {"value": 1},
        ),
        (
            [
                rule(
                    "NONE",
                    ("v", "GREATER_THAN", "1.0.0:semver"),
                    ("$.environment.name", "IS_SET", ""),
                )
            ],
            {"value": None, "variants": [{"key": "a", "value": "A", "weight": 10, "priority": 1}]},
        ),
        variants=[{"key": "a", "value": "A", "weight": 33.3, "priority": 1}],
    ),
    document_file(
        state(),
        state("more", 7, multivariate_feature_state_values=[share("a", 8, 20.5)]),
        segments=[
            segment(
                3,
                [
                    {
                        "type": "ALL",
                        "conditions": [{"property_": "plan", "operator": "EQUAL", "value": "pro"}],
                        "rules": [],
                    }
                ],
                state(value="pro", feature_segment={"priority": 1}),
            )
        ],
        identity_overrides=[{"identifier": "u1", "identity_features": [state(value="mine")]}],
        use_identity_composite_key_for_hashing=True,
    ),
)


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(place for key, part in inside for place in places_in(part, (*path, key)))]


def replaced(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    whole = copy.deepcopy(document)
    part = whole
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    return whole


def check(document: Any) -> None:
    try:
        result = convert(document)
    except ImportFileError:
        return
    flags = parse_flag_set(json.loads(json.dumps(result.flag_set())), strict=True)
    for key in flags.flags:
        assert evaluate(flags, key, user(a="b", plan="pro"), 0.0).error_code is None
    json.dumps(result.report())


@fuzzed(40)
@given(st.data())
def test_a_changed_file_gives_flags_or_is_refused(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from(WHOLE))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places_in(document)))
        document = replaced(document, place, data.draw(JSON))
    check(document)


@fuzzed(40)
@given(
    JSON,
    st.dictionaries(
        st.sampled_from(
            ["features", "segments", "environment", "feature_states", "project", "api_key"]
        ),
        JSON,
    ),
)
def test_any_json_gives_flags_or_is_refused(value: Any, whole: dict[str, Any]) -> None:
    check(value)
    check(whole)


def test_random_texts_never_break_an_operator() -> None:
    rng = random.Random(7)
    operators = ("EQUAL", "REGEX", "IN", "MODULO", "CONTAINS", "LESS_THAN", "PERCENTAGE_SPLIT")
    alphabet = string.printable + "😀ü٣"
    for _ in range(300):
        text = "".join(rng.choices(alphabet, k=rng.randint(0, 12)))
        target = rng.choice(("a", "$." + text, text))
        check(
            context_file(
                "o", ([rule("ALL", (target, rng.choice(operators), text))], {"value": "x"})
            )
        )
