"""Conditions put together without what goes without saying, and values known by cases.

JSON Logic computes values where the grammar of conditions knows true and false only. So an
expression becomes a list of cases: conditions in order, the first that holds decides, the last is
``True``; and beside each the value that the expression has then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flagstone.importers import conditions
from flagstone.importers.conditions import NOBODY, leaf, negated, written
from flagstone.importers.flagd.coercion import is_true

Path = tuple[str, ...]
Condition = Any

SOMETHING: Final = ("array", "boolean", "number", "object", "string")
"""Every type but null, which JSON Logic cannot tell from a missing attribute."""
_SEVERAL: Final = frozenset({"attr", "op", "values", "as", "ci"})


@dataclass(frozen=True, slots=True)
class Const:
    """A JSON value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Attribute:
    """What stands at a path; never null, the cases say so."""

    path: Path


@dataclass(frozen=True, slots=True)
class Length:
    """How long the text or list at a path is."""

    path: Path


@dataclass(frozen=True, slots=True)
class Remainder:
    """What is left of the attribute, read as a number, divided by a constant."""

    path: Path
    divisor: int | float
    truth: Condition


@dataclass(frozen=True, slots=True)
class Text:
    """The text of an attribute with constants around it."""

    before: str
    path: Path
    after: str


@dataclass(frozen=True, slots=True)
class Seconds:
    """The time of evaluation, in whole POSIX seconds."""


@dataclass(frozen=True, slots=True)
class Items:
    """A list of which some items are not constants."""

    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Opaque:
    """A list or an object of which only this is known: whether it counts as true."""

    truth: Condition


@dataclass(frozen=True, slots=True)
class Failure:
    """The evaluation fails, and the caller's default is served."""

    reason: str


Value = Const | Attribute | Length | Remainder | Text | Seconds | Items | Opaque | Failure
Case = tuple[Condition, Value]
Cases = Sequence[Case]

NULL: Final = Const(None)


def tested(path: Path, op: str, values: Iterable[Any], **more: Any) -> Condition:
    """Compare an attribute with constants; with none, nobody matches."""
    constants = list(values)
    return leaf(written(path), op, constants, **more) if constants else NOBODY


def is_something(path: Path) -> Condition:
    """Ask whether an attribute is there and not null."""
    return tested(path, "type", SOMETHING)


def _refuses_null(op: str, values: list[str]) -> bool:
    if op == "regex":
        return not any(re.search(pattern, "null") for pattern in values)
    return op.startswith("semver_") or (op == "in" and "null" not in values)


def both(*parts: Condition) -> Condition:
    """Join conditions that must all hold."""
    joined = conditions.all_of(parts)
    if joined is True or set(joined) != {"all"}:
        return joined
    kept: list[Condition] = []
    for part in joined["all"]:
        if not _among(part, kept):
            kept.append(part)
    if any(_among(negated(part), kept) for part in kept):
        return NOBODY
    return conditions.all_of(part for part in kept if not _goes_without_saying(part, kept))


def _goes_without_saying(part: Condition, others: list[Condition]) -> bool:
    return any(other is not part and _implies(other, part) for other in others)


def _implies(condition: Condition, part: Condition) -> bool:
    """Whether a test that an attribute is there follows from another one of it."""
    if set(part) == {"not"}:
        # What asks for one type is not met by a value of another.
        inner = part["not"].get("all", [part["not"]]) if part["not"] is not True else []
        return any(_excludes(condition, other) for other in inner)
    if part.get("op") != "type" or part["values"] != list(SOMETHING):
        return False
    return _needs(condition, part["attr"])


def _excludes(one: Condition, other: Condition) -> bool:
    if one is True or one.get("op") != "type" or other.get("op") != "type":
        return False
    return one["attr"] == other["attr"] and not set(one["values"]) & set(other["values"])


def follows(condition: Condition, earlier: Condition) -> bool:
    """Whether one condition is seen to hold only where the other does."""
    if earlier is True:
        return True
    mine = [] if condition is True else condition.get("all", [condition])
    return all(
        _among(part, mine) or any(_implies(other, part) for other in mine)
        for part in earlier.get("all", [earlier])
    )


