"""Eppo's configuration: every trap, every refusal, and any file at all."""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagstone.engine import compile_flag_set, evaluate, parse_flag_set
from flagstone.importers import ImportFileError, ImportResult
from flagstone.importers.eppo import convert

EXAMPLES = int(os.environ.get("FLAGSTONE_FUZZ_EXAMPLES", "500"))
NOW = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
ON = {"variationKey": "on", "shards": []}
DEFAULT = None


def shard(salt: str, *ranges: tuple[int, int]) -> dict[str, Any]:
    return {"salt": salt, "ranges": [{"start": low, "end": high} for low, high in ranges]}


def allocation(key: str = "a", *conditions: dict[str, Any], **more: Any) -> dict[str, Any]:
    rules = {"rules": [{"conditions": list(conditions)}]} if conditions else {}
    return {"key": key, "splits": [ON], **rules, **more}


def condition(attribute: str, operator: str, value: Any) -> dict[str, Any]:
    return {"attribute": attribute, "operator": operator, "value": value}


def flag(*allocations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "key": "f",
        "enabled": True,
        "variationType": "STRING",
        "totalShards": 10000,
        "variations": {name: {"key": name, "value": name} for name in ("on", "off", "third")},
        "allocations": list(allocations),
        **more,
    }


def imported(given: dict[str, Any], **whole: Any) -> ImportResult:
    return convert({"format": "SERVER", "flags": {"f": given}, **whole})


def rules(given: dict[str, Any]) -> list[dict[str, Any]]:
    result = imported(given)
    assert result.refused == []
    found: list[dict[str, Any]] = result.flags["f"]["rules"]
    return found


def served(given: dict[str, Any], now: dt.datetime = NOW, **context: Any) -> str | None:
    result = imported(given)
    assert result.refused == []
    document = json.loads(json.dumps(result.flag_set()))
    context = {"targetingKey": "subject", **context}
    return evaluate(parse_flag_set(document, strict=True), "f", context, now).variant


def reason(given: dict[str, Any], **whole: Any) -> str:
    result = imported(given, **whole)
    assert result.flags == {}
    (note,) = result.refused
    assert note.flag == "f"
    return note.reason


def shard_of(salt: str, key: str, of: int = 10000) -> int:
    return int(hashlib.md5(f"{salt}-{key}".encode()).hexdigest()[:8], 16) % of


