"""What an element of an array can be: which of some conditions it can fulfil at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flagstone.engine.conditions import compile_condition
from flagstone.engine.model import Condition, FlagSet
from flagstone.engine.prove.atoms import NOWHERE
from flagstone.engine.prove.contexts import values_in
from flagstone.engine.prove.diagram import Diagrams, Node, Writer
from flagstone.engine.prove.space import Region, Space

MAX_STEPS = 5_000
_SAMPLES = 3


def element_kinds(conditions: Sequence[Condition]) -> list[tuple[int, list[Any]]] | None:
    """Return which conditions an element can fulfil at once, with a few such elements each.

    ``None`` if there is too much to look at.
    """
    diagrams = Diagrams()
    # The time is not asked: conditions that look at the clock are not followed into arrays.
    writer = Writer(diagrams, FlagSet({}), 0.0)
    yes, no = diagrams.end(True, True), diagrams.end(False, False)
    roots = [writer.condition(condition, yes, no) for condition in conditions]
    space = Space(diagrams.atoms, element_kinds, is_context=False)
    checks = [compile_condition(condition, NOWHERE) for condition in conditions]
    found: dict[int, list[Any]] = {}
    seen: set[Any] = set()
    stack: list[tuple[int, Node, int, Region]] = [(0, roots[0], 0, space.whole)]
    steps = 0
    while stack:
        place, node, kind, region = stack.pop()
        if node.atom is None:
            kind |= node.answer << place
            place += 1
            if place < len(roots):
                stack.append((place, roots[place], kind, region))
                continue
            samples = found.setdefault(kind, [])
            if len(samples) < _SAMPLES:
                samples.extend(_samples(space, region, checks, kind))
            continue
        key = (place, node.number, kind, region)
        if key in seen:
            continue
        seen.add(key)
        steps += 1
        if steps > MAX_STEPS:
            return None
        holds, fails = space.divide(region, node.atom)
        if fails is not None:
            stack.append((place, node.no, kind, fails))
        if holds is not None:
            stack.append((place, node.yes, kind, holds))
    return list(found.items())


def _samples(space: Space, region: Region, checks: Sequence[Any], kind: int) -> list[Any]:
    samples = []
    for value in values_in(space, region, 20):
        actual = sum(check(value, 0.0) << place for place, check in enumerate(checks))
        if actual == kind:
            samples.append(value)
            break
    return samples