def _needs(condition: Condition, attr: Any) -> bool:
    """Whether a condition can hold only where the attribute is there and not null."""
    if condition is True:
        return False
    if "any" in condition:
        return all(_needs(part, attr) for part in condition["any"])
    if "all" in condition:
        return any(_needs(part, attr) for part in condition["all"])
    if condition.get("attr") != attr or "attr" not in condition:
        return False
    if "each" in condition:
        return True
    if condition["op"] == "exists":
        return False
    if condition.get("as") in ("string", "joined"):
        # Null is read as the text "null" then.
        return _refuses_null(condition["op"], condition["values"])
    if condition["op"] == "type":
        return "null" not in condition["values"]
    return None not in condition.get("values", [None])


def either(*parts: Condition) -> Condition:
    """Join conditions of which one must hold; tests of one attribute become one test."""
    joined = conditions.any_of(parts)
    if joined is True or set(joined) != {"any"}:
        return joined
    kept: list[Condition] = []
    for part in joined["any"]:
        if _among(part, kept):
            continue
        like = next((other for other in kept if _mergeable(part, other)), None)
        if like is None:
            kept.append(part)
            continue
        values = [*like["values"], *(v for v in part["values"] if not _among(v, like["values"]))]
        kept[kept.index(like)] = {**like, "values": values}
    if any(_among(negated(part), kept) for part in kept):
        return True
    return conditions.any_of(kept)


def _mergeable(one: Condition, other: Condition) -> bool:
    if "values" not in one or "values" not in other or not one.keys() <= _SEVERAL:
        return False
    return all(one.get(name) == other.get(name) for name in _SEVERAL - {"values"})


def _among(value: Any, values: list[Any]) -> bool:
    # ``repr`` tells 1, 1.0 and True apart.
    return repr(value) in map(repr, values)


def choose(when: Condition, then: Condition, otherwise: Condition) -> Condition:
    """Return the condition "if ``when`` then ``then`` else ``otherwise``"."""
    if when is True or repr(then) == repr(otherwise):
        return then
    if when == NOBODY:
        return otherwise
    if then is True:
        return either(when, otherwise)
    if then == NOBODY:
        return both(negated(when), otherwise)
    if otherwise == NOBODY:
        return both(when, then)
    if otherwise is True:
        return either(negated(when), then)
    return either(both(when, then), both(negated(when), otherwise))


def in_turn(cases: Iterable[Case]) -> list[Case]:
    """Drop cases that cannot occur, and join neighbours with one value."""
    kept: list[Case] = []
    for when, value in cases:
        if when == NOBODY or any(follows(when, earlier) for earlier, _ in kept):
            continue
        if kept and repr(kept[-1][1]) == repr(value) and not _ends_in_bucket(kept[-1][0]):
            when = either(kept.pop()[0], when)
        kept.append((when, value))
        if when is True:
            break
    return kept


def _ends_in_bucket(when: Condition) -> bool:
    # Shares of one split stay together, and apart from what else serves the same.
    return when is not True and "bucket" in when.get("all", [when])[-1]


def yes_or_no(when: Condition) -> list[Case]:
    """Return the cases of a value that is true if the condition holds, and else false."""
    return in_turn([(when, Const(True)), (True, Const(False))])


def fold(cases: Cases, seen: Callable[[Value], Condition]) -> Condition:
    """Return when ``seen`` holds for the value that the cases give."""
    result: Condition = NOBODY
    for when, value in reversed(cases):
        result = choose(when, seen(value), result)
    return result


def truth(value: Value) -> Condition:
    """Return when a value counts as true."""
    match value:
        case Const(constant):
            return True if is_true(constant) else NOBODY
        case Attribute(path):
            return both(is_something(path), negated(tested(path, "in", ["", 0, False, []])))
        case Length(path):
            return tested(path, "gt", [0], **{"as": "length"})
        case Text(before, path, after):
            return (
                True if before or after else negated(tested(path, "in", [""], **{"as": "joined"}))
            )
        case Items() | Seconds():
            return True
        case Opaque(condition) | Remainder(_, _, condition):
            return condition
        case Failure():
            return NOBODY


def failing(value: Value) -> Condition:
    """Return when a value is a failure: always, or never."""
    return True if isinstance(value, Failure) else NOBODY
