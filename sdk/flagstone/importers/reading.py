"""Readers of vendors' data: what is not as it must be refuses the flag that it is in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flagstone.importers.result import CannotCarryError

Data = Mapping[str, Any]


def _wrong(name: str, wanted: str) -> CannotCarryError:
    return CannotCarryError(f"is malformed: {name} must be {wanted}")


def an_object(value: object, name: str) -> Data:
    """Return ``value`` if it is an object."""
    if not isinstance(value, Mapping):
        raise _wrong(name, "an object")
    return value


def optional_object(data: Data, name: str) -> Data | None:
    """Read an object, or nothing."""
    value = data.get(name)
    return None if value is None else an_object(value, name)


def optional_text(data: Data, name: str) -> str:
    """Read a text; nothing is the empty one."""
    return text_or_none(data, name) or ""


def text_or_none(data: Data, name: str) -> str | None:
    """Read a text, or nothing."""
    value = data.get(name)
    return None if value is None else a_text(value, name)


def text(data: Data, name: str) -> str:
    """Read a text that must be there, and may be empty."""
    return a_text(data.get(name), name)


def a_text(value: object, name: str) -> str:
    """Return ``value`` if it is a text."""
    if not isinstance(value, str):
        raise _wrong(name, "a text")
    return value


def optional_integer(data: Data, name: str) -> int | None:
    """Read an integer, or nothing."""
    value = data.get(name)
    if value is not None and type(value) is not int:
        raise _wrong(name, "an integer")
    return value


def integer(data: Data, name: str) -> int:
    """Read an integer that must be there."""
    value = optional_integer(data, name)
    if value is None:
        raise _wrong(name, "an integer")
    return value


def flag(data: Data, name: str) -> bool:
    """Read ``true`` or ``false``; nothing is false."""
    value = data.get(name)
    if value is not None and not isinstance(value, bool):
        raise _wrong(name, "true or false")
    return value is True


def items(data: Data, name: str, *, required: bool = False) -> Sequence[Any]:
    """Read an array; nothing is the empty one unless it is required."""
    value = data.get(name)
    return () if value is None and not required else a_list(value, name)


def a_list(value: object, name: str) -> Sequence[Any]:
    """Return ``value`` if it is an array."""
    if not isinstance(value, (list, tuple)):
        raise _wrong(name, "a list")
    return value


def objects(data: Data, name: str, *, required: bool = False) -> list[Data]:
    """Read an array of objects."""
    return [an_object(item, f"each of {name}") for item in items(data, name, required=required)]


def texts(data: Data, name: str, *, required: bool = False) -> list[str]:
    """Read an array of texts."""
    return [a_text(item, f"each of {name}") for item in items(data, name, required=required)]
