"""The door for plain JSON: sizes, nesting, and what not every reader can carry.

Everything that is stored passes :func:`check_plain` first, so that no later step can be hurt by a
document that is too deep, by a NUL (PostgreSQL's text cannot hold one), by a lone surrogate (UTF-8
cannot), by an infinite number (JSON cannot), or by an integer above 2^53 - 1 (JavaScript cannot).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from flags.errors import InvalidInputError

MAX_INTEGER = 2**53 - 1
MAX_NESTING = 32
MAX_STRING_LENGTH = 65_536
MAX_FLAG_BYTES = 1_048_576
MAX_RULES = 200
MAX_VARIANTS = 100
MAX_TARGET_KEYS = 20_000
MAX_PREREQUISITES = 50
MAX_SEGMENTS = 1_000
MAX_INSTRUCTIONS = 200
MAX_FLAGS_AT_ONCE = 10_000
MAX_COMMENT_LENGTH = 2_000
MAX_NAME_LENGTH = 200
MAX_DESCRIPTION_LENGTH = 10_000
MAX_KEY_LENGTH = 64
MAX_FLAG_KEY_LENGTH = 256

KEY_PATTERN = r"^[a-z0-9][a-z0-9\-_.]{0,63}$"
"""What the key of a project, environment or segment is, for people who describe one."""
_KEY = re.compile(KEY_PATTERN)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def check_key(value: str, field: str) -> str:
    """Give back the key of a project, environment or segment, or refuse it."""
    if _KEY.fullmatch(value) is None:
        raise InvalidInputError(
            f"{value[:80]!r} cannot be a key",
            field=field,
            hint="1 to 64 of a-z 0-9 - _ . and the first of them a letter or a digit",
        )
    return value


def check_name(value: str, field: str, *, what: str, limit: int = MAX_FLAG_KEY_LENGTH) -> str:
    """Give back a name that people chose (a variant, a rule), or refuse it."""
    if not value or len(value) > limit or _CONTROL.search(value) or _SURROGATE.search(value):
        raise InvalidInputError(
            f"{value[:80]!r} cannot name a {what}",
            field=field,
            hint=f"1 to {limit} characters, none of them a control character",
        )
    return value


def check_flag_key(value: str, field: str) -> str:
    """Give back a flag's key, or refuse one that a URL path could not carry."""
    check_name(value, field, what="flag")
    if value.startswith("/") or "?" in value or "#" in value:
        raise InvalidInputError(
            f"{value[:80]!r} cannot be a flag's key",
            field=field,
            hint="a flag's key holds no ? and no #, and does not start with /",
        )
    return value


def check_amount(value: Any, field: str) -> None:
    """Refuse more flags or segments than one request may bring: others wait for its locks."""
    if isinstance(value, Mapping) and len(value) > MAX_FLAGS_AT_ONCE:
        raise InvalidInputError(
            f"{len(value):,} are more than {MAX_FLAGS_AT_ONCE:,} at once",
            field=field,
            hint="send them in parts",
        )


def check_plain(value: Any, field: str, *, max_nesting: int = MAX_NESTING) -> None:
    """Refuse what is not plain JSON that every reader can carry.

    Walks without recursion, so that no depth of input can exhaust the stack.
    """
    waiting: list[tuple[Any, str, int]] = [(value, field, 0)]
    while waiting:
        item, path, depth = waiting.pop()
        if isinstance(item, dict | list | tuple):
            if depth >= max_nesting:
                raise InvalidInputError(
                    f"nested more than {max_nesting} levels deep",
                    field=field or None,
                    hint="name inner conditions as segments, or flatten the value",
                )
            waiting.extend(_children(item, path, depth))
        else:
            _check_scalar(item, path)


def _children(
    item: dict[Any, Any] | list[Any] | tuple[Any, ...], path: str, depth: int
) -> list[tuple[Any, str, int]]:
    if not isinstance(item, dict):
        return [(child, f"{path}[{index}]", depth + 1) for index, child in enumerate(item)]
    for key in item:
        if not isinstance(key, str):
            raise InvalidInputError("a JSON object's names are strings", field=path or None)
        _check_text(key, path)
    return [
        (child, f"{path}.{key}" if path else str(key), depth + 1) for key, child in item.items()
    ]


def _check_scalar(item: Any, path: str) -> None:
    field = path or None
    if item is None or isinstance(item, bool):
        return
    if isinstance(item, str):
        _check_text(item, path)
    elif isinstance(item, int):
        if abs(item) > MAX_INTEGER:
            raise InvalidInputError(
                "the integer is too large",
                field=field,
                hint="integers go up to 2^53 - 1 = 9007199254740991; use a string beyond that",
            )
    elif isinstance(item, float):
        if not math.isfinite(item):
            raise InvalidInputError("a number must be finite", field=field)
    else:
        raise InvalidInputError(f"{type(item).__name__} is not a JSON type", field=field)


def _check_text(text: str, path: str) -> None:
    if len(text) > MAX_STRING_LENGTH:
        raise InvalidInputError(
            f"the string is longer than {MAX_STRING_LENGTH} characters", field=path or None
        )
    if "\0" in text or _SURROGATE.search(text):
        raise InvalidInputError(
            "the string holds a NUL or half a surrogate pair",
            field=path or None,
            hint="send well-formed Unicode",
        )
