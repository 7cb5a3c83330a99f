"""Eppo's conditions: an attribute that is not there, or null, fulfils none but ``IS_NULL``.

Numbers and booleans meet texts by their spelling, texts meet numbers by their value; where the
constant is a semantic version the attribute must be one too, and build metadata counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from flagstone.engine import FlagSetError, reading
from flagstone.engine.regex import compile_regex
from flagstone.engine.semver import sort_key
from flagstone.importers.conditions import NOBODY, all_of, any_of, exists, leaf, negated
from flagstone.importers.result import CannotCarryError
from flagstone.importers.rust_patterns import of_rust

NUMBER: Final = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
"""What Eppo reads as a number: no blanks around it."""
_SCALARS: Final = ("string", "number", "boolean")
_BOOLEANS: Final = {"true": True, "false": False}
_WHOLE: Final = 2**53
_LOSS: Final = (
    r"\d, \w, \s and \b know ASCII only, as in Eppo's SDKs for JavaScript, Java and Go; "
    "its Rust core (Python, Ruby and others) knows every script"
)

Test = Callable[[str], Any]
"""From the name of an attribute to the condition on it."""


def condition(part: object, path: str, losses: list[str]) -> Any:
    """Return a condition as a document of ours.

    Raises
    ------
    CannotCarryError
        If it cannot be carried exactly.
    FlagSetError
        If it is malformed.
    """
    if not isinstance(part, Mapping):
        raise FlagSetError(path, f"must be an object, not {reading.kind_of(part)}")
    attribute = part.get("attribute")
    if not isinstance(attribute, str):
        raise FlagSetError(f"{path}.attribute", "must be a text")
    if attribute == "targetingKey":
        raise CannotCarryError("a rule reads an attribute targetingKey: that is the subject's key")
    try:
        test = _test(part.get("operator"), part.get("value"), losses)
    except FlagSetError as error:
        raise FlagSetError(f"{path}.{error.path}", error.message, error.hint) from None
    if attribute != "id":
        return test(attribute)
    # Without an attribute of this name it is the subject's key, which is never null.
    by_key = all_of([negated(exists("id")), test("targetingKey")])
    if part.get("operator") == "IS_NULL":
        null = leaf("id", "type", ["null"])
        return null if part.get("value") else negated(null)
    return any_of([test("id"), by_key])


def _test(operator: object, value: object, losses: list[str]) -> Test:
    match operator:
        case "MATCHES" | "NOT_MATCHES":
            if not isinstance(value, str):
                raise FlagSetError("value", "must be a pattern")
            pattern, is_lossy = of_rust(value, exact=False)
            losses.extend([_LOSS] if is_lossy else [])
            return _pattern(pattern, negate=operator == "NOT_MATCHES")
        case "ONE_OF" | "NOT_ONE_OF":
            if not isinstance(value, (list, tuple)) or not all(type(v) is str for v in value):
                raise FlagSetError("value", "must be a list of texts")
            return _membership(value, negate=operator == "NOT_ONE_OF")
        case "GTE" | "GT" | "LTE" | "LT":
            return _order(operator.lower(), value)
        case "IS_NULL":
            if not isinstance(value, bool):
                raise FlagSetError("value", "must be true or false")
            return _null(value)
        case _:
            raise CannotCarryError(f"there is no operator {operator!r} that Eppo's core knows")


def _of_scalars(condition_on: Test) -> Test:
    return lambda attribute: all_of(
        [leaf(attribute, "type", _SCALARS), negated(condition_on(attribute))]
    )


def _pattern(pattern: str, *, negate: bool) -> Test:
    def found(attribute: str) -> Any:
        return leaf(attribute, "regex", [pattern], **{"as": "string"})

    if negate:
        return _of_scalars(found)
    if not compile_regex(pattern)("null"):
        return found
    # Ours spells null; Eppo compares it with no pattern.
    return lambda attribute: all_of([leaf(attribute, "type", _SCALARS), found(attribute)])


def _membership(values: list[str] | tuple[str, ...], *, negate: bool) -> Test:
    constants: list[Any] = [*values]
    constants += [number for text in values if (number := _spelt_as(text)) is not None]
    constants += [_BOOLEANS[text] for text in values if text in _BOOLEANS]

    def among(attribute: str) -> Any:
        return leaf(attribute, "in", constants) if constants else NOBODY

    return _of_scalars(among) if negate else among


def _spelt_as(text: str) -> int | float | None:
    """Return the number that Eppo spells in this way, if there is one: never with an exponent."""
    if not re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", text) or text == "-0":
        return None
    if len(text) > 400:
        return None
    number = float(text)
    if not math.isfinite(number) or format(Decimal(repr(number)), "f").removesuffix(".0") != text:
        return None
    return _plain(number)


def _plain(number: float) -> int | float:
    return int(number) if number.is_integer() and abs(number) <= _WHOLE else number


def _order(operator: str, value: object) -> Test:
    if isinstance(value, str):
        try:
            sort_key(value, strict=True)
        except ValueError:
            pass
        else:
            return _version_order(operator, value)
        if len(value) <= 400 and re.fullmatch(NUMBER.strip("^$"), value):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FlagSetError("value", "must be a number or a semantic version")
    try:
        constant = _plain(float(value))
    except OverflowError:
        constant = math.inf
    if not math.isfinite(constant):
        raise FlagSetError("value", "must be a finite number")
    return lambda attribute: any_of(
        [
            leaf(attribute, operator, [constant]),
            all_of(
                [
                    leaf(attribute, "regex", [NUMBER]),
                    leaf(attribute, operator, [constant], **{"as": "number"}),
                ]
            ),
        ]
    )


def _version_order(operator: str, version: str) -> Test:
    """Order versions; one with build metadata comes after the same one without."""
    if "+" in version:
        raise CannotCarryError(f"it compares with build metadata ({version!r})")

    def compared(attribute: str, name: str) -> Any:
        return leaf(attribute, f"semver_{name}", [version], strict=True)

    def test(attribute: str) -> Any:
        built = leaf(attribute, "contains", ["+"])
        if operator == "gt":
            same = all_of([compared(attribute, "eq"), built])
            return any_of([compared(attribute, "gt"), same])
        if operator == "lte":
            same = all_of([compared(attribute, "eq"), negated(built)])
            return any_of([compared(attribute, "lt"), same])
        return compared(attribute, operator)

    return test


def _null(expected: bool) -> Test:  # noqa: FBT001  the constant of the condition
    def null(attribute: str) -> Any:
        return any_of([negated(exists(attribute)), leaf(attribute, "type", ["null"])])

    return null if expected else lambda attribute: negated(null(attribute))
