"""JSON Logic's own arithmetic on constants, as flagd's released Python SDK has it.

That is the reference, odd corners included: a text is read as Python reads a float, ``true`` is the
number 1 (and equals it even strictly), and a boolean in ``cat`` is spelled ``True``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import product
from operator import ge, gt, le, lt
from typing import Any, Final

NAN: Final = float("nan")
OBJECT: Final = "[object Object]"
"""How an object is spelled as a text."""

ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
MIRRORED: Final[Mapping[str, str]] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_INFINITE: Final = frozenset({"inf", "+inf", "-inf"})


def is_numeric(value: Any) -> bool:
    """Whether JSON Logic compares a value as a number: booleans too."""
    return isinstance(value, (int, float))


def to_number(value: Any) -> int | float:
    """Read a value as a number; what is none becomes NaN."""
    if isinstance(value, (int, float)):
        return value
    if value is None:
        return 0
    if isinstance(value, list):
        if len(value) > 1:
            return NAN
        return to_number(value[0]) if value else 0
    if isinstance(value, str) and value.strip().lower() not in _INFINITE:
        try:
            return float(value)
        except ValueError:
            return NAN
    return NAN


def to_text(value: Any) -> str:
    """Spell a value as ``cat`` does."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, int):
        # A boolean is an integer here, and is spelled as Python does.
        return str(value)
    if value is None:
        return "null"
    return ",".join(map(to_text, value)) if isinstance(value, list) else OBJECT


def is_true(value: Any) -> bool:
    """Whether a value counts as true: an empty list does not, an empty object does."""
    if isinstance(value, float) and math.isnan(value):
        return False
    return isinstance(value, dict) or bool(value)


def loosely_equal(one: Any, other: Any) -> bool:
    """Compare as ``==`` does."""
    if type(one) is type(other):
        # Two lists or objects are equal only if they are the same one, and constants never are.
        return not isinstance(one, (list, dict)) and bool(one == other)
    if is_numeric(one) or is_numeric(other):
        return to_number(one) == to_number(other)
    if isinstance(one, str) and isinstance(other, (list, dict)):
        return one == to_text(other)
    if isinstance(other, str) and isinstance(one, (list, dict)):
        return to_text(one) == other
    return False


def in_order(order: str, one: Any, other: Any) -> bool:
    """Compare as ``<``, ``<=``, ``>`` and ``>=`` do: numbers first, then texts."""
    compare = ORDERS[order]
    if is_numeric(one) or is_numeric(other):
        return compare(to_number(one), to_number(other))
    if isinstance(one, str) or isinstance(other, str):
        return compare(to_text(one), to_text(other))
    return compare(to_number(one), to_number(other))


def contained(needle: Any, haystack: Any) -> bool:
    """Look for a value in a list, or for its text in a text."""
    if isinstance(haystack, list):
        return needle in haystack
    return isinstance(haystack, str) and to_text(needle) in haystack


def look_up(data: Any, key: Any, default: Any = None) -> Any:
    """Read from a constant as ``var`` does."""
    if key is None or key == "":
        return data
    if is_numeric(key):
        if not isinstance(data, (list, str)):
            return default
        index = int(key)
        return data[index] if index == key and 0 <= index < len(data) else default
    for name in to_text(key).split("."):
        if isinstance(data, dict):
            data = data.get(name)
        elif isinstance(data, (list, str)):
            if name == "length":
                return len(data)
            if not is_index(name) or int(name) >= len(data):
                return default
            data = data[int(name)]
        else:
            return default
    return default if data is None else data


def is_index(name: str) -> bool:
    """Whether a name of a path would be read as a place in a list."""
    return name.isascii() and name.isdigit() and name == str(int(name[:18]))


def strictly_equal_to(constant: Any) -> list[Any]:
    """List the constants that Python holds for equal: 1 and ``true``, also within lists."""
    if isinstance(constant, (int, float)):
        if constant in (0, 1):
            return [int(constant), bool(constant)]
        return [int(constant) if float(constant).is_integer() else constant]
    if isinstance(constant, list):
        return [list(found) for found in product(*map(strictly_equal_to, constant))]
    if isinstance(constant, dict):
        values = product(*map(strictly_equal_to, constant.values()))
        return [dict(zip(constant, found, strict=True)) for found in values]
    return [constant]
