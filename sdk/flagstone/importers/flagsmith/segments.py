"""Segments: rules of ALL, ANY and NONE, nested, as one condition."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from flagstone.importers import reading
from flagstone.importers.conditions import NOBODY, all_of, any_of, exists, holds, leaf, negated
from flagstone.importers.flagsmith.conditions import (
    compare,
    member,
    percentage_of,
    texts_of,
    values_of_in,
    whole_numbers,
)
from flagstone.importers.flagsmith.document import Environment
from flagstone.importers.flagsmith.properties import UNIT, Place, place_of
from flagstone.importers.flagsmith.shares import bucketing, lies_in
from flagstone.importers.result import CannotCarryError

IDENTIFIED: Final = leaf(UNIT, "type", ["string", "number"])
_JOINS: Final[Mapping[str, Callable[[list[Any]], Any]]] = {
    "ALL": all_of,
    "ANY": any_of,
    "NONE": lambda parts: negated(any_of(parts)),
}
_LONGEST: Final = 200
_DATABASE_IDS: Final = (
    "the environment hashes identities by their database ids "
    "(use_identity_composite_key_for_hashing is off), which no file holds"
)


def check_key_hashing(environment: Environment) -> None:
    """Refuse what hashes an identity's key if that is an id in Flagsmith's database."""
    if environment.database_ids:
        raise CannotCarryError(_DATABASE_IDS)


class SegmentReader:
    """Reads the conditions of one segment. What is lost is named in ``losses``."""

    def __init__(self, environment: Environment, salt: str) -> None:
        self.environment = environment
        self.salt = salt
        self.losses: set[str] = set()

    def condition(self, rules: Any) -> Any:
        """Return the condition of a segment's rules; without rules nobody is in it.

        Raises
        ------
        CannotCarryError
            If a condition cannot be carried.
        """
        whole = self._rules(rules, anonymous=False)
        if self.environment.local and self._rules(rules, anonymous=True) != NOBODY:
            # Without an identity the SDK serves what the environment says, and asks no segment.
            return all_of([IDENTIFIED, whole])
        return whole

    def _rules(self, rules: Any, *, anonymous: bool) -> Any:
        parts = [self._rule(rule, anonymous=anonymous) for rule in _parts(rules, "rules")]
        return all_of(parts) if parts else NOBODY

    def _rule(self, rule: Any, *, anonymous: bool) -> Any:
        rule = reading.an_object(rule, "a rule")
        kind = rule.get("type")
        join = _JOINS.get(kind) if isinstance(kind, str) else None
        if join is None:
            raise CannotCarryError(f"a rule is ALL, ANY or NONE, not {kind!r}")
        conditions = [
            self._condition(one, anonymous=anonymous)
            for one in _parts(rule.get("conditions"), "conditions")
        ]
        rules = [self._rule(one, anonymous=anonymous) for one in _parts(rule.get("rules"), "rules")]
        return all_of(join(parts) for parts in (conditions, rules) if parts)

    def _condition(self, condition: Any, *, anonymous: bool) -> Any:
        condition = reading.an_object(condition, "a condition")
        name, target = condition.get("operator"), condition.get("property")
        if type(name) is not str:
            raise CannotCarryError("a condition must have an operator")
        if name not in ("IS_SET", "IS_NOT_SET") and "value" not in condition:
            raise CannotCarryError(f"{name} has no value")
        value = condition.get("value")
        if name == "PERCENTAGE_SPLIT" and not target:
            return NOBODY if anonymous else self._percentage_of_key(value)
        if type(target) is not str:
            raise CannotCarryError("a condition's property must be a text")
        place = place_of(target, self.environment.constants)
        if name == "PERCENTAGE_SPLIT" and place.attr == UNIT:
            check_key_hashing(self.environment)
        if anonymous and place.of_identity:
            place = Place(None)
        if not place.of_identity:
            return self._of_environment(name, value, place)
        if name == "IN" and place.is_identifier:
            return identifier_in(values_of_in(value), self.environment.default_key_prefix)
        found = compare(name, value, place, self.salt, self.losses)
        if place.attr != UNIT:
            return found
        constant = compare(name, value, Place("constant"), self.salt, self.losses)
        default = holds(constant, {"constant": self.environment.default_key_prefix})
        return _with_empty_key(found, default=default, own=holds(found, {UNIT: ""}))

    def _of_environment(self, name: str, value: Any, place: Place) -> Any:
        """Look at the context's environment, or where there is none at the file's own."""
        assert place.attr is not None
        there = compare(name, value, place, self.salt, self.losses)
        constant = compare(name, value, Place("constant"), self.salt, self.losses)
        if not holds(constant, {} if place.constant is None else {"constant": place.constant}):
            return all_of([exists(place.attr), there]) if name == "IS_NOT_SET" else there
        return any_of([there, negated(exists(place.attr))])

    def _percentage_of_key(self, value: Any) -> Any:
        count = percentage_of(value)
        if not count:
            return NOBODY
        check_key_hashing(self.environment)
        ranges = [[0, count]]
        inside = {"bucket": {**bucketing(self.salt), "ranges": ranges}}
        default = lies_in(self.salt, self.environment.default_key_prefix, ranges)
        return _with_empty_key(inside, default=default, own=lies_in(self.salt, "", ranges))


def _with_empty_key(condition: Any, *, default: bool, own: bool) -> Any:
    """Answer for an empty key as for the default one, which Flagsmith takes instead of it."""
    if default == own:
        return condition
    empty = leaf(UNIT, "in", [""])
    return any_of([condition, empty]) if default else all_of([condition, negated(empty)])


def identifier_in(identifiers: Sequence[str], prefix: str) -> Any:
    """Ask whether the identity is one of these, by its identifier or else by its default key."""
    place = ("identity", "identifier")
    keys = [
        f"{prefix}{one}" for one in (*texts_of(identifiers), *map(str, whole_numbers(identifiers)))
    ]
    if not keys:
        return NOBODY
    by_key = any_of([leaf(UNIT, "in", keys), _with_zeros(whole_numbers(identifiers), prefix)])
    return any_of([member(list(identifiers), place), all_of([negated(exists(place)), by_key])])


def _with_zeros(numbers: Sequence[int], prefix: str) -> Any:
    """Ask for a key of one of the numbers, written with zeros that Flagsmith does not see.

    Nobody, where they are many: a long pattern would cost every reader of the flags too much for
    identifiers that hardly occur.
    """
    written = (
        "-?0+" if number == 0 else f"{'-' if number < 0 else ''}0+{abs(number)}"
        for number in numbers
    )
    pattern = f"^{re.escape(prefix)}(?:{'|'.join(written)})$"
    return leaf(UNIT, "regex", [pattern]) if numbers and len(pattern) <= _LONGEST else NOBODY


def _parts(value: Any, name: str) -> Sequence[Any]:
    return reading.a_list(value, name) if value else ()
