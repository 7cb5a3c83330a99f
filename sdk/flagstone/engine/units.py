"""How each product writes a unit before it hashes it: as text, or as none at all."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from flagstone.engine.attributes import plain


def unit_text(value: object) -> str | None:
    """Return the text of a unit, or ``None`` if ``value`` is none.

    Texts and integers are units. A float without a fraction prints as an integer; a bool, though
    an ``int`` to Python, is no unit.
    """
    try:
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, bool):
            return None
        if isinstance(value, int):
            return int.__repr__(value)
        if isinstance(value, float) and value.is_integer():
            return int.__repr__(int(value))
    except Exception:  # noqa: BLE001  any object may come in, and nothing may come out but an answer
        return None
    return None


def scalar_text(value: object) -> str | None:
    """Return a unit as Unleash prints any JSON scalar: fractions and bools are units too."""
    text = unit_text(value)
    if text is not None:
        return text
    try:
        value = plain(value)
        if type(value) is bool:
            return "true" if value else "false"
        return repr(value) if type(value) is float and math.isfinite(value) else None
    except Exception:  # noqa: BLE001  any object may come in, and nothing may come out but an answer
        return None


def javascript_text(value: object) -> str | None:
    """Return a unit as JavaScript's ``String`` prints it: every number is a double there.

    Fractions are units too; what is neither a text nor a finite number is none.
    """
    try:
        found = plain(value)
        if type(found) is str:
            return found
        return _double_text(float(found)) if type(found) in (int, float) else None
    except Exception:  # noqa: BLE001  any object may come in, and nothing may come out but an answer
        return None


def _double_text(number: float) -> str | None:
    """Write a double as ECMAScript's ``Number::toString`` does, the shortest that reads back."""
    if not math.isfinite(number):
        return None
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    # Python's shortest digits are JavaScript's; only where the point goes differs.
    head, _, exponent = float.__repr__(abs(number)).partition("e")
    whole, _, fraction = head.partition(".")
    digits = (whole + fraction).lstrip("0")
    # The number is 0.digits times ten to the power of ``point``.
    point = len(digits) - len(fraction) + int(exponent or 0)
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = point - 1
    rest = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'+' if power >= 0 else '-'}{abs(power)}"


_INTEGER_TEXT: Final = re.compile(r"-?[0-9]+\Z")
_DECIMAL_TEXT: Final = re.compile(r"-?[0-9]+\.[0-9]+\Z")


def trait_text(value: object) -> str | None:
    """Return a unit as Flagsmith prints a trait: texts of numbers are numbers to it.

    So ``"007"`` is ``"7"``, ``"1.50"`` is ``"1.5"``, and a bool prints as Python does.
    """
    try:
        value = plain(value)
        if type(value) is str:
            if _INTEGER_TEXT.match(value):
                return str(int(value))
            return str(float(value)) if _DECIMAL_TEXT.match(value) else value
        if type(value) is float and not math.isfinite(value):
            return None
        return str(value) if type(value) in (bool, int, float) else None
    except Exception:  # noqa: BLE001  any object may come in, and nothing may come out but an answer
        return None


def joined_text(value: object) -> str | None:
    """Return a unit as flagd's ``cat`` writes any JSON value; what JSON has not is none."""
    try:
        return _json_logic_text(plain(value))
    except Exception:  # noqa: BLE001  any object may come in, and nothing may come out but an answer
        return None


def _json_logic_text(value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) is bool:
        return "True" if value else "False"
    if type(value) is float:
        return f"{value:.15g}"
    if type(value) is int:
        return int.__repr__(value)
    if value is None:
        return "null"
    if type(value) is list:
        return ",".join(_json_logic_text(plain(element)) for element in value)
    if type(value) is dict:
        return "[object Object]"
    raise ValueError("nothing that JSON has")
