"""The door: what is let in, what is refused and in which words."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flagstone.engine import (
    ErrorCode,
    FlagSet,
    FlagSetError,
    Reason,
    condition_document,
    evaluate,
    parse_condition,
    parse_flag,
    parse_flag_set,
    to_document,
)
from tests.sdk.engine.strategies import NOW, contexts, flag_sets

DOCUMENT: dict[str, Any] = {
    "schema": 1,
    "environment": "production",
    "version": 3,
    "segments": {"beta": {"attr": "beta", "op": "in", "values": [True]}},
    "flags": {
        "f": {
            "key": "f",
            "type": "string",
            "version": 17,
            "client": True,
            "variants": {"a": {"value": "A"}, "b": {"value": "B", "on": False}},
            "enabled": True,
            "killed": False,
            "off": "b",
            "prerequisites": [{"flag": "g", "variants": ["on"]}],
            "targets": [
                {
                    "variant": "b",
                    "by": "targetingKey",
                    "keys": ["u1", "u2"],
                    "until": "2026-12-31T00:00:00Z",
                }
            ],
            "rules": [
                {"id": "first", "when": {"segment": "beta"}, "serve": "a"},
                {
                    "id": "second",
                    "start": "2026-12-01T09:00:00.500000Z",
                    "track": True,
                    "when": {
                        "all": [
                            {"not": {"attr": ["device", "os"], "op": "in", "values": ["ios"]}},
                            {
                                "bucket": {
                                    "by": "targetingKey",
                                    "hash": "flagstone",
                                    "salt": "layer",
                                    "of": 100,
                                    "ranges": [[0, 50]],
                                }
                            },
                        ]
                    },
                    "serve": {
                        "split": {
                            "by": "targetingKey",
                            "hash": "flagstone",
                            "salt": "s",
                            "of": 10000,
                            "missing": "skip",
                            "to": [
                                {"variant": "a", "ranges": [[0, 2500]]},
                                {"variant": "b", "ranges": [[5000, 7500]]},
                            ],
                        }
                    },
                },
            ],
            "default": "a",
            "metadata": {"owner": "growth"},
        },
        "g": {
            "key": "g",
            "type": "boolean",
            "version": 1,
            "client": False,
            "variants": {"on": {"value": True}, "off": {"value": False}},
            "enabled": True,
            "killed": False,
            "off": "off",
            "prerequisites": [],
            "targets": [],
            "rules": [],
            "default": "on",
            "metadata": {},
        },
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the document with one part replaced, or removed if ``value`` is ``...``."""
    document = copy.deepcopy(DOCUMENT)
    target: Any = document
    *parents, last = [int(name) if name.isdigit() else name for name in path.split("/")]
    for name in parents:
        target = target[name]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return document


def test_a_full_document_is_written_as_it_was_read() -> None:
    flag_set = parse_flag_set(DOCUMENT)
    assert to_document(flag_set) == DOCUMENT
    assert parse_flag_set(json.dumps(DOCUMENT)) == flag_set
    assert parse_flag_set(json.dumps(DOCUMENT).encode()) == flag_set
    assert evaluate(flag_set, "f", {}, NOW).error_code is None
    assert pickle.loads(pickle.dumps(flag_set)) == flag_set
    assert copy.deepcopy(flag_set) == flag_set


def test_what_is_left_out_has_a_default() -> None:
    least = {"type": "boolean", "variants": {"on": {"value": True}}}
    flag_set = parse_flag_set({"flags": {"f": least}})
    flag = flag_set.flags["f"]
    assert (flag.enabled, flag.killed, flag.off, flag.default) == (True, False, None, None)
    assert (flag.rules, flag.targets, flag.prerequisites) == ((), (), ())
    assert flag.variants["on"].on is True
    assert parse_flag_set({}) == FlagSet({})


