"""The type of a flag, by the values of its variants."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

_KINDS: Final = ((bool, "boolean"), (str, "string"), (int, "integer"), (float, "float"))


def type_of(values: Iterable[Any]) -> str:
    """Return the type that all values have; of several types, or with null, it is any JSON.

    Integers beside fractions are floats, unless one of them were to lose digits.
    """
    found = list(values)
    kinds = {_kind(value) for value in found}
    if kinds == {"integer", "float"}:
        return "float" if all(map(_is_exact, found)) else "object"
    if len(kinds) > 1:
        return "object"
    return kinds.pop() if kinds else "boolean"


def _kind(value: object) -> str:
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "object")


def _is_exact(number: int | float) -> bool:
    try:
        return float(number) == number
    except OverflowError:
        return False