class TestConditions:
    @pytest.mark.parametrize(
        ("operator", "value", "attribute", "holds"),
        [
            ("ONE_OF", ["1"], 1, True),
            ("ONE_OF", ["1"], 1.0, True),
            ("ONE_OF", ["1.0"], 1.0, False),
            ("ONE_OF", ["0.0000001"], 1e-7, True),
            ("ONE_OF", ["1e-7"], 1e-7, False),
            ("ONE_OF", ["100000000000000000000000"], 1e23, True),
            ("ONE_OF", ["-2.5"], -2.5, True),
            ("ONE_OF", ["01"], 1, False),
            ("ONE_OF", ["true"], True, True),
            ("ONE_OF", ["True"], True, False),
            ("ONE_OF", ["1"], True, False),
            ("ONE_OF", ["false"], False, True),
            ("ONE_OF", ["null"], None, False),
            ("ONE_OF", ["US"], "us", False),
            ("ONE_OF", [], "a", False),
            ("NOT_ONE_OF", ["a"], "b", True),
            ("NOT_ONE_OF", ["a"], "a", False),
            ("NOT_ONE_OF", ["a"], None, False),
            ("NOT_ONE_OF", ["a"], 5, True),
            ("NOT_ONE_OF", ["5"], 5, False),
            ("NOT_ONE_OF", [], "a", True),
            ("NOT_ONE_OF", ["a"], ["b"], False),
            ("MATCHES", "^5$", 5, True),
            ("MATCHES", "^5$", 5.0, True),
            ("MATCHES", "true", True, True),
            ("MATCHES", "null", None, False),
            ("MATCHES", "", None, False),
            ("MATCHES", "ar", "bart", True),
            ("MATCHES", "^a.b$", "a\nb", False),
            ("MATCHES", "^a$", "a\n", False),
            ("NOT_MATCHES", "a", "b", True),
            ("NOT_MATCHES", "a", None, False),
            ("NOT_MATCHES", "a", 5, True),
            ("GTE", 5, 5, True),
            ("GTE", 5, "5", True),
            ("GTE", 5, "5e0", True),
            ("GTE", 5, " 5", False),
            ("GTE", 5, True, False),
            ("GTE", 0, "", False),
            ("GTE", "5", 7, True),
            ("GT", 5, 5, False),
            ("GT", 5, "5.5", True),
            ("LTE", 5, 5, True),
            ("LT", 5, 4.9, True),
            ("LT", 5, "x", False),
            ("LT", 5, None, False),
            ("GTE", "1.5.0", "1.13.0", True),
            ("GTE", "1.5.0", "1.5.0-beta", False),
            ("GTE", "1.0.0", "2", False),
            ("GTE", "1.0.0", 2, False),
            ("GTE", "1.0.0", "v2.0.0", False),
            ("GTE", "1.0", "2", True),
            ("GT", "1.0.0", "1.0.0+build", True),
            ("GT", "1.0.0", "1.0.0", False),
            ("LTE", "1.0.0", "1.0.0", True),
            ("LTE", "1.0.0", "1.0.0+build", False),
            ("LT", "1.0.0-2", "1.0.0-10", False),
            ("LT", "1.0.0-10", "1.0.0-2", True),
            ("IS_NULL", True, None, True),
            ("IS_NULL", True, "", False),
            ("IS_NULL", False, None, False),
            ("IS_NULL", False, 0, True),
        ],
    )
    def test_an_attribute_is_compared_as_eppo_compares_it(
        self, operator: str, value: Any, attribute: Any, holds: bool
    ) -> None:
        given = flag(allocation("a", condition("x", operator, value)))
        assert served(given, x=attribute) == ("on" if holds else DEFAULT)

    @pytest.mark.parametrize(
        "operator", ["MATCHES", "NOT_MATCHES", "ONE_OF", "NOT_ONE_OF", "GTE", "LT"]
    )
    def test_an_attribute_that_is_not_there_fulfils_nothing(self, operator: str) -> None:
        value = {"ONE_OF": ["a"], "NOT_ONE_OF": ["a"], "GTE": 1, "LT": 1}.get(operator, "a")
        assert served(flag(allocation("a", condition("x", operator, value)))) is DEFAULT

    def test_only_null_says_something_of_what_is_not_there(self) -> None:
        assert served(flag(allocation("a", condition("x", "IS_NULL", True)))) == "on"
        assert served(flag(allocation("a", condition("x", "IS_NULL", False)))) is DEFAULT

    def test_conditions_join_by_and_and_rules_by_or(self) -> None:
        one, two = condition("x", "ONE_OF", ["1"]), condition("y", "ONE_OF", ["1"])
        both = flag(allocation("a", one, two))
        assert (served(both, x=1), served(both, x=1, y=1)) == (DEFAULT, "on")
        either = flag(allocation(rules=[{"conditions": [one]}, {"conditions": [two]}]))
        assert (served(either, x=1), served(either, y=1), served(either)) == ("on", "on", DEFAULT)
        assert served(flag(allocation(rules=[{"conditions": []}]))) == "on"
        assert served(flag(allocation(rules=[]))) == "on"

    @pytest.mark.parametrize(
        ("operator", "value", "other"),
        [("MATCHES", "^subject$", "x"), ("NOT_ONE_OF", ["x"], "x"), ("IS_NULL", False, None)],
    )
    def test_id_is_the_subject_unless_an_attribute_says_otherwise(
        self, operator: str, value: Any, other: Any
    ) -> None:
        given = flag(allocation("a", condition("id", operator, value)))
        assert served(given) == "on"
        assert served(given, targetingKey="x", id="subject") == "on"
        assert served(given, id=other) is DEFAULT

    def test_a_subject_that_is_a_number_is_its_text(self) -> None:
        given = flag(allocation("a", condition("id", "MATCHES", "^[0-9]+$")))
        assert (served(given, targetingKey=12), served(given, targetingKey=12.0)) == ("on", "on")

    def test_dots_in_a_name_are_part_of_it(self) -> None:
        given = flag(allocation("a", condition("a.b/c", "ONE_OF", ["1"])))
        assert (served(given, **{"a.b/c": "1"}), served(given, a={"b/c": "1"})) == ("on", DEFAULT)


