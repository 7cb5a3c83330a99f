r"""Patterns of Rust's ``regex``, which Eppo's core uses, beside those of RE2, which ours are.

Both refuse lookaround and backreferences. What one of them reads differently from the other is
refused here, before ours could take it for something else.
"""

from __future__ import annotations

import re
from typing import Final

from flagstone.engine.regex import compile_regex
from flagstone.importers.result import CannotCarryError

_ASCII_HERE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\[dDwWsSbB]")
_LOSS: Final = (
    r"\d, \w, \s and \b know ASCII only, as in Eppo's SDKs for JavaScript, Java and Go; "
    "its Rust core (Python, Ruby and others) knows every script"
)
_COUNT: Final = re.compile(r"\{[0-9]+(?:,[0-9]*)?\}")
_PART: Final = re.compile(r"\\[xpP]\{[^}]*\}|\\.|\[:\^?[a-z]+:\]|&&|--|~~|.", re.DOTALL)


def check_pattern(pattern: str) -> list[str]:
    """Return what is lost in a pattern of Rust's.

    Raises
    ------
    CannotCarryError
        If ours do not have it, or would read it differently.
    """
    try:
        compile_regex(pattern)
    except ValueError as error:
        raise CannotCarryError(f"the pattern {pattern!r} is none of RE2's: {error}") from error
    strange = _strange(pattern)
    if strange:
        raise CannotCarryError(f"the pattern {pattern!r}: RE2 reads {strange!r} differently")
    return [_LOSS] if _ASCII_HERE.search(pattern) else []


def matches_null(pattern: str) -> bool:
    """Whether the pattern is found in the spelling of ``null``, which Eppo compares with none."""
    return compile_regex(pattern)("null")


def _strange(pattern: str) -> str | None:
    """Return the first part of a pattern that means something else to RE2."""
    at, opened = 0, -1
    while at < len(pattern):
        found = _PART.match(pattern, at)
        if found is None:
            return pattern[at:]
        part, before = found[0], at
        at = found.end()
        if part[0] == "\\":
            if part in ("\\Q", "\\<", "\\>") or (part == "\\b" and pattern.startswith("{", at)):
                return part
        elif opened >= 0:
            first = before == opened + 1 or (before == opened + 2 and pattern[opened + 1] == "^")
            if part == "]" and not first:
                opened = -1
            elif part in ("[", "&&", "--", "~~"):
                return part
        elif part[0] == "[":
            # ``[:alpha:]`` outside of brackets is a set of these characters.
            at, opened = before + 1, before
        elif part == "{":
            counted = _COUNT.match(pattern, before)
            if counted is None:
                return part
            at = counted.end()
    return None
