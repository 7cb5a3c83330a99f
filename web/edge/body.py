"""The one door for bodies from outside: bounded, UTF-8, JSON, one meaning.

A body has one meaning only if no object repeats a key: parsers differ in which value they keep.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import orjson

from web.edge.problems import BodyError

MAX_BODY_BYTES = 1 << 20
# A whole environment comes in one body; only people with a key of their own may send it.
MAX_IMPORT_BYTES = 16 << 20
MAX_DEPTH = 64


def check_content_type(content_type: bytes | None) -> None:
    """Refuse anything but JSON; a missing header is taken as JSON."""
    if not content_type:
        return
    essence = content_type.split(b";", 1)[0].strip().lower()
    if essence == b"application/json" or essence.endswith(b"+json"):
        return
    raise BodyError(
        "unsupported_content_type",
        "The body must be JSON.",
        field="Content-Type",
        hint="send Content-Type: application/json",
    )


def decode(body: bytes, content_encoding: bytes | None) -> bytes | None:
    """Undo ``Content-Encoding``; None if the result is larger than ``MAX_BODY_BYTES``."""
    if not content_encoding or content_encoding == b"identity":
        return body if len(body) <= MAX_BODY_BYTES else None
    if content_encoding.strip().lower() not in {b"gzip", b"x-gzip"}:
        raise BodyError(
            "unsupported_content_encoding",
            "The body may be plain or gzip.",
            field="Content-Encoding",
        )
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = inflate.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise BodyError(
            "invalid_gzip", "The body is not what Content-Encoding says.", field="Content-Encoding"
        ) from None
    if len(plain) > MAX_BODY_BYTES:
        return None
    if not inflate.eof:
        raise BodyError("invalid_gzip", "The gzip body is cut short.", field="Content-Encoding")
    return plain


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object; an empty body is the empty object.

    Raises
    ------
    BodyError
        If the body is not JSON in UTF-8, not an object, nested deeper than ``MAX_DEPTH``, or
        repeats a key.
    """
    if not body or body.isspace():
        return {}
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BodyError("malformed_json", f"The body is not JSON: {error}.", field="body") from None
    if type(document) is not dict:
        raise BodyError("wrong_type", "The body must be a JSON object.", field="body")
    # Every key has its colon: if no colon is left over, no key was swallowed.
    if body.count(b":") != _count_keys(document, 1, "body"):
        _refuse_repeated_keys(body)
    return document


def _count_keys(node: dict[str, Any] | list[Any], depth: int, field: str) -> int:
    if depth > MAX_DEPTH:
        raise BodyError("too_deep", f"The body nests deeper than {MAX_DEPTH} levels.", field=field)
    if type(node) is dict:
        count = len(node)
        for key, child in node.items():
            if type(child) is dict or type(child) is list:
                count += _count_keys(child, depth + 1, key if depth == 1 else field)
        return count
    count = 0
    for child in node:
        if type(child) is dict or type(child) is list:
            count += _count_keys(child, depth + 1, field)
    return count


def _refuse_repeated_keys(body: bytes) -> None:
    def pairs(items: list[tuple[str, Any]]) -> None:
        seen = set()
        for key, _ in items:
            if key in seen:
                raise BodyError("duplicate_key", f"The key {key!r} occurs twice.", field=key)
            seen.add(key)

    json.loads(body, object_pairs_hook=pairs)
