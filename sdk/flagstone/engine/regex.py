r"""Regular expressions with RE2's meaning: ``$`` is the very end, ``\d \w \s \b`` are ASCII.

A pattern is read by RE2's syntax. One that cannot backtrack much is written anew for the standard
library's ``re``, so that nothing of Python's own syntax slips through; any other, and every long
text, goes to an automaton, which takes one step for each character.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from flagstone.engine.regex_automaton import Automaton
from flagstone.engine.regex_syntax import (
    TOP,
    Anchor,
    Chars,
    Choice,
    Node,
    RegexError,
    Repeat,
    Sequence,
    complement,
    parse,
)

MAX_PATTERN = 1000
SHORT_TEXT = 500
"""Texts up to this length may go to ``re``."""
MAX_PATHS = 10**6
"""How many ways ``re`` may try on a short text; some tens of milliseconds at the very worst."""

_ANCHORS = {
    "text_start": r"\A",
    "text_end": r"\Z",
    "line_start": "(?m:^)",
    "line_end": "(?m:$)",
    "word": r"(?a:\b)",
    # Before Python 3.14 ``\B`` does not hold in an empty text.
    "no_word": r"(?!(?a:\b))",
}
_ANYTHING = frozenset({complement(()), complement(((10, 10),))})


def compile_regex(pattern: str, *, ci: bool = False) -> Callable[[str], bool]:
    """Return a function that says whether the pattern is found anywhere in a text.

    Its time is bounded: linear in the length of the text.

    Raises
    ------
    RegexError
        If RE2 would not accept the pattern, or it is too large.
    """
    if len(pattern) > MAX_PATTERN:
        raise RegexError(f"a pattern has at most {MAX_PATTERN} characters")
    node = _trimmed(parse(pattern, fold=ci))
    automaton = Automaton(node)
    if _paths(node) * (1 if _is_anchored(node) else SHORT_TEXT) > MAX_PATHS:
        return automaton.search
    try:
        quick = re.compile(_written(node)).search
    except (re.error, OverflowError, RecursionError):
        return automaton.search

    def search(text: str) -> bool:
        if len(text) > SHORT_TEXT:
            return automaton.search(text)
        return quick(text) is not None

    return search


def _trimmed(node: Node) -> Node:
    """Drop ``.*`` at the ends: a search is not bound to them anyway."""
    if not isinstance(node, Sequence):
        return node
    parts = list(node.parts)
    while len(parts) > 1 and _is_anything(parts[0]):
        del parts[0]
    while len(parts) > 1 and _is_anything(parts[-1]):
        del parts[-1]
    return Sequence(tuple(parts))


def _is_anything(node: Node) -> bool:
    if not isinstance(node, Repeat) or node.low != 0 or node.high is not None:
        return False
    return isinstance(node.body, Chars) and node.body.ranges in _ANYTHING


def _is_anchored(node: Node) -> bool:
    first = node.parts[0] if isinstance(node, Sequence) and node.parts else node
    return isinstance(first, Anchor) and first.kind == "text_start"


def _paths(node: Node) -> int:
    """Return in how many ways the pattern could be tried at one place of a short text, at most."""
    match node:
        case Sequence(parts):
            product = 1
            for part in parts:
                product = min(product * _paths(part), MAX_PATHS + 1)
            return product
        case Choice(options):
            return sum(_paths(option) for option in options)
        case Repeat(body, low, high):
            if _paths(body) > 1:
                return _paths(body) if (low, high) == (1, 1) else MAX_PATHS + 1
            return (SHORT_TEXT if high is None else high - low) + 1
        case _:
            return 1


def _written(node: Node) -> str:
    match node:
        case Chars(ranges):
            return _set(ranges)
        case Anchor(kind):
            return _ANCHORS[kind]
        case Sequence(parts):
            return "".join(_written(part) for part in parts)
        case Choice(options):
            return f"(?:{'|'.join(_written(option) for option in options)})"
        case Repeat(body, low, high):
            most = "" if high is None else str(high)
            return f"(?:{_written(body)}){{{low},{most}}}"


def _set(ranges: tuple[tuple[int, int], ...]) -> str:
    if not ranges:
        return r"[^\x00-\U0010ffff]"
    if ranges == ((0, TOP),):
        return "(?s:.)"
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return re.escape(chr(ranges[0][0]))
    return "[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges) + "]"
