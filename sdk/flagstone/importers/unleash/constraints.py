"""Constraints, from Unleash's comparisons of texts to conditions.

To Unleash every value of a context is a text: numbers and ``true`` or ``false`` are compared as
JSON writes them, whereas null, arrays and objects are as good as missing. Its engine writes each
constraint into a rule of text before it reads it, so that the form of the constant, and not the
operator, says whether numbers, versions or times are compared.
"""

from __future__ import annotations

import ipaddress
import math
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flagstone.engine import FlagSetError, parse_condition
from flagstone.engine.times import parse_time
from flagstone.importers.conditions import (
    NOBODY,
    all_of,
    any_of,
    exists,
    leaf,
    negated,
)
from flagstone.importers.numbers import rounding_to
from flagstone.importers.result import CannotCarryError
from flagstone.importers.rust_patterns import of_rust
from flagstone.importers.unleash.reading import Constraint

RANDOM: Final = "$random"
_CLOCK: Final = "currentTime"
_TICK: Final = 1e-6
_SCALARS: Final = ("string", "number", "boolean")
_COMPARED: Final = {
    "NUM_EQ": "==", "NUM_GT": ">", "NUM_GTE": ">=", "NUM_LT": "<", "NUM_LTE": "<=",
    "DATE_AFTER": ">", "DATE_BEFORE": "<",
    "SEMVER_EQ": "==", "SEMVER_GT": ">", "SEMVER_GTE": ">=", "SEMVER_LT": "<", "SEMVER_LTE": "<=",
}  # fmt: skip
_PARTS: Final = {
    "STR_STARTS_WITH": "starts_with",
    "STR_ENDS_WITH": "ends_with",
    "STR_CONTAINS": "contains",
}
_SEMVER: Final = {
    "==": "semver_eq",
    ">": "semver_gt",
    ">=": "semver_gte",
    "<": "semver_lt",
    "<=": "semver_lte",
}
_ORDER: Final = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}

_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3})?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})\Z"
)
_VERSION: Final = re.compile(
    r"[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?\Z"
)
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?\Z")
_WHOLE: Final = re.compile(r"(?:0|-?[1-9][0-9]{0,300})\Z")
_HARMLESS: Final = re.compile(r"(?!.*(?:or|and))[0-9A-Za-z.:+_-]*\Z")
# What Unleash takes for a time; ours would take a date without time or zone as well.
_TIME_GIVEN: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})$"
)
_NETWORK: Final = re.compile(r"[0-9A-Fa-f.:]+(?:/(?:[0-9]{1,3}|[0-9]+(?:\.[0-9]+){3}))?\Z")


class AlwaysOffError(Exception):
    """Unleash cannot compile a strategy, and so keeps the whole feature off."""


@dataclass(frozen=True, slots=True)
class Case:
    """A condition, in force from ``start`` until just before ``end``."""

    condition: Any
    start: float | None = None
    end: float | None = None


def attribute_of(name: str) -> str:
    """Return where a field of Unleash's context stands in ours."""
    unquoted(name, "the context field")
    if name in ("targetingKey", RANDOM):
        raise CannotCarryError(
            f"asks for a context field {name!r}, which means something else here"
        )
    return "targetingKey" if name == "userId" else name


def unquoted(text: str, what: str) -> str:
    """Return a text that Unleash writes into its rules as it is, if it can be read back."""
    if '"' in text or text.endswith("\\"):
        raise CannotCarryError(f"Unleash itself misreads {what} {text!r}: it does not quote it")
    return text


def has_text(attribute: str) -> Any:
    """Ask whether an attribute is more than missing to Unleash."""
    return leaf(attribute, "type", _SCALARS)


def cases_of(constraints: Sequence[Constraint], more: Iterable[Any]) -> list[Case]:
    """Join constraints that must all hold with further conditions.

    Constraints on the clock need two cases, because the context may bring a time of its own.
    """
    plain = [*more, *(condition_of(part) for part in constraints if part.attribute != _CLOCK)]
    clocked = [part for part in constraints if part.attribute == _CLOCK]
    if not clocked:
        return _possible([Case(all_of(plain))])
    nothing = leaf(_CLOCK, "type", ["null", "array", "object"])
    given = all_of([exists(_CLOCK), negated(nothing)])
    by_context = all_of([given, *(condition_of(part) for part in clocked), *plain])
    windows = [_window(part) for part in clocked]
    start = max((low for low, _ in windows if low is not None), default=None)
    end = min((high for _, high in windows if high is not None), default=None)
    by_clock: list[Case] = []
    if start is None or end is None or start < end:
        by_clock = [Case(all_of([negated(given), *plain]), start, end)]
    return _possible([*by_clock, Case(by_context)])