R, W = "flags/f/rules/1", "flags/f/rules/1/when"
SPLIT = f"{R}/serve/split"
REFUSED = [
    # path in the document, replaced by, path of the error, part of the message
    ("schema", 2, "schema", "must be 1"),
    ("schema", True, "schema", "must be 1"),
    ("version", "3", "version", "must be an integer, not a text"),
    ("version", -1, "version", "between"),
    ("version", 2**53, "version", "between"),
    ("environment", None, "environment", "must be a text"),
    ("colour", 1, "colour", "no such field"),
    ("flags", [], "flags", "must be an object, not a list"),
    ("segments", None, "segments", "must be an object, not null"),
    ("flags/f/key", "g", "flags.f.key", "must be 'f'"),
    ("flags/f/colour", 1, "flags.f.colour", "no such field"),
    ("flags/f/type", ..., "flags.f.type", "is missing"),
    ("flags/f/type", "text", "flags.f.type", "one of"),
    ("flags/f/variants", ..., "flags.f.variants", "is missing"),
    ("flags/f/variants/a", {}, "flags.f.variants.a.value", "is missing"),
    ("flags/f/variants/a/value", 5, "flags.f.variants.a.value", "type is string"),
    ("flags/f/variants/a/on", 1, "flags.f.variants.a.on", "must be true or false"),
    ("flags/f/variants/a/weight", 1, "flags.f.variants.a.weight", "no such field"),
    ("flags/f/variants/", {"value": "x"}, "flags.f.variants['']", "must not be empty"),
    ("flags/f/enabled", "yes", "flags.f.enabled", "must be true or false, not a text"),
    ("flags/f/killed", None, "flags.f.killed", "must be true or false, not null"),
    ("flags/f/client", 1, "flags.f.client", "must be true or false, not an integer"),
    ("flags/f/off", "c", "flags.f.off", "no variant 'c'"),
    ("flags/f/off", "", "flags.f.off", "must not be empty"),
    ("flags/f/default", "c", "flags.f.default", "no variant 'c'"),
    ("flags/f/metadata", [], "flags.f.metadata", "must be an object"),
    ("flags/f/metadata/x", float("nan"), "flags.f.metadata", "must be finite"),
    ("flags/f/prerequisites/0/flag", "h", "flags.f.prerequisites[0]", "no flag 'h'"),
    ("flags/f/prerequisites/0", {"flag": "f", "variants": ["a"]}, "flags.f.prerequisites[0]",
     "circle"),
    ("flags/f/prerequisites/0/variants", [], "flags.f.prerequisites[0].variants", "nobody"),
    ("flags/f/prerequisites/0/variants", ["x"], "flags.f.prerequisites[0]", "no variant 'x'"),
    ("flags/f/prerequisites/0/variants", [1], "flags.f.prerequisites[0].variants[0]", "a text"),
    ("flags/f/prerequisites/0/x", 1, "flags.f.prerequisites[0].x", "no such field"),
    ("flags/f/prerequisites", {}, "flags.f.prerequisites", "must be a list"),
    ("flags/f/targets/0/variant", "c", "flags.f.targets[0].variant", "no variant"),
    ("flags/f/targets/0/keys", "u1", "flags.f.targets[0].keys", "must be a list"),
    ("flags/f/targets/0/keys/1", True, "flags.f.targets[0].keys[1]", "a unit is"),
    ("flags/f/targets/0/keys/1", 1.5, "flags.f.targets[0].keys[1]", "a unit is"),
    ("flags/f/targets/0/until", "soon", "flags.f.targets[0].until", "is not a time"),
    ("flags/f/targets/0/until", 5, "flags.f.targets[0].until", "must be a text"),
    ("flags/f/targets/0/x", 5, "flags.f.targets[0].x", "no such field"),
    ("flags/f/targets/0", None, "flags.f.targets[0]", "must be an object, not null"),
    ("flags/f/rules/0", "x", "flags.f.rules[0]", "must be an object"),
    ("flags/f/rules/0/id", "second", "flags.f.rules[1].id", "two rules"),
    ("flags/f/rules/0/id", ..., "flags.f.rules[0].id", "is missing"),
    ("flags/f/rules/0/when", ..., "flags.f.rules[0].when", "is missing"),
    ("flags/f/rules/0/when", None, "flags.f.rules[0].when", "must be an object"),
    ("flags/f/rules/0/when", False, "flags.f.rules[0].when", "must be an object"),
    ("flags/f/rules/0/when", {}, "flags.f.rules[0].when", "no condition"),
    ("flags/f/rules/0/when", {"or": []}, "flags.f.rules[0].when", "no condition"),
    ("flags/f/rules/0/when/segment", "x", "flags.f.rules[0].when", "no segment 'x'"),
    ("flags/f/rules/0/when/x", 1, "flags.f.rules[0].when.x", "no such field"),
    ("flags/f/rules/0/serve", "c", "flags.f.rules[0].serve", "no variant"),
    ("flags/f/rules/0/serve", None, "flags.f.rules[0].serve", "must be an object, not null"),
    ("flags/f/rules/0/serve", {}, "flags.f.rules[0].serve.split", "is missing"),
    ("flags/f/rules/0/priority", 1, "flags.f.rules[0].priority", "no such field"),
    (f"{R}/track", "yes", "flags.f.rules[1].track", "must be true or false"),
    (f"{R}/end", "2026-12-01T09:00:00Z", "flags.f.rules[1].end", "after start"),
    ("flags/f/rules/0/when/any", [True], "flags.f.rules[0].when", "more than one condition"),
    (f"{W}/all/0/not/segment", "x", "flags.f.rules[1].when.all[0].not", "more than one condition"),
    (f"{W}/all/0/not/each", True, "flags.f.rules[1].when.all[0].not.op", "no operator"),
    (f"{W}/all", [], "flags.f.rules[1].when.all", "nobody"),
    (f"{W}/all/0/not", {"any": []}, "flags.f.rules[1].when.all[0].not.any", "nobody"),
    (f"{W}/all/0/not/op", "is", "flags.f.rules[1].when.all[0].not.op", "unknown operator 'is'"),
    (f"{W}/all/0/not/op", ..., "flags.f.rules[1].when.all[0].not.op", "is missing"),
    (f"{W}/all/0/not/values", [], "flags.f.rules[1].when.all[0].not.values", "nobody"),
    (f"{W}/all/0/not/values", ..., "flags.f.rules[1].when.all[0].not.values", "is missing"),
    (f"{W}/all/0/not/values", [object()], "flags.f.rules[1].when.all[0].not.values[0]", "JSON"),
    (f"{W}/all/0/not/attr", 5, "flags.f.rules[1].when.all[0].not.attr", "must be a name"),
    (f"{W}/all/0/not/attr", ["a", 5], "flags.f.rules[1].when.all[0].not.attr", "must be a name"),
    (f"{W}/all/0/not/attr", ["a"] * 21, "flags.f.rules[1].when.all[0].not.attr", "more than"),
    (f"{W}/all/0/not/as", "text", "flags.f.rules[1].when.all[0].not.as", "one of"),
    (f"{W}/all/0/not/strict", True, "flags.f.rules[1].when.all[0].not.strict", "versions"),
    (f"{W}/all/1/bucket/hash", "md5", "flags.f.rules[1].when.all[1].bucket.hash", "unknown hash"),
    (f"{W}/all/1/bucket/salt", ..., "flags.f.rules[1].when.all[1].bucket.salt", "is missing"),
    (f"{W}/all/1/bucket/of", 0, "flags.f.rules[1].when.all[1].bucket.of", "between"),
    (f"{W}/all/1/bucket/of", 10.0, "flags.f.rules[1].when.all[1].bucket.of", "an integer"),
    (f"{W}/all/1/bucket/ranges", [], "flags.f.rules[1].when.all[1].bucket.ranges", "nobody"),
    (f"{W}/all/1/bucket/x", 1, "flags.f.rules[1].when.all[1].bucket.x", "no such field"),
    (f"{W}/all/1/bucket", None, "flags.f.rules[1].when.all[1].bucket", "must be an object"),
    (f"{W}/all/1/bucket/ranges/0", [0, 101], "flags.f.rules[1].when.all[1].bucket.ranges[0]",
     "does not lie within [0, 100]"),
    (f"{SPLIT}/to/0/ranges/0", [-1, 5], "flags.f.rules[1].serve.split.to[0].ranges[0]", "within"),
    (f"{SPLIT}/to/0/ranges/0", [5, 4], "flags.f.rules[1].serve.split.to[0].ranges[0]", "within"),
    (f"{SPLIT}/to/0/ranges/0", [1], "flags.f.rules[1].serve.split.to[0].ranges[0]", "[first, end]"),
    (f"{SPLIT}/to/0/ranges/0", [0, 1.0], "flags.f.rules[1].serve.split.to[0].ranges[0]", "integer"),
    (f"{SPLIT}/to/0/ranges/0", [0, 5001], "flags.f.rules[1].serve.split.to", "overlap at"),
    (f"{SPLIT}/to/0/variant", "c", "flags.f.rules[1].serve.split.to[0].variant", "no variant"),
    (f"{SPLIT}/to/0/weight", 5, "flags.f.rules[1].serve.split.to[0].weight", "no such field"),
    (f"{SPLIT}/to", [], "flags.f.rules[1].serve.split.to", "nobody"),
    (f"{SPLIT}/to", ..., "flags.f.rules[1].serve.split.to", "is missing"),
    (f"{SPLIT}/missing", "c", "flags.f.rules[1].serve.split.missing", "no variant"),
    (f"{SPLIT}/weights", {}, "flags.f.rules[1].serve.split.weights", "no such field"),
    ("segments/beta", {"segment": "beta"}, "segments.beta", "circle"),
    ("segments/beta", {"segment": "x"}, "segments.beta", "no segment 'x'"),
    ("segments/beta/op", "x", "segments.beta.op", "unknown operator"),
    ("segments/beta", {"flag": "g"}, "segments.beta", "says nothing"),
    ("segments/beta", {"flag": "g", "variants": []}, "segments.beta.variants", "nobody"),
    ("segments/beta", {"flag": "g", "value": {"segment": "beta"}}, "segments.beta.value.segment",
     "whole context"),
    ("segments/beta", {"attr": "x", "each": {"flag": "g", "on": True}}, "segments.beta.each.flag",
     "whole context"),
    ("segments/beta", {"attr": "x", "each": {"bucket": {}}}, "segments.beta.each.bucket", "whole"),
    ("segments/beta", {"op": "in", "values": [1]}, "segments.beta.attr", "is missing"),
    ("segments/beta", {"attr": "x", "op": "exists", "values": [True]}, "segments.beta.values",
     "takes no values"),
    ("segments/beta", {"attr": "x", "op": "lt", "values": [1], "ci": True}, "segments.beta.ci",
     "no case"),
    ("segments/beta", {"attr": "x", "op": "regex", "values_from": {"attr": "y"}},
     "segments.beta.values_from", "constants only"),
    ("segments/beta", {"attr": "x", "op": "in", "values_from": "y"}, "segments.beta.values_from",
     "must be an object"),
    ("segments/beta", {"attr": "x", "op": "in", "values_from": {"clock": "then"}},
     "segments.beta.values_from", "must be"),
    ("segments/beta", {"attr": "x", "op": "in", "values": [1], "values_from": {"clock": "now"}},
     "segments.beta.values_from", "values already"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "value", "path", "message"), REFUSED)
