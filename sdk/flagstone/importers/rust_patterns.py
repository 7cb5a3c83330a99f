r"""Patterns of Rust's ``regex``, which Eppo's and Unleash's cores use, for RE2.

Both refuse lookaround and backreferences. What one of them reads differently from the other is
refused here, before ours could take it for something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from flagstone.engine.regex import compile_regex
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
_COUNT: Final = re.compile(r"\{[0-9]+(?:,[0-9]*)?\}")
_PART: Final = re.compile(r"\\[xpP]\{[^}]*\}|\\.|\[:\^?[a-z]+:\]|&&|--|~~|.", re.DOTALL)
_DIFFERENT: Final = frozenset({"\\Q", "\\E", "\\C", "\\<", "\\>"})


def of_rust(pattern: str, *, exact: bool) -> tuple[str, bool]:
    r"""Return a pattern of RE2 that is found in the same texts, and whether it loses something.

    Parameters
    ----------
    pattern : str
        What Rust's ``regex`` would compile.
    exact : bool
        Whether ``\d`` and ``\s`` are written out for every script, and ``\w`` and ``\b``, for which
        that is too long, are refused; else these know ASCII only, and that is the loss.

    Raises
    ------
    CannotCarryError
        If ours do not have it, or would read it differently.
    """
    reader = _Reader(pattern, exact=exact)
    written = "".join(reader.parts())
    try:
        compile_regex(written)
    except ValueError as error:
        raise CannotCarryError(f"the pattern {pattern!r} is none of RE2's: {error}") from error
    return written, reader.is_lossy


class _Reader:
    def __init__(self, pattern: str, *, exact: bool) -> None:
        self.pattern = pattern
        self.exact = exact
        self.is_lossy = False

    def parts(self) -> Iterator[str]:
        """Yield the pattern for RE2, part by part."""
        at, opened = 0, -1
        while found := _PART.match(self.pattern, at):
            part, before = found[0], at
            at = found.end()
            if part[0] == "\\":
                yield self.escape(part, at, inside=opened >= 0)
                continue
            if opened >= 0:
                caret = before == opened + 2 and self.pattern[opened + 1] == "^"
                if part == "]" and before > opened + 1 and not caret:
                    opened = -1
                elif part in ("[", "&&", "--", "~~"):
                    raise self.differs(part)
            elif part[0] == "[":
                # ``[:alpha:]`` outside of brackets is a set of these characters.
                part, at, opened = "[", before + 1, before
            elif part == "{":
                counted = _COUNT.match(self.pattern, before)
                if counted is None:
                    raise self.differs(part)
                part, at = counted[0], counted.end()
            yield part
        if at < len(self.pattern):
            raise self.differs(self.pattern[at:])

    def escape(self, part: str, at: int, *, inside: bool) -> str:
        letter = part[1]
        if part in _DIFFERENT or (part == r"\b" and self.pattern.startswith("{", at)):
            raise self.differs(part)
        if letter not in "dDsSwWbB" or len(part) > 2:
            return part
        if not self.exact:
            self.is_lossy = True
            return part
        if letter in _SETS:
            return _SETS[letter] if inside else f"[{_SETS[letter]}]"
        if letter.lower() in _SETS and not inside:
            return f"[^{_SETS[letter.lower()]}]"
        raise self.differs(part)

    def differs(self, part: str) -> CannotCarryError:
        return CannotCarryError(f"the pattern {self.pattern!r}: RE2 reads {part!r} differently")
