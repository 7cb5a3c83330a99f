"""Which values a typed getter lets through: nothing is converted that would lose anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

MISMATCH: Final = object()
_EXACT = 2**53


def boolean(value: object) -> object:
    """Return a boolean as it is."""
    return value if value.__class__ is bool else MISMATCH


def string(value: object) -> object:
    """Return a string as it is."""
    return value if value.__class__ is str else MISMATCH


def integer(value: object) -> object:
    """Return an integer, or a float without fraction as one; a boolean is no integer."""
    if value.__class__ is int:
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    return MISMATCH


def floating(value: object) -> object:
    """Return a float, or an integer that a float holds exactly; a boolean is no number."""
    if value.__class__ is float:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _EXACT:
        return float(value)
    return MISMATCH


def structure(value: object) -> object:
    """Return a copy of an object or list: the original is shared by all callers."""
    return copied(value) if isinstance(value, (dict, list)) else MISMATCH


def anything(value: object) -> object:
    """Return the value, copied if it could be changed."""
    return copied(value) if isinstance(value, (dict, list)) else value


def copied(value: Any) -> Any:
    """Copy a JSON value as deeply as it goes."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


CONVERTERS: Final[dict[object, Callable[[object], object]]] = {
    None: anything,
    "boolean": boolean,
    "string": string,
    "integer": integer,
    "float": floating,
    "object": structure,
    bool: boolean,
    str: string,
    int: integer,
    float: floating,
    dict: structure,
}