def test_a_fault_is_refused_with_its_path(where: str, value: Any, path: str, message: str) -> None:
    with pytest.raises(FlagSetError) as caught:
        parse_flag_set(changed(where, value))
    error = caught.value
    assert error.path == path
    assert message in error.message
    assert str(error).startswith(f"{path}: {error.message}")
    assert pickle.loads(pickle.dumps(error)).path == path
    assert isinstance(error, ValueError)


IN_WHOLE = ("schema", "version", "environment", "flags", "segments")
UNKNOWN_ONLY = ("no such field", "nobody", "says nothing", "after start", "no condition",
                "takes no values", "no case", "versions", "values already", "is missing",
                "at least one")  # fmt: skip


@pytest.mark.parametrize(("where", "value", "path", "message"), REFUSED)
def test_leniently_a_fault_stays_in_its_flag(
    where: str, value: Any, path: str, message: str
) -> None:
    document = changed(where, value)
    if where in IN_WHOLE:
        with pytest.raises(FlagSetError) as caught:
            parse_flag_set(document, strict=False)
        assert caught.value.path == path
        return
    flag_set = parse_flag_set(document, strict=False)
    assert evaluate(flag_set, "g", {}, NOW).variant == "on"
    fault = flag_set.flags["f"].fault
    if fault is None:
        assert message in UNKNOWN_ONLY
        return
    details = evaluate(flag_set, "f", {"beta": True}, NOW)
    assert (details.value, details.reason) == (None, Reason.ERROR)
    assert details.error_code is ErrorCode.PARSE_ERROR
    assert details.error_message == str(fault)
    assert fault.path == path
    assert to_document(flag_set)["flags"]["f"] == document["flags"]["f"]


