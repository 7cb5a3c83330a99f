"""Whatever comes to the door is read or refused; what was read answers every question."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine import (
    ErrorCode,
    EvaluationDetails,
    Fault,
    FlagSet,
    FlagSetError,
    condition_document,
    evaluate,
    flag_document,
    parse_condition,
    parse_flag,
    parse_flag_set,
    to_document,
)
from tests.sdk.engine.fuzzing import (
    FIELDS,
    FOREIGN,
    NOW,
    ODD,
    Author,
    damage,
    foreign,
    fuzzed,
    is_finite,
    json_of,
    places_in,
    scalars,
    seeds,
    shown,
    text_of,
    written_twice,
)
from tests.sdk.engine.fuzzing_model import assert_sound

json_values = json_of(FIELDS)
objects = json_of(FIELDS, scalars | foreign)
junk = st.sampled_from(["a", "first", [], {}, None, 0, -1, 1.5, "in", True]) | json_values
strange = junk | objects
HEAD = ("schema", "environment", "version", "flags", "segments")


def read(document: Any, *, strict: bool) -> FlagSet | FlagSetError:
    """Read a document; nothing but one error may come out, and it can be told."""
    try:
        return parse_flag_set(document, strict=strict)
    except FlagSetError as error:
        refusal = error
    assert type(refusal.path) is str
    assert refusal.message
    assert str(pickle.loads(pickle.dumps(refusal))) == str(refusal)
    return refusal


def assert_same(one: FlagSet, other: FlagSet) -> None:
    """Two flag sets are equal; what was at fault still is, though perhaps in other words."""
    assert (one.environment, one.version) == (other.environment, other.version)
    for mine, theirs in ((one.flags, other.flags), (one.segments, other.segments)):
        assert list(mine) == list(theirs)
        for key, part in mine.items():
            fault, found = fault_in(part), fault_in(theirs[key])
            if fault is None or found is None:
                assert part == theirs[key]
            elif found.document is not None:  # otherwise it was too deep to be kept
                assert fault.document == found.document


def fault_in(part: Any) -> Fault | None:
    found: Fault | None = part if isinstance(part, Fault) else getattr(part, "fault", None)
    return found


def check(document: Any) -> FlagSet | None:
    """Hold a document against the laws of the door; return what came through leniently."""
    strict, lenient = read(document, strict=True), read(document, strict=False)
    if isinstance(lenient, FlagSetError):
        assert isinstance(strict, FlagSetError)
        # Leniently, only the whole can be refused: one broken flag never takes the others along.
        assert not isinstance(document, dict) or lenient.path in HEAD
        return None
    if isinstance(strict, FlagSet):
        assert lenient == strict
        assert all(flag.fault is None for flag in strict.flags.values())
    assert_sound(lenient)
    for flag_set in (strict, lenient):
        if not isinstance(flag_set, FlagSet) or not is_finite(to_document(flag_set)):
            continue
        written, is_strict = to_document(flag_set), flag_set is strict
        again = parse_flag_set(written, strict=is_strict)
        assert again == flag_set or not is_strict
        assert_same(again, flag_set)
        assert to_document(again) == written
        assert_same(parse_flag_set(json.dumps(written), strict=is_strict), flag_set)
        assert pickle.loads(pickle.dumps(flag_set)) == flag_set
    return lenient


@given(seeds)
@fuzzed(60)
def test_a_sound_document_is_read(rng: random.Random) -> None:
    document = Author(rng).flag_set()
    before = copy.deepcopy(document)
    with shown(document):
        flag_set = parse_flag_set(document)
        assert check(document) == flag_set
        assert list(flag_set.flags) == list(document["flags"])
        assert document == before
        for key, flag in flag_set.flags.items():
            assert parse_flag(document["flags"][key]) == flag
            assert parse_flag(flag_document(flag)) == flag
        for key, segment in flag_set.segments.items():
            assert parse_condition(document["segments"][key]) == segment


@given(seeds, st.data())
@fuzzed(110)
def test_a_damaged_document_is_read_or_refused(rng: random.Random, data: st.DataObject) -> None:
    document = damage(data.draw, Author(rng).flag_set(), strange)
    with shown(document):
        lenient = check(document)
    if lenient is not None:
        for found, part in ((lenient.flags, "flags"), (lenient.segments, "segments")):
            names = list(document.get(part, {}))
            assert all(type(name) is not str or name in found for name in names)
            assert len(found) <= len(names)


@given(objects | st.fixed_dictionaries({}, optional=dict.fromkeys(HEAD, objects)))
@fuzzed(60)
def test_anything_is_read_or_refused(document: Any) -> None:
    with shown(document):
        check(document)
        for part in (parse_flag, parse_condition):
            with contextlib.suppress(FlagSetError):
                part(document)


@given(st.dictionaries(st.text(max_size=3), objects, max_size=3), objects)
@fuzzed(40)
def test_leniently_one_flag_never_takes_another_along(others: Any, segment: Any) -> None:
    sound = {"type": "boolean", "variants": {"on": {"value": True}}, "default": "on"}
    document = {"flags": {**others, "sound": sound}, "segments": {"a": segment}}
    with shown(document):
        flag_set = parse_flag_set(document, strict=False)
        assert evaluate(flag_set, "sound", {}, NOW).value is True
        for key in others:
            assert isinstance(evaluate(flag_set, key, {}, NOW), EvaluationDetails)


@given(seeds, st.data())
@fuzzed(40)
def test_a_damaged_condition_or_flag_is_read_or_refused(
    rng: random.Random, data: st.DataObject
) -> None:
    condition = damage(data.draw, {"all": [Author(rng).condition()]}, strange)
    flag = damage(data.draw, Author(rng).flag("first"), strange)
    with shown(condition, flag):
        with contextlib.suppress(FlagSetError):
            found = parse_condition(condition)
            assert parse_condition(condition_document(found)) == found
        with contextlib.suppress(FlagSetError):
            read_flag = parse_flag(flag)
            assert parse_flag(flag_document(read_flag)) == read_flag


@given(st.text() | st.binary() | objects.map(text_of), st.booleans())
@fuzzed(30)
def test_any_text_is_read_or_refused(text: str | bytes, strict: bool) -> None:
    read(text, strict=strict)


@given(seeds, st.data())
@fuzzed(30)
def test_a_text_is_read_as_its_document_is(rng: random.Random, data: st.DataObject) -> None:
    document = damage(data.draw, Author(rng).flag_set(), junk, most=2)
    if not is_finite(document) or not isinstance(document, dict) or not document:
        return
    text = json.dumps(document, ensure_ascii=data.draw(st.booleans()))
    for strict in (True, False):
        one, other = read(document, strict=strict), read(text, strict=strict)
        assert type(one) is type(other)
        assert isinstance(one, FlagSetError) or one == other
    # A name that stands twice is refused strictly; leniently the later one counts.
    twice = written_twice(data.draw, document)
    with shown(twice):
        refusal = read(twice, strict=True)
        assert isinstance(refusal, FlagSetError)
        assert "twice" in refusal.message or "deeply" in refusal.message
        later = read(twice, strict=False)
        same = read(json.loads(twice), strict=False)
        assert type(later) is type(same)
        assert isinstance(later, FlagSetError) or later == same


@pytest.mark.parametrize("name", ["[", '{"flags":', '{"flags":{"f":', '{"segments":{"s":{"not":'])
@pytest.mark.parametrize("levels", [10, 900, 1000, 100_000])
def test_deep_text_is_read_or_refused(name: str, levels: int) -> None:
    for strict in (True, False):
        read(name * levels, strict=strict)
        read(name * levels + "1" + ("]" if name == "[" else "}") * levels, strict=strict)


WHOLE: dict[str, Any] = {
    "schema": 1,
    "environment": "production",
    "version": 3,
    "segments": {
        "beta": {"any": [True, {"attr": ["device", "os"], "each": {"op": "in", "values": [1]}}]},
        "staff": {"flag": "g", "variants": ["on"], "on": True, "value": {"op": "exists"}},
    },
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
                {"variant": "b", "by": "v", "keys": ["u1", 7], "until": "2026-12-31T00:00:00Z"}
            ],
            "rules": [
                {
                    "id": "r",
                    "start": "2026-01-01T09:00:00.5Z",
                    "end": "2027-01-01T09:00:00Z",
                    "track": True,
                    "when": {
                        "all": [
                            {"not": {"segment": "beta"}},
                            {"attr": "x", "op": "in", "values": ["a"], "ci": True, "as": "string"},
                            {"attr": "x", "op": "lt", "values": [2, "a"], "elements": True},
                            {"attr": "x", "op": "semver_lt", "values": ["1.0.0"], "strict": True},
                            {"attr": "x", "op": "regex", "values": ["(a+)+$"]},
                            {"attr": "x", "op": "mod", "values": [[2, 1]], "as": "number"},
                            {"attr": "x", "op": "before", "values_from": {"clock": "now"}},
                            {"attr": "x", "op": "gte", "values_from": {"attr": ["y", "z"]}},
                            {"bucket": {"by": "v", "hash": "eppo", "salt": "l", "of": 100,
                                        "ranges": [[0, 50]]}},
                        ]
                    },
                    "serve": {
                        "split": {
                            "by": ["device", "id"],
                            "hash": "flagstone",
                            "salt": "s",
                            "of": 10000,
                            "missing": "skip",
                            "to": [{"variant": "a", "ranges": [[0, 2500], [5000, 5001]]}],
                        }
                    },
                }
            ],
            "default": "a",
            "metadata": {"owner": "growth", "tags": ["x"]},
        },
        "g": {"type": "boolean", "variants": {"on": {"value": True}}, "off": "on", "default": "on"},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", [*ODD, *FOREIGN])
def test_every_field_stands_every_odd_value(name: str) -> None:
    make = {**ODD, **FOREIGN}[name]
    assert isinstance(check(WHOLE), FlagSet)
    for index in range(len(places_in(WHOLE))):
        document = copy.deepcopy(WHOLE)
        holder, field = places_in(document)[index]
        holder[field] = make()
        sound = document["flags"] if type(document.get("flags")) is dict else {}
        sound["sound"] = WHOLE["flags"]["g"]
        with shown(holder, field):
            lenient, strict = read(document, strict=False), read(document, strict=True)
            if isinstance(strict, FlagSet):
                assert_sound(strict)
            if isinstance(lenient, FlagSetError):
                assert lenient.path in HEAD
                continue
            assert_sound(lenient)
            if sound is document["flags"]:
                assert evaluate(lenient, "sound", {}, NOW).value is True
                written = read(to_document(lenient), strict=False)
                assert isinstance(written, FlagSet)
                for key, flag in lenient.flags.items():
                    assert (flag.fault is None) is (written.flags[key].fault is None)
                    details = evaluate(lenient, key, {"x": "a", "v": "u"}, NOW)
                    assert details.error_code in (None, ErrorCode.PARSE_ERROR)
