r"""Regular expressions of Python or JavaScript, rewritten for RE2's meaning.

What cannot be rewritten exactly is refused, but for one thing: Python's ``\d \w \s \b`` know all of
Unicode, and ours only ASCII. That is said in the report.
"""

from __future__ import annotations

import re
from typing import Final

from flagstone.engine.regex import compile_regex
from flagstone.importers.result import CannotCarryError

_UNICODE_LETTERS: Final = frozenset("dDwWsSbB")
_PYTHON_LETTERS: Final = frozenset("AbBdDsSwWZafnrtvxuUN")
_SCRIPT_LETTERS: Final = frozenset("dDwWsSbBfnrtvxucpPk")
_SCRIPT_SPACE: Final = (
    r"\t\n\v\f\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
)
_SCRIPT_DOT: Final = r"[^\n\r\x{2028}\x{2029}]"
_TOKEN: Final = re.compile(r"\\u[0-9A-Fa-f]{4}|\\.|\[\^?\]?|.", re.DOTALL)


class NoPatternError(ValueError):
    """The vendor cannot compile the pattern; a condition with it never holds."""


def is_wider_in_python(pattern: str) -> bool:
    """Whether the pattern has a class of characters that Python takes from all of Unicode."""
    tokens = re.findall(r"\\(.)", pattern, re.DOTALL)
    return not _UNICODE_LETTERS.isdisjoint(tokens)


def rewritten(pattern: str, *, script: bool) -> str:
    """Return the pattern for RE2; ``script`` says that it is JavaScript's, else it is Python's.

    Raises
    ------
    NoPatternError
        If the vendor cannot compile it.
    CannotCarryError
        If RE2 has no such pattern.
    """
    written = _Writer(pattern, script=script).text()
    try:
        compile_regex(written)
    except ValueError as error:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError):
            raise NoPatternError(pattern) from None
        raise CannotCarryError(f"the pattern {pattern!r}: {error}") from error
    return written


class _Writer:
    def __init__(self, pattern: str, *, script: bool) -> None:
        self.pattern = pattern
        self.script = script
        self.lines = re.search(r"\(\?[a-z]*m", pattern) is not None
        self.inside = False

    def text(self) -> str:
        return "".join(self.part(found) for found in _TOKEN.findall(self.pattern))

    def part(self, part: str) -> str:
        if self.inside:
            return self.in_brackets(part)
        if part[0] == "[":
            self.inside = True
            if self.script and part.endswith("]"):
                # An empty pair of brackets is nobody, and a negated one is anybody.
                self.inside = False
                return r"[^\x00-\x{10ffff}]" if part == "[]" else r"(?s:.)"
            return part
        if part[0] == "\\":
            return self.escape(part)
        if part == "$" and not self.script and not self.lines:
            return r"(?:\n?\z)"
        if part == "." and self.script:
            return _SCRIPT_DOT
        return part

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
        if letter not in (_SCRIPT_LETTERS if self.script else _PYTHON_LETTERS):
            if self.script:
                return letter
            raise NoPatternError(self.pattern)
        if letter == "Z":
            return r"\z"
        if letter == "b" and self.inside:
            return r"\x08"
        if self.script and letter == "s":
            return _SCRIPT_SPACE if self.inside else f"[{_SCRIPT_SPACE}]"
        if self.script and letter == "S" and not self.inside:
            return f"[^{_SCRIPT_SPACE}]"
        return part