def test_a_circle_through_a_segment_is_refused() -> None:
    with pytest.raises(FlagSetError, match="circle") as caught:
        parse_flag_set(changed("segments/beta", {"flag": "f", "on": True}))
    assert caught.value.path == "flags.f.rules[0].when"


def test_a_flag_has_at_least_one_variant() -> None:
    with pytest.raises(FlagSetError, match="at least one variant"):
        parse_flag({"key": "f", "type": "string", "variants": {}})


@pytest.mark.parametrize(
    "document", [None, 5, [], "", "{", b"\xff", "[]", "null", '{"flags": {"f": }}', "[" * 100_000]
)
@pytest.mark.parametrize("strict", [True, False])
def test_an_unusable_whole_is_refused_in_both_modes(document: Any, strict: bool) -> None:
    with pytest.raises(FlagSetError):
        parse_flag_set(document, strict=strict)


def test_a_key_that_occurs_twice_is_refused_strictly() -> None:
    text = '{"flags": {}, "flags": {}}'
    with pytest.raises(FlagSetError, match="'flags' occurs twice"):
        parse_flag_set(text)
    assert parse_flag_set(text, strict=False) == FlagSet({})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_json_are_refused(number: str) -> None:
    text = '{"flags": {"f": {"type": "float", "variants": {"a": {"value": ?}}}}}'
    text = text.replace("?", number)
    with pytest.raises(FlagSetError):
        parse_flag_set(text)
    assert parse_flag_set(text, strict=False).flags["f"].fault is not None


