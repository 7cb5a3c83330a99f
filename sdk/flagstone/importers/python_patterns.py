r"""Patterns of Python's ``re``, written for RE2.

``$`` also holds before a newline at the very end there, ``\d`` and ``\s`` know every script, and
some letters have more cases. So the pattern is read by Python's own parser and written anew; what
RE2 has no word for is refused.
"""

from __future__ import annotations

import functools
import importlib
import re
import sys
import unicodedata
import warnings
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Final

from flagstone.engine.regex import compile_regex
from flagstone.engine.regex_syntax import Ranges, complement, normal
from flagstone.importers.result import CannotCarryError

# What Python holds to be one letter in several cases, and RE2 does not.
_ONE_LETTER: Final = ("iI\u0130\u0131", "\u0390\u1fd3", "\u03b0\u1fe3", "\ufb05\ufb06")
_REFUSED: Final = {
    "ASSERT": "lookaround",
    "ASSERT_NOT": "lookaround",
    "GROUPREF": "a backreference",
    "GROUPREF_IGNORE": "a backreference",
    "GROUPREF_EXISTS": "a conditional",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repeat",
}
_SPECIAL: Final = frozenset("\\.+*?()|[]{}^$-&~#")


@functools.cache
def _parser() -> ModuleType:
    name = "re._parser" if sys.version_info >= (3, 11) else "sre_parse"
    return importlib.import_module(name)


def of_python(pattern: str, *, exact: bool) -> tuple[str, bool] | None:
    r"""Return a pattern of RE2 that is found in the same texts, and whether it loses something.

    Parameters
    ----------
    pattern : str
        What ``re`` would compile.
    exact : bool
        Whether ``\d`` is written out for every script, and ``\w`` and ``\b``, for which that is
        too long, are refused; else these know ASCII only, and that is the loss.

    Returns
    -------
    tuple of (str, bool), or None
        ``None`` if ``re`` refuses the pattern.

    Raises
    ------
    CannotCarryError
        If RE2 cannot say it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flags = re.compile(pattern).flags
            tree = _parser().parse(pattern)
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001  whatever is wrong with it, it never matches there
        return None
    writer = _Writer(pattern, exact=exact)
    written = writer.sequence(list(tree), flags, last=True)
    try:
        compile_regex(written)
    except ValueError as error:
        raise CannotCarryError(f"the pattern {_short(pattern)}: {error}") from error
    return written, writer.is_lossy


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


class _Writer:
    """Writes what Python's parser has read. The parser has flags for each part."""

    def __init__(self, pattern: str, *, exact: bool) -> None:
        self.pattern = pattern
        self.exact = exact
        self.is_lossy = False

    def sequence(self, parts: list[Any], flags: int, *, last: bool) -> str:
        """Write parts one after the other; ``last`` says that nothing can follow them."""
        ends = len(parts) - 1
        return "".join(
            self.part(str(kind), value, flags, last=last and index == ends)
            for index, (kind, value) in enumerate(parts)
        )

    def part(self, kind: str, value: Any, flags: int, *, last: bool) -> str:
        if kind == "LITERAL":
            return _set([(value, value)], (), flags, negated=False)
        if kind == "NOT_LITERAL":
            return _set([(value, value)], (), flags, negated=True)
        if kind == "IN":
            return self.characters(value, flags)
        if kind == "ANY":
            return "(?s:.)" if flags & re.DOTALL else r"[^\n]"
        if kind == "AT":
            return self.anchor(str(value), flags, last=last)
        if kind == "BRANCH":
            options = [self.sequence(list(option), flags, last=last) for option in value[1]]
            return f"(?:{'|'.join(options)})"
        if kind == "SUBPATTERN":
            _, added, removed, body = value
            if added & re.UNICODE:
                removed |= re.ASCII
            return f"(?:{self.sequence(list(body), (flags | added) & ~removed, last=last)})"
        if kind in ("MAX_REPEAT", "MIN_REPEAT"):
            return self.repeat(value, flags)
        raise self.refusal(f"{_REFUSED.get(kind, kind.lower())}, which RE2 has not")

    def repeat(self, value: Any, flags: int) -> str:
        low, high, body = value
        most = "" if high == _parser().MAXREPEAT else str(int(high))
        # Inside a repeat another turn may follow.
        return f"(?:{self.sequence(list(body), flags, last=False)}){{{int(low)},{most}}}"

    def anchor(self, kind: str, flags: int, *, last: bool) -> str:
        multiline = flags & re.MULTILINE
        if kind == "AT_BEGINNING_STRING" or (kind == "AT_BEGINNING" and not multiline):
            return r"\A"
        if kind == "AT_END_STRING":
            return r"\z"
        if kind == "AT_BEGINNING":
            return "(?m:^)"
        if kind == "AT_END" and multiline:
            return "(?m:$)"
        if kind == "AT_END":
            if not last:
                raise self.refusal("a $ before its end, which RE2 reads differently")
            return r"\n?\z"
        if kind == "AT_NON_BOUNDARY":
            raise self.refusal(r"\B, which differs among versions of Python")
        self.narrow(r"\b", flags)
        return r"\b"

    def characters(self, parts: list[Any], flags: int) -> str:
        negated = False
        ranges: list[tuple[int, int]] = []
        caseless: list[tuple[int, int]] = []
        classes = ""
        for part, value in parts:
            kind = str(part)
            if kind == "NEGATE":
                negated = True
            elif kind == "LITERAL":
                ranges.append((value, value))
            elif kind == "RANGE":
                ranges.append(value)
            elif self.exact or str(value).endswith("SPACE"):
                caseless.extend(self.category(str(value), flags))
            else:
                classes += self.letters(str(value), flags)
        return _set(ranges, caseless, flags, negated=negated, classes=classes)

    def category(self, name: str, flags: int) -> Iterable[tuple[int, int]]:
        kind = name.removeprefix("CATEGORY_").removeprefix("NOT_")
        if kind == "WORD":
            self.narrow(r"\w", flags)
        found = _codes(kind, bool(flags & re.ASCII))
        return _others(found) if "NOT_" in name else found

    def letters(self, name: str, flags: int) -> str:
        letter = "d" if name.endswith("DIGIT") else "w"
        self.narrow(rf"\{letter}", flags)
        return rf"\{letter.upper() if 'NOT_' in name else letter}"

    def narrow(self, part: str, flags: int) -> None:
        """Note that a part knows ASCII only, where Python's knows every script."""
        if flags & re.ASCII:
            return
        if self.exact:
            raise self.refusal(f"{part} for letters of any script (set (?a), or write them out)")
        self.is_lossy = True

    def refusal(self, part: str) -> CannotCarryError:
        return CannotCarryError(f"the pattern {_short(self.pattern)} has {part}")