class TestShards:
    def test_a_split_needs_all_its_shards(self) -> None:
        both = [shard("one", (0, 5000)), shard("two", (5000, 10000))]
        given = flag(allocation(splits=[{"variationKey": "on", "shards": both}]))
        compiled = compile_flag_set(parse_flag_set(imported(given).flag_set(), strict=True))
        seen = set()
        for n in range(400):
            key = f"s{n}"
            inside = shard_of("one", key) < 5000 and shard_of("two", key) >= 5000
            variant = evaluate(compiled, "f", {"targetingKey": key}, NOW).variant
            assert variant == ("on" if inside else DEFAULT)
            seen.add(inside)
        assert seen == {True, False}

    def test_the_first_matching_split_wins_and_else_the_next_allocation(self) -> None:
        given = flag(
            allocation(
                "a",
                splits=[
                    {"variationKey": "off", "shards": [shard("s", (0, 2000))]},
                    {"variationKey": "third", "shards": [shard("s", (1000, 4000))]},
                ],
            ),
            allocation("b"),
        )
        compiled = compile_flag_set(parse_flag_set(imported(given).flag_set(), strict=True))
        for n in range(400):
            place = shard_of("s", f"s{n}")
            wanted = "off" if place < 2000 else "third" if place < 4000 else "on"
            assert evaluate(compiled, "f", {"targetingKey": f"s{n}"}, NOW).variant == wanted

    def test_splits_of_one_salt_become_one_rule_with_a_split(self) -> None:
        exposed = shard("traffic", (0, 6000))
        splits = [
            {"variationKey": name, "shards": [exposed, shard("split", pair)]}
            for name, pair in (("on", (0, 3333)), ("off", (3333, 10000)))
        ]
        (rule,) = rules(flag(allocation("experiment", splits=splits)))
        assert rule == {
            "id": "experiment",
            "track": True,
            "when": {
                "bucket": {"hash": "eppo", "salt": "traffic", "of": 10000, "ranges": [[0, 6000]]}
            },
            "serve": {
                "split": {
                    "hash": "eppo",
                    "salt": "split",
                    "of": 10000,
                    "to": [
                        {"variant": "on", "ranges": [[0, 3333]]},
                        {"variant": "off", "ranges": [[3333, 10000]]},
                    ],
                }
            },
        }

    def test_other_splits_become_a_rule_each_with_a_name_of_its_own(self) -> None:
        splits = [
            {"variationKey": "on", "shards": [shard("one", (0, 10))]},
            {"variationKey": "off", "shards": [shard("two", (0, 10))]},
        ]
        given = flag(
            allocation("a", splits=splits), allocation("a"), allocation("a 2"), allocation("")
        )
        assert [rule["id"] for rule in rules(given)] == ["a", "a 3", "a 4", "a 2", "allocation"]

    def test_a_shard_for_everybody_asks_for_no_subject(self) -> None:
        given = flag(
            allocation(splits=[{"variationKey": "on", "shards": [shard("s", (0, 10000))]}])
        )
        assert rules(given)[0]["when"] is True
        assert rules(given)[0]["serve"] == "on"

    def test_ranges_past_the_end_or_empty_are_cut(self) -> None:
        ranges = ((9000, 20000), (5, 5), (7, 3), (20000, 30000))
        given = flag(allocation(splits=[{"variationKey": "on", "shards": [shard("s", *ranges)]}]))
        assert rules(given)[0]["serve"]["split"]["to"] == [
            {"variant": "on", "ranges": [[9000, 10000]]}
        ]
        nobody = flag(allocation(splits=[{"variationKey": "on", "shards": [shard("s")]}]))
        assert rules(nobody) == []

    def test_an_empty_salt_is_one(self) -> None:
        place = shard_of("", "subject")
        splits = [{"variationKey": "on", "shards": [shard("", (place, place + 1))]}]
        assert served(flag(allocation(splits=splits))) == "on"

    def test_an_empty_key_is_a_subject_and_none_is_not(self) -> None:
        place = shard_of("s", "")
        splits = [{"variationKey": "on", "shards": [shard("s", (place, place + 1))]}]
        given = flag(allocation(splits=splits))
        assert (served(given, targetingKey=""), served(given, targetingKey=None)) == ("on", DEFAULT)


