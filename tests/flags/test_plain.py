from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flags.errors import InvalidInputError
from flags.plain import MAX_INTEGER, MAX_NESTING, check_flag_key, check_key, check_plain


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("key", ["a", "0", "eu-west_1.prod", "a" * 64])
def test_a_plain_key_is_taken(key: str) -> None:
    assert check_key(key, "key") == key


@pytest.mark.parametrize("key", ["", "A", "-a", ".a", "a b", "ä", "a/b", "a" * 65, "a\n", "a\0"])
def test_any_other_key_is_refused_by_its_field(key: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        check_key(key, "key")
    assert refusal.value.field == "key"
    assert refusal.value.hint


@pytest.mark.parametrize("key", ["checkout", "Check Out", "a/b", "ümlaut", "a.b:c%", "k" * 256])
def test_a_flag_key_may_hold_what_a_url_path_can_carry(key: str) -> None:
    assert check_flag_key(key, "key") == key


@pytest.mark.parametrize("key", ["", "/a", "a?b", "a#b", "a\nb", "a\x7f", "\ud800", "k" * 257])
def test_a_flag_key_that_a_url_path_cannot_carry_is_refused(key: str) -> None:
    with pytest.raises(InvalidInputError):
        check_flag_key(key, "key")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"a": [1, {"b": MAX_INTEGER + 1}]}, "a[1].b"),
        ({"a": -MAX_INTEGER - 1}, "a"),
        ({"a": float("nan")}, "a"),
        ({"a": float("inf")}, "a"),
        ({"a": "x\0"}, "a"),
        ({"a": "\ud800"}, "a"),
        ({"a": "x" * 65_537}, "a"),
        ({"a": {1, 2}}, "a"),
        ({"a": {1: 2}}, "a"),
    ],
)
def test_what_not_every_reader_can_carry_is_refused_where_it_is(value: Any, field: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        check_plain(value, "")
    assert refusal.value.field == field


def test_nesting_is_allowed_to_the_limit_and_no_further() -> None:
    check_plain(nested(MAX_NESTING), "value")
    with pytest.raises(InvalidInputError, match="nested"):
        check_plain(nested(MAX_NESTING + 1), "value")
    with pytest.raises(InvalidInputError, match="nested"):
        check_plain(nested(100_000), "value")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_ordinary_json_passes(value: Any) -> None:
    check_plain(value, "")
