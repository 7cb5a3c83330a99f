r"""Regular expressions, from the engine's dialect to ours.

Unleash's is that of Rust: ``\d`` and ``\s`` know every script there, and the ASCII ones here, so
they are written out. What would need tables of letters (``\w``, ``\b``), or reads differently in
RE2, is refused.
"""

from __future__ import annotations

import re
from typing import Final

from flagstone.importers.result import CannotCarryError

# Where each run of ten decimal digits begins, in Unicode 16.
_TENS: Final = (
    0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66,
    0xDE6, 0xE50, 0xED0, 0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90,
    0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0,
    0xFF10, 0x104A0, 0x10D30, 0x10D40, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450,
    0x114D0, 0x11650, 0x116C0, 0x116D0, 0x116DA, 0x11730, 0x118E0, 0x11950, 0x11BF0, 0x11C50,
    0x11D50, 0x11DA0, 0x11F50, 0x16130, 0x16A60, 0x16AC0, 0x16B50, 0x16D70, 0x1CCF0, 0x1D7CE,
    0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E5F1, 0x1E950, 0x1FBF0,
)  # fmt: skip
_SETS: Final = {
    "d": "".join(f"{chr(first)}-{chr(first + 9)}" for first in _TENS),
    "s": "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
}
_REFUSED: Final = frozenset("wWbBpPQECDS<>")
_SAME_ESCAPES: Final = frozenset("aftnrvzAx")
_COUNT: Final = re.compile(r"\{[0-9]+(?:,[0-9]*)?\}")


def our_pattern(pattern: str) -> str:
    r"""Return the pattern in our dialect.

    Raises
    ------
    CannotCarryError
        If it means something else here, and cannot be written otherwise.
    """
    written: list[str] = []
    inside, position = False, 0
    while position < len(pattern):
        sign = pattern[position]
        pair = pattern[position : position + 2]
        if sign == "\\":
            written.append(_escape(pair, pattern, inside=inside))
            position += 2
            continue
        if inside:
            if sign == "[" or pair in ("&&", "--", "~~"):
                raise CannotCarryError(f"the regular expression {pattern!r} has a set within a set")
            inside = sign != "]"
        elif sign == "[":
            inside = True
            opening = re.match(r"\[\^?", pattern[position:])
            text = opening.group() if opening else sign
            if pattern[position + len(text) : position + len(text) + 1] in ("]", ""):
                raise CannotCarryError(f"the regular expression {pattern!r} has an odd set")
            written.append(text)
            position += len(text)
            continue
        elif sign == "{" and not _COUNT.match(pattern, position):
            raise CannotCarryError(f"the regular expression {pattern!r} has an odd repetition")
        written.append(sign)
        position += 1
    return "".join(written)


def _escape(pair: str, pattern: str, *, inside: bool) -> str:
    sign = pair[1:]
    if sign in _SETS:
        return _SETS[sign] if inside else f"[{_SETS[sign]}]"
    if not inside and sign in ("D", "S"):
        return f"[^{_SETS[sign.lower()]}]"
    if sign in _REFUSED or (sign.isalnum() and sign not in _SAME_ESCAPES) or not sign.isascii():
        raise CannotCarryError(
            f"the regular expression {pattern!r} has {pair!r}, which differs here"
        )
    return pair
