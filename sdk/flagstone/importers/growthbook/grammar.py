"""Conditions of GrowthBook, which are much like MongoDB's, as conditions of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flagstone.importers import reading
from flagstone.importers.conditions import NOBODY, exists, negated
from flagstone.importers.growthbook.comparisons import (
    ORDERS,
    VERSIONS,
    LooseComparisons,
    StrictComparisons,
)
from flagstone.importers.growthbook.references import (
    UNKNOWN,
    Attribute,
    Condition,
    Nothing,
    Reference,
    Verdict,
    choice,
    every,
    known,
    opposite,
    some,
    step_by_place,
)
from flagstone.importers.naming import numbered
from flagstone.importers.result import CannotCarryError

ID: Final = "id"
TARGETING_KEY: Final = "targetingKey"
MAX_PARTS: Final = 20_000
"""How many parts one flag's conditions may have; groups that hold groups multiply."""
_ABOUT_ATTRIBUTES: Final = frozenset({"$or", "$nor", "$and", "$savedGroup"})
_NEVER: Final = known(NOBODY)
_TYPES: Final = frozenset({"null", "boolean", "number", "string", "array", "object"})


@dataclass(frozen=True, slots=True)
class Scene:
    """What names stand for: attributes of the context, fields of an element, or a flag's value.

    ``visited`` are the saved groups that are being resolved; one inside itself holds for nobody.
    """

    kind: str = "context"
    visited: frozenset[str] = frozenset()

    def find(self, key: str) -> Reference:
        """Return what a dotted path refers to."""
        names = tuple(key.split("."))
        if self.kind == "nothing" or (self.kind == "value" and names[0] != "value"):
            return Nothing()
        if self.kind == "value":
            step_by_place(names[1:], key)
            return Attribute(names[1:])
        step_by_place(names[1:] if self.kind == "context" else names, key)
        return Attribute(names, key if self.kind == "context" else None)


CONTEXT: Final = Scene()
ELEMENT: Final = "element"
VALUE: Final = "value"
NOTHING: Final = "nothing"


