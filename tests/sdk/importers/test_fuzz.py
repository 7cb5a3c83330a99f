"""No file breaks an importer: what comes out is sound, and what does not is named.

Random files are those of ``benchmarks/differences``, of each vendor's whole grammar.
"""

from __future__ import annotations

import importlib
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine import (
    ErrorCode,
    FlagSet,
    FlagSetError,
    compile_flag_set,
    evaluate,
    explain,
    parse_flag_set,
)
from flagstone.engine.careful import careful_program, settled
from flagstone.importers import (
    ImportFileError,
    ImportResult,
    eppo,
    flagd,
    flagsmith,
    growthbook,
    launchdarkly,
    unleash,
)
from tests.sdk.engine.fuzzing import (
    NOW,
    ODD,
    damage,
    fuzzed,
    json_of,
    places_in,
    seeds,
    shown,
    text_of,
)

Convert = Callable[[Any], ImportResult]
# JSON text brings no integer longer than this, and no object of Python's.
odd = st.sampled_from(sorted(set(ODD) - {"10**4400"})).map(lambda name: ODD[name]())
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
    | st.sampled_from(["1.2.3", "^a", "$", "2026-01-01T00:00:00Z", "[1]", "{}", "1e3", "-0"])
)  # fmt: skip


@dataclass(frozen=True)
class Vendor:
    """One importer: its ways to convert, and where a file holds its flags."""

    name: str
    converts: tuple[Convert, ...]
    keys: Callable[[Any], Iterable[str]]
    files: Callable[[Any], Iterable[Any]]

    @cached_property
    def random(self) -> Any:
        return importlib.import_module(f"differences.{self.name}")

    @cached_property
    def names(self) -> list[str]:
        """Names that occur in its files, so that damage makes sense."""
        document = self.random.document(random.Random(1), 20)
        return sorted({name for _, name in places_in(document) if type(name) is str})[:200]

    @cached_property
    def junk(self) -> st.SearchStrategy[Any]:
        return odd | json_of(self.names, leaves)


def flagsmith_keys(document: Any) -> Iterable[str]:
    if "feature_states" in document:
        return [state["feature"]["name"] for state in document["feature_states"]]
    return [feature["name"] for feature in document["features"].values()]


VENDORS = [
    Vendor(
        "eppo",
        (eppo.convert,),
        lambda document: document["flags"],
        lambda value: [{"flags": value}, {"flags": {"f": value}}],
    ),
    Vendor(
        "flagd",
        (flagd.convert, partial(flagd.convert, hash_version="v3")),
        lambda document: document["flags"],
        lambda value: [
            {"flags": value},
            {"flags": {"f": value}, "$evaluators": value},
            {"flags": {"f": {"state": "ENABLED", "variants": {"a": 1}, "defaultVariant": "a",
                             "targeting": value}}},
        ],
    ),
    Vendor(
        "flagsmith",
        (flagsmith.convert, partial(flagsmith.convert, toggles=True)),
        flagsmith_keys,
        lambda value: [
            {"features": value, "environment": {"key": "e", "name": "e"}},
            {"features": {"f": value}, "segments": {"s": value}, "environment": {"key": "e"}},
            {"feature_states": [value], "project": {"segments": [value]}, "api_key": "e"},
        ],
    ),
    Vendor(
        "growthbook",
        (growthbook.convert, partial(growthbook.convert, edge="exclusive")),
        lambda document: document["features"],
        lambda value: [
            {"features": value},
            {"features": {"f": value}, "savedGroups": {"g": value}},
            {"features": {"f": {"defaultValue": 1, "rules": [{"force": 2, "condition": value}]}}},
        ],
    ),
    Vendor(
        "launchdarkly",
        (launchdarkly.convert,),
        lambda document: [key for key, flag in document["flags"].items() if "salt" in flag],
        lambda value: [
            {"flags": value},
            {"flags": {"f": value}, "segments": {"s": value}},
        ],
    ),
    Vendor(
        "unleash",
        (unleash.convert,),
        lambda document: [feature["name"] for feature in document["features"]],
        lambda value: [
            {"features": value},
            {"features": [value], "segments": [value]},
            {"features": [{"name": "f", "enabled": True, "strategies": value}]},
        ],
    ),
]  # fmt: skip
every_vendor = pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)


def check(
    vendor: Vendor, convert: Convert, document: Any, rng: random.Random
) -> ImportResult | None:
    """Convert; hold what comes out against the laws of importing."""
    before = text_of(document)
    try:
        result = convert(document)
    except ImportFileError:
        return None
    assert text_of(document) == before
    report = result.report()
    json.dumps(report)
    assert report["imported"] == len(result.flags)
    assert not {note.flag for note in result.refused} & set(result.flags)
    assert all(note.reason and type(note.flag) is str for note in result.refused + result.lossy)
    flag_set = parsed(result)
    compiled = compile_flag_set(flag_set)
    for context in vendor.random.contexts(rng, 2):
        for key, flag in flag_set.flags.items():
            details = evaluate(flag_set, key, context, NOW)
            at_fault = flag.fault is not None and flag.enabled and not flag.killed
            assert details.error_code is (ErrorCode.PARSE_ERROR if at_fault else None)
            assert explain(flag_set, key, context, NOW).details == details
            careful = settled(flag) or careful_program(flag, compiled)(context, NOW)
            assert careful == details
    if rng.randrange(4) == 0:
        again = convert(document)
        assert (again.flag_set(), again.report()) == (result.flag_set(), report)
    return result


def parsed(result: ImportResult) -> FlagSet:
    """Read the result strictly; only what the report calls malformed may be at fault."""
    document = json.loads(json.dumps(result.flag_set(), allow_nan=False))
    malformed = {note.flag for note in result.lossy if note.reason.startswith("malformed")}
    try:
        flag_set = parse_flag_set(document, strict=True)
    except FlagSetError:
        assert malformed
        flag_set = parse_flag_set(document, strict=False)
    assert {key for key, flag in flag_set.flags.items() if flag.fault is not None} <= malformed
    return flag_set


@every_vendor
@given(rng=seeds)
@fuzzed(10)
def test_a_file_of_the_vendors_grammar_is_imported_or_refused_by_name(
    vendor: Vendor, rng: random.Random
) -> None:
    document = vendor.random.document(rng, rng.randint(1, 3))
    for convert in vendor.converts:
        with shown(document):
            result = check(vendor, convert, document, rng)
            assert result is not None
            told = {*result.flags, *(note.flag for note in result.refused)}
            assert set(vendor.keys(document)) <= told


@every_vendor
@given(rng=seeds, data=st.data())
@fuzzed(25)
def test_a_damaged_file_is_imported_or_refused(
    vendor: Vendor, rng: random.Random, data: st.DataObject
) -> None:
    document = damage(data.draw, vendor.random.document(rng, rng.randint(1, 2)), vendor.junk)
    with shown(document):
        check(vendor, rng.choice(vendor.converts), document, rng)


@every_vendor
@given(rng=seeds, data=st.data())
@fuzzed(15)
def test_any_json_is_imported_or_refused(
    vendor: Vendor, rng: random.Random, data: st.DataObject
) -> None:
    value = data.draw(vendor.junk)
    for document in (value, *vendor.files(value)):
        with shown(document):
            check(vendor, rng.choice(vendor.converts), document, rng)
