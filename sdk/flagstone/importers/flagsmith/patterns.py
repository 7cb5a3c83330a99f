r"""Patterns of Python's ``re``, which Flagsmith matches at the start of a text, for our engine.

Python's own reading of a pattern is taken apart and written anew in RE2's syntax, so that nothing
is read differently by accident: ``$`` also stands before a last newline, an ignored case knows the
Turkish letters. What RE2 does not have is refused by name.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Sequence
from typing import Any, Final

from flagstone.engine.regex import compile_regex
from flagstone.engine.regex_syntax import complement
from flagstone.importers.result import CannotCarryError

LOSS: Final = (
    r"\d, \w and \b of a pattern know ASCII only, as in Flagsmith's SDKs for JavaScript and Go; "
    "its Python engine knows every script"
)
_REFUSED: Final = {
    "ASSERT": "lookaround",
    "ASSERT_NOT": "lookaround",
    "GROUPREF": "a backreference",
    "GROUPREF_IGNORE": "a backreference",
    "GROUPREF_EXISTS": "a conditional",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repeat",
}
_CATEGORIES: Final = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}
# RE2's \s lacks the vertical tab, and what Unicode counts among the spaces.
_ASCII_SPACES: Final = ((0x9, 0xD), (0x20, 0x20))
_SPACES: Final = (
    *((0x9, 0xD), (0x1C, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A)),
    *((0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)),
)
# What Python holds to be one letter in two cases, and RE2 does not.
_ALSO_ONE_LETTER: Final = ("iIıİ", "ΐΐ", "ΰΰ", "ﬅﬆ")
_MOST: Final = 1000
"""The most repeats that RE2 counts."""


def pattern_of(text: str) -> tuple[str, bool]:
    """Return the pattern for a search, and whether its classes lose what is not ASCII.

    Raises
    ------
    CannotCarryError
        If Python would not take it (Flagsmith's SDK fails then), or our engine has no such thing.
    """
    writer = _Writer()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text)
            tree = _python_parser().parse(text)
        written = rf"\A(?:{writer.sequence(list(tree), tree.state.flags, last=True)})"
        compile_regex(written)
    except CannotCarryError:
        raise
    except (re.error, OverflowError, RecursionError) as error:
        message = f"REGEX {_short(text)}: Flagsmith's SDK fails on it ({error})"
        raise CannotCarryError(message) from error
    except ValueError as error:
        raise CannotCarryError(f"REGEX {_short(text)}: {error}") from error
    return written, writer.lossy


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def _python_parser() -> Any:
    """Return the reader of patterns in the standard library, which has no public name."""
    for name in ("re._parser", "sre_parse"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise CannotCarryError("REGEX: this Python does not let its patterns be read")


class _Writer:
    def __init__(self) -> None:
        self.lossy = False

    def sequence(self, parts: list[Any], flags: int, *, last: bool) -> str:
        return "".join(
            self.part(str(name), argument, flags, last=last and index == len(parts) - 1)
            for index, (name, argument) in enumerate(parts)
        )

    def part(self, name: str, argument: Any, flags: int, *, last: bool) -> str:
        if name in _REFUSED:
            raise CannotCarryError(f"REGEX: {_REFUSED[name]} is not part of RE2")
        if name == "AT":
            return self.anchor(str(argument), flags, last=last)
        if name == "ANY":
            return "(?s:.)" if flags & re.DOTALL else r"[^\n]"
        if name == "LITERAL":
            return self.characters([_item(argument)], [argument], flags)
        if name == "NOT_LITERAL":
            return self.characters([_item(argument)], [argument], flags, negated=True)
        if name == "IN":
            return self.set(argument, flags)
        if name == "BRANCH":
            options = [self.sequence(list(one), flags, last=last) for one in argument[1]]
            return f"(?:{'|'.join(options)})"
        if name == "SUBPATTERN":
            _, added, removed, inner = argument
            return f"(?:{self.sequence(list(inner), (flags | added) & ~removed, last=last)})"
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            low, high, inner = argument
            return self.repeat(low, high, inner, flags)
        raise CannotCarryError(f"REGEX: {name.lower()} is not part of RE2")

    def repeat(self, low: int, high: Any, inner: Any, flags: int) -> str:
        endless = str(high) == "MAXREPEAT"
        if low > _MOST or (not endless and high > _MOST):
            raise CannotCarryError(f"REGEX: RE2 repeats at most {_MOST} times")
        most = "" if endless else high
        return f"(?:{self.sequence(list(inner), flags, last=False)}){{{low},{most}}}"

    def anchor(self, name: str, flags: int, *, last: bool) -> str:
        if name == "AT_BEGINNING":
            return "(?m:^)" if flags & re.MULTILINE else r"\A"
        if name == "AT_BEGINNING_STRING":
            return r"\A"
        if name == "AT_END_STRING":
            return r"\z"
        if name == "AT_END":
            if flags & re.MULTILINE:
                return "(?m:$)"
            if not last:
                raise CannotCarryError("REGEX: a $ before the end of the pattern")
            return r"\n?\z"
        if name == "AT_NON_BOUNDARY":
            raise CannotCarryError(r"REGEX: \B in an empty text differs among versions of Python")
        self.lossy = self.lossy or not flags & re.ASCII
        return r"\b"

    def set(self, parts: Sequence[tuple[Any, Any]], flags: int) -> str:
        items, ends, negated = [], [], False
        for name, argument in parts:
            kind = str(name)
            if kind == "NEGATE":
                negated = True
            elif kind == "LITERAL":
                items.append(_item(argument))
                ends.append(argument)
            elif kind == "RANGE":
                items.append(f"{_item(argument[0])}-{_item(argument[1])}")
                ends.append(argument)
            else:
                items.append(self.category(str(argument), flags))
        return self.characters(items, ends, flags, negated=negated)

    def category(self, name: str, flags: int) -> str:
        if name.endswith("SPACE"):
            spaces = _ASCII_SPACES if flags & re.ASCII else _SPACES
            ranges = spaces if name == "CATEGORY_SPACE" else complement(spaces)
            return "".join(f"{_item(low)}-{_item(high)}" for low, high in ranges)
        self.lossy = self.lossy or not flags & re.ASCII
        return _CATEGORIES[name]

    def characters(
        self, items: list[str], ends: list[Any], flags: int, *, negated: bool = False
    ) -> str:
        folded = bool(flags & re.IGNORECASE)
        if folded:
            for letters in _ALSO_ONE_LETTER:
                if any(_holds(end, ord(letter)) for end in ends for letter in letters):
                    items = [*items, *(_item(ord(letter)) for letter in letters)]
        if folded and flags & re.ASCII:
            raise CannotCarryError(
                "REGEX: the case of ASCII letters only, (?ai), is not part of RE2"
            )
        if not negated and len(items) == len(ends) == 1 and not isinstance(ends[0], tuple):
            return f"(?i:{items[0]})" if folded else items[0]
        whole = f"[{'^' if negated else ''}{''.join(items)}]"
        return f"(?i:{whole})" if folded else whole


def _holds(end: Any, code: int) -> bool:
    low, high = end if isinstance(end, tuple) else (end, end)
    return bool(low <= code <= high)


def _item(code: int) -> str:
    character = chr(code)
    if character.isascii() and character.isalnum():
        return character
    if 0x20 < code < 0x7F:
        return f"\\{character}"
    return f"\\x{{{code:x}}}"
