r"""Regular expressions with RE2's meaning, on the standard library's ``re``.

A pattern is read by RE2's syntax and written anew for ``re``, so that nothing of Python's own
syntax slips through: ``$`` is the very end, ``\d \w \s \b`` are ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from flagstone.engine.regex_syntax import (
    TOP,
    Anchor,
    Chars,
    Choice,
    Node,
    RegexError,
    Repeat,
    Sequence,
    parse,
)

MAX_PATTERN = 1000
_ANCHORS = {
    "text_start": r"\A",
    "text_end": r"\Z",
    "line_start": "(?m:^)",
    "line_end": "(?m:$)",
    "word": r"(?a:\b)",
    "no_word": r"(?a:\B)",
}


def compile_regex(pattern: str, *, ci: bool = False) -> Callable[[str], object]:
    """Return a function that says whether the pattern is found anywhere in a text.

    Raises
    ------
    RegexError
        If RE2 would not accept the pattern, or it could take more than polynomial time here.
    """
    if len(pattern) > MAX_PATTERN:
        raise RegexError(f"a pattern has at most {MAX_PATTERN} characters")
    node = parse(pattern, fold=ci)
    _refuse_nested_loops(node, inside=False)
    try:
        return re.compile(_written(node)).search
    except (re.error, OverflowError, RecursionError) as error:
        raise RegexError(f"this pattern is not supported: {error}") from error


def _refuse_nested_loops(node: Node, *, inside: bool) -> None:
    if isinstance(node, Repeat):
        loops = node.high is None or node.high > 1
        if inside and node.high != node.low:
            raise RegexError("a repeat inside a repeat could take exponential time")
        _refuse_nested_loops(node.body, inside=inside or loops)
    elif isinstance(node, Sequence):
        for part in node.parts:
            _refuse_nested_loops(part, inside=inside)
    elif isinstance(node, Choice):
        if inside:
            raise RegexError("a choice inside a repeat could take exponential time")
        for option in node.options:
            _refuse_nested_loops(option, inside=inside)


def _written(node: Node) -> str:
    if isinstance(node, Chars):
        written = _set(node)
        return f"(?i:{written})" if node.fold else written
    if isinstance(node, Anchor):
        return _ANCHORS[node.kind]
    if isinstance(node, Sequence):
        return "".join(_written(part) for part in node.parts)
    if isinstance(node, Choice):
        return f"(?:{'|'.join(_written(option) for option in node.options)})"
    high = "" if node.high is None else str(node.high)
    return f"(?:{_written(node.body)}){{{node.low},{high}}}"


def _set(chars: Chars) -> str:
    if not chars.ranges:
        return r"[^\x00-\U0010ffff]"
    if chars.ranges == ((0, TOP),):
        return "(?s:.)"
    if len(chars.ranges) == 1 and chars.ranges[0][0] == chars.ranges[0][1]:
        return re.escape(chr(chars.ranges[0][0]))
    return "[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in chars.ranges) + "]"
