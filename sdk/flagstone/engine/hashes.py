"""The hashes of other products, so that imported flags keep every user's bucket.

Each is a function of a salt and of how many buckets there are; what it returns puts a value of a
context into one of them, or gives ``None`` for a value that is no unit.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from flagstone.engine.attributes import plain

Place = Callable[[object], "int | None"]
Hash = Callable[[str, int], Place]

_WORD: Final = 0xFFFFFFFF
_LONG_SCALE: Final = 0xFFFFFFFFFFFFFFF
"""Fifteen hexadecimal digits, all ones: the divisor of LaunchDarkly and PostHog."""
_UNLEASH_VARIANT_SEED: Final = 86028157
_FLAGSMITH: Final = 9998
"""Where Flagsmith's remainders by 9999 end: this one is drawn again."""


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


def scalar_text(value: object) -> str | None:
    """Return a unit as Unleash prints any JSON scalar: fractions and bools are units too."""
    text = unit_text(value)
    if text is not None:
        return text
    try:
        value = plain(value)
        if type(value) is bool:
            return "true" if value else "false"
        return repr(value) if type(value) is float and math.isfinite(value) else None
    except Exception:  # noqa: BLE001  any object may come in, and nothing may come out but an answer
        return None


def _unleash(salt: str, unit: str, of: int) -> int:
    return murmur3(_bytes(f"{salt}:{unit}")) % of


def _unleash_variant(salt: str, unit: str, of: int) -> int:
    return murmur3(_bytes(f"{salt}:{unit}"), _UNLEASH_VARIANT_SEED) % of


def javascript_text(value: object) -> str | None:
    """Return a unit as JavaScript's ``String`` prints it: every number is a double there.

    Fractions are units too; what is neither a text nor a finite number is none.
    """
    try:
        found = plain(value)
        if type(found) is str:
            return found
        return _double_text(float(found)) if type(found) in (int, float) else None
    except Exception:  # noqa: BLE001  any object may come in, and nothing may come out but an answer
        return None


def _double_text(number: float) -> str | None:
    """Write a double as ECMAScript's ``Number::toString`` does, the shortest that reads back."""
    if not math.isfinite(number):
        return None
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    # Python's shortest digits are JavaScript's; only where the point goes differs.
    head, _, exponent = float.__repr__(abs(number)).partition("e")
    whole, _, fraction = head.partition(".")
    digits = (whole + fraction).lstrip("0")
    # The number is 0.digits times ten to the power of ``point``.
    point = len(digits) - len(fraction) + int(exponent or 0)
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = point - 1
    rest = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'+' if power >= 0 else '-'}{abs(power)}"


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


_INTEGER_TEXT: Final = re.compile(r"-?[0-9]+\Z")
_DECIMAL_TEXT: Final = re.compile(r"-?[0-9]+\.[0-9]+\Z")


def trait_text(value: object) -> str | None:
    """Return a unit as Flagsmith prints a trait: texts of numbers are numbers to it.

    So ``"007"`` is ``"7"``, ``"1.50"`` is ``"1.5"``, and a bool prints as Python does.
    """
    try:
        value = plain(value)
        if type(value) is str:
            if _INTEGER_TEXT.match(value):
                return str(int(value))
            return str(float(value)) if _DECIMAL_TEXT.match(value) else value
        if type(value) is float and not math.isfinite(value):
            return None
        return str(value) if type(value) in (bool, int, float) else None
    except Exception:  # noqa: BLE001  any object may come in, and nothing may come out but an answer
        return None


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


def joined_text(value: object) -> str | None:
    """Return a unit as flagd's ``cat`` writes any JSON value; what JSON has not is none."""
    try:
        return _json_logic_text(plain(value))
    except Exception:  # noqa: BLE001  any object may come in, and nothing may come out but an answer
        return None


def _json_logic_text(value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) is bool:
        return "True" if value else "False"
    if type(value) is float:
        return f"{value:.15g}"
    if type(value) is int:
        return int.__repr__(value)
    if value is None:
        return "null"
    if type(value) is list:
        return ",".join(_json_logic_text(plain(element)) for element in value)
    if type(value) is dict:
        return "[object Object]"
    raise ValueError("nothing that JSON has")


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


def cbor(value: Any) -> bytes:
    """Return the canonical CBOR (RFC 7049, section 3.9) of a JSON value.

    A float without fraction is written as the integer that it is, if 64 bits hold it.

    Raises
    ------
    ValueError
        If it is nothing that JSON has.
    """
    value = plain(value)
    if type(value) is str:
        data = _bytes(value)
        return _cbor_head(3, len(data)) + data
    if type(value) is bool:
        return b"\xf5" if value else b"\xf4"
    if type(value) is float and value.is_integer() and -(2**63) <= value < 2**64:
        value = int(value)
    if type(value) is int:
        return _cbor_integer(value)
    if type(value) is float:
        return _cbor_float(value)
    if type(value) is list:
        return _cbor_head(4, len(value)) + b"".join(map(cbor, value))
    if type(value) is dict:
        pairs = sorted(
            ((cbor(key), cbor(held)) for key, held in value.items()),
            key=lambda pair: (len(pair[0]), pair[0]),
        )
        return _cbor_head(5, len(pairs)) + b"".join(key + held for key, held in pairs)
    if value is None:
        return b"\xf6"
    raise ValueError("nothing that JSON has")


def _cbor_integer(value: int) -> bytes:
    major, number = (0, value) if value >= 0 else (1, -1 - value)
    if number < 1 << 64:
        return _cbor_head(major, number)
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([0xC2 + major]) + _cbor_head(2, len(data)) + data


def _cbor_head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | extra]) + number.to_bytes(size, "big")
    raise ValueError("an integer past 64 bits")


def _cbor_float(value: float) -> bytes:
    """Write a float in the fewest bytes that keep its value."""
    if value != value:
        return b"\xf9\x7e\x00"
    for head, form in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            data = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, data)[0] == value:
            return head + data
    return b"\xfb" + struct.pack(">d", value)


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
