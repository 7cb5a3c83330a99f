"""The hashes of other products, so that imported flags keep every user's bucket.

Each is a function of a salt and of how many buckets there are; what it returns puts a value of a
context into one of them, or gives ``None`` for a value that is no unit.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from flagstone.engine.attributes import plain
from flagstone.engine.cbor import cbor
from flagstone.engine.units import (
    javascript_text,
    joined_text,
    scalar_text,
    trait_text,
    unit_text,
)

Place = Callable[[object], "int | None"]
Hash = Callable[[str, int], Place]

_WORD: Final = 0xFFFFFFFF
_LONG_SCALE: Final = 0xFFFFFFFFFFFFFFF
"""Fifteen hexadecimal digits, all ones: the divisor of LaunchDarkly and PostHog."""
_UNLEASH_VARIANT_SEED: Final = 86028157
_FLAGSMITH: Final = 9998
"""Where Flagsmith's remainders by 9999 end: this one is drawn again."""


def murmur3(data: bytes, seed: int = 0) -> int:
    """Return the 32-bit MurmurHash3 for x86 of ``data``.

    Written after the public description of A. Appleby's algorithm: four bytes at a time,
    little-endian, the rest (the tail) mixed without rotation, then the length and an avalanche.
    """
    hashed = seed
    whole = len(data) & ~3
    for (block,) in struct.iter_unpack("<I", data[:whole]):
        block = block * 0xCC9E2D51 & _WORD
        block = (block << 15 | block >> 17) * 0x1B873593 & _WORD
        hashed ^= block
        hashed = ((hashed << 13 | hashed >> 19) * 5 + 0xE6546B64) & _WORD
    if whole < len(data):
        tail = int.from_bytes(data[whole:], "little") * 0xCC9E2D51 & _WORD
        hashed ^= (tail << 15 | tail >> 17) * 0x1B873593 & _WORD
    hashed ^= len(data)
    hashed = (hashed ^ hashed >> 16) * 0x85EBCA6B & _WORD
    hashed = (hashed ^ hashed >> 13) * 0xC2B2AE35 & _WORD
    return hashed ^ hashed >> 16


def fnv1a(text: str) -> int:
    """Return the 32-bit FNV-1a of the UTF-16 code units of ``text``, one step for each."""
    hashed = 0x811C9DC5
    if text.isascii():
        for unit in text.encode("ascii"):
            hashed = (hashed ^ unit) * 0x01000193 & _WORD
        return hashed
    for (unit,) in struct.iter_unpack("<H", text.encode("utf-16-le", "surrogatepass")):
        hashed = (hashed ^ unit) * 0x01000193 & _WORD
    return hashed


def _bytes(text: str) -> bytes:
    # JSON can carry a lone surrogate; refusing it here would break "nothing raises".
    return text.encode("utf-8", "surrogatepass")


def _of_texts(
    hashed: Callable[[str, str, int], int],
    text_of: Callable[[object], str | None] = unit_text,
) -> Hash:
    """Make a hash of a function from salt, text of the unit and number of buckets."""

    def hash_of(salt: str, of: int) -> Place:
        def place(value: object) -> int | None:
            unit = text_of(value)
            return None if unit is None else hashed(salt, unit, of)

        return place

    return hash_of


def _unleash(salt: str, unit: str, of: int) -> int:
    return murmur3(_bytes(f"{salt}:{unit}")) % of


def _unleash_variant(salt: str, unit: str, of: int) -> int:
    return murmur3(_bytes(f"{salt}:{unit}"), _UNLEASH_VARIANT_SEED) % of


def _growthbook_1(salt: str, unit: str, of: int) -> int:
    return fnv1a(unit + salt) % of


def _growthbook_2(salt: str, unit: str, of: int) -> int:
    return fnv1a(str(fnv1a(salt + unit))) % of


def _flagsmith(salt: str, unit: str, of: int) -> int:
    once = f"{salt},{unit}"
    hashed, times = _FLAGSMITH, 0
    while hashed == _FLAGSMITH:
        times += 1
        text = _bytes(",".join([once] * times))
        hashed = int(hashlib.md5(text, usedforsecurity=False).hexdigest(), 16) % (_FLAGSMITH + 1)
    return hashed * of // _FLAGSMITH


def _fifteen_digits(text: str, of: int) -> int:
    hashed = int(hashlib.sha1(_bytes(text), usedforsecurity=False).hexdigest()[:15], 16)
    # All ones would land past the end; the last bucket takes it.
    return min(hashed * of // _LONG_SCALE, of - 1)


def _launchdarkly(salt: str, unit: str, of: int) -> int:
    return _fifteen_digits(f"{salt}.{unit}", of)


def _posthog_variant(salt: str, unit: str, of: int) -> int:
    return _fifteen_digits(f"{salt}.{unit}variant", of)


def _eppo(salt: str, unit: str, of: int) -> int:
    text = _bytes(f"{salt}-{unit}")
    return int(hashlib.md5(text, usedforsecurity=False).hexdigest()[:8], 16) % of


def _flagd(salt: str, unit: str, of: int) -> int:
    return murmur3(_bytes(salt + unit)) * of >> 32


def _flagd_cbor(salt: str, of: int) -> Place:
    def place(value: object) -> int | None:
        try:
            if salt:
                unit = joined_text(value)
                return None if unit is None else murmur3(cbor(salt + unit)) * of >> 32
            value = plain(value)
            return murmur3(cbor(value)) * of >> 32 if type(value) in _CBOR_UNITS else None
        except Exception:  # noqa: BLE001  any object may come in, and nothing may come out but an answer
            return None

    return place


def _flagd_cbor_pair(salt: str, unit: str, of: int) -> int:
    return murmur3(cbor([salt, unit])) * of >> 32


_CBOR_UNITS: Final = frozenset({str, int, float, bool, dict})


FOREIGN_HASHES: Final[Mapping[str, Hash]] = MappingProxyType(
    {
        "unleash": _of_texts(_unleash, scalar_text),
        "unleash-variant": _of_texts(_unleash_variant, scalar_text),
        "growthbook-1": _of_texts(_growthbook_1, javascript_text),
        "growthbook-2": _of_texts(_growthbook_2, javascript_text),
        "flagsmith": _of_texts(_flagsmith),
        "flagsmith-trait": _of_texts(_flagsmith, trait_text),
        "launchdarkly": _of_texts(_launchdarkly),
        "posthog-variant": _of_texts(_posthog_variant),
        "eppo": _of_texts(_eppo),
        "flagd": _of_texts(_flagd, joined_text),
        "flagd-cbor": _flagd_cbor,
        "flagd-cbor-pair": _of_texts(_flagd_cbor_pair),
    }
)
"""Every hash but Flagstone's own, by the name that flag sets use."""
