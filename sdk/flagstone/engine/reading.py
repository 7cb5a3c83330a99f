"""Small readers of JSON that know what they expect, and say where it is not so."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from flagstone.engine.errors import FlagSetError
from flagstone.engine.model import Json
from flagstone.engine.times import parse_time

MAX_NESTING = 64
MAX_FOUND = 250
"""Conditions nested 50 times, each an object and a list, and a value inside, with room to spare."""
MAX_INTEGER = 2**53 - 1
REQUIRED: Any = object()
_NAMES = {
    str: "a text",
    bool: "true or false",
    int: "an integer",
    list: "a list",
    dict: "an object",
}


def load_json(text: str | bytes, *, strict: bool) -> Json:
    """Read JSON text; strictly, a key must not occur twice and numbers are finite."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        if strict:
            return json.loads(
                text, object_pairs_hook=_without_duplicates, parse_constant=_not_a_number
            )
        return json.loads(text)
    except FlagSetError:
        raise
    except RecursionError as error:
        raise FlagSetError("", "the document is nested too deeply") from error
    except ValueError as error:
        raise FlagSetError("", f"the document is not JSON: {error}") from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise FlagSetError("", f"the key {key!r} occurs twice in one object")
            seen.add(key)
    return document


def _not_a_number(name: str) -> float:
    raise FlagSetError("", f"{name} is not JSON", "leave the number out")


def json_value(value: object, depth: int = 0) -> Json:
    """Return a copy of a JSON value that nobody else holds."""
    kind = type(value)
    if kind is str or kind is bool or kind is int or value is None:
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise FlagSetError("", "a number must be finite")
        return float(value)
    if depth >= MAX_NESTING:
        raise FlagSetError("", f"the value is nested deeper than {MAX_NESTING} levels")
    if isinstance(value, (list, tuple)):
        return [json_value(element, depth + 1) for element in value]
    if isinstance(value, Mapping):
        for key in value:
            if type(key) is not str:
                raise FlagSetError("", "the keys of an object are texts")
        return {key: json_value(element, depth + 1) for key, element in value.items()}
    raise FlagSetError("", f"{kind.__name__} is not a type of JSON")


def copy_of(value: Any, depth: int = 0) -> Any:
    """Return a copy of what was found, JSON or not.

    Raises
    ------
    RecursionError
        If it is nested deeper than any document could be.
    """
    if depth > MAX_FOUND:
        raise RecursionError
    if isinstance(value, (list, tuple)):
        return [copy_of(element, depth + 1) for element in value]
    if isinstance(value, Mapping):
        return {key: copy_of(element, depth + 1) for key, element in value.items()}
    return value


def an_object(value: object) -> Mapping[str, Any]:
    """Return ``value`` if it is a JSON object."""
    if type(value) is dict or isinstance(value, Mapping):
        return value
    raise FlagSetError("", f"must be an object, not {kind_of(value)}")


def a_list(value: object) -> list[Any] | tuple[Any, ...]:
    """Return ``value`` if it is a JSON array."""
    if isinstance(value, (list, tuple)):
        return value
    raise FlagSetError("", f"must be a list, not {kind_of(value)}")


def a_text(value: object) -> str:
    """Return ``value`` if it is a text that is not empty."""
    if type(value) is not str:
        raise FlagSetError("", f"must be a text, not {kind_of(value)}")
    if not value:
        raise FlagSetError("", "must not be empty")
    return value


def kind_of(value: object) -> str:
    """Name the JSON type of a value, for messages."""
    return "null" if value is None else _NAMES.get(type(value), f"a {type(value).__name__}")


def name_of(key: object) -> str:
    """Return the name of a field for messages, whatever stands there."""
    return key if type(key) is str else f"({kind_of(key)})"


def text(document: Mapping[str, Any], key: str, default: Any = REQUIRED) -> Any:
    """Read a text that is not empty."""
    value = document.get(key, default)
    if type(value) is str and value:
        return value
    if value is default and value is not REQUIRED:
        return value
    raise _unfit(document, key, str)


def boolean(document: Mapping[str, Any], key: str, default: bool) -> bool:  # noqa: FBT001  a default
    """Read ``true`` or ``false``."""
    value = document.get(key, default)
    if value is True or value is False:
        return value
    raise _unfit(document, key, bool)


def integer(document: Mapping[str, Any], key: str, default: int, least: int = 0) -> int:
    """Read an integer that other languages can hold too."""
    value = document.get(key, default)
    if type(value) is not int:
        raise _unfit(document, key, int)
    if not least <= value <= MAX_INTEGER:
        raise FlagSetError(key, f"must lie between {least} and {MAX_INTEGER}")
    return value


def sequence(
    document: Mapping[str, Any], key: str, default: Any = ()
) -> list[Any] | tuple[Any, ...]:
    """Read an array."""
    value = document.get(key, default)
    if isinstance(value, (list, tuple)):
        return value
    raise _unfit(document, key, list)


def mapping(document: Mapping[str, Any], key: str, default: Any = REQUIRED) -> Mapping[str, Any]:
    """Read an object."""
    value = document.get(key, default)
    if type(value) is dict or isinstance(value, Mapping):
        return value
    raise _unfit(document, key, dict)


def time(document: Mapping[str, Any], key: str) -> float | None:
    """Read an RFC 3339 time, or ``null``."""
    value = document.get(key)
    if value is None:
        return None
    if type(value) is not str:
        raise _unfit(document, key, str)
    try:
        return parse_time(value)
    except ValueError as error:
        raise FlagSetError(
            key, f"{value!r} is not a time", "such as 2026-12-01T09:00:00Z"
        ) from error


def _unfit(document: Mapping[str, Any], key: str, wanted: type) -> FlagSetError:
    if key not in document:
        return FlagSetError(key, "is missing")
    value = document[key]
    if value == "" and wanted is str:
        return FlagSetError(key, "must not be empty")
    return FlagSetError(key, f"must be {_NAMES[wanted]}, not {kind_of(value)}")


def known_fields(document: Mapping[str, Any], known: frozenset[str]) -> None:
    """Refuse a field that is not one of ``known``."""
    if not document.keys() <= known:
        name = min(name_of(key) for key in document.keys() - known)
        raise FlagSetError(name, "there is no such field", f"one of {', '.join(sorted(known))}")
