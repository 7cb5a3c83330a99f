"""Comparisons of what is known at evaluation only with constants, coercion and all.

Every function returns the condition under which JSON Logic would say ``true``. Compared with a
number, a list is the number that its only element is; lists within lists are not followed there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final

from flagstone.importers.conditions import NOBODY, negated, written
from flagstone.importers.flagd import coercion
from flagstone.importers.flagd.coercion import MIRRORED, OBJECT, is_numeric, to_number, to_text
from flagstone.importers.flagd.terms import (
    Attribute,
    Condition,
    Const,
    Items,
    Length,
    Path,
    Remainder,
    Seconds,
    Text,
    Value,
    both,
    either,
    tested,
)
from flagstone.importers.result import CannotCarryError

_LEAVES: Final = {"==": "in", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_EXACT: Final = 2**53
END_OF_TIME: Final = 253_402_300_800
"""The first second that RFC 3339 cannot write."""
_AS_NUMBER: Final = {"as": "number"}
_AS_LENGTH: Final = {"as": "length"}
_JOINED: Final = {"as": "joined"}
_SPELLED_BY_OTHERS: Final = frozenset({"True", "False", "null", OBJECT})
"""Texts that ``cat`` writes for what is no text."""

Remark = Callable[[str], None]


class CutError(Exception):
    """A comparison with the clock turns at this second; decide before and after it apart."""

    def __init__(self, second: int) -> None:
        super().__init__(second)
        self.second = second


class Comparer:
    """Compares with constants, within one stretch of time ``[first, last)``.

    ``remark`` takes what the report should say.
    """

    def __init__(self, first: int, last: int, remark: Remark) -> None:
        self.first = first
        self.last = last
        self.remark = remark

    def equal(self, one: Value, other: Value) -> Condition:
        """Compare as ``==`` does."""
        one, constant = _against_constant(one, other)
        match one:
            case Const(mine):
                return True if coercion.loosely_equal(mine, constant) else NOBODY
            case Attribute(path):
                return self._attribute_equals(path, constant)
            case Length(path):
                return _number(path, "==", to_number(constant), **_AS_LENGTH)
            case Text():
                return self._text_equals(one, constant)
            case Remainder(path, divisor, _):
                return _remainder(path, divisor, to_number(constant))
            case Seconds():
                return self._time("==", to_number(constant))
        raise CannotCarryError("compares a list or an object")

    def strictly_equal(self, one: Value, other: Value) -> Condition:
        """Compare as ``===`` does: Python's equality."""
        one, constant = _against_constant(one, other)
        match one:
            case Const(mine):
                return True if mine == constant else NOBODY
            case Attribute(path):
                return _in(path, equals_of(constant))
            case Text():
                return self._text_equals(one, constant) if isinstance(constant, str) else NOBODY
            case Length() | Remainder() | Seconds():
                return self.equal(one, Const(constant)) if is_numeric(constant) else NOBODY
            case Items(items) if isinstance(constant, list):
                if len(items) != len(constant):
                    return NOBODY
                pairs = zip(items, constant, strict=True)
                return both(*(self.strictly_equal(item, Const(c)) for item, c in pairs))
            case Items():
                return NOBODY
        raise CannotCarryError("compares a list or an object")

    def ordered(self, order: str, one: Value, other: Value) -> Condition:
        """Compare as ``<``, ``<=``, ``>`` or ``>=`` does."""
        if isinstance(one, Const):
            if isinstance(other, Const):
                return True if coercion.in_order(order, one.value, other.value) else NOBODY
            return self.ordered(MIRRORED[order], other, one)
        one, constant = _against_constant(one, other)
        match one:
            case Attribute(path):
                return self._attribute_ordered(path, order, constant)
            case Length(path):
                return _number(path, order, to_number(constant), **_AS_LENGTH)
            case Seconds():
                return self._time(order, to_number(constant))
            case Remainder():
                raise CannotCarryError('"%" can only be compared for equality')
        raise CannotCarryError("compares a text or a list that is put together, by order")

    def within(self, needle: Value, haystack: Value) -> Condition:
        """Look for a value in a list, or for its text in a text."""
        match needle, haystack:
            case Const(one), Const(other):
                return True if coercion.contained(one, other) else NOBODY
            case _, Const(list(elements)):
                return either(*(self.strictly_equal(needle, Const(e)) for e in elements))
            case _, Items(items):
                return either(*(self.strictly_equal(needle, item) for item in items))
            case Const(str(constant)), Attribute(path):
                return tested(path, "contains", [constant])
            case Const(constant), Attribute(path):
                return either(
                    both(_is(path, "array"), tested(path, "contains", equals_of(constant))),
                    both(_is(path, "string"), tested(path, "contains", [to_text(constant)])),
                )
            case Attribute(path), Const(str(text)):
                parts = {text[i:j] for i in range(len(text)) for j in range(i, len(text) + 1)}
                if len(parts) > 500:
                    raise CannotCarryError("looks for an attribute in a long text")
                return spelled(path, *sorted({*parts, ""}))
            case _, Const() | Length() | Seconds() | Remainder():
                return NOBODY
        raise CannotCarryError('"in" of two values that are not constants')

    def _attribute_equals(self, path: Path, constant: Any) -> Condition:
        if constant is None:
            return _in(path, [0, False])
        if is_numeric(constant):
            return numbered(path, "==", constant)
        number, text = to_number(constant), to_text(constant)
        if not isinstance(constant, str):
            return _in(path, [text, *_numbers_equal_to(number)])
        if math.isnan(number) and text not in _SPELLED_BY_OTHERS:
            # Only texts and lists are ever spelled so.
            return spelled(path, text)
        lists = both(_is(path, "array", "object"), spelled(path, text))
        return either(_in(path, [text, *_numbers_equal_to(number)]), lists)

    def _text_equals(self, text: Text, constant: Any) -> Condition:
        if is_numeric(constant):
            raise CannotCarryError("compares a text that is put together with a number")
        if constant is None:
            return NOBODY
        wanted = to_text(constant)
        inside = len(wanted) - len(text.before) - len(text.after)
        if inside < 0 or not wanted.startswith(text.before) or not wanted.endswith(text.after):
            return NOBODY
        return spelled(text.path, wanted[len(text.before) : len(text.before) + inside])

    def _attribute_ordered(self, path: Path, order: str, constant: Any) -> Condition:
        if is_numeric(constant):
            return numbered(path, order, constant)
        number, text = to_number(constant), to_text(constant)
        compare = coercion.ORDERS[order]
        values: list[Any] = [text]
        truths: list[Any] = []
        if not math.isnan(number):
            values.append(_bounded(number))
            truths = [value for value in (False, True) if compare(value, number)]
        found = either(tested(path, _LEAVES[order], values), _in(path, truths))
        if not isinstance(constant, str):
            return either(found, _one_element(path, order, number))
        joined = tested(path, _LEAVES[order], [text], **_JOINED)
        return either(found, both(_is(path, "array", "object"), joined))

    def _time(self, order: str, number: float) -> Condition:
        if math.isnan(number):
            return NOBODY
        if not math.isinf(number):
            turns = [math.ceil(number), math.floor(number) + 1]
            if order in ("<", ">="):
                turns = turns[:1]
            elif order in ("<=", ">"):
                turns = turns[1:]
            for turn in turns:
                if self.first < turn < min(self.last, END_OF_TIME):
                    raise CutError(turn)
        if order == "==":
            return True if self.first == number else NOBODY
        return True if coercion.ORDERS[order](self.first, number) else NOBODY