@functools.cache
def _codes(kind: str, ascii_only: bool) -> Ranges:  # noqa: FBT001  a key
    def belongs(character: str) -> bool:
        if kind == "DIGIT":
            return unicodedata.category(character) == "Nd"
        if kind == "SPACE":
            # The separators of files and records are spaces to Python, but not to its ASCII.
            return character.isspace() and not (ascii_only and "\x1c" <= character <= "\x1f")
        return character == "_" or character.isalnum()

    top = 0x80 if ascii_only else sys.maxunicode + 1
    return normal([(code, code) for code in range(top) if belongs(chr(code))])


def _others(ranges: Iterable[tuple[int, int]]) -> Ranges:
    return complement(normal(list(ranges)))


def _set(
    ranges: list[tuple[int, int]],
    caseless: Iterable[tuple[int, int]],
    flags: int,
    *,
    negated: bool,
    classes: str = "",
) -> str:
    """Write one character out of a set; ``ranges`` are in any case if the flags say so."""
    folds = bool(flags & re.IGNORECASE) and any(_has_letters(*part) for part in ranges)
    if folds and flags & re.ASCII:
        ranges, folds = [*ranges, *_swapped(ranges)], False
    elif folds:
        for letters in _ONE_LETTER:
            codes = [(ord(letter), ord(letter)) for letter in letters]
            if any(low <= code <= high for low, high in ranges for code, _ in codes):
                ranges = [*ranges, *codes]
    whole = normal([*ranges, *caseless])
    text = _bracket(whole, classes, negated=negated, flips=not folds and not classes)
    return f"(?i:{text})" if folds else text


def _bracket(whole: Ranges, classes: str, *, negated: bool, flips: bool) -> str:
    """Write a set; as what is not in it, if that may be done and is shorter."""
    if len(whole) == 1 and whole[0][0] == whole[0][1] and not negated and not classes:
        return _character(whole[0][0])
    text = f"[{'^' if negated else ''}{classes}{''.join(_span(*part) for part in whole)}]"
    others = _others(whole)
    if not flips or not others:
        return text
    flipped = f"[{'' if negated else '^'}{''.join(_span(*part) for part in others)}]"
    return min(text, flipped, key=len)


def _span(low: int, high: int) -> str:
    return _character(low) if low == high else f"{_character(low)}-{_character(high)}"


def _has_letters(low: int, high: int) -> bool:
    return high > 0x7F or any(chr(code).isalpha() for code in range(low, high + 1))


def _swapped(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the other case of the ASCII letters among them."""
    codes = [code for low, high in ranges for code in range(low, min(high, 0x7F) + 1)]
    return [(ord(chr(code).swapcase()),) * 2 for code in codes if chr(code).isalpha()]


def _character(code: int) -> str:
    character = chr(code)
    if character in _SPECIAL:
        return f"\\{character}"
    # A surrogate or a control character is hard to read, and to store.
    return character if character.isprintable() else f"\\x{{{code:X}}}"
