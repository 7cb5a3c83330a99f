"""Flagsmith's importer: what it carries, what it refuses and what it says."""

from __future__ import annotations

import copy
import json
import random
import re
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flagstone.engine import EvaluationDetails, evaluate, parse_flag_set
from flagstone.engine.bucketing import bucket
from flagstone.engine.regex import compile_regex
from flagstone.importers import CannotCarryError, ImportFileError
from flagstone.importers.flagsmith import convert
from flagstone.importers.flagsmith.shares import BUCKETS, buckets_up_to, shares_of
from flagstone.importers.python_patterns import of_python

EXAMPLES = 350
"""For each of the three fuzzing tests; together about a thousand."""
PREFIX = "env_"


def rule(kind: str, *conditions: tuple[str, str, Any]) -> dict[str, Any]:
    return {
        "type": kind,
        "conditions": [{"property": p, "operator": o, "value": v} for p, o, v in conditions],
    }


def context_file(
    value: Any = "own", *segments: tuple[Any, Any], enabled: bool = True, **more: Any
) -> dict[str, Any]:
    """Return an evaluation context; each segment is its rules and the override in it."""
    return {
        "environment": {"key": "env", "name": "Production"},
        "features": {
            "flag": {"key": "f1", "name": "flag", "enabled": enabled, "value": value, **more}
        },
        "segments": {
            str(number): {
                "key": str(number),
                "name": f"segment {number}",
                "rules": rules,
                "overrides": [{"key": f"o{number}", "name": "flag", "enabled": True, **override}],
            }
            for number, (rules, override) in enumerate(segments, 1)
        },
    }


def state(name: str = "flag", value: Any = "own", **more: Any) -> dict[str, Any]:
    return {
        "feature": {"id": 1, "name": name},
        "enabled": True,
        "feature_state_value": value,
        "featurestate_uuid": "2d5a6c1e-5b3f-4a43-9f0f-0f7f6d3b9a10",
        "multivariate_feature_state_values": [],
        **more,
    }


def document_file(*states: Any, segments: Any = (), **more: Any) -> dict[str, Any]:
    return {
        "api_key": "env",
        "name": "Production",
        "project": {"segments": list(segments)},
        "feature_states": list(states or (state(),)),
        "identity_overrides": [],
        **more,
    }


def segment(number: int, rules: Any, *states: Any) -> dict[str, Any]:
    return {"id": number, "name": f"s{number}", "rules": rules, "feature_states": list(states)}


def share(key: str | None, value: Any, percentage: float, number: int = 1) -> dict[str, Any]:
    return {
        "id": number,
        "multivariate_feature_option": {"value": value, "key": key},
        "mv_fs_value_uuid": "2d5a6c1e-5b3f-4a43-9f0f-0f7f6d3b9a10",
        "percentage_allocation": percentage,
    }


def ask(document: dict[str, Any], context: Any = None, **options: Any) -> EvaluationDetails:
    result = convert(document, **options)
    assert result.refused == []
    flags = parse_flag_set(json.loads(json.dumps(result.flag_set())), strict=True)
    return evaluate(flags, "flag", {} if context is None else context, 0.0)


def user(identifier: str = "u1", **traits: Any) -> dict[str, Any]:
    return {
        "targetingKey": f"{PREFIX}{identifier}",
        "identity": {"identifier": identifier},
        **traits,
    }


def reason_of(document: dict[str, Any]) -> str:
    (note,) = convert(document).refused
    assert note.flag == "flag"
    return note.reason


def split_of(document: dict[str, Any]) -> dict[str, Any]:
    serves = [one["serve"] for one in convert(document).flags["flag"]["rules"]]
    return next(one["split"] for one in serves if isinstance(one, dict))


EVERYBODY = [rule("ALL")]
HALF = [rule("ALL", ("", "PERCENTAGE_SPLIT", "50"))]


# --- toggle and value ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["blue", "", 7, True, False, 1.5, None])
@pytest.mark.parametrize("enabled", [True, False])
def test_a_feature_serves_its_value_and_its_toggle_apart(value: Any, enabled: bool) -> None:
    details = ask(context_file(value, enabled=enabled), user(), toggles=False)
    assert details.value == value
    assert type(details.value) is type(value)
    assert details.on is enabled
    assert details.error_code is None


