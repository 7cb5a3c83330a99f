r"""Regular expressions as Python reads them, written for RE2.

LaunchDarkly's SDK searches with Python's ``re``: ``$`` also holds before a newline at the very end,
``\d`` and ``\s`` know every script, and letters i have Turkish cases. So the pattern is read by
Python's own parser and written anew; what RE2 has no word for is refused.
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

from flagstone.importers.result import CannotCarryError

_ANY_CASE_OF_I: Final = frozenset("iI\u0130\u0131")
_SPECIAL: Final = frozenset("\\.+*?()|[]{}^$-&~#")


@functools.cache
def _parser() -> ModuleType:
    name = "re._parser" if sys.version_info >= (3, 11) else "sre_parse"
    return importlib.import_module(name)


def to_re2(pattern: str) -> str | None:
    """Return a pattern of RE2 that is found in the same texts, or ``None`` if ``re`` refuses it.

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
    return _sequence(list(tree), flags, last=True)


def _refuse(pattern_part: str) -> CannotCarryError:
    return CannotCarryError(f"a regular expression has {pattern_part}, which RE2 does not know")


def _sequence(parts: list[Any], flags: int, *, last: bool) -> str:
    """Write parts one after the other; ``last`` says that nothing can follow them."""
    ends = len(parts) - 1
    return "".join(
        _part(str(kind), value, flags, last=last and index == ends)
        for index, (kind, value) in enumerate(parts)
    )


def _part(kind: str, value: Any, flags: int, *, last: bool) -> str:
    if kind == "LITERAL":
        return _set([(value, value)], (), flags, negated=False)
    if kind == "NOT_LITERAL":
        return _set([(value, value)], (), flags, negated=True)
    if kind == "IN":
        return _class(value, flags)
    if kind == "ANY":
        return r"[\x{0}-\x{10FFFF}]" if flags & re.DOTALL else r"[^\n]"
    if kind == "AT":
        return _anchor(str(value), flags, last=last)
    if kind == "BRANCH":
        options = [_sequence(list(option), flags, last=last) for option in value[1]]
        return f"(?:{'|'.join(options)})"
    if kind == "SUBPATTERN":
        _, added, removed, body = value
        if added & re.UNICODE:
            removed |= re.ASCII
        return f"(?:{_sequence(list(body), (flags | added) & ~removed, last=last)})"
    if kind in ("MAX_REPEAT", "MIN_REPEAT"):
        return _repeat(value, flags)
    names = {
        "ASSERT": "lookaround",
        "ASSERT_NOT": "lookaround",
        "GROUPREF": "a backreference",
        "GROUPREF_EXISTS": "a conditional",
        "ATOMIC_GROUP": "an atomic group",
        "POSSESSIVE_REPEAT": "a possessive repeat",
    }
    raise _refuse(names.get(kind, kind.lower()))


def _repeat(value: Any, flags: int) -> str:
    low, high, body = value
    most = "" if high == _parser().MAXREPEAT else str(int(high))
    # Inside a repeat another turn may follow.
    return f"(?:{_sequence(list(body), flags, last=False)}){{{int(low)},{most}}}"


def _anchor(kind: str, flags: int, *, last: bool) -> str:
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
            raise _refuse("$ before its end")
        return r"\n?\z"
    if flags & re.ASCII:
        return {"AT_BOUNDARY": r"\b", "AT_NON_BOUNDARY": r"\B"}[kind]
    raise _refuse(r"\b for letters of any script (write the neighbours out, or set (?a))")


def _class(parts: list[Any], flags: int) -> str:
    negated = False
    ranges: list[tuple[int, int]] = []
    caseless: list[tuple[int, int]] = []
    for part, value in parts:
        if str(part) == "NEGATE":
            negated = True
        elif str(part) == "LITERAL":
            ranges.append((value, value))
        elif str(part) == "RANGE":
            ranges.append(value)
        else:
            caseless.extend(_category(str(value), flags))
    return _set(ranges, caseless, flags, negated=negated)


def _category(name: str, flags: int) -> Iterable[tuple[int, int]]:
    kind = name.removeprefix("CATEGORY_").removeprefix("NOT_")
    if kind == "WORD" and not flags & re.ASCII:
        raise _refuse(r"\w for letters of any script (write [A-Za-z0-9_], or set (?a))")
    found = _codes(kind, bool(flags & re.ASCII))
    return _others(found) if "NOT_" in name else found


@functools.cache
def _codes(kind: str, ascii_only: bool) -> tuple[tuple[int, int], ...]:  # noqa: FBT001  a key
    def belongs(character: str) -> bool:
        if kind == "DIGIT":
            return unicodedata.category(character) == "Nd"
        if kind == "SPACE":
            # The separators of files and records are spaces to Python, but not to its ASCII.
            return character.isspace() and not (ascii_only and "\x1c" <= character <= "\x1f")
        return character == "_" or character.isalnum()

    top = 0x80 if ascii_only else sys.maxunicode + 1
    return _joined([(code, code) for code in range(top) if belongs(chr(code))])


def _joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


def _others(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    others, start = [], 0
    for low, high in _joined(ranges):
        if start < low:
            others.append((start, low - 1))
        start = high + 1
    return [*others, (start, sys.maxunicode)] if start <= sys.maxunicode else others


def _set(
    ranges: list[tuple[int, int]],
    caseless: Iterable[tuple[int, int]],
    flags: int,
    *,
    negated: bool,
) -> str:
    """Write one character out of a set; ``ranges`` are in any case if the flags say so."""
    folds = bool(flags & re.IGNORECASE) and any(_has_letters(*part) for part in ranges)
    if folds:
        if any(high > 0x7F for _, high in ranges):
            raise CannotCarryError("a regular expression ignores the case of letters past ASCII")
        if flags & re.ASCII:
            ranges = [*ranges, *_swapped(ranges)]
            folds = False
        elif any(low <= ord(letter) <= high for low, high in ranges for letter in "iI"):
            ranges = [*ranges, *((ord(letter), ord(letter)) for letter in _ANY_CASE_OF_I)]
    text = _bracket(_joined([*ranges, *caseless]), negated=negated, flips=not folds)
    return f"(?i:{text})" if folds else text


def _bracket(whole: tuple[tuple[int, int], ...], *, negated: bool, flips: bool) -> str:
    """Write a set; as what is not in it, if that may be done and is shorter."""
    if len(whole) == 1 and whole[0][0] == whole[0][1] and not negated:
        return _character(whole[0][0])
    text = f"[{'^' if negated else ''}{''.join(_span(*part) for part in whole)}]"
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
    letters = [chr(code) for low, high in ranges for code in range(low, high + 1)]
    return [(ord(one.swapcase()),) * 2 for one in letters if one.isalpha()]


def _character(code: int) -> str:
    character = chr(code)
    if character in _SPECIAL:
        return f"\\{character}"
    # A surrogate or a control character is hard to read, and to store.
    return character if character.isprintable() else f"\\x{{{code:X}}}"