def _against_constant(one: Value, other: Value) -> tuple[Value, Any]:
    """Return what is compared, and the constant that it is compared with."""
    if isinstance(one, Const):
        one, other = other, one
    if not isinstance(other, Const):
        raise CannotCarryError("compares two attributes with each other")
    return one, other.value


def equals_of(constant: Any) -> list[Any]:
    """List what Python holds for equal to a constant."""
    ways = repr(constant)
    if sum(ways.count(mark) for mark in ("0", "1", "True", "False")) > 40 and len(ways) > 8:
        raise CannotCarryError("compares with a long list")
    return coercion.strictly_equal_to(constant)


def test_each(path: Path, inner: Condition) -> Condition:
    """Ask whether an element of an array fulfils a condition."""
    return {"attr": written(path), "each": inner} if inner != NOBODY else NOBODY


def numbered(path: Path, order: str, number: float) -> Condition:
    """Compare an attribute (not null), read as a number, with a number."""
    return either(_number(path, order, number, **_AS_NUMBER), _odd(path, order, number))


def _odd(path: Path, order: str, number: float) -> Condition:
    """Compare what is neither a number nor a text: booleans and lists."""
    truths = [value for value in (False, True) if _holds(order, value, number)]
    return either(_in(path, truths), _one_element(path, order, number))


def _one_element(path: Path, order: str, number: float) -> Condition:
    """Compare a list, which is the number that its only element is, or 0 if it has none."""
    odd: tuple[Any, ...] = (None, False, True, [])
    others = [value for value in odd if _holds(order, to_number(value), number)]
    inner = either(_number((), order, number, **_AS_NUMBER), _in((), others))
    single = both(_in(path, [1], **_AS_LENGTH), test_each(path, inner))
    return either(_in(path, [[]] if _holds(order, 0, number) else []), single)


def _holds(order: str, one: float, other: float) -> bool:
    return one == other if order == "==" else coercion.ORDERS[order](one, other)


def _number(path: Path, order: str, number: float, **more: Any) -> Condition:
    return (
        NOBODY if math.isnan(number) else tested(path, _LEAVES[order], [_bounded(number)], **more)
    )


def _bounded(number: float) -> float:
    if abs(number) > _EXACT:
        raise CannotCarryError(f"compares with a number beyond 2^53: {number!r}")
    return int(number) if float(number).is_integer() else number


def _remainder(path: Path, divisor: float, rest: float) -> Condition:
    if math.isnan(rest):
        return NOBODY
    truths = [value for value in (False, True) if value % divisor == rest]
    number = tested(path, "mod", [[_bounded(divisor), _bounded(rest)]], **_AS_NUMBER)
    odd: tuple[Any, ...] = (None, False, True, [])
    others = [v for v in odd if to_number(v) % divisor == rest]
    inner = either({**number, "attr": []}, _in((), others))
    return either(
        number,
        _in(path, truths),
        _in(path, [[]] if 0 % divisor == rest else []),
        both(_in(path, [1], **_AS_LENGTH), test_each(path, inner)),
    )


def remainder_truth(path: Path, divisor: float) -> Condition:
    """Return when a remainder is a number other than 0."""
    number = either(numbered(path, "<=", 0), numbered(path, ">", 0))
    return both(number, negated(_remainder(path, divisor, 0)))


def _in(path: Path, values: Iterable[Any], **more: Any) -> Condition:
    return tested(path, "in", values, **more)


def spelled(path: Path, *texts: str) -> Condition:
    """Return when ``cat`` spells an attribute (not null) so."""
    return _in(path, texts, **_JOINED)


def _numbers_equal_to(number: float) -> list[Any]:
    return equals_of(number) if math.isfinite(number) else []


def _is(path: Path, *kinds: str) -> Condition:
    return tested(path, "type", kinds)
