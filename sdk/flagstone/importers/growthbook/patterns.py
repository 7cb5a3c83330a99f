r"""Regular expressions of JavaScript, rewritten for RE2's meaning; what cannot be is refused."""

from __future__ import annotations

import re
from typing import Final

from flagstone.engine.regex import compile_regex
from flagstone.importers.result import CannotCarryError

_KNOWN: Final = frozenset("dDwWsSbBfnrtvxucpPk")
_SPACE: Final = (
    r"\t\n\v\f\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
)
_DOT: Final = r"[^\n\r\x{2028}\x{2029}]"
_TOKEN: Final = re.compile(r"\\u[0-9A-Fa-f]{4}|\\.|\[\^?\]?|.", re.DOTALL)


def of_script(pattern: str) -> str | None:
    """Return a pattern of RE2 that is found in the same texts; ``None`` if JavaScript has none.

    Raises
    ------
    CannotCarryError
        If RE2 has no such pattern.
    """
    written = _Writer().text(pattern)
    try:
        compile_regex(written)
    except ValueError as error:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError):
            return None
        raise CannotCarryError(f"the pattern {pattern!r}: {error}") from error
    return written


class _Writer:
    def __init__(self) -> None:
        self.inside = False

    def text(self, pattern: str) -> str:
        return "".join(self.part(found) for found in _TOKEN.findall(pattern))

    def part(self, part: str) -> str:
        if self.inside:
            return self.in_brackets(part)
        if part[0] == "[":
            # An empty pair of brackets is nobody, and a negated one is anybody.
            self.inside = not part.endswith("]")
            return {"[]": r"[^\x00-\x{10ffff}]", "[^]": r"(?s:.)"}.get(part, part)
        if part[0] == "\\":
            return self.escape(part)
        return _DOT if part == "." else part

    def in_brackets(self, part: str) -> str:
        if part == "]":
            self.inside = False
            return part
        if part[0] == "[":
            # RE2 reads "[:" as a named class; the closing bracket may be part of the part.
            self.inside = not part.endswith("]")
            return "\\" + part
        return self.escape(part) if part[0] == "\\" else part

    def escape(self, part: str) -> str:
        letter = part[1:2]
        if len(part) > 2:
            return rf"\x{{{part[2:]}}}"
        if not (letter.isascii() and letter.isalpha()):
            return part
        if letter not in _KNOWN:
            return letter
        if letter == "b" and self.inside:
            return r"\x08"
        if letter == "s":
            return _SPACE if self.inside else f"[{_SPACE}]"
        if letter == "S" and not self.inside:
            return f"[^{_SPACE}]"
        return part