class TestTimes:
    def test_both_ends_of_a_window_are_in_it(self) -> None:
        given = flag(
            allocation(startAt="2026-06-01T12:00:00.000Z", endAt="2026-06-01T14:00:00.5+00:00")
        )
        end = NOW + dt.timedelta(hours=2, milliseconds=500)
        instant = dt.timedelta(microseconds=1)
        for moment, variant in (
            (NOW - instant, DEFAULT),
            (NOW, "on"),
            (end, "on"),
            (end + instant, DEFAULT),
        ):
            assert served(given, now=moment) == variant

    def test_a_window_that_never_opens_is_left_out(self) -> None:
        closed = allocation(startAt="2026-06-02T00:00:00Z", endAt="2026-06-01T00:00:00Z")
        assert rules(flag(closed)) == []
        instant = allocation(startAt="2026-06-01T12:00:00Z", endAt="2026-06-01T12:00:00Z")
        assert served(flag(instant)) == "on"

    def test_the_end_of_all_times_has_no_next_instant(self) -> None:
        (rule,) = rules(flag(allocation(endAt="9999-12-31T23:59:59.999999Z")))
        assert "end" not in rule

    @pytest.mark.parametrize(
        "moment", ["2026-06-01", "soon", 5, "2026-13-01T00:00:00Z", "2026-06-01T00:00:00"]
    )
    def test_what_is_no_time_is_refused(self, moment: Any) -> None:
        assert "allocations[0].startAt" in reason(flag(allocation(startAt=moment)))


class TestCallersDefault:
    def test_a_disabled_flag_gives_it(self) -> None:
        assert served(flag(allocation(), enabled=False)) is DEFAULT

    def test_whoever_gets_a_variation_of_the_wrong_type_gets_it_and_nothing_after(self) -> None:
        given = flag(
            allocation(
                "a", condition("x", "ONE_OF", ["1"]), splits=[{"variationKey": "no", "shards": []}]
            ),
            allocation("b"),
            variations={"on": {"key": "on", "value": "on"}, "no": {"key": "no", "value": 5}},
        )
        assert (served(given, x=1), served(given)) == (DEFAULT, "on")
        assert set(imported(given).flags["f"]["variants"]) == {"on"}

    def test_so_it_is_while_that_allocation_is_in_force(self) -> None:
        wrong = [{"variationKey": "nowhere", "shards": []}]
        day = dt.timedelta(days=1)
        given = flag(
            allocation(
                "a",
                condition("x", "ONE_OF", ["1"]),
                splits=wrong,
                startAt="2026-06-01T00:00:00Z",
                endAt="2026-06-02T00:00:00Z",
            ),
            allocation("b", endAt="2026-06-05T00:00:00Z"),
        )
        for days, variant in ((-1, "on"), (0, DEFAULT), (1, "on"), (5, DEFAULT)):
            assert served(given, now=NOW + days * day, x=1) == variant
        assert served(given) == "on"

    def test_many_such_windows_cost_no_more_than_their_number(self) -> None:
        wrong = [{"variationKey": "nowhere", "shards": []}]
        windows = [
            allocation(
                f"w{n}",
                condition("x", "ONE_OF", [str(n)]),
                splits=wrong,
                startAt=f"2026-01-{n:02}T00:00:00Z",
                endAt=f"2026-02-{n:02}T00:00:00Z",
            )
            for n in range(1, 15)
        ]
        assert len(rules(flag(*windows, allocation("last")))) <= 29

    def test_a_flag_without_a_usable_variation_still_answers_so(self) -> None:
        result = imported(flag(variations={}))
        assert result.flags["f"]["variants"] == {"none": {"value": "", "on": False}}
        assert "'none', which nobody gets" in result.lossy[0].reason
        assert served(flag(allocation(), variations={})) is DEFAULT


