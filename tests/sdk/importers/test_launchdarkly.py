"""The importer of LaunchDarkly's payloads: its traps, its refusals, and whatever JSON comes in."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flagstone.engine import EvaluationDetails, FlagSetError, evaluate, parse_flag_set
from flagstone.engine.regex import compile_regex
from flagstone.importers import CannotCarryError, ImportFileError, ImportResult
from flagstone.importers.launchdarkly import convert
from flagstone.importers.launchdarkly.operators import _edge, _seconds
from flagstone.importers.python_patterns import of_python

NOW = 1_780_000_000.0
EXAMPLES = 250
"""Examples of each of the four laws: 1,000 in all."""


def flag(**parts: Any) -> dict[str, Any]:
    """A flag of LaunchDarkly that is on and falls through to its second variation."""
    return {
        "key": "f",
        "version": 3,
        "salt": "salt",
        "on": True,
        "offVariation": 1,
        "variations": ["match", "other", "third"],
        "fallthrough": {"variation": 1},
        **parts,
    }


def clause(attribute: str, op: str, *values: Any, **more: Any) -> dict[str, Any]:
    return {"attribute": attribute, "op": op, "values": list(values), **more}


def when(*clauses: dict[str, Any], **serve: Any) -> dict[str, Any]:
    """A flag with one rule."""
    return flag(rules=[{"id": "r", "clauses": list(clauses), **(serve or {"variation": 0})}])


def imported(flags: dict[str, Any] | None = None, **segments: Any) -> ImportResult:
    return convert({"flags": flags or {}, "segments": segments})


def details(result: ImportResult, context: dict[str, Any], key: str = "f") -> EvaluationDetails:
    return evaluate(parse_flag_set(result.flag_set(), strict=False), key, context, NOW)


def matches(document: dict[str, Any], context: dict[str, Any], **segments: Any) -> bool:
    """Whether the only rule of a flag holds; the import must be sound."""
    result = imported({"f": document}, **segments)
    assert result.refused == []
    parse_flag_set(result.flag_set(), strict=True)
    return details(result, {"targetingKey": "u", **context}).value == "match"


def org(**attributes: Any) -> dict[str, Any]:
    return {"kind": ["user", "org"], "org": {"key": "o", **attributes}}


HOLDS = [
    (clause("a", "in", "x"), {"a": "x"}),
    (clause("a", "in", "x", "y"), {"a": ["z", "y"]}),
    (clause("a", "in", 1), {"a": 1.0}),
    (clause("a", "in", True), {"a": True}),
    (clause("a", "in", {"b": [2]}), {"a": {"b": [2]}}),
    (clause("a", "in", None, "x"), {"a": [None]}),
    (clause("a", "startsWith", "pre"), {"a": ["no", "prefix"]}),
    (clause("a", "endsWith", "fix"), {"a": "suffix"}),
    (clause("a", "contains", "uff"), {"a": "suffix"}),
    (clause("a", "contains", "uff"), {"a": [5, "suffix"]}),
    (clause("a", "matches", "^a.c$"), {"a": "abc\n"}),
    (clause("a", "matches", r"^\d$"), {"a": "٣"}),
    (clause("a", "lessThan", 5), {"a": 4.9}),
    (clause("a", "lessThanOrEqual", 5), {"a": 5}),
    (clause("a", "greaterThan", 5), {"a": [1, 6]}),
    (clause("a", "greaterThanOrEqual", 5, "x"), {"a": 5.0}),
    (clause("a", "before", "2026-01-01T00:00:00Z"), {"a": "2026-01-01T00:30:00+01:00"}),
    (clause("a", "before", "2026-01-01T00:00:00Z"), {"a": 1767225599999}),
    (clause("a", "after", 1767225600000), {"a": "2026-01-01T00:00:00.001Z"}),
    (clause("a", "after", 1767225600000), {"a": ["never", "2027-01-01T00:00:00Z"]}),
    (clause("a", "semVerEqual", "2.0.0"), {"a": "2"}),
    (clause("a", "semVerLessThan", "2.1"), {"a": "2.1-beta"}),
    (clause("a", "semVerGreaterThan", "2.0.0-rc.2"), {"a": "2.0.0-rc.11"}),
    (clause("a", "in", "x", negate=True), {"a": "y"}),
    (clause("a", "in", negate=True), {"a": "y"}),
    (clause("a", "unheardOf", "x", negate=True), {"a": "x"}),
    (clause("/a/b", "in", "x"), {"/a/b": "x"}),
    (clause("/a/b", "in", "x", contextKind="user"), {"a": {"b": "x"}}),
    (clause("/a~1b/~0c", "in", "x", contextKind="user"), {"a/b": {"~c": "x"}}),
    (clause("/a~01", "in", "x", contextKind="user"), {"a~1": "x"}),
    (clause("a/b", "in", "x", contextKind="user"), {"a/b": "x"}),
    (clause("key", "in", "u"), {}),
    (clause("key", "in", "42"), {"targetingKey": 42}),
    (clause("key", "startsWith", "4"), {"targetingKey": 42}),
    (clause("key", "semVerLessThan", "43"), {"targetingKey": 42}),
    (clause("key", "contains", "2"), {"targetingKey": 42.0}),
    (clause("key", "in", "x", negate=True), {}),
    (clause("key", "in", "o", contextKind="org"), org()),
    (clause("name", "in", "Acme", contextKind="org"), org(name="Acme")),
    (clause("/address/city", "in", "Wien", contextKind="org"), org(address={"city": "Wien"})),
    (clause("anonymous", "in", False), {}),
    (clause("anonymous", "in", True), {"anonymous": True}),
    (clause("anonymous", "in", True, negate=True), {}),
    (clause("anonymous", "in", True, False), {}),
    (clause("anonymous", "in", False, contextKind="org"), org()),
    (clause("kind", "in", "user"), {}),
    (clause("kind", "in", "user"), {"kind": "user"}),
    (clause("kind", "startsWith", "or"), org()),
    (clause("kind", "in", "device", negate=True), org()),
    (clause("kind", "in", "org", contextKind="device"), org()),
]
HOLDS_NOT = [
    (clause("a", "in", 1), {"a": True}),
    (clause("a", "in", True), {"a": 1}),
    (clause("a", "in", "1"), {"a": 1}),
    (clause("a", "in", None), {"a": None}),
    (clause("a", "in", [2]), {"a": [2]}),
    (clause("a", "in"), {"a": "x"}),
    (clause("a", "contains", "x"), {"a": [["x"]]}),
    (clause("a", "contains", 5), {"a": [[5]]}),
    (clause("a", "startsWith", "9"), {"a": 99}),
    (clause("a", "matches", "^abc$"), {"a": "abc\n\n"}),
    (clause("a", "matches", "("), {"a": "("}),
    (clause("a", "matches", 5), {"a": "5"}),
    (clause("a", "lessThan", 5), {"a": "4"}),
    (clause("a", "lessThan", "5"), {"a": 4}),
    (clause("a", "lessThan", 5), {"a": True}),
    (clause("a", "before", "2026-01-01T00:00:00Z"), {"a": "2025-01-01T00:00:00"}),
    (clause("a", "before", "2026-01-01T00:00:00Z"), {"a": "2025-01-01"}),
    (clause("a", "before", "2026-01-01"), {"a": "2025-01-01T00:00:00Z"}),
    (clause("a", "before", 1767225600000), {"a": 1767225600000}),
    (clause("a", "semVerEqual", "2.0.0"), {"a": "v2.0.0"}),
    (clause("a", "semVerEqual", "2.1.0"), {"a": "2.01"}),
    (clause("a", "semVerEqual", "2"), {"a": 2}),
    (clause("a", "semVerEqual", "v2"), {"a": "2"}),
    (clause("a", "in", "x", negate=True), {}),
    (clause("a", "in", "x", negate=True), {"a": None}),
    (clause("a", "in", "x", negate=True), {"a": ["y", "x"]}),
    (clause("a", "unheardOf", "x"), {"a": "x"}),
    (clause("/a/b", "in", "x"), {"a": {"b": "x"}}),
    (clause("key", "in", 42), {"targetingKey": 42}),
    (clause("key", "greaterThan", 5), {"targetingKey": 42}),
    (clause("key", "startsWith", "t"), {"targetingKey": True}),
    (clause("key", "in", "x", negate=True, contextKind="org"), {}),
    (clause("anonymous", "in", False), {"anonymous": True}),
    (clause("anonymous", "in", False, contextKind="org"), {}),
    (clause("anonymous", "startsWith", "f"), {}),
    (clause("kind", "in", "user"), {"kind": "org"}),
    (clause("kind", "in", "org", negate=True), org()),
]


@pytest.mark.parametrize(("one", "context"), HOLDS)
def test_a_clause_holds_where_it_does_in_launchdarkly(one: Any, context: Any) -> None:
    assert matches(when(one), context)


@pytest.mark.parametrize(("one", "context"), HOLDS_NOT)
def test_a_clause_fails_where_it_does_in_launchdarkly(one: Any, context: Any) -> None:
    assert not matches(when(one), context)


def test_every_clause_of_a_rule_must_hold_and_none_is_everybody() -> None:
    both = when(clause("a", "in", 1), clause("b", "in", 2))
    assert matches(both, {"a": 1, "b": 2})
    assert not matches(both, {"a": 1})
    assert matches(when(), {})


# -- rollouts


def place(salt: str, unit: str) -> float:
    """The bucket as LaunchDarkly documents it."""
    digest = hashlib.sha1(f"{salt}.{unit}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:15], 16) / float(0xFFFFFFFFFFFFFFF)


def rollout(*weights: int, **parts: Any) -> dict[str, Any]:
    variations = [{"variation": n, "weight": weight} for n, weight in enumerate(weights)]
    return {"rollout": {"variations": variations, **parts}}


def variant(serve: dict[str, Any], context: dict[str, Any]) -> str | None:
    result = imported({"f": flag(fallthrough=serve)})
    parse_flag_set(result.flag_set(), strict=True)
    return details(result, context).variant


@pytest.mark.parametrize("seed", [None, 61, 0])
def test_a_rollout_keeps_every_bucket(seed: int | None) -> None:
    salt = "f.salt" if seed is None else str(seed)
    result = imported({"f": flag(fallthrough=rollout(20_000, 30_000, 50_000, seed=seed))})
    for number in range(500):
        bucket = place(salt, f"u{number}")
        expected = "0" if bucket < 0.2 else "1" if bucket < 0.5 else "2"
        assert details(result, {"targetingKey": f"u{number}"}).variant == expected


def test_a_weight_ends_between_a_unit_and_the_next_bucket() -> None:
    for number in range(100):
        bucket, context = (
            int(place("f.salt", f"u{number}") * 100_000),
            {"targetingKey": f"u{number}"},
        )
        assert variant(rollout(bucket, 100_000 - bucket), context) == "1"
        assert variant(rollout(bucket + 1, 99_999 - bucket), context) == "0"
        assert not matches(IN_SEGMENT, context, s=weighted(bucket, salt="salt", key="f"))
        assert matches(IN_SEGMENT, context, s=weighted(bucket + 1, salt="salt", key="f"))


def test_an_integer_key_has_the_bucket_of_its_text() -> None:
    serve = rollout(50_000, 50_000)
    for number in range(50):
        expected = "0" if place("f.salt", str(number)) < 0.5 else "1"
        assert variant(serve, {"targetingKey": number}) == expected


def test_past_the_end_of_the_weights_is_the_last_variation() -> None:
    assert {variant(rollout(1, 1), {"targetingKey": f"u{n}"}) for n in range(20)} == {"1"}
    assert variant(rollout(0, 0), {}) == "0"


def test_a_context_without_the_kind_gets_the_first_variation_even_at_no_weight() -> None:
    assert variant(rollout(0, 100_000, contextKind="org"), {"targetingKey": "u"}) == "0"
    serve = rollout(0, 100_000, contextKind="org", bucketBy="/a")
    assert variant(serve, {"targetingKey": "u"}) == "0"
    assert variant(serve, {"org": {"key": "o"}}) == "1"


@pytest.mark.parametrize("value", [True, 1.5, None, ["x"], {"a": 1}])
def test_an_attribute_that_is_no_unit_lies_in_the_first_bucket(value: Any) -> None:
    serve = rollout(0, 1, 99_999, bucketBy="a")
    assert variant(serve, {"targetingKey": "u", "a": value}) == "1"
    assert variant(serve, {"targetingKey": "u"}) == "1"


def test_a_rollout_may_be_by_an_attribute_or_another_kind() -> None:
    for serve, context in (
        (rollout(50_000, 50_000, bucketBy="a"), lambda n: {"targetingKey": "u", "a": n}),
        (rollout(50_000, 50_000, contextKind="org"), lambda n: {"org": {"key": str(n)}}),
        (
            rollout(50_000, 50_000, contextKind="org", bucketBy="/a/b"),
            lambda n: {"org": {"key": "o", "a": {"b": str(n)}}},
        ),
    ):
        for number in range(30):
            expected = "0" if place("f.salt", str(number)) < 0.5 else "1"
            assert variant(serve, context(number)) == expected


def test_an_experiment_is_by_key_and_tracks_what_is_not_untracked() -> None:
    parts = [
        {"variation": 0, "weight": 50_000},
        {"variation": 1, "weight": 50_000, "untracked": True},
    ]
    serve = {"rollout": {"kind": "experiment", "bucketBy": "a", "variations": parts}}
    result = imported({"f": flag(fallthrough=serve)})
    seen = set()
    for number in range(30):
        found = details(result, {"targetingKey": f"u{number}", "a": "same"})
        assert found.variant == ("0" if place("f.salt", f"u{number}") < 0.5 else "1")
        assert found.track is (found.variant == "0")
        seen.add(found.variant)
    assert seen == {"0", "1"}
    assert details(result, {}).variant == "0"
    assert details(result, {}).track is False


# -- targets, prerequisites and being off


def test_targets_come_before_rules_and_the_first_list_wins() -> None:
    document = when(clause("key", "in", "u"))
    document["targets"] = [
        {"variation": 2, "values": ["u", "7"]},
        {"variation": 1, "values": ["u"]},
    ]
    result = imported({"f": document})
    assert details(result, {"targetingKey": "u"}).variant == "2"
    assert details(result, {"targetingKey": 7}).variant == "2"


def test_context_targets_say_in_which_order_the_lists_of_users_are_asked() -> None:
    document = flag(
        targets=[{"variation": 0, "values": ["u"]}, {"variation": 2, "values": ["v"]}],
        contextTargets=[
            {"contextKind": "org", "variation": 2, "values": ["o"]},
            {"contextKind": "user", "variation": 0, "values": []},
        ],
    )
    result = imported({"f": document})
    assert details(result, {"targetingKey": "u"}).variant == "0"
    assert details(result, {"targetingKey": "u", "org": {"key": "o"}}).variant == "2"
    # The list of the third variation is not among them.
    assert details(result, {"targetingKey": "v"}).variant == "1"


def asking(variation: int, **other: Any) -> ImportResult:
    prerequisite = [{"key": "p", "variation": variation}]
    flags = {
        "f": flag(prerequisites=prerequisite, fallthrough={"variation": 0}),
        "p": flag(key="p", **other),
    }
    result = convert({"flags": flags, "segments": {}})
    parse_flag_set(result.flag_set(), strict=True)
    return result


def test_a_prerequisite_that_is_off_is_not_met_whatever_it_serves() -> None:
    result = asking(1, on=False)
    assert details(result, {}, "p").value == "other"
    unmet = details(result, {})
    assert (unmet.value, unmet.reason, unmet.metadata) == (
        "other",
        "DISABLED",
        {"prerequisite": "p"},
    )
    assert details(asking(1), {}).value == "match"


def test_killing_an_imported_prerequisite_stops_who_asks_it() -> None:
    document = asking(1).flag_set()
    assert details_of(document, "f") == "match"
    document["flags"]["p"]["killed"] = True
    assert details_of(document, "f") == "other"
    assert details_of(document, "p") == "other"


def details_of(document: dict[str, Any], key: str) -> Any:
    return evaluate(parse_flag_set(document), key, {"targetingKey": "u"}, NOW).value


def test_an_unmet_prerequisite_serves_off_and_that_may_meet_another() -> None:
    unmet = [{"key": "q", "variation": 0}]
    flags = {
        "f": flag(prerequisites=[{"key": "p", "variation": 1}], fallthrough={"variation": 0}),
        "p": flag(prerequisites=unmet, fallthrough={"variation": 0}),
        "q": flag(),
    }
    result = convert({"flags": flags})
    assert details(result, {}, "p").value == "other"
    assert details(result, {}).value == "match"


@pytest.mark.parametrize(
    "prerequisite", [{"key": "nowhere", "variation": 0}, {"key": "p", "variation": 9}]
)
def test_a_prerequisite_that_cannot_be_met_serves_off(prerequisite: Any) -> None:
    result = imported(
        {"f": flag(prerequisites=[prerequisite], fallthrough={"variation": 0}), "p": flag()}
    )
    parse_flag_set(result.flag_set(), strict=True)
    found = details(result, {})
    assert (found.value, found.reason) == ("other", "DISABLED")
    assert found.metadata == {"prerequisite": prerequisite["key"]}
    assert "a prerequisite is never met" in result.lossy[0].reason


def test_without_an_off_variation_the_caller_decides() -> None:
    found = details(imported({"f": flag(on=False, offVariation=None)}), {})
    assert (found.variant, found.error_code) == (None, None)


# -- segments


SEGMENT = {
    "key": "s",
    "salt": "pepper",
    "included": ["in", "42"],
    "excluded": ["in", "out"],
    "includedContexts": [{"contextKind": "org", "values": ["acme"]}],
    "excludedContexts": [{"contextKind": "org", "values": ["evil"]}],
    "rules": [{"clauses": [clause("a", "in", 1)]}],
}
IN_SEGMENT = when(clause("", "segmentMatch", "s"))


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"targetingKey": "in"}, True),
        ({"targetingKey": 42}, True),
        ({"targetingKey": "out", "a": 1}, False),
        ({"targetingKey": "u", "a": 1}, True),
        ({"targetingKey": "u", "a": 1, "org": {"key": "evil"}}, False),
        ({"targetingKey": "out", "org": {"key": "acme"}}, True),
        ({"targetingKey": "u"}, False),
    ],
)
def test_a_segment_takes_the_included_then_leaves_the_excluded_then_asks_its_rules(
    context: dict[str, Any], expected: bool
) -> None:
    assert matches(IN_SEGMENT, context, s=SEGMENT) is expected
    negated = when(clause("", "segmentMatch", "s", negate=True))
    assert matches(negated, context, s=SEGMENT) is not expected


def weighted(weight: int, **parts: Any) -> dict[str, Any]:
    own = {"key": parts.pop("key", "s"), "salt": parts.pop("salt", "pepper")}
    return {**own, "rules": [{"clauses": [], "weight": weight, **parts}]}


def test_a_weighted_rule_of_a_segment_keeps_every_bucket() -> None:
    for number in range(100):
        context = {"targetingKey": f"u{number}"}
        expected = place("s.pepper", f"u{number}") < 0.3
        assert matches(IN_SEGMENT, context, s=weighted(30_000)) is expected


def test_a_weighted_rule_takes_whoever_lacks_what_it_is_by() -> None:
    assert matches(IN_SEGMENT, {}, s=weighted(0, rolloutContextKind="org"))
    assert matches(IN_SEGMENT, {}, s=weighted(1, rolloutContextKind="org"))
    assert matches(IN_SEGMENT, {}, s=weighted(1, bucketBy="a"))
    assert not matches(IN_SEGMENT, {}, s=weighted(0, bucketBy="a"))
    assert not matches(IN_SEGMENT, {}, s=weighted(0))
    assert matches(IN_SEGMENT, {}, s=weighted(100_000))
    assert not matches(IN_SEGMENT, {}, s=weighted(-100_000, rolloutContextKind="org"))


def test_nobody_is_in_a_segment_that_is_not_there() -> None:
    gone = {"key": "s", "deleted": True}
    assert not matches(IN_SEGMENT, {}, s=gone)
    assert matches(when(clause("", "segmentMatch", "s", negate=True)), {}, s=gone)


def test_segments_may_ask_segments() -> None:
    outer = {"rules": [{"clauses": [clause("", "segmentMatch", "s")]}]}
    document = when(clause("", "segmentMatch", "outer"))
    assert matches(document, {"targetingKey": "in"}, outer=outer, s=SEGMENT)
    assert not matches(document, {"targetingKey": "out"}, outer=outer, s=SEGMENT)


# -- what is broken there is broken here, and said so


BAD_REFERENCES = ["/", "//", "/a//b", "/a/", "/a~2", "/a~"]


@pytest.mark.parametrize("reference", BAD_REFERENCES)
def test_a_bad_attribute_reference_makes_a_flag_answer_parse_error(reference: str) -> None:
    broken = when(clause(reference, "in", "x", contextKind="user"))
    assert_malformed(imported({"f": broken}), "f")
    segment = {"rules": [{"clauses": [clause(reference, "in", "x", contextKind="user")]}]}
    assert_malformed(imported({"f": IN_SEGMENT}, s=segment), "f")
    by = flag(fallthrough=rollout(1, 2, contextKind="user", bucketBy=reference))
    assert_malformed(imported({"f": by}), "f")


def assert_malformed(result: ImportResult, *keys: str) -> None:
    """These flags answer with an error and are named; strict reading refuses them."""
    named = {note.flag for note in result.lossy if "PARSE_ERROR" in note.reason}
    assert named == set(keys)
    for key in keys:
        assert details(result, {"targetingKey": "u"}, key).error_code == "PARSE_ERROR"
    with pytest.raises(FlagSetError):
        parse_flag_set(result.flag_set(), strict=True)


@pytest.mark.parametrize(
    "parts",
    [
        {"fallthrough": {}},
        {"fallthrough": {"variation": 3}},
        {"fallthrough": {"variation": -1}},
        {"fallthrough": {"rollout": {"variations": []}}},
        {"fallthrough": rollout(1, 1, 1, 99_997)},
        {"targets": [{"variation": 3, "values": ["u"]}]},
        {"rules": [{"clauses": [], "variation": 3}]},
        {"rules": [{"clauses": []}]},
        {"rules": [{"clauses": [clause("", "in", "x")], "variation": 0}]},
        {"on": False, "offVariation": 3},
        {"variations": []},
    ],
)
def test_a_malformed_flag_answers_parse_error_and_is_named(parts: dict[str, Any]) -> None:
    assert_malformed(imported({"f": flag(**parts), "sound": flag()}), "f")


def test_circles_answer_parse_error_and_so_does_who_asks_them() -> None:
    def asks(key: str, **parts: Any) -> dict[str, Any]:
        return flag(prerequisites=[{"key": key, "variation": 0}], **parts)

    flags = {"a": asks("b"), "b": asks("c"), "c": asks("b"), "self": asks("self"), "sound": flag()}
    assert_malformed(imported(flags), "a", "b", "c", "self")
    circle = {"rules": [{"clauses": [clause("", "segmentMatch", "s")]}]}
    assert_malformed(imported({"f": IN_SEGMENT}, s=circle), "f")


def test_a_circle_in_which_a_flag_is_off_does_no_harm() -> None:
    flags = {
        "a": flag(prerequisites=[{"key": "b", "variation": 0}], offVariation=2),
        "b": flag(on=False, prerequisites=[{"key": "a", "variation": 0}]),
    }
    result = imported(flags)
    assert details(result, {}, "a").value == "third"
    assert details(result, {}, "b").value == "other"
    assert {note.flag for note in result.lossy} == {"a", "b"}


def test_an_error_in_a_clause_comes_up_to_who_asks_but_a_missing_variation_does_not() -> None:
    bad_clause = when(clause("", "in", "x"))
    bad_variation = flag(fallthrough={"variation": 9})
    asks = flag(prerequisites=[{"key": "p", "variation": 0}])
    assert_malformed(imported({"f": asks, "p": bad_clause}), "f", "p")
    result = imported({"f": asks, "p": bad_variation})
    assert details(result, {}).value == "other"
    assert details(result, {}, "p").error_code == "PARSE_ERROR"


def test_what_nobody_reaches_breaks_nothing() -> None:
    for parts in (
        {"offVariation": 9},
        {"targets": [{"variation": 9, "values": []}]},
        {"fallthrough": {"rollout": {"variations": [
            {"variation": 1, "weight": 100_000}, {"variation": 9, "weight": 0}]}}},
        {"rules": [{"clauses": [clause("a", "in")], "variation": 9}]},
    ):  # fmt: skip
        result = imported({"f": flag(**parts)})
        parse_flag_set(result.flag_set(), strict=True)
        assert details(result, {"targetingKey": "u"}).value == "other"


def test_a_fallthrough_that_is_missing_leaves_the_rules_alone() -> None:
    document = when(clause("a", "in", 1))
    document["fallthrough"] = {}
    result = imported({"f": document})
    assert details(result, {"a": 1}).value == "match"
    assert details(result, {}).variant is None
    assert "falls through" in result.lossy[0].reason


@pytest.mark.parametrize(
    ("variations", "kind"),
    [
        (["a", 1, None], "object"),
        ([None], "object"),
        ([{}, "x", True, 1, 1.5], "object"),
        ([0.5, 2**53 + 1], "object"),
        ([0.5, 1], "float"),
        ([1, 2], "integer"),
    ],
)
def test_variations_of_several_types_or_null_are_served_as_they_are(
    variations: list[Any], kind: str
) -> None:
    for index, value in enumerate(variations):
        result = imported({"f": flag(variations=variations, fallthrough={"variation": index},
                                     offVariation=0)})  # fmt: skip
        assert result.report() == {"imported": 1, "refused": [], "lossy": []}
        parse_flag_set(json.loads(json.dumps(result.flag_set())), strict=True)
        assert result.flags["f"]["type"] == kind
        served = details(result, {"targetingKey": "u"})
        # LaunchDarkly's SDK, too, gives null with the index of its variation.
        assert (served.variant, served.value, served.error_code) == (str(index), value, None)
        assert (served.value is True) == (value is True)


# -- what cannot be carried is refused by name


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (flag(variations=[2**53]), "2"),
        (flag(version=-1), "version"),
        (flag(on="yes"), "on must be true or false"),
        (flag(rules={}), "rules must be a list"),
        (flag(rules=[{"variation": 0}]), "clauses must be a list"),
        (flag(rules=[{"clauses": [{"op": "in", "values": []}]}]), "attribute must be a text"),
        (flag(fallthrough={"variation": True}), "variation must be an integer"),
        ("text", "must be an object"),
        (when(clause("a", "matches", "(?=x)")), "lookaround"),
        (when(clause("a", "matches", r"(a)\1")), "backreference"),
        (when(clause("a", "matches", r"\w")), "letters of any script"),
        (when(clause("a", "matches", r"\bx")), "letters of any script"),
        (when(clause("a", "matches", "x{1001}")), "the pattern"),
        (when(clause("a", "in", [True])), "takes one for the other"),
        (when(clause("a", "lessThan", 10**400)), "too large"),
        (flag(fallthrough=rollout(1, 1, bucketBy="kind")), "by no unit"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name_and_the_rest_comes(
    document: Any, reason: str
) -> None:
    asks = flag(prerequisites=[{"key": "f", "variation": 0}])
    result = imported({"f": document, "asks": asks, "sound": flag()})
    assert list(result.flags) == ["sound"]
    assert [note.flag for note in result.refused] == ["f", "asks"]
    assert reason in result.refused[0].reason
    assert "a prerequisite cannot be carried" in result.refused[1].reason
    assert result.report()["imported"] == 1


def test_big_segments_are_refused_with_all_that_ask_them() -> None:
    outer = {"rules": [{"clauses": [clause("", "segmentMatch", "s")]}]}
    document = when(clause("", "segmentMatch", "outer"))
    result = imported({"f": document, "sound": flag()}, s={"unbounded": True}, outer=outer)
    assert list(result.flags) == ["sound"]
    assert result.segments == {}
    assert [note.flag for note in result.refused] == ["f", "segment outer", "segment s"]
    assert all("big segment" in note.reason for note in result.refused)


def test_a_chain_longer_than_the_engine_follows_is_refused() -> None:
    flags = {"f0": flag()} | {
        f"f{n}": flag(prerequisites=[{"key": f"f{n - 1}", "variation": 0}]) for n in range(1, 60)
    }
    result = imported(flags)
    parse_flag_set(result.flag_set(), strict=True)
    assert 50 <= len(result.flags) < 60
    assert len(result.flags) + len(result.refused) == 60


@pytest.mark.parametrize(
    "document", [None, [], "x", {}, {"flags": []}, {"flags": {}, "segments": 5}]
)
def test_what_is_no_payload_is_refused_as_a_whole(document: Any) -> None:
    with pytest.raises(ImportFileError):
        convert(document)


# -- the rest of a flag


def test_deleted_flags_stay_away() -> None:
    assert imported({"f": {"key": "f", "version": 2, "deleted": True}}).flags == {}


@pytest.mark.parametrize(
    ("parts", "client"),
    [
        ({}, False),
        ({"clientSide": True}, True),
        ({"clientSideAvailability": {"usingMobileKey": True}}, True),
        ({"clientSideAvailability": {"usingEnvironmentId": True}}, True),
        ({"clientSide": True, "clientSideAvailability": {"usingMobileKey": False}}, False),
    ],
)
def test_what_browsers_or_phones_may_see_is_for_clients(parts: Any, client: bool) -> None:
    assert imported({"f": flag(**parts)}).flags["f"]["client"] is client


@pytest.mark.parametrize(
    ("variations", "flag_type"),
    [
        ([True, False], "boolean"),
        (["a"], "string"),
        ([1, 2], "integer"),
        ([1, 2.5], "float"),
        ([{"a": 1}, [1]], "object"),
    ],
)
def test_the_type_is_that_of_the_variations(variations: Any, flag_type: str) -> None:
    result = imported({"f": flag(variations=variations, fallthrough={"variation": 0})})
    assert result.flags["f"]["type"] == flag_type
    assert result.flags["f"]["version"] == 3
    value = details(result, {}).value
    assert value == variations[0]
    assert isinstance(value, bool) is isinstance(variations[0], bool)


def test_rules_keep_their_names_and_double_ones_are_told_apart() -> None:
    rules = [{"id": "r", "clauses": [], "variation": 0}] * 2 + [{"clauses": [], "variation": 1}]
    result = imported({"f": flag(rules=rules)})
    assert [rule["id"] for rule in result.flags["f"]["rules"]] == ["r", "r~2", "rule-2"]


def test_what_is_about_events_is_left_behind_and_said_so() -> None:
    document = when(clause("a", "in", 1), variation=0, trackEvents=True)
    result = imported({"f": {**document, "debugEventsUntilDate": 5}})
    assert [note.reason for note in result.lossy] == [
        "left behind, as it is about events: debugEventsUntilDate, trackEvents"
    ]


# -- laws


@example(0, sys.float_info.max, 0)
@example(0, -sys.float_info.max, 0)
@example(2**53 + 1, 2**53, 0)
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False)),
    st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False)),
    st.integers(-300, 300),
)
def test_numbers_compare_as_their_floats_do(value: Any, constant: Any, step: int) -> None:
    for number in (value, constant + step if isinstance(constant, int) else constant):
        for op, holds in (
            ("lt", lambda a, b: a < b),
            ("lte", lambda a, b: a <= b),
            ("gt", lambda a, b: a > b),
            ("gte", lambda a, b: a >= b),
        ):
            assert holds(number, _edge(op, constant)) is holds(float(number), float(constant))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(-(10**17), 10**17), st.integers(-3, 3))
def test_seconds_compare_as_their_milliseconds_do(micros: int, step: int) -> None:
    limit = micros / 1000.0
    seconds = (micros + step) / 10**6
    assert (seconds < _seconds("before", limit)) is (seconds * 1000.0 < limit)
    assert (seconds > _seconds("after", limit)) is (seconds * 1000.0 > limit)


PIECES = st.sampled_from(
    ["a", "B", "i", "k", "ß", "[a-c]", "[^b]", "[iK]", ".", r"\d", r"\D", r"\s", r"\S", r"[\d_]",
     "^", "$", r"\A", r"\Z", "a*", "b+?", "(?:ab|c)", "(x|$)", "c{2,3}", "(?i:Sk)", "(?-i:a)",
     r"(?a:\w)", r"(?a:\b)", r"\.", r"\n", "[]a]", "[a\\-]", "|", "(?m:^a$)", "(?s:.)", "é"]
)  # fmt: skip
PATTERNS = st.builds(
    lambda flags, pieces: flags + "".join(pieces),
    st.sampled_from(["", "", "(?i)", "(?m)", "(?s)", "(?a)", "(?ia)"]),
    st.lists(PIECES, max_size=5),
)
TEXTS = st.text(alphabet="aAbBciIkKxsS\u0130\u0131\u212a\u017f_ 1٣é\n\x1c\x85.-]ß", max_size=8)


@settings(max_examples=EXAMPLES, deadline=None)
@given(PATTERNS, st.lists(TEXTS, min_size=1, max_size=20))
def test_a_pattern_is_found_where_python_finds_it(pattern: str, texts: list[str]) -> None:
    re2 = pytest.importorskip("re2")
    try:
        found_by_re = of_python(pattern, exact=True)
    except CannotCarryError:
        return
    if found_by_re is None:
        with pytest.raises(re.error):
            re.compile(pattern)
        return
    written, is_lossy = found_by_re
    assert not is_lossy
    found, theirs = compile_regex(written), re2.compile(written)
    for text in texts:
        expected = re.search(pattern, text) is not None
        assert found(text) is expected
        assert (theirs.search(text) is not None) is expected


def test_a_pattern_that_python_refuses_matches_nobody() -> None:
    for pattern in ("(", "a**", "(?P<1>a)", "[b-a]", "\\"):
        assert of_python(pattern, exact=True) is None


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


@settings(max_examples=EXAMPLES, deadline=None)
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