@pytest.mark.parametrize(
    ("value", "kind"),
    [("x", "string"), (7, "integer"), (1.5, "float"), (True, "boolean"), (None, "object")],
)
def test_the_type_is_that_of_the_value(value: Any, kind: str) -> None:
    assert convert(context_file(value), toggles=False).flags["flag"]["type"] == kind


def test_values_of_several_types_are_an_object() -> None:
    document = context_file("own", (EVERYBODY, {"value": None}))
    assert convert(document).flags["flag"]["type"] == "object"
    details = ask(document, user())
    assert (details.value, details.on) == (None, True)


def test_features_without_any_value_become_booleans() -> None:
    document = context_file(
        None, ([rule("ALL", ("plan", "EQUAL", "pro"))], {"value": None}), enabled=False
    )
    assert convert(document).flags["flag"]["type"] == "boolean"
    assert ask(document, user()).value is False
    assert ask(document, user(plan="pro")).value is True
    assert ask(document, user(plan="pro")).on is True


def test_a_feature_with_a_value_stays_what_it_is() -> None:
    document = context_file(None, (EVERYBODY, {"value": "x"}))
    assert ask(document, user()).value == "x"


# --- segments, priorities and splits ------------------------------------------------------------


def test_the_least_priority_wins_and_of_equal_ones_the_first() -> None:
    document = context_file(
        "own",
        (EVERYBODY, {"value": "weakest"}),
        (EVERYBODY, {"value": "second", "priority": 1}),
        (EVERYBODY, {"value": "first", "priority": 0}),
        (EVERYBODY, {"value": "late", "priority": 0}),
    )
    assert ask(document, user()).value == "first"
    assert ask(document, user()).rule_id == "segment 3"


def test_a_segment_without_rules_is_nobodys() -> None:
    assert ask(context_file("own", ([], {"value": "never"})), user()).value == "own"


@pytest.mark.parametrize(
    ("name", "value"),
    [("NOT_CONTAINS", "env"), ("EQUAL", ""), ("EQUAL", PREFIX), ("REGEX", "$"), ("IS_SET", None),
     ("PERCENTAGE_SPLIT", 50)],
)  # fmt: skip
def test_an_empty_key_is_the_default_one_of_an_empty_identifier(name: str, value: Any) -> None:
    inside = [rule("ALL", ("$.identity.key", name, value))]
    document = context_file("out", (inside, {"value": "in"}))
    empty, default = (ask(document, {"targetingKey": key}).value for key in ("", PREFIX))
    assert empty == default


def test_segments_are_shared_by_the_flags_and_keep_their_names() -> None:
    result = convert(context_file("own", ([rule("ALL", ("plan", "EQUAL", "pro"))], {"value": "x"})))
    assert list(result.segments) == ["segment 1"]
    assert result.flags["flag"]["rules"][0]["when"] == {"segment": "segment 1"}


def test_segments_of_one_name_stay_apart() -> None:
    document = context_file("own", (EVERYBODY, {"value": "a"}), ([], {"value": "b"}))
    for one in document["segments"].values():
        one["name"] = "beta"
    assert list(convert(document).segments) == ["beta", "beta (2)"]
    assert ask(document, user()).value == "a"


def test_a_segment_without_a_name_gets_one() -> None:
    document = context_file("own", (EVERYBODY, {"value": "x"}))
    document["segments"] = {"": {**document["segments"]["1"], "name": ""}}
    assert list(convert(document).segments) == ["segment"]
    assert ask(document, user()).value == "x"
    by_id = document_file(
        segments=[{**segment(0, [{"type": "ALL"}], state(value="x")), "name": ""}]
    )
    by_id["project"]["segments"][0]["id"] = ""
    assert ask(by_id, user()).value == "x"


def test_an_override_hashes_with_its_own_key() -> None:
    variants = [{"key": "a", "value": "A", "weight": 50, "priority": 1}]
    override = {"value": "own", "variants": variants}
    document = context_file("own", (EVERYBODY, override), variants=variants)
    serves = [one["serve"] for one in convert(document).flags["flag"]["rules"]]
    salts = [one["split"]["salt"] for one in serves if isinstance(one, dict)]
    assert salts == ["o1", "f1"]
    for number in range(50):
        identity = user(f"u{number}")
        inside = bucket("flagsmith", "o1", identity["targetingKey"], BUCKETS) < BUCKETS / 2
        assert ask(document, identity).variant == ("a" if inside else "control")


