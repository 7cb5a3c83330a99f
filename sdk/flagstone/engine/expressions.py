"""Conditions as Python expressions, for :mod:`flagstone.engine.generate`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any, Final

from flagstone.engine.attributes import MISSING, read
from flagstone.engine.bucketing import Edge, bucket_of, edge_of, lies_in, place_of, sha256
from flagstone.engine.conditions import Surroundings, compile_condition
from flagstone.engine.hashes import FOREIGN_HASHES
from flagstone.engine.model import (
    AllOf,
    Always,
    AnyOf,
    AttributeIs,
    Bucketing,
    Condition,
    Fault,
    InBucket,
    InSegment,
    Not,
    Path,
    Range,
)
from flagstone.engine.operators import Test, is_number, test_of

MAX_NODES: Final = 200
MAX_NESTING: Final = 12
_SYMBOLS: Final = {"lt": ("<", max), "lte": ("<=", max), "gt": (">", min), "gte": (">=", min)}

Written = tuple[str, frozenset[Path]]
"""An expression, and the attributes that are surely read once it is evaluated."""


class Expressions:
    """Writes expressions over ``c`` (the context) and ``t`` (the time), and keeps what they name.

    An attribute is read where it is first needed, and kept in a variable from there on.
    """

    def __init__(self, around: Surroundings) -> None:
        self.constants: dict[str, object] = {}
        self._around = around
        self._names: dict[int, str] = {}
        self._variables: dict[Path, str] = {}
        self._nodes = 0

    def constant(self, value: object) -> str:
        """Return the name under which the program knows ``value``."""
        name = self._names.get(id(value))
        if name is None:
            name = f"k{len(self.constants)}"
            # Kept in ``constants``, the value stays alive, and its ``id`` its own.
            self._names[id(value)] = name
            self.constants[name] = value
        return name

    def variable(self, path: Path) -> str:
        """Return the variable that holds an attribute."""
        return self._variables.setdefault(path, f"a{len(self._variables)}")

    def reading(self, path: Path) -> str:
        """Write how an attribute is read from the context."""
        if not path:
            return "c"
        missing = self.constant(MISSING)
        text = f"c.get({self.constant(path[0])}, {missing})"
        for name in path[1:]:
            inside = f"x.get({self.constant(name)}, {missing})"
            careful = f"{self.constant(read)}(x, {self.constant((name,))})"
            text = f"({inside} if type(x := {text}) is dict else {careful})"
        return text

    def write(self, condition: Condition, known: frozenset[Path], depth: int = 0) -> Written:
        """Write a condition, when the attributes ``known`` are in their variables already."""
        self._nodes += 1
        if depth < MAX_NESTING and self._nodes < MAX_NODES:
            match condition:
                case Always():
                    return "True", frozenset()
                case AllOf(parts) if parts:
                    return self._joined(parts, " and ", known, depth)
                case AnyOf(parts) if parts:
                    return self._joined(parts, " or ", known, depth)
                case Not(inner):
                    text, evaluated = self.write(inner, known, depth + 1)
                    return f"(not {text})", evaluated
                case InSegment(key):
                    segment = self._around.segment_condition(key)
                    if not isinstance(segment, Fault):
                        return self.write(segment, known, depth + 1)
                case InBucket():
                    return self._in_bucket(condition, known)
                case AttributeIs() if condition.values_from is None and condition.values:
                    return self._attribute_is(condition, known)
                case _:
                    pass
        check = compile_condition(condition, self._around)
        return f"{self.constant(check)}(c, t)", frozenset()

    def _joined(
        self, parts: Iterable[Condition], word: str, known: frozenset[Path], depth: int
    ) -> Written:
        texts: list[str] = []
        first: frozenset[Path] = frozenset()
        for part in parts:
            text, evaluated = self.write(part, known, depth + 1)
            # The second part runs only after the first, but nothing says that it runs at all.
            first = first if texts else evaluated
            known |= evaluated
            texts.append(text)
        return f"({word.join(texts)})" if len(texts) > 1 else texts[0], first

    def _value(self, path: Path, known: frozenset[Path]) -> tuple[str, str]:
        """Return how to name an attribute for the first time here, and from then on."""
        name = self.variable(path)
        return (name if path in known else f"({name} := {self.reading(path)})"), name

    def _by_type(
        self, path: Path, known: frozenset[Path], kinds: str, fast: str, careful: Test
    ) -> Written:
        """Write: values of exactly these types are tested in place, others by careful code."""
        first, name = self._value(path, known)
        types = exactly(first, name, kinds)
        rest = f"{name} is not {self.constant(MISSING)} and {self.constant(careful)}({name})"
        return f"({fast.format(name)} if {types} else {rest})", frozenset({path})

    def _attribute_is(self, leaf: AttributeIs, known: frozenset[Path]) -> Written:
        careful = when_needed(leaf)
        # With ``elements`` a value that is no list stands for itself; lists go to careful code.
        if leaf.read_as is None and not leaf.ci:
            fast = self._in_place(leaf)
            if fast is not None:
                return self._by_type(leaf.attr, known, *fast, careful)
        first, name = self._value(leaf.attr, known)
        text = f"({first} is not {self.constant(MISSING)} and {self.constant(careful)}({name}))"
        return text, frozenset({leaf.attr})

    def _in_place(self, leaf: AttributeIs) -> tuple[str, str] | None:
        """Return the types that can be tested in place and the test, if there are any."""
        values = leaf.values
        if leaf.op == "in":
            table = [value for value in values if type(value) is str or is_number(value)]
            kinds = kinds_of(table)
            return (kinds, f"{{0}} in {self.constant(frozenset(table))}") if kinds else None
        kinds = kinds_of(values)
        if leaf.op in _SYMBOLS and kinds == "n":
            symbol, nearest = _SYMBOLS[leaf.op]
            return kinds, f"{{0}} {symbol} {self.constant(nearest(values))}"
        if kinds != "s":
            return None
        if leaf.op in ("starts_with", "ends_with"):
            method = leaf.op.replace("_", "")
            # One text is tried faster than a tuple of one.
            return (
                kinds,
                f"{{0}}.{method}({self.constant(values[0] if len(values) == 1 else values)})",
            )
        if leaf.op == "contains" and len(values) == 1:
            return kinds, f"{self.constant(values[0])} in {{0}}"
        return None

    def place_words(self, bucketing: Bucketing, unit: str) -> str:
        """Write the place of a unit that is a text."""
        if bucketing.hash in FOREIGN_HASHES:
            return f"{self.constant(place_of(bucketing))}({unit})"
        before = self.constant(f"{bucketing.salt}.")
        # A lone surrogate raises here, and so comes to careful code.
        return f"{self.constant(sha256)}(({before} + {unit}).encode()).digest()"

    def _in_bucket(self, condition: InBucket, known: frozenset[Path]) -> Written:
        bucketing = condition.bucketing
        place = self.place_words(bucketing, "{0}")
        edges = edges_of(condition.ranges, bucketing)
        if len(edges) == 2 and edges[0] == edge_of(bucketing, 0):
            fast = f"{place} < {self.constant(edges[1])}"
        else:
            fast = f"{self.constant(bisect_right)}({self.constant(edges)}, {place}) & 1 == 1"
        return self._by_type(bucketing.by, known, "s", fast, careful_bucket(condition))


def kinds_of(values: Iterable[Any]) -> str:
    """Say which exact types occur: ``s`` for texts, ``n`` for numbers, both, ``""`` for others."""
    kinds = {
        "s" if type(value) is str else "n" if is_number(value) else "other" for value in values
    }
    return "" if "other" in kinds else "".join(sorted(kinds))


def exactly(first: str, name: str, kinds: str) -> str:
    """Write the question whether a value is of exactly one of the kinds."""
    if kinds == "s":
        return f"type({first}) is str"
    question = f"type({first}) is int or type({name}) is float"
    return f"{question} or type({name}) is str" if "s" in kinds else question


def edges_of(ranges: Iterable[Range], bucketing: Bucketing) -> list[Edge]:
    """Return where ranges start and end, in turn, joined where they touch."""
    joined: list[list[int]] = []
    for low, high in sorted(ranges):
        if low == high:
            continue
        if joined and low <= joined[-1][1]:
            joined[-1][1] = max(high, joined[-1][1])
        else:
            joined.append([low, high])
    return [edge_of(bucketing, edge) for pair in joined for edge in pair]


def when_needed(leaf: AttributeIs) -> Test:
    """Return the careful test of a leaf, which is prepared at its first use: most never are."""
    prepared: list[Test] = []

    def test(value: Any) -> bool:
        if not prepared:
            prepared.append(test_of(leaf))
        return prepared[0](value)

    return test


def careful_bucket(condition: InBucket) -> Callable[[Any], bool]:
    """Return the test of any unit's bucket."""

    def test(value: Any) -> bool:
        place = bucket_of(condition.bucketing, value)
        return place is not None and lies_in(place, condition.ranges)

    return test
