"""From a unit to its bucket: one hash, integers only, half-open ranges.

The bucket is ``(first 8 bytes of SHA-256(salt + "." + unit), big-endian, times N) >> 64``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

from flagstone.engine.model import NATIVE_HASH, Range

sha256: Callable[[bytes], Any]
try:
    # The interpreter's own SHA-256 starts faster than OpenSSL's, and a unit is short;
    # ``random`` of the standard library imports it likewise.
    from _sha2 import sha256  # type: ignore[import-not-found,no-redef,unused-ignore]
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found,no-redef,unused-ignore]
    except ImportError:
        sha256 = hashlib.sha256

HASHES: Final = frozenset({NATIVE_HASH})
END: Final = b"\xff" * 33
"""Greater than every digest: where the last bucket ends."""


def unit_text(value: object) -> str | None:
    """Return the text of a unit, or ``None`` if ``value`` is none.

    Texts and integers are units. A float without a fraction prints as an integer; a bool, though
    an ``int`` to Python, is no unit.
    """
    try:
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, bool):
            return None
        if isinstance(value, int):
            return int.__repr__(value)
        if isinstance(value, float) and value.is_integer():
            return int.__repr__(int(value))
    except Exception:  # noqa: BLE001  any object may come in, and nothing may come out but an answer
        return None
    return None


def prefix(salt: str) -> bytes:
    """Return the bytes that stand before the unit."""
    return f"{salt}.".encode("utf-8", "surrogatepass")


def digest(salt_prefix: bytes, unit: str) -> bytes:
    """Return the hash of a unit."""
    # JSON can carry a lone surrogate; refusing it here would break "nothing raises".
    whole: bytes = sha256(salt_prefix + unit.encode("utf-8", "surrogatepass")).digest()
    return whole


def bucket(hash: str, salt: str, unit: str | int | float, of: int) -> int:  # noqa: A002  the document's word
    """Put a unit into one of ``of`` buckets, for ever the same one.

    Raises
    ------
    ValueError
        If the hash is unknown, ``unit`` is no unit or ``of`` is not positive.

    Examples
    --------
    >>> bucket("flagstone", "exp-42", "u1", 10_000)
    4508
    """
    if hash not in HASHES:
        raise ValueError(f"unknown hash {hash!r}")
    text = unit_text(unit)
    if text is None:
        raise ValueError("a unit is a text or an integer")
    if of < 1:
        raise ValueError("there must be at least one bucket")
    return int.from_bytes(digest(prefix(salt), text)[:8], "big") * of >> 64


def threshold(edge: int, of: int) -> bytes:
    """Return the least digest whose bucket is ``edge`` or more.

    Comparing digests with this cuts exactly where comparing buckets does, without arithmetic:
    ``x * of >> 64 >= edge`` is ``x >= ceil(edge * 2**64 / of)``.
    """
    least = -(-(edge << 64) // of)
    return END if least >= 1 << 64 else least.to_bytes(8, "big")


def lies_in(position: int, ranges: tuple[Range, ...]) -> bool:
    """Whether a bucket lies in one of the ranges."""
    return any(low <= position < high for low, high in ranges)