def _possible(cases: list[Case]) -> list[Case]:
    return [case for case in cases if case.condition != NOBODY]


def asks_the_clock(constraints: Iterable[Constraint]) -> bool:
    """Whether one of the constraints is about the time of evaluation."""
    return any(part.attribute == _CLOCK for part in constraints)


def _window(constraint: Constraint) -> tuple[float | None, float | None]:
    symbol = _COMPARED.get(constraint.operator)
    value = (constraint.value or "").strip(" \t")
    if symbol in (None, "==") or not _TIME.match(value):
        raise CannotCarryError(
            "compares the current time other than with DATE_BEFORE and DATE_AFTER"
        )
    seconds = _time(value)
    # Neither side is finer than a microsecond.
    edge = seconds + _TICK if symbol in (">", "<=") else seconds
    begins = (symbol in (">", ">=")) is not constraint.inverted
    return (edge, None) if begins else (None, edge)


def condition_of(constraint: Constraint) -> Any:
    """Turn one constraint into a condition.

    Raises
    ------
    AlwaysOffError
        If Unleash cannot compile it.
    CannotCarryError
        If it cannot be carried exactly.
    """
    attribute = attribute_of(constraint.attribute)
    if constraint.operator.startswith("SEMVER_") and (constraint.value or "").startswith("v"):
        # Unleash lets nobody in, inverted or not.
        return NOBODY
    condition = _condition(constraint, attribute)
    return negated(condition) if constraint.inverted else condition


def _condition(constraint: Constraint, attribute: str) -> Any:
    operator = constraint.operator
    if operator in _COMPARED:
        return _compared(attribute, _COMPARED[operator], constraint)
    if operator == "REGEX":
        return _regex(attribute, constraint)
    values = [_escaped(value) for value in constraint.values]
    if operator in ("IN", "NOT_IN"):
        among = is_one_of(attribute, values)
        return negated(among) if operator == "NOT_IN" else among
    if operator not in _PARTS and operator != "IN_CIDR":
        raise AlwaysOffError(f"there is no operator {operator!r}")
    if not values:
        raise AlwaysOffError(f"{operator} has no values")
    if operator == "IN_CIDR":
        return in_networks(attribute, values)
    return _has_part(attribute, _PARTS[operator], values, ignores_case=constraint.ignores_case)


def _escaped(text: str) -> str:
    if text.endswith("\\"):
        raise CannotCarryError(
            f"Unleash itself misreads {text!r}: the backslash quotes what follows"
        )
    return text


def is_one_of(attribute: str, texts: Iterable[str]) -> Any:
    """Ask whether the text of an attribute is one of ``texts``; of none, nobody's is."""
    values: list[Any] = []
    for text in texts:
        values.append(text)
        if text in ("true", "false"):
            values.append(text == "true")
        elif _WHOLE.match(text):
            values.append(int(text))
        elif (number := _fraction(text)) is not None:
            values.append(number)
    return leaf(attribute, "in", values) if values else NOBODY


def _fraction(text: str) -> float | None:
    """Return the number with a fraction that prints as ``text``, if there is one."""
    try:
        number = float(text)
    except ValueError:
        return None
    fits = math.isfinite(number) and not number.is_integer() and repr(number) == text
    return number if fits else None


def _has_part(attribute: str, op: str, texts: list[str], *, ignores_case: bool) -> Any:
    more: dict[str, Any] = {"ci": True} if ignores_case else {}
    if any(map(_may_be_in_a_scalar, texts)):
        as_text = leaf(attribute, op, texts, **{"as": "string"}, **more)
        return all_of([as_text, negated(leaf(attribute, "type", ["null", "array"]))])
    found = leaf(attribute, op, texts, **more)
    return all_of([found, leaf(attribute, "type", ["string"])]) if op == "contains" else found


def _may_be_in_a_scalar(text: str) -> bool:
    text = text.lower()
    return set(text) <= set("0123456789.+-e") or text in "true" or text in "false"


