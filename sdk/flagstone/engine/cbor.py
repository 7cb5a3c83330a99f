"""Canonical CBOR of JSON values: what flagd hashes."""

from __future__ import annotations

import struct
from typing import Any

from flagstone.engine.attributes import plain


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
        data = value.encode("utf-8", "surrogatepass")
        return _head(3, len(data)) + data
    if type(value) is bool:
        return b"\xf5" if value else b"\xf4"
    if type(value) is float and value.is_integer() and -(2**63) <= value < 2**64:
        value = int(value)
    if type(value) is int:
        return _integer(value)
    if type(value) is float:
        return _float(value)
    if type(value) is list:
        return _head(4, len(value)) + b"".join(map(cbor, value))
    if type(value) is dict:
        pairs = sorted(
            ((cbor(key), cbor(held)) for key, held in value.items()),
            key=lambda pair: (len(pair[0]), pair[0]),
        )
        return _head(5, len(pairs)) + b"".join(key + held for key, held in pairs)
    if value is None:
        return b"\xf6"
    raise ValueError("nothing that JSON has")


def _integer(value: int) -> bytes:
    major, number = (0, value) if value >= 0 else (1, -1 - value)
    if number < 1 << 64:
        return _head(major, number)
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([0xC2 + major]) + _head(2, len(data)) + data


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | extra]) + number.to_bytes(size, "big")
    raise ValueError("an integer past 64 bits")


def _float(value: float) -> bytes:
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