def test_options_stand_in_the_order_of_their_priorities() -> None:
    variants = [
        {"key": "b", "value": "B", "weight": 50, "priority": 2},
        {"key": "a", "value": "A", "weight": 30, "priority": 1},
    ]
    split = convert(context_file("C", variants=variants)).flags["flag"]["rules"][0]["serve"][
        "split"
    ]
    assert [one["variant"] for one in split["to"]] == ["a", "b", "control"]
    assert split["to"][0]["ranges"][0][0] == 0


def test_without_an_identity_a_split_serves_the_features_own_value() -> None:
    variants = [{"key": "a", "value": "A", "weight": 100, "priority": 1}]
    assert ask(context_file("C", variants=variants), {}).value == "C"
    assert ask(context_file("C", variants=variants), user()).value == "A"


def test_two_values_of_one_name_get_a_number_behind_it() -> None:
    variants = [{"key": "a", "value": "A", "weight": 0.5, "priority": 1}]
    document = context_file(
        "C", (EVERYBODY, {"value": "D", "variants": variants}), variants=variants
    )
    assert set(convert(document).flags["flag"]["variants"]) == {"control", "a", "control (2)"}


def test_an_empty_key_is_the_default_key_of_an_empty_identifier() -> None:
    """Flagsmith's engine makes a key where the one given is empty."""
    for number in range(40):
        document = context_file("out", (HALF, {"value": "in"}))
        document["segments"]["1"]["key"] = f"salt {number}"
        assert ask(document, {"targetingKey": ""}).value == ask(document, user("")).value
        variants = [{"key": "a", "value": "A", "weight": 50, "priority": 1}]
        split = {**context_file("C", variants=variants)}
        split["features"]["flag"]["key"] = f"salt {number}"
        assert ask(split, {"targetingKey": ""}).value == ask(split, user("")).value


@given(st.floats(0, 100) | st.sampled_from([0, 33.3, 50, 100, 99.98999799959992]))
def test_a_percentage_takes_the_buckets_that_flagsmith_compares_with_it(percentage: float) -> None:
    count = buckets_up_to(percentage)
    for k in range(max(count - 3, 0), min(count + 3, BUCKETS)):
        assert (k < count) is ((k / 9998) * 100 <= percentage)


def test_percentages_include_their_edge_and_shares_do_not() -> None:
    assert buckets_up_to(0) == 1
    assert buckets_up_to(50) == 5000
    assert shares_of([50, 50]) == ([[[0, 4999]], [[4999, 9998]]], [])
    assert shares_of([0.0, 10.0]) == ([[], [[0, 1000]]], [[1000, 9998]])


@given(st.lists(st.floats(0, 70), max_size=5))
def test_shares_are_where_flagsmiths_running_sum_puts_them(weights: list[float]) -> None:
    shares, rest = shares_of(weights)
    for k in (0, 1, 17, 999, 1000, 2499, 4998, 4999, 5000, 7777, 9996, 9997):
        start, expected = 0.0, len(weights)
        for index, weight in enumerate(weights):
            limit = weight + start
            if start <= (k / 9998) * 100 < limit:
                expected = index
                break
            start = limit
        found = [
            i for i, ranges in enumerate([*shares, rest]) if any(a <= k < b for a, b in ranges)
        ]
        assert found == [expected]


# --- places in the context ----------------------------------------------------------------------


def test_the_environment_is_read_from_the_context_or_else_from_the_file() -> None:
    inside = [rule("ALL", ("$.environment.name", "EQUAL", "Production"))]
    document = context_file("own", (inside, {"value": "produced"}))
    assert ask(document, user()).value == "produced"
    assert ask(document, {**user(), "environment": {"name": "Production"}}).value == "produced"
    assert ask(document, {**user(), "environment": {"name": "Staging"}}).value == "own"


