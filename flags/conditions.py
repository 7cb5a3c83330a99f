"""Conditions on their way in: parsed by the engine, and every regular expression by a real RE2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import re2

from flags.errors import InvalidInputError
from flags.plain import check_plain
from flagstone.engine import FlagSetError, parse_condition

# A pattern may not cost a request more memory than this, in bytes.
_REGEX_MEMORY = 1 << 20


def check_condition(condition: Any, field: str) -> Any:
    """Give back a condition that an evaluator will understand, or refuse it.

    The error's ``field`` points into the condition, such as ``….when.all[1].op``.
    """
    check_plain(condition, field)
    try:
        parse_condition(condition, field)
    except FlagSetError as error:
        raise as_input_error(error) from None
    for path, leaf in leaves(condition, field):
        if leaf.get("op") == "regex":
            _check_patterns(leaf.get("values", []), path)
    return condition


def as_input_error(error: FlagSetError) -> InvalidInputError:
    """Tell an error of the engine's door in the domain's words."""
    return InvalidInputError(error.message, field=error.path or None, hint=error.hint or None)


def leaves(condition: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every node of a condition that is an object, with its path, outermost first."""
    waiting = [(path, condition)]
    while waiting:
        here, node = waiting.pop()
        if not isinstance(node, dict):
            continue
        yield here, node
        for name in ("all", "any"):
            for index, child in enumerate(node.get(name) or ()):
                waiting.append((f"{here}.{name}[{index}]", child))
        waiting.extend((f"{here}.{name}", node[name]) for name in ("not", "each") if name in node)
        if "flag" in node and "value" in node:
            waiting.append((f"{here}.value", node["value"]))


def segments_of(condition: Any) -> set[str]:
    """Give the keys of the segments that a condition names."""
    return {leaf["segment"] for _, leaf in leaves(condition, "") if "segment" in leaf}


def flags_of(condition: Any) -> dict[str, set[str]]:
    """Give the flags that a condition asks about, each with the variants that it names."""
    found: dict[str, set[str]] = {}
    for _, leaf in leaves(condition, ""):
        if "flag" in leaf:
            found.setdefault(leaf["flag"], set()).update(leaf.get("variants") or ())
    return found


def _check_patterns(patterns: list[Any], path: str) -> None:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _REGEX_MEMORY
    for index, pattern in enumerate(patterns):
        try:
            re2.compile(pattern, options)
        except re2.error as error:
            reason = error.args[0] if error.args else ""
            text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            raise InvalidInputError(
                f"not a regular expression of RE2: {text}",
                field=f"{path}.values[{index}]",
                hint="RE2 has no lookaround and no backreference",
            ) from None