@pytest.mark.parametrize(
    ("flag_type", "value", "read"),
    [
        ("float", 10, 10.0), ("float", 2.5, 2.5), ("integer", 10.0, 10), ("integer", -3, -3),
        ("boolean", False, False), ("string", "", ""), ("object", {"a": [1]}, {"a": [1]}),
        ("object", [1, (2,)], [1, [2]]), ("object", 3, 3), ("object", True, True),
        ("integer", 2**53 - 1, 2**53 - 1),
        ("float", True, None), ("integer", True, None), ("integer", 1.5, None),
        ("integer", 2**53, None), ("float", 10**400, None), ("boolean", 1, None),
        ("boolean", "true", None), ("string", None, None), ("object", "x", "x"),
        ("object", {"a": float("inf")}, None), ("object", {1: 2}, None),
        ("integer", float("nan"), None), ("integer", float("inf"), None),
    ],
)  # fmt: skip
def test_a_value_has_its_flags_type(flag_type: str, value: Any, read: Any) -> None:
    document = {"key": "f", "type": flag_type, "variants": {"a": {"value": value}}}
    if read is None:
        with pytest.raises(FlagSetError) as caught:
            parse_flag(document)
        assert caught.value.path == "variants.a.value"
    else:
        found = parse_flag(document).variants["a"].value
        assert found == read
        assert type(found) is type(read)


def test_an_object_may_be_null_where_a_variant_is_but_a_name() -> None:
    flag = {"key": "f", "type": "object", "variants": {"a": {"value": None}}, "default": "a"}
    details = evaluate({"flags": {"f": flag}}, "f", {}, 0.0)
    assert (details.variant, details.value, details.on) == ("a", None, True)


def test_what_was_read_shares_nothing_with_the_document() -> None:
    document = {
        "flags": {
            "f": {
                "type": "object",
                "variants": {"a": {"value": {"list": [1]}}},
                "default": "a",
                "metadata": {"tags": ["x"]},
                "rules": [
                    {
                        "id": "r",
                        "when": {"attr": "x", "op": "in", "values": [["y"]]},
                        "serve": "a",
                    }
                ],
            }
        }
    }
    flag_set = parse_flag_set(document)
    before = to_document(flag_set)
    flag: Any = document["flags"]["f"]
    flag["variants"]["a"]["value"]["list"].append(2)
    flag["metadata"]["tags"].clear()
    flag["rules"][0]["when"]["values"][0][0] = "z"
    assert to_document(flag_set) == before
    before["flags"]["f"]["metadata"]["tags"].clear()
    assert to_document(flag_set) != before


