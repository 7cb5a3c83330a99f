"""Who refers to whom: names that are not there, circles, and chains that cost too much.

Evaluation follows references without looking back, so what could make it run for ever (a circle)
or for very long (a flag that asks two flags that each ask two, and so on) is found here, once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from flagstone.engine.errors import FlagSetError, step
from flagstone.engine.model import (
    AllOf,
    AnyOf,
    Condition,
    Fault,
    Flag,
    FlagServes,
    InSegment,
    Not,
)

MAX_CHAIN = 50
MAX_COST = 10_000

Node = tuple[str, str]
"""``("flags", key)`` or ``("segments", key)``."""


def references_in(condition: Condition, path: str) -> Iterator[tuple[str, Condition]]:
    """Yield each condition on a flag or a segment, with its path."""
    if isinstance(condition, (AllOf, AnyOf)):
        name = "all" if isinstance(condition, AllOf) else "any"
        for index, part in enumerate(condition.conditions):
            yield from references_in(part, f"{path}.{name}[{index}]")
    elif isinstance(condition, Not):
        yield from references_in(condition.condition, f"{path}.not")
    elif isinstance(condition, (FlagServes, InSegment)):
        yield path, condition


def references_within(flag: Flag) -> None:
    """Refuse a flag that refers to itself."""
    for path, key, _ in _flags_of(flag):
        if key == flag.key:
            raise FlagSetError(path, "a flag cannot depend on itself")


def _flags_of(flag: Flag) -> Iterator[tuple[str, str, tuple[str, ...] | None]]:
    for index, prerequisite in enumerate(flag.prerequisites):
        yield f"prerequisites[{index}]", prerequisite.flag, prerequisite.variants
    for index, rule in enumerate(flag.rules):
        for path, condition in references_in(rule.when, f"rules[{index}].when"):
            if isinstance(condition, FlagServes):
                yield path, condition.flag, condition.variants


def _segments_of(flag: Flag) -> Iterator[tuple[str, str]]:
    for index, rule in enumerate(flag.rules):
        for path, condition in references_in(rule.when, f"rules[{index}].when"):
            if isinstance(condition, InSegment):
                yield path, condition.segment


def check_references(
    flags: dict[str, Flag], segments: Mapping[str, Condition | Fault], *, strict: bool
) -> dict[str, Flag]:
    """Return the flags; strictly raise the first fault, leniently give it to the flag it is in."""
    graph = _Graph(flags, segments, strict=strict)
    if strict:
        for key in segments:
            graph.measure(("segments", key))
    checked = {}
    for key, flag in flags.items():
        checked[key] = flag
        if flag.fault is None and (flag.prerequisites or flag.rules):
            measured = graph.measure(("flags", key))
            if isinstance(measured, _Broken):
                error = measured.error
                fault = Fault(error.path, error.message, error.hint)
                checked[key] = replace(flag, fault=fault)
    return checked


class _Measure(NamedTuple):
    """How many references in a row, and how many evaluations, a node can lead to."""

    height: int
    cost: int


class _Broken(NamedTuple):
    """Why a node cannot be evaluated, and whether the flags that ask it cannot be either."""

    error: FlagSetError
    spreads: bool


class _Graph:
    """Walks references depth first, and remembers what each node costs or why it is broken."""

    def __init__(
        self, flags: Mapping[str, Flag], segments: Mapping[str, Condition | Fault], *, strict: bool
    ) -> None:
        self.flags = flags
        self.segments = segments
        self.strict = strict
        self.known: dict[Node, _Measure | _Broken] = {}

    def measure(self, start: Node) -> _Measure | _Broken:
        """Measure a node after everything it refers to; strictly, raise the first fault."""
        edges: dict[Node, list[tuple[str, Node]]] = {}
        circles: dict[Node, FlagSetError] = {}
        # A stack of our own: chains may be longer than Python's.
        stack = [start]
        while stack:
            node = stack[-1]
            if node in self.known:
                stack.pop()
                continue
            if node not in edges:
                try:
                    edges[node] = self._edges(node)
                except FlagSetError as error:
                    if self.strict:
                        raise
                    self.known[node] = _Broken(error, spreads=node[0] == "segments")
                    continue
            path, following = self._next(edges[node])
            if following is None:
                self.known[node] = self._measured(node, edges[node], circles.get(node))
            elif following in edges:
                message = f"{following[1]!r} refers to itself, in a circle"
                circles[node] = FlagSetError(path, message)
                if self.strict:
                    raise circles[node]
                edges[node].remove((path, following))
            else:
                stack.append(following)
        return self.known[start]

    def _next(self, edges: list[tuple[str, Node]]) -> tuple[str, Node | None]:
        for path, node in edges:
            if node not in self.known:
                return path, node
        return "", None

    def _measured(
        self, node: Node, edges: list[tuple[str, Node]], circle: FlagSetError | None
    ) -> _Measure | _Broken:
        if circle is not None:
            return _Broken(circle, spreads=True)
        height, cost = 0, 1
        for _, other in edges:
            below = self.known[other]
            if isinstance(below, _Broken):
                if below.spreads:
                    return below
                cost += 1
            else:
                height, cost = max(height, below.height + 1), cost + below.cost
        message = ""
        if height > MAX_CHAIN:
            message = f"more than {MAX_CHAIN} references in a row"
        elif cost > MAX_COST:
            message = f"asks more than {MAX_COST} flags and segments"
        if not message:
            return _Measure(height, cost)
        error = FlagSetError(_path(node), message)
        if self.strict:
            raise error
        return _Broken(error, spreads=True)

    def _edges(self, node: Node) -> list[tuple[str, Node]]:
        kind, key = node
        return self._edges_of_flag(key) if kind == "flags" else self._edges_of_segment(key)

    def _edges_of_flag(self, key: str) -> list[tuple[str, Node]]:
        flag = self.flags[key]
        if flag.fault is not None:
            return []
        if not self.strict and (flag.killed or not flag.enabled):
            return []  # it asks nobody while it is off
        if not flag.prerequisites and not flag.rules:
            return []
        edges: list[tuple[str, Node]] = []
        for part, other, variants in _flags_of(flag):
            path = f"{_path(('flags', key))}.{part}"
            self._check_flag(path, other, variants)
            edges.append((path, ("flags", other)))
        for part, other in _segments_of(flag):
            path = f"{_path(('flags', key))}.{part}"
            self._check_segment(path, other)
            edges.append((path, ("segments", other)))
        return edges

    def _edges_of_segment(self, key: str) -> list[tuple[str, Node]]:
        condition = self.segments[key]
        if isinstance(condition, Fault):
            raise FlagSetError(condition.path, condition.message, condition.hint)
        edges: list[tuple[str, Node]] = []
        for path, part in references_in(condition, _path(("segments", key))):
            if isinstance(part, FlagServes):
                self._check_flag(path, part.flag, part.variants)
                edges.append((path, ("flags", part.flag)))
            elif isinstance(part, InSegment):
                self._check_segment(path, part.segment)
                edges.append((path, ("segments", part.segment)))
        return edges

    def _check_flag(self, path: str, key: str, variants: tuple[str, ...] | None) -> None:
        other = self.flags.get(key)
        if other is None:
            raise FlagSetError(path, f"there is no flag {key!r}")
        for variant in variants or ():
            if variant not in other.variants and other.fault is None:
                raise FlagSetError(path, f"the flag {key!r} has no variant {variant!r}")

    def _check_segment(self, path: str, key: str) -> None:
        if key not in self.segments:
            raise FlagSetError(path, f"there is no segment {key!r}")


def _path(node: Node) -> str:
    kind, key = node
    name = step(key)
    return f"{kind}{name}" if name.startswith("[") else f"{kind}.{name}"
