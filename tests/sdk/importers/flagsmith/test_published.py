"""Flagsmith publishes no cases that we hold: these are ours, answered by its own engine and SDK.

``cases.json`` says which versions answered and which command wrote it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flagstone.engine import CompiledFlagSet, compile_flag_set, evaluate, parse_flag_set
from flagstone.importers.flagsmith import convert

CASES: dict[str, Any] = json.loads(
    (Path(__file__).parent / "cases.json").read_text(encoding="utf-8")
)
PREFIX = f"{CASES['scenarios'][0]['document']['environment']['key']}_"
# A REGEX sees these as they are written, Flagsmith as 7, 0 and 1.5: the one known difference.
WITH_NEEDLESS_ZEROS = ("007", "-0", "1.50")
LONG_VERSION = "1.2.1234567890123456789"
ORDER = (
    "EQUAL",
    "NOT_EQUAL",
    "GREATER_THAN",
    "GREATER_THAN_INCLUSIVE",
    "LESS_THAN",
    "LESS_THAN_INCLUSIVE",
)
REFUSED = {
    **{
        f"{name} '{LONG_VERSION}:semver'": f"the version '{LONG_VERSION}' has a number of more "
        "than 18 digits"
        for name in ORDER
    },
    "REGEX '['": "REGEX '[': Flagsmith's SDK fails on it",
    "REGEX '(?=p)pro'": "the pattern '(?=p)pro' has lookaround, which RE2 has not",
    r"REGEX '(p)\\1'": r"the pattern '(p)\\1' has a backreference, which RE2 has not",
    r"REGEX '\\Bro'": r"the pattern '\\Bro' has \B, which differs among versions of Python",
    "REGEX 'p$|q$r'": "the pattern 'p$|q$r' has a $ before its end, which RE2 reads differently",
    "REGEX 'x{1001}'": "the pattern 'x{1001}': a repeat goes from 0 to at most 1000, in order",
    "MODULO '0|1'": "MODULO by zero: Flagsmith's SDK fails on it",
    "MODULO 'inf|7'": "MODULO by an infinite number",
    "MODULO 7": "MODULO wants a text of two numbers",
    "IN 7": "IN wants a list or a text",
    "IN None": "IN wants a list or a text",
    "PERCENTAGE_SPLIT None": "PERCENTAGE_SPLIT wants a number",
}


def condition_file(target: str, name: str, constant: Any) -> dict[str, Any]:
    condition = {"property": target, "operator": name, "value": constant}
    return {
        "environment": {"key": PREFIX[:-1], "name": "Production"},
        "features": {"flag": {"key": "1", "name": "flag", "enabled": False, "value": "no"}},
        "segments": {
            "12": {
                "key": "12",
                "name": "segment",
                "rules": [{"type": "ALL", "conditions": [condition]}],
                "overrides": [{"key": "2", "name": "flag", "enabled": True, "value": "yes"}],
            }
        },
    }


def user(value: Any) -> dict[str, Any]:
    context = {
        "targetingKey": f"{PREFIX}u",
        "identity": {"identifier": "u"},
        "environment": {"key": PREFIX[:-1], "name": "Production"},
    }
    return context if value == {"missing": True} else {**context, "trait": value}


@functools.cache
def imported(scenario: str) -> CompiledFlagSet:
    document = next(one["document"] for one in CASES["scenarios"] if one["name"] == scenario)
    result = convert(document, toggles=False)
    assert result.refused == []
    assert result.lossy == []
    flag_set = json.loads(json.dumps(result.flag_set()))
    return compile_flag_set(parse_flag_set(flag_set, strict=True))


def marks(document: dict[str, Any], contexts: list[dict[str, Any]]) -> str:
    result = convert(document, toggles=False)
    assert result.refused == []
    flags = compile_flag_set(parse_flag_set(result.flag_set(), strict=True))
    return "".join("1" if evaluate(flags, "flag", one, 0.0).on else "0" for one in contexts)


@pytest.mark.parametrize(
    ("name", "constant", "expected"),
    CASES["grid"],
    ids=[f"{name} {constant!r:.40}" for name, constant, _ in CASES["grid"]],
)
def test_a_condition_holds_for_the_traits_for_which_flagsmiths_does(
    name: str, constant: Any, expected: str
) -> None:
    document = condition_file("trait", name, constant)
    if f"{name} {constant!r}" in REFUSED:
        return
    found = marks(document, [user(value) for value in CASES["values"]])
    for value, ours, theirs in zip(CASES["values"], found, expected, strict=True):
        if name != "REGEX" or value not in WITH_NEEDLESS_ZEROS:
            assert ours == theirs, value


def test_what_is_refused_is_refused_by_name_and_nothing_else_is(
    record_property: Callable[[str, object], None],
) -> None:
    """What Flagsmith's own engine fails on (``!``) is among it."""
    refused = {}
    for name, constant, expected in CASES["grid"]:
        notes = convert(condition_file("trait", name, constant)).refused
        assert notes or "!" not in expected
        for note in notes:
            assert note.flag == "flag"
            refused[f"{name} {constant!r}"] = note.reason.removeprefix("the segment 'segment': ")
    for case, reason in refused.items():
        record_property("refused", f"{case}: {reason}")
    assert refused == REFUSED


@pytest.mark.parametrize(
    ("target", "name", "constant", "expected"),
    CASES["properties"],
    ids=[
        f"{target or 'blank'} {name} {constant}"
        for target, name, constant, _ in CASES["properties"]
    ],
)
def test_a_property_stands_where_flagsmith_looks_for_it(
    target: str, name: str, constant: Any, expected: str
) -> None:
    assert marks(condition_file(target, name, constant), CASES["identities"]) == expected


@pytest.mark.parametrize(
    ("scenario", "feature"),
    [(one, feature) for one in CASES["scenarios"] for feature in one["answers"]],
    ids=[f"{one['name']}: {feature}" for one in CASES["scenarios"] for feature in one["answers"]],
)
def test_every_identity_gets_flagsmiths_value_variant_and_toggle(
    scenario: dict[str, Any], feature: str
) -> None:
    flags = imported(scenario["name"])
    assert scenario["contexts"]
    for context, (value, variant, enabled) in zip(
        scenario["contexts"], scenario["answers"][feature], strict=False
    ):
        details = evaluate(flags, feature, context, 0.0)
        assert (details.value, details.on) == (value, enabled), context
        assert type(details.value) is type(value)
        assert details.error_code is None
        if variant is not None:
            # Where Flagsmith calls two values the same, the second has a number behind its name.
            assert details.variant is not None
            assert details.variant.split(" (")[0] == variant