def test_one_flag_and_one_condition_are_read_under_a_path() -> None:
    flag = copy.deepcopy(DOCUMENT["flags"]["f"])
    assert parse_flag(flag).key == "f"
    flag["rules"][0]["serve"] = "c"
    with pytest.raises(FlagSetError) as caught:
        parse_flag(flag, "instructions[0].flag")
    assert caught.value.path == "instructions[0].flag.rules[0].serve"
    with pytest.raises(FlagSetError) as caught:
        parse_condition({"all": [{"attr": "x", "op": "cute"}]}, "rule.when")
    assert caught.value.path == "rule.when.all[0].op"
    assert caught.value.hint is not None
    assert "starts_with" in caught.value.hint
    with pytest.raises(FlagSetError) as caught:
        parse_flag({**flag, "rules": [], "prerequisites": [{"flag": "f", "variants": ["a"]}]})
    assert caught.value.path == "prerequisites[0]"


def test_names_that_are_not_plain_are_quoted_in_paths() -> None:
    document = {"flags": {"a.b c": {"type": "x", "variants": {}}}}
    with pytest.raises(FlagSetError) as caught:
        parse_flag_set(document)
    assert caught.value.path == "flags['a.b c'].type"


def nested(levels: int) -> Any:
    condition: Any = {"attr": "x", "op": "exists"}
    for _ in range(levels):
        condition = {"not": condition}
    return condition


def test_conditions_and_values_may_be_nested_only_so_deep() -> None:
    parse_condition(nested(49))
    for levels in (50, 5000, 200_000):
        with pytest.raises(FlagSetError, match="nested deeper than 50"):
            parse_condition(nested(levels))
    deep: Any = []
    for _ in range(200_000):
        deep = [deep]
    with pytest.raises(FlagSetError, match="nested deeper"):
        parse_flag({"key": "f", "type": "object", "variants": {"a": {"value": deep}}})


def needs(*others: str) -> dict[str, Any]:
    return {
        "type": "boolean",
        "variants": {"on": {"value": True}, "off": {"value": False}},
        "off": "off",
        "default": "on",
        "prerequisites": [{"flag": other, "variants": ["on"]} for other in others],
    }


def test_a_circle_is_refused_and_leniently_breaks_all_who_reach_it() -> None:
    document: dict[str, Any] = {
        "flags": {
            "outside": needs("a"),
            "a": needs("b"),
            "b": needs("c", "free"),
            "c": needs("a"),
            "free": needs(),
        }
    }
    with pytest.raises(FlagSetError, match="circle"):
        parse_flag_set(document)
    flag_set = parse_flag_set(document, strict=False)
    for key in ("outside", "a", "b", "c"):
        assert evaluate(flag_set, key, {}, NOW).error_code is ErrorCode.PARSE_ERROR
    assert evaluate(flag_set, "free", {}, NOW).variant == "on"
    # A flag that is off asks nobody: the circle is open there, until it is on again.
    document["flags"]["b"]["killed"] = True
    with pytest.raises(FlagSetError, match="circle"):
        parse_flag_set(document)
    flag_set = parse_flag_set(document, strict=False)
    assert evaluate(flag_set, "b", {}, NOW).reason is Reason.DISABLED
    assert evaluate(flag_set, "outside", {}, NOW).metadata == {"prerequisite": "a"}


def test_a_circle_of_segments_breaks_the_flags_that_ask_it() -> None:
    flag = needs()
    flag["rules"] = [{"id": "r", "when": {"not": {"segment": "a"}}, "serve": "off"}]
    document = {
        "segments": {"a": {"any": [True, {"segment": "b"}]}, "b": {"not": {"segment": "a"}}},
        "flags": {"f": flag, "g": needs()},
    }
    flag_set = parse_flag_set(document, strict=False)
    assert evaluate(flag_set, "f", {}, NOW).error_code is ErrorCode.PARSE_ERROR
    assert evaluate(flag_set, "g", {}, NOW).variant == "on"


def test_a_broken_prerequisite_is_not_met() -> None:
    document = {"flags": {"f": needs("g"), "g": {**needs(), "rules": 5}}}
    flag_set = parse_flag_set(document, strict=False)
    assert evaluate(flag_set, "g", {}, NOW).error_code is ErrorCode.PARSE_ERROR
    assert evaluate(flag_set, "f", {}, NOW).metadata == {"prerequisite": "g"}


