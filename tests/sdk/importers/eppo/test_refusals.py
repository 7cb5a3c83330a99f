"""What cannot be carried is refused by name, and what is lost is said."""

from __future__ import annotations

from typing import Any

import pytest

from flagstone.importers import ImportFileError
from flagstone.importers.eppo import convert
from tests.sdk.importers.eppo.building import (
    ON,
    allocation,
    condition,
    flag,
    imported,
    reason,
    rules,
    shard,
)


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
def test_what_is_malformed_is_named_with_its_place(change: Any, words: str) -> None:
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
def test_a_condition_that_cannot_be_carried_is_named(operator: Any, value: Any, words: str) -> None:
    assert words in reason(flag(allocation("a", condition("x", operator, value))))


@pytest.mark.parametrize(
    "pattern", ["[]a]", "[^]a]", "a{2}", "a{2,}", "[[:alpha:]-]", r"\x{e9}", r"\{", "[{]"]
)
def test_patterns_that_both_read_alike_are_carried(pattern: str) -> None:
    assert rules(flag(allocation("a", condition("x", "MATCHES", pattern))))


def test_classes_that_know_ascii_only_are_lossy() -> None:
    result = imported(flag(allocation("a", condition("x", "MATCHES", r"^\d+$"))))
    assert r"\d" in result.lossy[0].reason
    assert imported(flag(allocation("a", condition("x", "MATCHES", r"^\\d$")))).lossy == []


def test_an_attribute_called_targeting_key_would_be_two_things() -> None:
    assert "targetingKey" in reason(
        flag(allocation("a", condition("targetingKey", "ONE_OF", ["a"])))
    )


def test_integers_past_the_end_are_named() -> None:
    big = {"on": {"key": "on", "value": 2**53}}
    assert "the variation 'on'" in reason(flag(variationType="INTEGER", variations=big))


def test_no_shards_at_all_are_named() -> None:
    splits = [{"variationKey": "on", "shards": [shard("s", (0, 5))]}]
    assert "no shards at all" in reason(flag(allocation(splits=splits), totalShards=0))


def test_bandits_are_named_in_both_forms_of_the_file() -> None:
    use = {"key": "b", "flagKey": "f", "variationKey": "on", "variationValue": "b"}
    for whole in (
        {"bandits": {"b": [use]}},
        {"banditReferences": {"b": {"modelVersion": "1", "flagVariations": [use]}}},
    ):
        assert reason(flag(allocation()), **whole) == "the bandit 'b' chooses for it by a model"


def test_one_refused_flag_does_not_hold_up_the_others() -> None:
    result = convert({"flags": {"bad": 5, "good": flag(allocation()), "odd": []}})
    assert list(result.flags) == ["good"]
    assert result.report()["imported"] == 1
    assert [each["flag"] for each in result.report()["refused"]] == ["bad", "odd"]


def test_what_a_split_logs_besides_is_lossy_once() -> None:
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
def test_a_file_of_another_kind_is_refused_as_a_whole(whole: Any, words: str) -> None:
    with pytest.raises(ImportFileError, match=words):
        convert(whole)
