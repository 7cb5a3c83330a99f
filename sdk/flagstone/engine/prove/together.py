"""Comparisons that are not followed, but hang together: who is less is not greater.

Where the order of two values is not known, the atoms that ask for it are not independent: each
possible order answers them all at once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flagstone.engine.model import AttributeIs
from flagstone.engine.operators import is_number, text_of
from flagstone.engine.prove.atoms import Atom
from flagstone.engine.semver import padded

_LESS, _EQUAL, _GREATER, _SAME = 1, 2, 4, 8
_HOLDS = {
    "lt": _LESS,
    "lte": _LESS | _EQUAL,
    "gt": _GREATER,
    "gte": _GREATER | _EQUAL,
    # Values may be equal that have no order.
    "in": _EQUAL | _SAME,
    "eq": _EQUAL,
    "before": _LESS,
    "after": _GREATER,
}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


def hanging_together(atoms: Sequence[Atom]) -> Iterator[tuple[list[Atom], list[int]]]:
    """Yield groups of atoms with the sets of them that can hold at once."""
    groups: dict[Any, list[Atom]] = {}
    for atom in atoms:
        groups.setdefault(_group_of(atom), []).append(atom)
    for name, group in groups.items():
        if name[0] == "two values":
            yield group, _of_two_values(group)
        elif name[0] == "versions":
            yield group, _of_versions(group)
        else:
            yield group, [0, *(atom.bit for atom in group)]


def _group_of(atom: Atom) -> tuple[Any, ...]:
    leaf = atom.question
    if isinstance(leaf, AttributeIs):
        kind, _, order = leaf.op.rpartition("_")
        if leaf.values_from is not None and order in _HOLDS:
            kind = "time" if order in ("before", "after") else kind
            how = leaf.read_as, leaf.ci, leaf.elements, leaf.strict
            return "two values", kind, leaf.attr, leaf.values_from, how
        if kind == "version" and leaf.read_as != "auto" and not leaf.elements:
            return "versions", leaf.attr, leaf.read_as
    return "alone", atom.number


def _of_two_values(group: list[Atom]) -> list[int]:
    """Return what holds for every set of orders: several values may be compared with."""
    truths: dict[int, None] = {}
    for orders in range(16):
        truth = 0
        for atom in group:
            leaf = atom.question
            if isinstance(leaf, AttributeIs) and _HOLDS[leaf.op.rpartition("_")[2]] & orders:
                truth |= atom.bit
        truths[truth] = None
    return list(truths)


def _of_versions(group: list[Atom]) -> list[int]:
    """Return what holds for every place of a version among the constants."""
    keys: dict[int, list[str]] = {}
    for atom in group:
        leaf = atom.question
        if isinstance(leaf, AttributeIs):
            keys[atom.number] = [
                padded(text_of(value) if is_number(value) else value) for value in leaf.values
            ]
    ordered = sorted({key for own in keys.values() for key in own})
    places = {key: 2 * place + 1 for place, key in enumerate(ordered)}
    # A value that is no version at all answers no to everything.
    truths: dict[int, None] = {0: None}
    for place in range(2 * len(places) + 1):
        truth = 0
        for atom in group:
            leaf = atom.question
            if isinstance(leaf, AttributeIs):
                compare = _COMPARE[leaf.op.rpartition("_")[2]]
                if any(compare(place, places[key]) for key in keys[atom.number]):
                    truth |= atom.bit
        truths[truth] = None
    return list(truths)
