"""A variant's value has the type of its flag: coerced or refused when it is written."""

from __future__ import annotations

from typing import Any

from flags.errors import InvalidInputError
from flags.plain import MAX_INTEGER, check_plain

FLAG_TYPES = ("boolean", "string", "integer", "float", "object")


def coerce_value(flag_type: str, value: Any, field: str) -> Any:
    """Give ``value`` in the type of the flag.

    Lossless coercions only: ten in a float flag is ``10.0``, ``10.0`` in an integer flag is ten.
    A boolean is never a number, a number never a string.
    """
    check_plain(value, field)
    if flag_type == "boolean" and isinstance(value, bool):
        return value
    if flag_type == "string" and isinstance(value, str):
        return value
    if flag_type == "object":
        # Any JSON: other products' JSON flags hold numbers, texts and null as well.
        return value
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if flag_type in {"integer", "float"} and numeric:
        return _number(flag_type, value, field)
    raise InvalidInputError(
        f"{_name_of(value)} is not a value of {_article(flag_type)} {flag_type} flag",
        field=field,
        hint=_HINTS[flag_type],
    )


_HINTS = {
    "boolean": "send true or false, without quotation marks",
    "string": "send a JSON string",
    "integer": "send a whole number without quotation marks, up to 2^53 - 1",
    "float": "send a number without quotation marks",
}


def _number(flag_type: str, value: int | float, field: str) -> int | float:
    if flag_type == "float":
        return float(value)
    if isinstance(value, float):
        if not value.is_integer() or abs(value) > MAX_INTEGER:
            raise InvalidInputError(
                f"{value!r} is not a value of an integer flag",
                field=field,
                hint=_HINTS["integer"],
            )
        return int(value)
    return value


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _name_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, int | float):
        return "a number"
    return "an array" if isinstance(value, list) else "an object"
