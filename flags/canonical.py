"""One byte string for one JSON document: what is stored, hashed and sent."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson


def canonical_bytes(document: Any) -> bytes:
    """Give the JSON of a document with sorted names and no spaces, in UTF-8."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def digest(data: bytes) -> str:
    """Give the SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def same(left: Any, right: Any) -> bool:
    """Say whether two documents are the same to a reader of their JSON.

    Python's ``==`` will not do: it takes ``True`` for ``1`` and ``1`` for ``1.0``.
    """
    return canonical_bytes(left) == canonical_bytes(right)