@pytest.mark.parametrize("identifier", ["7", "007", "u1", "😀"])
def test_a_list_of_identifiers_is_found_in_the_default_key_too(identifier: str) -> None:
    listed = [rule("ALL", ("$.identity.identifier", "IN", ["7", "u1", "😀"]))]
    document = context_file("own", (listed, {"value": "listed"}))
    assert ask(document, user(identifier)).value == "listed"
    assert ask(document, {"targetingKey": f"{PREFIX}{identifier}"}).value == "listed"
    assert ask(document, {"targetingKey": identifier}).value == "own"


@pytest.mark.parametrize("identifier", ["70", "07.0", "-7", "u", "u12"])
def test_another_identifier_is_not_in_the_list(identifier: str) -> None:
    listed = [rule("ALL", ("$.identity.identifier", "IN", ["7", "u1", "0"]))]
    document = context_file("own", (listed, {"value": "listed"}))
    assert ask(document, user(identifier)).value == "own"
    assert ask(document, {"targetingKey": f"{PREFIX}{identifier}"}).value == "own"


def test_many_numbers_are_found_in_the_default_key_as_they_are_written() -> None:
    numbers = [str(number * 7919) for number in range(500)]
    listed = [rule("ALL", ("$.identity.identifier", "IN", numbers))]
    document = context_file("own", (listed, {"value": "listed"}))
    assert ask(document, {"targetingKey": f"{PREFIX}7919"}).value == "listed"
    assert ask(document, {"targetingKey": f"{PREFIX}007919"}).value == "own"
    assert ask(document, user("007919")).value == "listed"


def test_a_trait_with_a_percentage_hashes_as_flagsmith_prints_it() -> None:
    half = [rule("ALL", ("trait", "PERCENTAGE_SPLIT", "50"))]
    document = context_file("out", (half, {"value": "in"}))
    for trait, printed in (("007", "7"), ("1.50", "1.5"), (True, "True"), (1.5, "1.5"), ("x", "x")):
        inside = bucket("flagsmith", "1", printed, BUCKETS) <= BUCKETS // 2
        assert ask(document, user(trait=trait)).value == ("in" if inside else "out")


# --- the environment document -------------------------------------------------------------------


def test_without_an_identity_the_document_asks_no_segment() -> None:
    strangers = [
        {"type": "NONE", "conditions": [{"property_": "plan", "operator": "IS_SET", "value": None}]}
    ]
    document = document_file(segments=[segment(1, strangers, state(value="stranger"))])
    assert ask(document, {}).value == "own"
    assert ask(document, {"targetingKey": None}).value == "own"
    assert ask(document, user()).value == "stranger"
    assert ask(document, user(plan="pro")).value == "own"


def test_identity_overrides_come_before_segments_and_carry_no_options() -> None:
    mine = state(value="mine", multivariate_feature_state_values=[share("a", "A", 100)])
    document = document_file(
        segments=[segment(1, [{"type": "ALL"}], state(value="all"))],
        identity_overrides=[
            {"identifier": "u1", "identity_features": [mine]},
            {"identifier": "u1", "identity_features": [state(value="second")]},
        ],
    )
    assert ask(document, user("u1")).value == "mine"
    assert ask(document, {"targetingKey": f"{PREFIX}u1"}).value == "mine"
    assert ask(document, user("u2")).value == "all"


def test_identities_with_one_state_share_a_rule() -> None:
    overrides = [
        {"identifier": f"u{number}", "identity_features": [state(value="mine")]}
        for number in range(1000)
    ]
    result = convert(document_file(identity_overrides=overrides))
    assert len(result.flags["flag"]["rules"]) == 1


def test_options_without_ids_stand_in_the_order_of_their_uuids() -> None:
    one, two = share("one", "1", 30, 0), share("two", "2", 30, 0)
    one["mv_fs_value_uuid"], two["mv_fs_value_uuid"] = (f"{'0' * 31}{n}" for n in (2, 1))
    document = document_file(state(multivariate_feature_state_values=[one, two]))
    split = split_of(document)
    assert [part["variant"] for part in split["to"]] == ["two", "one", "control"]


def test_a_django_id_salts_before_the_uuid() -> None:
    document = document_file(
        state(django_id=77, multivariate_feature_state_values=[share("a", "A", 50)])
    )
    assert split_of(document)["salt"] == "77"


