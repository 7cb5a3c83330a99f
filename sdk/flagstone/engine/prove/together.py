"""Comparisons that are not followed, but hang together: who is less is not greater.

Where the order of two values or the text of a number is not known, the atoms that ask for it are
not independent: each possible order, or text, answers them all at once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flagstone.engine import semver
from flagstone.engine.model import AttributeIs
from flagstone.engine.operators import text_of
from flagstone.engine.prove.atoms import Atom
from flagstone.engine.prove.languages import (
    Machine,
    Product,
    Search,
    TooManyStatesError,
    pattern_of,
)
from flagstone.engine.prove.texts import family_of
from flagstone.engine.regex_syntax import parse

MAX_CONSTANTS = 50
_NUMERAL = r"\A-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?\z"
"""What the text of a number looks like, and more."""
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
_KEYED = frozenset({"semver", "version"})


def hanging_together(
    atoms: Sequence[Atom], is_for_numbers: Callable[[Atom], bool]
) -> Iterator[tuple[list[Atom], list[int]]]:
    """Yield groups of atoms with the sets of them that can hold at once.

    ``is_for_numbers`` says that an atom is followed wherever it does not meet numbers.
    """
    groups: dict[Any, list[Atom]] = {}
    for atom in atoms:
        groups.setdefault((*_group_of(atom), is_for_numbers(atom)), []).append(atom)
    for name, group in groups.items():
        truths = _truths(name[0], group, is_for_numbers=name[-1])
        if truths is None:
            yield from (([atom], [0, atom.bit]) for atom in group)
        else:
            yield group, truths


def _truths(name: str, group: list[Atom], *, is_for_numbers: bool) -> list[int] | None:
    """Return which atoms of a group can hold at once; ``None`` if that is not known."""
    match name:
        case "two values":
            return _of_two_values(group)
        case "keys":
            return _of_keys(group)
        case "texts":
            return _of_texts(group, is_for_numbers=is_for_numbers)
        case _:
            return None


def _group_of(atom: Atom) -> tuple[Any, ...]:
    leaf = atom.question
    if not isinstance(leaf, AttributeIs):
        return "alone", atom.number
    kind, _, order = leaf.op.rpartition("_")
    if leaf.values_from is not None:
        if order not in _HOLDS:
            return "alone", atom.number
        kind = "time" if order in ("before", "after") else kind
        how = leaf.read_as, leaf.ci, leaf.elements, leaf.strict
        return "two values", kind, leaf.attr, leaf.values_from, how
    if not leaf.elements and leaf.read_as != "auto":
        if kind in _KEYED:
            return "keys", kind, leaf.attr, leaf.read_as, leaf.strict
        if leaf.read_as in ("string", "joined"):
            return "texts", leaf.attr, leaf.read_as
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


def _of_keys(group: list[Atom]) -> list[int]:
    """Return what holds for every place of a version among the constants."""
    asked: list[tuple[Atom, Callable[[Any, Any], bool], list[Any]]] = []
    for atom in group:
        leaf = atom.question
        if isinstance(leaf, AttributeIs):
            compare = _COMPARE[leaf.op.rpartition("_")[2]]
            asked.append((atom, compare, [_key(leaf, value) for value in leaf.values]))
    ordered = sorted({key for _, _, keys in asked for key in keys})
    places = {key: 2 * place + 1 for place, key in enumerate(ordered)}
    # A value that is no version at all answers no to everything.
    truths: dict[int, None] = {0: None}
    for place in range(2 * len(places) + 1):
        truth = 0
        for atom, compare, keys in asked:
            if any(compare(place, places[key]) for key in keys):
                truth |= atom.bit
        truths[truth] = None
    return list(truths)


def _key(leaf: AttributeIs, value: Any) -> Any:
    text = text_of(value)
    if leaf.op.startswith("version"):
        return semver.padded(text)
    return semver.sort_key(text, strict=leaf.strict)


def _of_texts(group: list[Atom], *, is_for_numbers: bool) -> list[int] | None:
    """Return what holds for all texts, or for those that numbers can have."""
    machines: list[tuple[Atom, Machine]] = []
    for atom in group:
        family = family_of(atom)
        machine = family.machine
        if machine is None and 0 < len(family.constants) <= MAX_CONSTANTS:
            machine = Search(pattern_of("in", family.constants))
        if machine is None:
            return None
        machines.append((atom, machine))
    numeral = [Search(parse(_NUMERAL))] if is_for_numbers else []
    try:
        product = Product(machines, numeral)
    except TooManyStatesError:
        return None
    truths: dict[int, None] = {}
    for true, unknown in product.cells:
        if unknown:
            return None
        truths[true] = None
    return list(truths)
