"""From a unit to its bucket: integers only, half-open ranges.

The native bucket is ``(first 8 bytes of SHA-256(salt + "." + unit), big-endian, times N) >> 64``.
The hashes of other products are in :mod:`flagstone.engine.hashes`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

from flagstone.engine.hashes import FOREIGN_HASHES
from flagstone.engine.model import NATIVE_HASH, Bucketing, Range
from flagstone.engine.units import unit_text

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

HASHES: Final = frozenset({NATIVE_HASH, *FOREIGN_HASHES})
END: Final = b"\xff" * 33
"""Greater than every digest: where the last bucket ends."""

Edge = Any
"""Where a bucket begins, comparable with places: a digest for the native hash, else an integer."""


def prefix(salt: str) -> bytes:
    """Return the bytes that stand before the unit."""
    return f"{salt}.".encode("utf-8", "surrogatepass")


def digest(salt_prefix: bytes, unit: str) -> bytes:
    """Return the hash of a unit."""
    # JSON can carry a lone surrogate; refusing it here would break "nothing raises".
    whole: bytes = sha256(salt_prefix + unit.encode("utf-8", "surrogatepass")).digest()
    return whole


def place_of(bucketing: Bucketing) -> Callable[[object], Any]:
    """Return the function from a value to its place, comparable with :func:`edge_of`.

    The place is ``None`` for a value that is no unit.
    """
    foreign = FOREIGN_HASHES.get(bucketing.hash)
    if foreign is not None:
        return foreign(bucketing.salt, bucketing.of)
    before = prefix(bucketing.salt)

    def place(value: object) -> bytes | None:
        unit = unit_text(value)
        return None if unit is None else digest(before, unit)

    return place


def edge_of(bucketing: Bucketing, edge: int) -> Edge:
    """Return the least place whose bucket is ``edge`` or more."""
    return edge if bucketing.hash in FOREIGN_HASHES else threshold(edge, bucketing.of)


def bucket_of(bucketing: Bucketing, value: object) -> int | None:
    """Return the bucket of a value, or ``None`` if it is no unit."""
    place = place_of(bucketing)(value)
    if isinstance(place, bytes):
        return int.from_bytes(place[:8], "big") * bucketing.of >> 64
    return place  # type: ignore[no-any-return]


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
    if of < 1:
        raise ValueError("there must be at least one bucket")
    place = bucket_of(Bucketing(salt, hash=hash, of=of), unit)
    if place is None:
        raise ValueError("a unit is a text or an integer")
    return place


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