def test_an_environment_that_hashes_on_database_ids_is_refused_flag_by_flag() -> None:
    half = [
        {
            "type": "ALL",
            "conditions": [{"property_": "", "operator": "PERCENTAGE_SPLIT", "value": "50"}],
        }
    ]
    by_key = [
        {
            "type": "ALL",
            "conditions": [
                {"property_": "$.identity.key", "operator": "PERCENTAGE_SPLIT", "value": "50"}
            ],
        }
    ]
    split = state("split", multivariate_feature_state_values=[share("a", "A", 50)])
    document = document_file(
        state("plain"),
        split,
        state("rollout"),
        state("keyed"),
        segments=[segment(1, half, state("rollout")), segment(2, by_key, state("keyed"))],
        use_identity_composite_key_for_hashing=False,
    )
    result = convert(document)
    assert list(result.flags) == ["plain"]
    assert [note.flag for note in result.refused] == ["split", "rollout", "keyed"]
    assert all("database ids" in note.reason for note in result.refused)
    document["use_identity_composite_key_for_hashing"] = True
    assert convert(document).refused == []


# --- refusals and the report --------------------------------------------------------------------


def test_a_segment_that_cannot_be_carried_refuses_the_flags_in_it_and_no_others() -> None:
    document = context_file("own", ([rule("ALL", ("a", "REGEX", "(?=x)"))], {"value": "x"}))
    document["features"]["free"] = {**document["features"]["flag"], "name": "free"}
    result = convert(document)
    assert list(result.flags) == ["free"]
    assert result.report() == {
        "imported": 1,
        "refused": [
            {
                "flag": "flag",
                "reason": "the segment 'segment 1': the pattern '(?=x)' has lookaround, "
                "which RE2 has not",
            }
        ],
        "lossy": [],
    }


@pytest.mark.parametrize(
    ("condition", "part"),
    [
        (("$.flags.other.enabled", "EQUAL", "true"), "asks other flags"),
        (("$.segments.beta.name", "EQUAL", "true"), "asks other flags or segments"),
        (("$.identity.traits.*", "EQUAL", "x"), "more than names"),
        (("$..plan", "EQUAL", "x"), "more than names"),
        (("targetingKey", "EQUAL", "x"), "would be taken for the identity's key"),
        (("$.identity.traits.targetingKey", "EQUAL", "x"), "would be taken"),
        (("a", "EQUAL", ["x"]), "compares with a text, not with list"),
        ((None, "EQUAL", "x"), "property must be a text"),
        (("a", None, "x"), "must have an operator"),
        (("a", "REGEX", "("), "SDK fails on it"),
        (("a", "REGEX", "x" * 2000), "at most 1000 characters"),
        (("a", "GREATER_THAN", 10**400), "fails on the number"),
    ],
)
def test_what_cannot_be_carried_is_refused_with_the_reason(condition: Any, part: str) -> None:
    assert part in reason_of(context_file("own", ([rule("ALL", condition)], {"value": "x"})))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"enabled": "yes"}, "enabled must be true or false"),
        ({"name": "another"}, "is filed as"),
        ({"variants": [{"key": "a", "value": 1, "weight": 1}]}, "priority is missing"),
        ({"variants": [{"value": 1, "weight": -1, "priority": 1}]}, "numbers from 0"),
        ({"variants": [{"value": 1, "weight": "1", "priority": 1}]}, "numbers from 0"),
        ({"variants": [{"key": 1, "value": 1, "weight": 1, "priority": 1}]}, "key must be a text"),
        ({"variants": 7}, "variants must be a list"),
        ({"value": 2**60}, "an integer lies within"),
    ],
)
def test_a_malformed_feature_is_refused_by_name(change: Any, part: str) -> None:
    document = context_file()
    document["features"]["flag"].update(change)
    assert part in reason_of(document)


def test_a_missing_value_is_refused() -> None:
    document = context_file()
    del document["features"]["flag"]["value"]
    assert reason_of(document) == "value is missing"


