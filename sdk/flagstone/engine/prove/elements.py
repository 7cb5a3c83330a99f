"""What an element of an array can be: which of some conditions it can fulfil at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flagstone.engine.attributes import MISSING
from flagstone.engine.conditions import Check, compile_condition
from flagstone.engine.model import Condition, FlagSet
from flagstone.engine.prove.atoms import NOWHERE
from flagstone.engine.prove.contexts import Budget, contexts_in
from flagstone.engine.prove.diagram import Diagrams, Node, Writer
from flagstone.engine.prove.space import Region, Space

MAX_STEPS = 5_000
_TRIED = 20


def element_kinds(conditions: Sequence[Condition]) -> dict[int, Any] | None:
    """Return which conditions an element can fulfil at once, with such an element each.

    The element is :data:`MISSING` where none was found; ``None`` if there is too much to look at.
    """
    diagrams = Diagrams()
    # The time is not asked: conditions that look at the clock are not followed into arrays.
    writer = Writer(diagrams, FlagSet({}), 0.0)
    yes, no = diagrams.end(True, True), diagrams.end(False, False)
    roots = [writer.condition(condition, yes, no) for condition in conditions]
    space = Space(diagrams.atoms, element_kinds, is_context=False)
    checks = [compile_condition(condition, NOWHERE) for condition in conditions]
    found: dict[int, Any] = {}
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
            if found.get(kind, MISSING) is MISSING:
                found[kind] = _sample(space, region, checks, kind)
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
    return found


def _sample(space: Space, region: Region, checks: Sequence[Check], kind: int) -> Any:
    for value, _ in contexts_in(space, region, Budget(0, _TRIED), _TRIED):
        if sum(check(value, 0.0) << place for place, check in enumerate(checks)) == kind:
            return value
    return MISSING