class TestVariations:
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
    def test_a_value_comes_in_its_type(self, kind: str, ours: str, value: Any, stored: Any) -> None:
        given = flag(
            allocation(), variationType=kind, variations={"on": {"key": "on", "value": value}}
        )
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
    def test_one_of_another_type_gives_the_callers_default(self, kind: str, value: Any) -> None:
        given = flag(
            allocation(), variationType=kind, variations={"on": {"key": "on", "value": value}}
        )
        assert served(given) is DEFAULT


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"variationType": "VIDEO"}, "variationType"),
            ({"variationType": None}, "variationType"),
            ({"key": None}, "key"),
            ({"enabled": "yes"}, "enabled"),
            ({"totalShards": -1}, "totalShards"),
            ({"totalShards": 2**32}, "totalShards"),
            ({"totalShards": 1.5}, "totalShards"),
            ({"allocations": None}, "allocations"),
            ({"allocations": [5]}, "allocations[0]"),
            ({"allocations": [allocation(key=5)]}, "allocations[0].key"),
            ({"allocations": [allocation(doLog=1)]}, "allocations[0].doLog"),
            ({"allocations": [{"key": "a"}]}, "allocations[0].splits"),
            ({"allocations": [allocation(splits=[{"shards": []}])]}, "splits[0].variationKey"),
            ({"allocations": [allocation(splits=[{"variationKey": "on"}])]}, "shards"),
            ({"variations": {"on": {"key": "off", "value": "on"}}}, "variations.on.key"),
            ({"variations": {"on": {"key": "on", "value": None}}}, "variations.on.value"),
            ({"variations": {"on": 5}}, "variations.on"),
        ],
    )
    def test_what_is_malformed_is_named_with_its_place(self, change: Any, words: str) -> None:
        given = flag(allocation())
        given.update(change)
        assert reason(given).startswith("is malformed: ")
        assert words in reason(given)

    @pytest.mark.parametrize(
        ("operator", "value", "words"),
        [
            ("STARTS_WITH", "a", "operator 'STARTS_WITH'"),
            (None, "a", "operator None"),
            ("MATCHES", 5, "must be a pattern"),
            ("MATCHES", "a(?=b)", "none of RE2's"),
            ("MATCHES", "[", "none of RE2's"),
            ("MATCHES", r"\bfoo\b{start}", "reads"),
            ("MATCHES", r"\Qa.b\E", "reads '\\\\Q' differently"),
            ("MATCHES", r"\<word\>", "reads"),
            ("MATCHES", "[a-z&&[^b]]", "reads '&&' differently"),
            ("MATCHES", "[a[b]]", "reads '[' differently"),
            ("MATCHES", "[+--]", "reads '--' differently"),
            ("MATCHES", "x{,3}", "reads '{' differently"),
            ("ONE_OF", "a", "a list of texts"),
            ("ONE_OF", [1], "a list of texts"),
            ("GTE", True, "a number or a semantic version"),
            ("GTE", "abc", "a number or a semantic version"),
            ("GTE", "inf", "a number or a semantic version"),
            ("GTE", " 5", "a number or a semantic version"),
            ("GTE", 10**400, "a finite number"),
            ("LT", "1e999", "a finite number"),
            ("LT", "1.0.0+build", "build metadata"),
            ("IS_NULL", "true", "true or false"),
        ],
    )
    def test_a_condition_that_cannot_be_carried_is_named(
        self, operator: Any, value: Any, words: str
    ) -> None:
        assert words in reason(flag(allocation("a", condition("x", operator, value))))

    @pytest.mark.parametrize(
        "pattern", ["[]a]", "[^]a]", "a{2}", "a{2,}", "[[:alpha:]-]", r"\x{e9}", r"\{", "[{]"]
    )
    def test_patterns_that_both_read_alike_are_carried(self, pattern: str) -> None:
        assert rules(flag(allocation("a", condition("x", "MATCHES", pattern))))

    def test_classes_that_know_ascii_only_are_lossy(self) -> None:
        result = imported(flag(allocation("a", condition("x", "MATCHES", r"^\d+$"))))
        assert r"\d" in result.lossy[0].reason
        assert imported(flag(allocation("a", condition("x", "MATCHES", r"^\\d$")))).lossy == []

    def test_an_attribute_called_targeting_key_would_be_two_things(self) -> None:
        assert "targetingKey" in reason(
            flag(allocation("a", condition("targetingKey", "ONE_OF", ["a"])))
        )

    def test_integers_past_the_end_are_named(self) -> None:
        big = {"on": {"key": "on", "value": 2**53}}
        assert "the variation 'on'" in reason(flag(variationType="INTEGER", variations=big))

    def test_no_shards_at_all_are_named(self) -> None:
        splits = [{"variationKey": "on", "shards": [shard("s", (0, 5))]}]
        assert "no shards at all" in reason(flag(allocation(splits=splits), totalShards=0))

    def test_bandits_are_named_in_both_forms_of_the_file(self) -> None:
        use = {"key": "b", "flagKey": "f", "variationKey": "on", "variationValue": "b"}
        for whole in (
            {"bandits": {"b": [use]}},
            {"banditReferences": {"b": {"modelVersion": "1", "flagVariations": [use]}}},
        ):
            assert reason(flag(allocation()), **whole) == "the bandit 'b' chooses for it by a model"

    def test_one_refused_flag_does_not_hold_up_the_others(self) -> None:
        result = convert({"flags": {"bad": 5, "good": flag(allocation()), "odd": []}})
        assert list(result.flags) == ["good"]
        assert result.report()["imported"] == 1
        assert [each["flag"] for each in result.report()["refused"]] == ["bad", "odd"]

    def test_what_a_split_logs_besides_is_lossy_once(self) -> None:
        splits = [{**ON, "extraLogging": {"holdoutKey": "h"}}] * 2
        (note,) = imported(flag(allocation(splits=splits))).lossy
        assert "extraLogging" in note.reason

    @pytest.mark.parametrize(
        ("whole", "words"),
        [
            ([], "JSON object"),
            (None, "JSON object"),
            ({}, "flags"),
            ({"flags": []}, "flags"),
            ({"format": "CLIENT", "flags": {}}, "obfuscated"),
            ({"obfuscated": True, "flags": {}}, "obfuscated"),
            ({"format": "PRECOMPUTED", "flags": {}}, "one subject"),
            ({"precomputed": {}, "flags": {}}, "one subject"),
        ],
    )
    def test_a_file_of_another_kind_is_refused_as_a_whole(self, whole: Any, words: str) -> None:
        with pytest.raises(ImportFileError, match=words):
            convert(whole)


