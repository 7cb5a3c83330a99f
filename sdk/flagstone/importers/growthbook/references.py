"""What a condition of GrowthBook looks at: an attribute, the length of a list, or nothing at all.

To the vendor a missing attribute is null. Here every leaf is false of a missing attribute, so what
null would have answered is written beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from flagstone.engine.operators import is_number
from flagstone.importers.conditions import NOBODY, all_of, any_of, leaf, negated, written
from flagstone.importers.result import CannotCarryError

THERE = ("string", "number", "boolean", "array", "object")
Condition = Any


class Verdict(NamedTuple):
    """When a condition holds and when it does not; where neither, the vendor cannot tell.

    An operator that the SDK does not know is neither true nor false, and so is its negation.
    """

    true: Condition
    false: Condition


UNKNOWN = Verdict(NOBODY, NOBODY)


def known(condition: Condition) -> Verdict:
    """Return the verdict of a condition that is always one or the other."""
    return Verdict(condition, negated(condition))


def opposite(verdict: Verdict) -> Verdict:
    """Return the verdict of the negation."""
    return Verdict(verdict.false, verdict.true)


def every(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of all together: one that is false decides."""
    verdicts = list(verdicts)
    return Verdict(all_of(one.true for one in verdicts), any_of(one.false for one in verdicts))


def some(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of any of them: one that is true decides."""
    return opposite(every(opposite(one) for one in verdicts))


def choice(guard: Condition, one: Verdict, other: Verdict) -> Verdict:
    """Return the first verdict where the guard holds, else the second."""
    if one == other:
        return one
    against = negated(guard)
    return Verdict(
        any_of([all_of([guard, one.true]), all_of([against, other.true])]),
        any_of([all_of([guard, one.false]), all_of([against, other.false])]),
    )


@dataclass(frozen=True, slots=True)
class Attribute:
    """The value at a path, seen from the context or from an element.

    ``name`` is how the vendor's file calls it, if it is an attribute of the context.
    """

    path: tuple[str, ...]
    name: str | None = None

    def leaf(self, op: str, values: Iterable[Any], **more: Any) -> Condition:
        """Compare the value; false where it is missing."""
        values = list(values)
        return leaf(self.path, op, values, **more) if values else NOBODY

    def is_a(self, *types: str) -> Condition:
        """Ask for its type; ``null`` is also what is missing."""
        if "null" in types:
            return negated(self.is_a(*(name for name in THERE if name not in types)))
        return leaf(self.path, "type", types) if types else NOBODY

    def each(self, condition: Condition) -> Condition:
        """Ask whether it is a list with an element of which the condition holds."""
        if condition == NOBODY:
            return NOBODY
        return {"attr": written(self.path), "each": condition}

    def length(self) -> Length:
        """Look at how many elements it has instead."""
        return Length(self.path)


@dataclass(frozen=True, slots=True)
class Length:
    """How many elements the list at a path has; only asked where it is a list."""

    path: tuple[str, ...]
    name: None = None

    def leaf(self, op: str, values: Iterable[Any], **more: Any) -> Condition:
        """Compare the length with numbers or, as a version, with texts; it has no pattern."""
        if op == "regex":
            return NOBODY
        versions = op.startswith("version_")
        numbers = [value for value in values if versions or is_number(value)]
        if not numbers:
            return NOBODY
        more.pop("elements", None)
        more.pop("ci", None)
        return leaf(self.path, op, numbers, **{**more, "as": "length"})

    def is_a(self, *types: str) -> Condition:
        """Ask for its type: it is a number."""
        return True if "number" in types else NOBODY

    def each(self, condition: Condition) -> Condition:  # noqa: ARG002  a number has no elements
        """Ask for elements: a number has none."""
        return NOBODY

    def length(self) -> Nothing:
        """Look for a length: a number has none."""
        return Nothing()


@dataclass(frozen=True, slots=True)
class Nothing:
    """What is surely not there."""

    name: None = None

    def leaf(self, op: str, values: Iterable[Any], **more: Any) -> Condition:  # noqa: ARG002
        """Compare: nothing equals nothing but null."""
        return NOBODY

    def is_a(self, *types: str) -> Condition:
        """Ask for its type: it is null."""
        return True if "null" in types else NOBODY

    def each(self, condition: Condition) -> Condition:  # noqa: ARG002
        """Ask for elements: there are none."""
        return NOBODY

    def length(self) -> Nothing:
        """Look for a length: there is none."""
        return self


Reference = Attribute | Length | Nothing


def step_by_place(names: Iterable[str], key: str) -> None:
    """Refuse a path that may name an element of a list by its place.

    Raises
    ------
    CannotCarryError
        If one of the names could be a place.
    """
    for name in names:
        if name.isascii() and name.isdigit() and (name == "0" or name[0] != "0"):
            raise CannotCarryError(f"{key!r} may read an element of a list by its place")
