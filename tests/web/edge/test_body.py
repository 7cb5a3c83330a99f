"""The one door for bodies from outside."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.edge.body import (
    MAX_BODY_BYTES,
    MAX_DEPTH,
    MAX_IMPORT_BYTES,
    check_content_type,
    decode,
    parse_object,
)
from web.edge.problems import BodyError
from web.edge.requests import body_limit

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_every_json_object_is_read_as_it_is(document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()
    assert parse_object(body) == document


@given(
    st.text(min_size=1),
    json_values,
    json_values,
    st.dictionaries(st.text(), json_values, max_size=3),
)
def test_a_repeated_key_is_refused_wherever_it_stands(
    key: str, first: Any, second: Any, others: dict[str, Any]
) -> None:
    name = json.dumps(key)
    inner = f"{{{name}:{json.dumps(first)},{name}:{json.dumps(second)}}}"
    body = f'{{"others":{json.dumps(others)},"context":[{inner}]}}'
    with pytest.raises(BodyError) as caught:
        parse_object(body.encode())
    assert caught.value.code == "duplicate_key"
    assert caught.value.field == key


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[]", "wrong_type"),
        (b"7", "wrong_type"),
        (b"null", "wrong_type"),
        (b'"context"', "wrong_type"),
        (b"{", "malformed_json"),
        (b"{'a': 1}", "malformed_json"),
        (b'{"a": NaN}', "malformed_json"),
        (b'{"a": 1e999}', "malformed_json"),
        (b'{"a": 1} x', "malformed_json"),
        (b'{"a": "\xff"}', "malformed_json"),
        (b'{"a": "\\ud800"}', "malformed_json"),
        (b"\xef\xbb\xbf{}", "malformed_json"),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, "too_deep"),
        (b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}", "too_deep"),
        (b'{"a":' + b"[" * 100_000, "malformed_json"),
    ],
)
def test_a_bad_body_is_refused_with_a_code_and_a_field(body: bytes, code: str) -> None:
    with pytest.raises(BodyError) as caught:
        parse_object(body)
    assert caught.value.code == code
    assert caught.value.field


def test_nesting_up_to_the_limit_is_read() -> None:
    body = b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH
    assert parse_object(body)["a"]


@pytest.mark.parametrize("body", [b"", b"  \r\n\t", b"{}"])
def test_an_empty_body_is_the_empty_object(body: bytes) -> None:
    assert parse_object(body) == {}


@pytest.mark.parametrize(
    "content_type",
    [None, b"", b"application/json", b"Application/JSON; charset=utf-8", b"application/x+json"],
)
def test_json_content_types_pass(content_type: bytes | None) -> None:
    check_content_type(content_type)


@pytest.mark.parametrize(
    "content_type", [b"text/plain", b"application/x-www-form-urlencoded", b"json", b"; x"]
)
def test_other_content_types_are_refused_by_name(content_type: bytes) -> None:
    with pytest.raises(BodyError) as caught:
        check_content_type(content_type)
    assert caught.value.field == "Content-Type"


def test_gzip_is_undone() -> None:
    assert decode(gzip.compress(b"{}"), b"gzip") == b"{}"


def test_a_gzip_bomb_is_not_inflated() -> None:
    bomb = gzip.compress(b"0" * (50 * MAX_BODY_BYTES))
    assert len(bomb) < MAX_BODY_BYTES
    assert decode(bomb, b"gzip") is None


# The time that gzip writes down would be in the name of the test.
CUT_OFF = gzip.compress(b"{}", mtime=0)[:-4]


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"{}", b"gzip"), (CUT_OFF, b"gzip"), (b"{}", b"br"), (b"", b"gzip")],
)
def test_a_body_that_is_not_what_it_says_is_refused(body: bytes, encoding: bytes) -> None:
    with pytest.raises(BodyError) as caught:
        decode(body, encoding)
    assert caught.value.field == "Content-Encoding"


@pytest.mark.parametrize(
    ("path", "key", "limit"),
    [
        ("/api/v1/projects/p/environments/e/import", b"Bearer fs_usr_x", MAX_IMPORT_BYTES),
        ("/api/v1/projects/p/environments/e/import", b"Bearer fs_srv_x", MAX_BODY_BYTES),
        ("/api/v1/projects/p/environments/e/import", None, MAX_BODY_BYTES),
        ("/api/v1/projects/p/flags", b"Bearer fs_usr_x", MAX_BODY_BYTES),
    ],
)
def test_only_an_import_with_a_key_of_ones_own_may_be_large(
    path: str, key: bytes | None, limit: int
) -> None:
    assert body_limit(path, {} if key is None else {b"authorization": key}) == limit
