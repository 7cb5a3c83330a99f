"""The door for JSON bodies: what it refuses, and that it names the place."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flags.errors import InvalidInputError
from web.body import MAX_NESTING, Body, parse_as, parse_object
from web.errors import MalformedBodyError


class Shape(Body):
    name: str
    size: int = 0


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"a": }', "line 1, column 7"),
        (b'{\n "a": 1,\n}', "line 3, column 1"),
        (b'{"a": 1} x', "column 10"),
        (b'{"a": 1, "a": 2}', "'a' is given twice"),
        (b'{"a": {"b": 1, "b": 1}}', "'b' is given twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": 123456789012345678901234567890}', "too large"),
        (b'{"a": 9007199254740993}', "too large"),
        (b"[1]", "not an array"),
        (b"null", "not null"),
        (b'"text"', "not a string"),
        (b"7", "not a number"),
        (b"true", "not a boolean"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\ud800": 1}', "surrogate"),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, f"deeper than {MAX_NESTING}"),
        (b'{"a":' + b"[" * 100_000, f"deeper than {MAX_NESTING}"),
        (b'{"a": "unterminated', "Unterminated string"),
        (b"{" + b'"', "Unterminated string"),
    ],
)
def test_what_is_not_one_plain_json_object_is_refused_in_words(raw: bytes, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_object(raw)
    assert said in caught.value.message + str(caught.value.field)


def test_brackets_inside_a_string_do_not_count_as_nesting() -> None:
    text = "[{" * 200 + '\\"'
    assert parse_object(json.dumps({"a": text}).encode()) == {"a": text}


def test_sixty_three_levels_in_an_object_pass() -> None:
    raw = b'{"a":' + b"[" * (MAX_NESTING - 1) + b"]" * (MAX_NESTING - 1) + b"}"
    assert list(parse_object(raw)) == ["a"]


KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3)


@given(st.dictionaries(KEYS, st.integers(-5, 5) | KEYS | st.lists(st.booleans(), max_size=2)))
def test_every_plain_object_comes_through_unchanged(document: dict[str, object]) -> None:
    assert parse_object(json.dumps(document).encode()) == document


@given(st.binary(max_size=200) | st.text('{}[]":,\\a1', max_size=60).map(str.encode))
def test_any_bytes_give_an_object_or_a_named_refusal(raw: bytes) -> None:
    with contextlib.suppress(InvalidInputError):
        assert isinstance(parse_object(raw), dict)


def test_unknown_fields_are_named() -> None:
    with pytest.raises(InvalidInputError, match="unknown field: 'colour'") as caught:
        parse_as(Shape, {"name": "a", "colour": "red"})
    assert caught.value.field == "colour"


@pytest.mark.parametrize(
    ("document", "field"),
    [({}, "name"), ({"name": 1}, "name"), ({"name": "a", "size": "1"}, "size")],
)
def test_a_wrong_field_is_named(document: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInputError, match=field) as caught:
        parse_as(Shape, document)
    assert caught.value.field == field


def test_a_duplicate_key_carries_its_name_as_the_field() -> None:
    with pytest.raises(MalformedBodyError, match="given twice") as caught:
        parse_object(b'{"flag": "a", "flag": "b"}')
    assert caught.value.field == "flag"
