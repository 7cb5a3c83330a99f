"""JSON Logic, evaluated without a context: every expression becomes a list of cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flagstone.importers.conditions import NOBODY, negated
from flagstone.importers.flagd import coercion
from flagstone.importers.flagd.comparisons import Comparer, remainder_truth, test_each
from flagstone.importers.flagd.fractional import Fractional, text_test, version_test
from flagstone.importers.flagd.terms import (
    NULL,
    Attribute,
    Case,
    Cases,
    Condition,
    Const,
    Failure,
    Items,
    Length,
    Opaque,
    Path,
    Remainder,
    Seconds,
    Text,
    Value,
    both,
    choose,
    either,
    failing,
    fold,
    in_turn,
    is_something,
    tested,
    truth,
    yes_or_no,
)
from flagstone.importers.result import CannotCarryError

_MOST_STEPS: Final = 20_000
_MOST_CASES: Final = 400

_COMPUTED: Final[Mapping[str, Callable[..., Any]]] = {
    "+": lambda *args: sum(map(coercion.to_number, args)),
    "-": lambda a=None, b=None, *_: (
        -coercion.to_number(a) if b is None else coercion.to_number(a) - coercion.to_number(b)
    ),
    "/": lambda a=None, b=None, *_: coercion.to_number(a) / coercion.to_number(b),
    "min": lambda *args: min(map(coercion.to_number, args)) if args else coercion.NAN,
    "max": lambda *args: max(map(coercion.to_number, args)) if args else coercion.NAN,
    "merge": lambda *args: [
        item for arg in args for item in (arg if isinstance(arg, list) else [arg])
    ],
}
"""Operators that compute; carried with constants only."""
_NOT_CARRIED: Final = frozenset({"*", "substr", "log", "missing_some", "filter", "map", "reduce"})


@dataclass(frozen=True, slots=True)
class Root:
    """``var`` reads the evaluation context."""


@dataclass(frozen=True, slots=True)
class Element:
    """``var`` reads an element of an attribute that is a list."""


@dataclass(frozen=True, slots=True)
class Given:
    """``var`` reads a constant."""

    data: Any


Scope = Root | Element | Given


class Logic:
    """Turns the expressions of one flag into cases, for one stretch of time."""

    def __init__(self, flag_key: str, fractional: Fractional, comparer: Comparer) -> None:
        self.flag_key = flag_key
        self.fractional = fractional
        self.comparer = comparer
        self._steps = 0
        self._lazy: dict[str, Callable[[Sequence[Any], Scope], list[Case]]] = {
            "if": self._if,
            "?:": self._if,
            "and": self._and,
            "or": self._or,
            "some": self._some,
            "all": self._all,
            "none": self._none,
        }
        self._eager: dict[str, Callable[[Sequence[Value]], list[Case]]] = {
            "!": lambda args: yes_or_no(negated(truth(_nth(args, 0)))),
            "!!": lambda args: yes_or_no(truth(_nth(args, 0))),
            "==": lambda args: yes_or_no(comparer.equal(_nth(args, 0), _nth(args, 1))),
            "!=": lambda args: yes_or_no(negated(comparer.equal(_nth(args, 0), _nth(args, 1)))),
            "===": lambda args: yes_or_no(comparer.strictly_equal(_nth(args, 0), _nth(args, 1))),
            "!==": lambda args: yes_or_no(
                negated(comparer.strictly_equal(_nth(args, 0), _nth(args, 1)))
            ),
            "in": lambda args: yes_or_no(comparer.within(_nth(args, 0), _nth(args, 1))),
            "%": self._remainder,
            "cat": self._cat,
            "starts_with": lambda args: text_test("starts_with", args),
            "ends_with": lambda args: text_test("ends_with", args),
            "sem_ver": version_test,
            **{order: self._order(order) for order in coercion.ORDERS},
            **{name: self._compute(name) for name in _COMPUTED},
        }

    def cases(self, logic: Any, scope: Scope) -> list[Case]:
        """Evaluate an expression."""
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise CannotCarryError("the targeting is too large")
        if isinstance(logic, list):
            rows = self._rows(logic, scope)
            return in_turn([(when, _listed(values)) for when, values in rows])
        if not isinstance(logic, Mapping) or len(logic) != 1:
            return [(True, Const(logic))]
        op, args = next(iter(logic.items()))
        args = args if isinstance(args, list) else [args]
        if op in self._lazy:
            return self._lazy[op](args, scope)
        if op in _NOT_CARRIED:
            raise CannotCarryError(f'the operator "{op}" is not carried')
        found: list[Case] = []
        for when, values in self._rows(args, scope):
            failure = next((value for value in values if isinstance(value, Failure)), None)
            results = [(True, failure)] if failure else self._apply(op, values, scope)
            found.extend((both(when, condition), value) for condition, value in results)
            _refuse_many(found)
        return in_turn(found)

    def _apply(self, op: str, values: Sequence[Value], scope: Scope) -> Sequence[Case]:
        if op == "var":
            return self._var(values, scope)
        if op == "fractional":
            if not isinstance(scope, Root):
                raise CannotCarryError('"fractional" stands inside "some", "all" or "none"')
            return self.fractional.cases(values)
        if op == "missing":
            return self._missing(values, scope)
        if op in self._eager:
            return self._eager[op](values)
        if op == "$ref":
            name = values[0].value if values and isinstance(values[0], Const) else ""
            return [(True, Failure(f"there is no evaluator {name!r}"))]
        return [(True, Failure(f"there is no operator {op!r}"))]

    def _rows(self, args: Sequence[Any], scope: Scope) -> list[tuple[Condition, list[Value]]]:
        """Evaluate several expressions: every way that their cases can meet, in order."""
        rows: list[tuple[Condition, list[Value]]] = [(True, [])]
        for arg in args:
            cases = self.cases(arg, scope)
            met: list[tuple[Condition, list[Value]]] = []
            for when, values in rows:
                for condition, value in cases:
                    together = both(when, condition)
                    if together != NOBODY:
                        met.append((together, [*values, value]))
            _refuse_many(met)
            rows = met
        return rows

    def _if(self, args: Sequence[Any], scope: Scope) -> list[Case]:
        found: list[Case] = []
        for index in range(0, len(args) - 1, 2):
            asked = self.cases(args[index], scope)
            found.extend(_failures(asked))
            when = fold(asked, truth)
            if when != NOBODY:
                found.extend(_under(when, self.cases(args[index + 1], scope)))
            if when is True:
                return in_turn(found)
            _refuse_many(found)
        last = self.cases(args[-1], scope) if len(args) % 2 else [(True, NULL)]
        return in_turn([*found, *last])

    def _and(self, args: Sequence[Any], scope: Scope) -> list[Case]:
        return self._until(args, scope, lambda value: choose(truth(value), NOBODY, True))

    def _or(self, args: Sequence[Any], scope: Scope) -> list[Case]:
        return self._until(args, scope, truth)

    def _until(
        self, args: Sequence[Any], scope: Scope, stops: Callable[[Value], Condition]
    ) -> list[Case]:
        """Take the first value that stops the search, or else the last one."""
        found: list[Case] = []
        for index, arg in enumerate(args):
            cases = self.cases(arg, scope)
            if index == len(args) - 1:
                return in_turn([*found, *cases])
            halt = either(fold(cases, stops), fold(cases, failing))
            found.extend(_under(halt, cases) if halt != NOBODY else [])
            if halt is True:
                return in_turn(found)
            _refuse_many(found)
        return [(True, NULL)]

    def _some(self, args: Sequence[Any], scope: Scope) -> list[Case]:
        return self._quantified(args, scope, empty=False, none=False)

    def _none(self, args: Sequence[Any], scope: Scope) -> list[Case]:
        return self._quantified(args, scope, empty=True, none=True)

    def _all(self, args: Sequence[Any], scope: Scope) -> list[Case]:
        if len(args) < 2:
            return yes_or_no(NOBODY)
        found: list[Case] = []
        for when, value in self.cases(args[0], scope):
            if isinstance(value, Failure):
                found.append((when, value))
                continue
            holds = negated(self._any_element(value, {"!": [args[1]]}))
            found.extend(_under(when, yes_or_no(both(_is_full_list(value), holds))))
        return in_turn(found)

    def _quantified(
        self, args: Sequence[Any], scope: Scope, *, empty: bool, none: bool
    ) -> list[Case]:
        if len(args) < 2:
            return yes_or_no(True if empty else NOBODY)
        found: list[Case] = []
        for when, value in self.cases(args[0], scope):
            if isinstance(value, Failure):
                found.append((when, value))
                continue
            some = self._any_element(value, args[1])
            found.extend(_under(when, yes_or_no(negated(some) if none else some)))
        return in_turn(found)

    def _any_element(self, items: Value, logic: Any) -> Condition:
        """Return when an element makes the expression true; what is no list has no element."""
        match items:
            case Const(list(elements)):
                return either(*(self._truth_in(logic, Given(element)) for element in elements))
            case Attribute(path):
                return test_each(path, self._truth_in(logic, Element()))
            case Items() | Opaque():
                raise CannotCarryError("looks at the elements of a list that is put together")
        return NOBODY

    def _truth_in(self, logic: Any, scope: Scope) -> Condition:
        cases = self.cases(logic, scope)
        if any(isinstance(value, Failure) for _, value in cases):
            raise CannotCarryError("the evaluation of an element may fail")
        return fold(cases, truth)

    def _var(self, values: Sequence[Value], scope: Scope) -> Sequence[Case]:
        if len(values) > 2:
            return [(True, Failure('"var" takes a name and a default'))]
        key, default = _nth(values, 0), _nth(values, 1)
        if not isinstance(key, Const):
            raise CannotCarryError('the name in "var" is not a constant')
        if isinstance(scope, Given):
            marker = object()
            value = coercion.look_up(scope.data, key.value, marker)
            return [(True, default if value is marker else Const(value))]
        if key.value is None or key.value == "":
            return self._whole(scope)
        if coercion.is_numeric(key.value):
            if isinstance(scope, Element):
                raise CannotCarryError("reads a list by place")
            return [(True, default)]
        names = tuple(coercion.to_text(key.value).split("."))
        if isinstance(scope, Root) and names[0] == "$flagd":
            return [(True, self._about_flagd(names[1:], default))]
        return self._attribute(names, default, scope)

    def _whole(self, scope: Scope) -> list[Case]:
        if isinstance(scope, Root):
            return [(True, Opaque(True))]
        return [(is_something(()), Attribute(())), (True, NULL)]

    def _about_flagd(self, names: Path, default: Value) -> Value:
        if names == ("flagKey",):
            return Const(self.flag_key)
        if names == ("flagKey", "length"):
            return Const(len(self.flag_key))
        if names == ("timestamp",):
            return Seconds()
        return default if names else Opaque(True)

    def _attribute(self, names: Path, default: Value, scope: Scope) -> list[Case]:
        first = 1 if isinstance(scope, Root) else 0
        if any(coercion.is_index(name) for name in names[first:]):
            raise CannotCarryError("reads a list by place")
        found: list[Case] = []
        for index in range(first, len(names)):
            if names[index] == "length":
                inside = names[:index]
                found.append((tested(inside, "type", ["array", "string"]), Length(inside)))
        return [*found, (is_something(names), Attribute(names)), (True, default)]

    def _order(self, order: str) -> Callable[[Sequence[Value]], list[Case]]:
        def compare(args: Sequence[Value]) -> list[Case]:
            one, middle, other = (_nth(args, index) for index in range(3))
            condition = self.comparer.ordered(order, one, middle)
            if other != NULL:
                condition = both(condition, self.comparer.ordered(order, middle, other))
            return yes_or_no(condition)

        return compare

    def _remainder(self, args: Sequence[Value]) -> list[Case]:
        match _nth(args, 0), _nth(args, 1):
            case Const(number), Const(divisor):
                return _computed(
                    "%", lambda: coercion.to_number(number) % coercion.to_number(divisor)
                )
            case Attribute(path), Const(divisor):
                by = coercion.to_number(divisor)
                if by == 0:
                    return [(True, Failure("divides by zero"))]
                return [(True, Remainder(path, by, remainder_truth(path, by)))]
        raise CannotCarryError('the operator "%" computes with attributes')

    def _cat(self, args: Sequence[Value]) -> list[Case]:
        parts: list[str | Attribute] = [""]
        for value in args:
            match value:
                case Const(constant):
                    parts.append(coercion.to_text(constant))
                case Attribute():
                    parts.append(value)
                case Text(before, path, after):
                    parts.extend([before, Attribute(path), after])
                case _:
                    raise CannotCarryError('"cat" of something that is not an attribute')
        places = [index for index, part in enumerate(parts) if isinstance(part, Attribute)]
        if not places:
            return [(True, Const("".join(map(str, parts))))]
        if len(places) > 1:
            raise CannotCarryError('"cat" of more than one attribute')
        before = "".join(map(str, parts[: places[0]]))
        after = "".join(map(str, parts[places[0] + 1 :]))
        attribute = parts[places[0]]
        assert isinstance(attribute, Attribute)
        return [(True, Text(before, attribute.path, after))]

    def _missing(self, args: Sequence[Value], scope: Scope) -> list[Case]:
        first = _nth(args, 0)
        if isinstance(first, Const) and isinstance(first.value, list):
            args = [Const(key) for key in first.value]

        def is_absent(value: Value) -> Condition:
            if isinstance(value, Attribute):
                return tested(value.path, "in", [""])
            return True if value in (NULL, Const("")) else NOBODY

        return [(True, Opaque(either(*(fold(self._var([k], scope), is_absent) for k in args))))]

    def _compute(self, name: str) -> Callable[[Sequence[Value]], list[Case]]:
        def compute(args: Sequence[Value]) -> list[Case]:
            constants = [value.value for value in args if isinstance(value, Const)]
            if len(constants) < len(args):
                raise CannotCarryError(f'the operator "{name}" computes with attributes')
            return _computed(name, lambda: _COMPUTED[name](*constants))

        return compute


def _nth(args: Sequence[Value], index: int) -> Value:
    return args[index] if index < len(args) else NULL


def _listed(values: Sequence[Value]) -> Value:
    failure = next((value for value in values if isinstance(value, Failure)), None)
    if failure is not None:
        return failure
    constants = [value.value for value in values if isinstance(value, Const)]
    return Const(constants) if len(constants) == len(values) else Items(tuple(values))


def _under(when: Condition, cases: Cases) -> list[Case]:
    return [(both(when, condition), value) for condition, value in cases]


def _failures(cases: Cases) -> list[Case]:
    condition = fold(cases, failing)
    if condition == NOBODY:
        return []
    return [(condition, next(value for _, value in cases if isinstance(value, Failure)))]


def _refuse_many(cases: Sequence[object]) -> None:
    if len(cases) > _MOST_CASES:
        raise CannotCarryError("the targeting has too many cases")


def _is_full_list(value: Value) -> Condition:
    match value:
        case Const(list(elements)):
            return True if elements else NOBODY
        case Attribute(path):
            return both(tested(path, "type", ["array"]), negated(tested(path, "in", [[]])))
    return NOBODY


def _computed(name: str, compute: Callable[[], Any]) -> list[Case]:
    try:
        return [(True, Const(compute()))]
    except (ArithmeticError, TypeError, ValueError) as error:
        return [(True, Failure(f'"{name}": {error}'))]