def test_a_priority_that_is_no_number_matters_only_beside_others() -> None:
    one = context_file("own", (EVERYBODY, {"value": "x", "priority": None}))
    assert ask(one, user()).value == "x"
    two = context_file(
        "own", (EVERYBODY, {"value": "x", "priority": None}), (EVERYBODY, {"value": 1})
    )
    assert "is no number" in reason_of(two)


def test_feature_states_without_a_feature_are_reported_by_their_place() -> None:
    result = convert(document_file(state(), {"enabled": True}))
    assert [note.flag for note in result.refused] == ["feature_states[1]"]
    assert list(result.flags) == ["flag"]


def test_classes_of_characters_are_reported_as_lossy() -> None:
    words = context_file("own", ([rule("ALL", ("a", "REGEX", r"\w+$"))], {"value": "x"}))
    (note,) = convert(words).lossy
    assert note.flag == "flag"
    assert "ASCII only" in note.reason
    plain = context_file("own", ([rule("ALL", ("a", "REGEX", r"(?a)\w+\s$"))], {"value": "x"}))
    assert convert(plain).lossy == []


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], ""),
        ({}, ""),
        ({"flags": {}}, ""),
        ({"features": []}, "features"),
        ({"features": {}, "segments": {"1": 7}}, "segments.1"),
        ({"features": {}, "segments": {"1": {"overrides": [{}]}}}, "segments.1.overrides[0]"),
        ({"feature_states": {}}, "feature_states"),
        ({"feature_states": []}, "api_key"),
        (document_file(segments=[{}]), "project.segments[0]"),
        (document_file(identity_overrides=[{}]), "identity_overrides[0]"),
    ],
)
def test_a_file_that_is_none_is_refused_as_a_whole(document: Any, path: str) -> None:
    with pytest.raises(ImportFileError) as caught:
        convert(document)
    assert caught.value.path == path


def test_deep_nesting_is_refused_and_does_not_end_the_import() -> None:
    rules: Any = []
    for _ in range(3000):
        rules = [{"type": "ALL", "conditions": [], "rules": rules}]
    assert "nested too deeply" in reason_of(context_file("own", (rules, {"value": "x"})))
    some: Any = rule("ALL", ("a", "EQUAL", "x"))
    for kind in ("NONE", "ANY") * 40:
        some = {"type": kind, "conditions": [], "rules": [some, rule("ALL", ("b", "EQUAL", "y"))]}
    assert "nested deeper than" in reason_of(context_file("own", ([some], {"value": "x"})))


def test_the_same_file_gives_the_same_flags() -> None:
    document = context_file("own", (HALF, {"value": "x"}))
    assert json.dumps(convert(document).flag_set()) == json.dumps(convert(document).flag_set())


# --- laws ---------------------------------------------------------------------------------------

PIECES = (
    "a",
    "b",
    "i",
    "K",
    ".",
    r"\d",
    r"\s",
    r"\S",
    "[ab]",
    "[^a]",
    "[i-k]",
    "^",
    "$",
    r"\Z",
    "-",
    "@",
    "\n",
    "(?:ab|c)",
    "(a|b)",
    "1",
    "ß",
)
PATTERNS = st.builds(
    lambda mode, pieces: mode + "".join(pieces),
    st.sampled_from(["", "", "(?i)", "(?s)", "(?m)", "(?x)"]),
    st.lists(
        st.builds(
            str.__add__, st.sampled_from(PIECES), st.sampled_from(["", "", "*", "+?", "?", "{2}"])
        ),
        max_size=6,
    ),
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PATTERNS, st.lists(st.text("aabiIkK1-@. \n", max_size=6), min_size=1, max_size=8))
def test_a_pattern_finds_what_pythons_match_finds(pattern: str, texts: list[str]) -> None:
    try:
        found = of_python(pattern, exact=False)
    except CannotCarryError:
        return
    if found is None:
        with pytest.raises(re.error):
            re.compile(pattern)
        return
    written = rf"\A(?:{found[0]})"
    search = compile_regex(written)
    for text in texts:
        assert search(text) is (re.match(pattern, text) is not None), (pattern, written, text)


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


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_changed_file_gives_flags_or_is_refused(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from(WHOLE))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places_in(document)))
        document = replaced(document, place, data.draw(JSON))
    check(document)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
