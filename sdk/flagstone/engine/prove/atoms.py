"""The questions that an evaluation asks: each about one attribute, one hash or the time.

Two flags are compared by the answers that these questions can have at once, so that equal
questions must be one object: :func:`frozen` gives them equal names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from flagstone.engine.attributes import MISSING
from flagstone.engine.bucketing import bucket_of, lies_in
from flagstone.engine.compile import CompiledFlagSet
from flagstone.engine.conditions import compile_condition
from flagstone.engine.model import (
    AllOf,
    Always,
    AnyOf,
    AttributeIs,
    Bucketing,
    Condition,
    Each,
    FlagSet,
    InBucket,
    Json,
    Not,
    Path,
)
from flagstone.engine.operators import test_of
from flagstone.engine.units import unit_text


class UndecidedError(Exception):
    """Neither a proof nor a witness can be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Named:
    """The unit is one of a target's keys."""

    by: Path
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class HasUnit:
    """The attribute holds something that the hash takes for a unit."""

    bucketing: Bucketing


@dataclass(frozen=True, slots=True)
class Since:
    """The time has come: ``now >= seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class AtSomeTime:
    """A flag's constant value fulfils a condition that looks at the clock."""

    condition: Condition
    value: Json


Question = AttributeIs | Each | InBucket | Named | HasUnit | Since | AtSomeTime
Test = Callable[[Any], bool]


@dataclass(eq=False, slots=True)
class Atom:
    """A question with its number; ``test`` answers it for a value, where a value is enough."""

    number: int
    question: Question
    test: Test | None = field(init=False)
    bit: int = field(init=False)

    def __post_init__(self) -> None:
        self.bit = 1 << self.number
        self.test = _test(self.question)

    @property
    def path(self) -> Path | None:
        """The attribute that it asks; ``None`` is the clock."""
        match self.question:
            case AttributeIs(attr) | Each(attr):
                return attr
            case InBucket(bucketing) | HasUnit(bucketing):
                return bucketing.by
            case Named(by):
                return by
            case _:
                return None


def _test(question: Question) -> Test | None:
    match question:
        case AttributeIs():
            return _leaf_test(question)
        case Each(_, condition):
            return _each_test(condition)
        case Named(_, keys):
            return lambda value: unit_text(value) in keys
        case InBucket(bucketing, ranges):
            return _bucket_test(bucketing, ranges)
        case HasUnit(bucketing):
            return lambda value: bucket_of(bucketing, value) is not None
        case _:
            return None


def _leaf_test(leaf: AttributeIs) -> Test | None:
    if leaf.values_from is not None:
        return None
    try:
        test = test_of(leaf)
    except ValueError as error:
        raise UndecidedError(f"{leaf.op} cannot use its values: {error}") from error
    return lambda value: value is not MISSING and test(value)


def _each_test(condition: Condition) -> Test | None:
    if not is_about_values(condition):
        return None
    check = compile_condition(Each((), condition), NOWHERE)
    return lambda value: value is not MISSING and check(value, 0.0)


def _bucket_test(bucketing: Bucketing, ranges: tuple[tuple[int, int], ...]) -> Test:
    def test(value: Any) -> bool:
        place = bucket_of(bucketing, value)
        return place is not None and lies_in(place, ranges)

    return test


NOWHERE = CompiledFlagSet(FlagSet({}))
"""Surroundings without segments and flags, as conditions on elements and values have them."""


def leaves_of(condition: Condition) -> Iterator[Condition]:
    """Yield the conditions that a condition is made of in the end."""
    match condition:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from leaves_of(part)
        case Not(inner) | Each(_, inner):
            yield from leaves_of(inner)
        case _:
            yield condition


def is_about_values(condition: Condition) -> bool:
    """Whether a condition compares values with constants only: no clock, hash, segment or flag."""
    return all(
        leaf.values_from is None if isinstance(leaf, AttributeIs) else isinstance(leaf, Always)
        for leaf in leaves_of(condition)
    )


def readable(read: Callable[[Any], Any], values: Iterable[Any]) -> Iterator[Any]:
    """Yield what a function makes of values, without those that it cannot read."""
    for value in values:
        try:
            found = read(value)
        except (OverflowError, ValueError):
            continue
        yield found


def frozen(value: object) -> Any:
    """Return something hashable that is equal for values that are :func:`same`, and only then.

    Raises
    ------
    UndecidedError
        If the value is nothing that JSON has.
    """
    if type(value) is str:
        return value
    if type(value) is bool or value is None:
        return ("word", str(value))
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return ("number", value)
    if isinstance(value, (list, tuple)):
        return ("array", tuple(map(frozen, value)))
    if type(value) is dict:
        return ("object", frozenset((key, frozen(held)) for key, held in value.items()))
    raise UndecidedError(f"{type(value).__name__} is not a type of JSON, or not finite")


def _spelled_alike(leaf: AttributeIs) -> Iterable[Json]:
    """Return the constants of a leaf, in lower case where that is how they are compared."""
    if not leaf.ci or leaf.op == "regex":
        return leaf.values
    return [value.lower() if type(value) is str else value for value in leaf.values]


def name_of(question: Question | Condition) -> Any:
    """Return something hashable that is equal for equal questions only."""
    match question:
        case AttributeIs():
            constants = frozenset(map(frozen, _spelled_alike(question)))
            return replace(question, values=(constants,))
        case Each(attr, condition):
            return ("each", attr, name_of(condition))
        case AllOf(parts):
            return ("all", *map(name_of, parts))
        case AnyOf(parts):
            return ("any", *map(name_of, parts))
        case Not(inner):
            return ("not", name_of(inner))
        case AtSomeTime(condition, value):
            return ("at", name_of(condition), frozen(value))
        case _:
            return question