def test_chains_that_are_long_or_dear_are_refused() -> None:
    chain = {f"f{n}": needs(*([f"f{n - 1}"] if n else [])) for n in range(5000)}
    with pytest.raises(FlagSetError, match="more than 50 references in a row"):
        parse_flag_set({"flags": chain})
    flag_set = parse_flag_set({"flags": chain}, strict=False)
    assert evaluate(flag_set, "f50", {}, NOW).variant == "on"
    assert evaluate(flag_set, "f51", {}, NOW).error_code is ErrorCode.PARSE_ERROR
    assert evaluate(flag_set, "f4999", {}, NOW).error_code is ErrorCode.PARSE_ERROR
    doubling = {f"f{n}": needs(*([f"f{n - 1}"] * 2 if n else [])) for n in range(30)}
    with pytest.raises(FlagSetError, match="asks more than"):
        parse_flag_set({"flags": doubling})
    flag_set = parse_flag_set({"flags": doubling}, strict=False)
    assert evaluate(flag_set, "f12", {}, NOW).variant == "on"
    assert evaluate(flag_set, "f29", {}, NOW).error_code is ErrorCode.PARSE_ERROR


def test_leniently_empty_conditions_match_nobody() -> None:
    empty: list[Any] = [
        {}, {"all": []}, {"any": []}, {"attr": "x", "op": "in", "values": []},
        {"attr": "x", "op": "in"}, {"bucket": {"salt": "s", "of": 1, "ranges": []}},
        {"flag": "g", "variants": []},
    ]  # fmt: skip
    for condition in empty:
        flag = needs()
        flag["rules"] = [{"id": "r", "when": condition, "serve": "off"}]
        flag_set = parse_flag_set({"flags": {"f": flag, "g": needs()}}, strict=False)
        details = evaluate(flag_set, "f", {"x": 1, "targetingKey": "u"}, NOW)
        assert (details.variant, details.reason) == ("on", Reason.DEFAULT)
        assert parse_flag_set(to_document(flag_set), strict=False) == flag_set


def parts(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(document, dict):
        for key in document:
            found += parts(document[key], (*path, key))
    elif isinstance(document, list):
        for index, element in enumerate(document):
            found += parts(element, (*path, index))
    return found


junk = st.sampled_from(
    [None, True, False, 0, -1, 1.5, 10**30, float("nan"), "", "x", [], {}, [[]], [None], {"": 0},
     {"attr": "x"}, {"not": {}}, {"split": {}}, object(), b"x", {1: 2}, (1,), [[0, 1]], "\ud800"]
)  # fmt: skip


@given(flag_sets() | st.just(DOCUMENT), st.data(), contexts)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_damaged_document_is_read_or_refused_and_never_crashes(
    document: Any, data: Any, context: Any
) -> None:
    document = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(parts(document)))
        target = document
        for name in path[:-1]:
            target = target[name]
        if data.draw(st.booleans()):
            target[path[-1]] = data.draw(junk)
        elif isinstance(target, dict):
            del target[path[-1]]
    try:
        strict = parse_flag_set(document)
    except FlagSetError:
        strict = None
    else:
        assert parse_flag_set(to_document(strict)) == strict
    try:
        lenient = parse_flag_set(document, strict=False)
    except FlagSetError:
        assert strict is None
        return
    assert strict is None or lenient == strict
    for key in lenient.flags:
        details = evaluate(lenient, key, context, NOW)
        assert details.error_code in (None, ErrorCode.PARSE_ERROR)


@given(st.text() | st.binary())
@settings(deadline=None)
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    for strict in (True, False):
        try:
            parse_flag_set(text, strict=strict)
        except FlagSetError:
            continue


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["all", "any", "not", "attr", "op", "values", "segment", "flag", "bucket",
                         "each", "as", "ci", "ranges", "salt", "of", "by", "x"]),
        inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@given(json_values)
@settings(max_examples=300, deadline=None)
def test_any_condition_is_read_or_refused(document: Any) -> None:
    with contextlib.suppress(FlagSetError):
        assert condition_document(parse_condition(document)) is not None