# Any file at all.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)
ODD = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        2**32,
        2**53,
        10**400,
        1.5,
        float("nan"),
        float("inf"),
        "",
        "on",
        "id",
        "targetingKey",
        "1.0.0",
        "NOT_MATCHES",
        "GTE",
        "JSON",
        "INTEGER",
        "(",
        "\\Q",
        "[]",
        "{}",
        "\ud800",
        "2026-06-01T00:00:00Z",
        [],
        {},
        [[]],
        [{}],
        [None],
    ]
)
WHOLE = {
    "format": "SERVER",
    "bandits": {},
    "flags": {
        "f": flag(
            allocation(
                "a",
                condition("id", "MATCHES", "a+"),
                condition("x", "GTE", "1.0.0"),
                startAt="2026-06-01T00:00:00Z",
                endAt="2026-07-01T00:00:00Z",
            ),
            allocation(
                "b",
                condition("x", "ONE_OF", ["1", "true"]),
                condition("x", "LT", 5),
                splits=[
                    {"variationKey": "on", "shards": [shard("s", (0, 5)), shard("t", (1, 2))]},
                    {"variationKey": "off", "shards": [shard("s", (0, 5)), shard("t", (2, 9))]},
                ],
            ),
            allocation(
                "c", condition("y", "IS_NULL", True), splits=[{"variationKey": "no", "shards": []}]
            ),
        )
    },
}


def check(document: Any) -> None:
    try:
        result = convert(document)
    except ImportFileError:
        return
    flag_set = json.loads(json.dumps(result.flag_set(), allow_nan=False))
    parsed = parse_flag_set(flag_set, strict=True)
    json.dumps(result.report())
    for key in parsed.flags:
        assert evaluate(parsed, key, {"targetingKey": "a", "x": 1}, NOW).error_code is None
    assert convert(copy.deepcopy(document)).flag_set() == result.flag_set()


@settings(max_examples=EXAMPLES, deadline=None)
@given(JSON)
def test_any_json_gives_a_result_or_a_refusal(document: Any) -> None:
    check(document)
    check({"flags": {"f": document}})


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_any_mutation_of_a_file_gives_a_result_or_a_refusal(data: st.DataObject) -> None:
    document = copy.deepcopy(WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = document
        while True:
            names = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not names:
                break
            name = data.draw(st.sampled_from(names))
            inner = place[name]
            if not isinstance(inner, (dict, list)) or data.draw(st.integers(0, 4)) == 0:
                if data.draw(st.booleans()):
                    place[name] = data.draw(ODD | JSON)
                else:
                    del place[name]
                break
            place = inner
    check(document)


def test_deep_nesting_is_a_refusal() -> None:
    deep: Any = "a"
    for _ in range(100_000):
        deep = [deep]
    assert "is malformed" in reason(flag(allocation("a", condition("x", "ONE_OF", deep))))
    value = "[" * 5000 + "]" * 5000
    given = flag(variationType="JSON", variations={"on": {"key": "on", "value": value}})
    assert reason(given)