def _regex(attribute: str, constraint: Constraint) -> Any:
    pattern, _ = of_rust(_escaped(constraint.value or ""), exact=True)
    more: dict[str, Any] = {"ci": True} if constraint.ignores_case else {}
    found = leaf(attribute, "regex", [pattern], **{"as": "string"}, **more)
    return all_of([found, negated(leaf(attribute, "type", ["null"]))])


def in_networks(attribute: str, texts: Iterable[str]) -> Any:
    """Ask whether an address lies in one of the networks; what is no network is passed over."""
    networks = []
    for text in texts:
        if _NETWORK.match(text):
            try:
                networks.append((text, ipaddress.ip_network(text, strict=False)))
            except ValueError:
                continue
    if not networks:
        return NOBODY
    found = leaf(attribute, "cidr", [text for text, _ in networks])
    if all(network.version == 4 for _, network in networks):
        return found
    # Python reads the zone of an IPv6 address, Unleash does not.
    return all_of([found, negated(leaf(attribute, "contains", ["%"]))])


def _compared(attribute: str, symbol: str, constraint: Constraint) -> Any:
    if constraint.value is None:
        raise AlwaysOffError(f"{constraint.operator} has no value")
    value = constraint.value.strip(" \t")
    if _TIME.match(value):
        _time(value)
        return _time_compared(attribute, symbol, value)
    if _VERSION.match(value):
        return _version_compared(attribute, symbol, value)
    if _NUMBER.match(value):
        return _number_compared(attribute, symbol, float(value))
    if _HARMLESS.match(value):
        raise AlwaysOffError(f"{value!r} is neither a number nor a version nor a time")
    raise CannotCarryError(f"Unleash itself misreads {value!r}: it does not quote it")


def _time(value: str) -> float:
    if value[17:19] == "60":
        raise CannotCarryError(f"{value!r} is a leap second")
    try:
        return parse_time(value)
    except ValueError:
        raise AlwaysOffError(f"there is no time {value!r}") from None


def _time_compared(attribute: str, symbol: str, value: str) -> Any:
    if symbol not in (">", "<"):
        raise CannotCarryError("compares times other than with before and after")
    given = any_of(
        [
            leaf(attribute, "regex", [_TIME_GIVEN]),
            # Times that are no texts: Unleash's client for Python writes datetimes in ISO 8601.
            negated(leaf(attribute, "type", ["string", "number"])),
        ]
    )
    return all_of([leaf(attribute, "after" if symbol == ">" else "before", [value]), given])


def _version_compared(attribute: str, symbol: str, value: str) -> Any:
    condition = leaf(attribute, _SEMVER[symbol], [value], strict=True)
    try:
        parse_condition(condition)
    except FlagSetError:
        raise AlwaysOffError(f"{value!r} is no version") from None
    return condition


def _number_compared(attribute: str, symbol: str, number: float) -> Any:
    if math.isinf(number):
        raise CannotCarryError("compares with a number that JSON cannot hold")
    as_number = {"as": "number"}
    low, high = rounding_to(number)
    if symbol == "==":
        # Unleash's numbers are equal when they differ by less than 2**-52.
        low = min(low, _nearby(number, -math.inf))
        high = max(high, _nearby(number, math.inf))
        parts = [
            leaf(attribute, "in", [low], **as_number)
            if low == high
            else all_of(
                [
                    leaf(attribute, "gte", [low], **as_number),
                    leaf(attribute, "lte", [high], **as_number),
                ]
            )
        ]
        infinite = NOBODY
    else:
        edge = low if symbol in ("<", ">=") else high
        parts = [leaf(attribute, _ORDER[symbol], [edge], **as_number)]
        sign = r"\+?" if symbol[0] == ">" else "-"
        infinite = leaf(attribute, "regex", [f"^{sign}inf(?:inity)?$"], ci=True)
    # Unleash does not pass over spaces, but knows infinity by its name.
    clean = negated(leaf(attribute, "regex", ["[^-+.0-9eE]"]))
    return any_of([all_of([*parts, clean]), infinite])


def _nearby(number: float, towards: float) -> float:
    """Return the last number on the way that is equal to ``number`` for Unleash."""
    step = math.copysign(sys.float_info.epsilon, towards)
    last = number + step
    while abs(last - number) >= sys.float_info.epsilon:
        last = math.nextafter(last, number)
    while abs((further := math.nextafter(last, towards)) - number) < sys.float_info.epsilon:
        last = further
    return last