class Grammar:
    """Translates the conditions of one file.

    Parameters
    ----------
    saved_groups : mapping
        The file's saved groups.
    loose : bool
        Whether values are compared as the JavaScript SDK does.
    """

    def __init__(self, saved_groups: Mapping[str, Any], *, loose: bool) -> None:
        self.saved_groups = saved_groups
        self.loose = loose
        self.segments: dict[str, Condition] = {}
        self.comparisons = LooseComparisons() if loose else StrictComparisons()
        self.used: set[str] = set()
        self._parts = 0
        self._circles = 0
        self._operators = self._table()

    def start(self) -> None:
        """Forget what the last flag used, lost and counted."""
        self.used, self._parts = set(), 0
        self.comparisons.losses = set()

    def condition(self, document: Any, scene: Scene = CONTEXT) -> Verdict:
        """Translate a condition: every entry must hold."""
        entries = reading.an_object(document, "a condition").items()
        return every([self._entry(key, value, scene) for key, value in entries])

    def _entry(self, key: str, value: Any, scene: Scene) -> Verdict:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise CannotCarryError(f"its conditions have more than {MAX_PARTS} parts")
        if key == "$or":
            return self._any(value, scene)
        if key == "$nor":
            return opposite(self._any(value, scene))
        if key == "$and":
            return every([self.condition(part, scene) for part in reading.a_list(value, key)])
        if key == "$not":
            return opposite(self.condition(value, scene))
        if key == "$savedGroup":
            return self._saved_group(value, scene)
        if key == "$savedGroups" and not self.loose:
            return _NEVER
        return self._attribute(key, scene, lambda to: self.value(value, to, scene))

    def _any(self, value: Any, scene: Scene) -> Verdict:
        parts = [self.condition(part, scene) for part in reading.a_list(value, "$or")]
        return some(parts) if parts else known(True)

    def _attribute(
        self, key: str, scene: Scene, translate: Callable[[Reference], Verdict]
    ) -> Verdict:
        """Translate what is asked of an attribute, and where else it may be found."""
        to = scene.find(key)
        found = self._maybe_length(to, translate)
        if isinstance(to, Attribute) and to.name is not None and to.path[0] == ID:
            # A context of ours may have the unit's name as its targeting key only.
            other = Attribute((TARGETING_KEY, *to.path[1:]), to.name)
            return choice(exists(ID), found, self._maybe_length(other, translate))
        return found

    def _maybe_length(self, to: Reference, translate: Callable[[Reference], Verdict]) -> Verdict:
        """Read a last name ``length`` as a field of an object, or as the length of a list."""
        found = translate(to)
        if isinstance(to, Attribute) and to.path and to.path[-1] == "length":
            outer = Attribute(to.path[:-1])
            # The context itself is no list; an element may be one.
            if outer.path or to.name is None:
                return choice(outer.is_a("array"), translate(outer.length()), found)
        return found

    def value(self, condition: Any, to: Reference, scene: Scene, *, ci: bool = False) -> Verdict:
        """Translate what is asked of one value: operators, or a literal it must equal."""
        if not self._is_operators(condition):
            return known(
                self.comparisons.equals(to, condition, ci=ci and isinstance(condition, str))
            )
        return every([self._operator(op, arg, to, scene) for op, arg in condition.items()])

    def _is_operators(self, condition: Any) -> bool:
        if not isinstance(condition, Mapping) or (self.loose and not condition):
            return False
        return all(key.startswith("$") for key in condition)

    def _operator(self, op: str, argument: Any, to: Reference, scene: Scene) -> Verdict:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise CannotCarryError(f"its conditions have more than {MAX_PARTS} parts")
        translate = self._operators.get(op)
        if translate is not None:
            return translate(argument, to, scene)
        # The JavaScript SDK takes every operator it does not know for false.
        return _NEVER if self.loose or op in _ABOUT_ATTRIBUTES else UNKNOWN

    def _table(self) -> dict[str, Callable[[Any, Reference, Scene], Verdict]]:
        compare = self.comparisons

        def simple(test: Callable[[Any, Reference], Condition]) -> Any:
            return lambda argument, to, _scene: known(test(argument, to))

        def listed(*, ci: bool, negative: bool) -> Any:
            def test(argument: Any, to: Reference) -> Condition:
                if not isinstance(argument, list):
                    return NOBODY
                found = compare.among(to, argument, ci=ci)
                return negated(found) if negative else found

            return simple(test)

        def ordered(op: str) -> Any:
            return simple(lambda argument, to: compare.order(to, op, argument))

        def version(op: str) -> Any:
            return simple(lambda argument, to: compare.version(to, op, argument))

        def pattern(*, ci: bool, negative: bool) -> Any:
            def test(argument: Any, to: Reference) -> Condition:
                found = compare.pattern(to, argument, ci=ci)
                return negated(found) if negative else found

            return simple(test)

        return {
            "$eq": simple(lambda argument, to: compare.identical(to, argument)),
            "$ne": simple(lambda argument, to: negated(compare.identical(to, argument))),
            **{name: ordered(op) for name, op in ORDERS.items()},
            **{name: version(op) for name, op in VERSIONS.items()},
            "$in": listed(ci=False, negative=False),
            "$nin": listed(ci=False, negative=True),
            "$ini": listed(ci=True, negative=False),
            "$nini": listed(ci=True, negative=True),
            "$regex": pattern(ci=False, negative=False),
            "$regexi": pattern(ci=True, negative=False),
            "$notRegex": pattern(ci=False, negative=True),
            "$notRegexi": pattern(ci=True, negative=True),
            "$exists": simple(lambda argument, to: compare.is_there(to, argument)),
            "$type": simple(_type),
            "$not": lambda argument, to, scene: opposite(self.value(argument, to, scene)),
            "$size": self._size,
            "$all": lambda argument, to, scene: self._all(argument, to, scene, ci=False),
            "$alli": lambda argument, to, scene: self._all(argument, to, scene, ci=True),
            "$elemMatch": self._element,
            "$inGroup": lambda argument, to, scene: self._group(argument, to, scene),
            "$notInGroup": lambda argument, to, scene: self._outside(argument, to, scene),
        }

    def _size(self, argument: Any, to: Reference, scene: Scene) -> Verdict:
        counted = self.value(argument, to.length(), scene)
        return every([known(to.is_a("array")), counted])

    def _all(self, argument: Any, to: Reference, scene: Scene, *, ci: bool) -> Verdict:
        if not isinstance(argument, list):
            return _NEVER
        inner = Scene(ELEMENT, scene.visited)
        wanted = [self.value(part, Attribute(()), inner, ci=ci) for part in argument]
        return every([known(to.is_a("array")), *(_has_element(to, one) for one in wanted)])

    def _element(self, argument: Any, to: Reference, scene: Scene) -> Verdict:
        argument = reading.an_object(argument, "$elemMatch")
        element, inner = Attribute(()), Scene(ELEMENT, scene.visited)
        about_value = self._is_operators(argument) and (
            self.loose or _ABOUT_ATTRIBUTES.isdisjoint(argument)
        )
        matched = (
            self.value(argument, element, inner) if about_value else self.condition(argument, inner)
        )
        # A null among the elements is passed over.
        there = known(negated(element.is_a("null")))
        return every([known(to.is_a("array")), _has_element(to, every([there, matched]))])

    def _group(self, argument: Any, to: Reference, _scene: Scene) -> Verdict:
        values = self._values(argument)
        if isinstance(values, Verdict):
            return values
        return known(self._in_list(argument, values, to))

    def _outside(self, argument: Any, to: Reference, _scene: Scene) -> Verdict:
        values = self._values(argument)
        if isinstance(values, Verdict):
            return values
        return known(negated(self._in_list(argument, values, to)))

    def _values(self, group: Any) -> list[Any] | Verdict:
        """Return the values of a group, or what holds for one without values."""
        if not isinstance(group, str):
            return _NEVER
        if group not in self.saved_groups:
            return []
        entry = self.saved_groups[group]
        if isinstance(entry, list):
            return entry
        if not isinstance(entry, Mapping):
            return _NEVER
        if entry.get("type") == "list" and isinstance(entry.get("values"), list):
            values: list[Any] = entry["values"]
            return values
        return _NEVER if self.loose or entry.get("type") in ("list", "condition") else UNKNOWN

    def _in_list(self, group: str, values: list[Any], to: Reference) -> Condition:
        """Ask whether an attribute is in a list: a segment, so that the list stays in one place."""
        if not isinstance(to, Attribute) or to.name is None:
            return self.comparisons.among(to, values)
        inside = self._attribute(
            to.name, CONTEXT, lambda other: known(self.comparisons.among(other, values))
        )
        return self._segment(f"{group}/{to.name}", inside.true)

    def _segment(self, name: str, condition: Condition) -> Condition:
        if condition is True or condition == NOBODY:
            return condition
        unique = numbered(name, lambda one: self.segments.get(one, condition) != condition, ":{}")
        self.segments[unique] = condition
        self.used.add(unique)
        return {"segment": unique}

    def _saved_group(self, reference: Any, scene: Scene) -> Verdict:
        if not isinstance(reference, Mapping):
            return _NEVER
        group, key = reference.get("id"), reference.get("attributeKey")
        if not isinstance(group, str):
            return _NEVER
        if group in scene.visited:
            self._circles += 1
            return _NEVER
        if "attributeKey" in reference and not isinstance(key, str):
            return _NEVER
        entry = self.saved_groups.get(group)
        if not isinstance(entry, Mapping):
            return _NEVER
        if entry.get("type") == "list":
            key = entry.get("attributeKey") if key is None else key
            values = entry.get("values")
            if not isinstance(key, str) or not isinstance(values, list):
                return _NEVER
            return self._attribute(key, scene, lambda to: known(self._in_list(group, values, to)))
        if entry.get("type") != "condition":
            return _NEVER if self.loose else UNKNOWN
        if not isinstance(entry.get("condition"), Mapping):
            return _NEVER
        return self._inner_condition(group, entry["condition"], scene)

    def _inner_condition(self, group: str, condition: Any, scene: Scene) -> Verdict:
        """Translate a group's condition: as a segment where it means the same everywhere."""
        before = self._circles
        verdict = self.condition(condition, Scene(scene.kind, scene.visited | {group}))
        whole = scene.kind == "context" and self._circles == before
        if whole and verdict.false == negated(verdict.true):
            return known(self._segment(group, verdict.true))
        return verdict


def _has_element(to: Reference, verdict: Verdict) -> Verdict:
    """Ask for an element: it is false only where every element's verdict is."""
    return Verdict(to.each(verdict.true), negated(to.each(negated(verdict.false))))


def _type(argument: Any, to: Reference) -> Condition:
    return to.is_a(argument) if isinstance(argument, str) and argument in _TYPES else NOBODY
