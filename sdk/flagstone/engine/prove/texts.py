"""All texts in cells: constants one by one, and the others by every way to look at them."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from flagstone.engine.model import AttributeIs, Each
from flagstone.engine.operators import IGNORES_CASE, is_number, test_of, text_of
from flagstone.engine.prove.atoms import Atom, Named, readable
from flagstone.engine.prove.cells import Cell, answers, bits, single
from flagstone.engine.prove.keys import (
    Addresses,
    Lowered,
    View,
    number_view,
    semver_view,
    time_view,
    version_view,
)
from flagstone.engine.prove.languages import (
    Length,
    Machine,
    Order,
    Product,
    Search,
    TooManyStatesError,
    pattern_of,
)
from flagstone.engine.prove.numbers import cuts_of
from flagstone.engine.regex_syntax import Choice, parse

MAX_CELLS = 600
FEW = 30
"""So many texts of one cell are looked at one by one."""
MAX_LENGTH = 200
MAX_LOWERED = 30
"""So many constants in any case go to an automaton; more are looked up."""
_SHOWN = 3
_ORDER: dict[str, tuple[Callable[[Any, Any], bool], Callable[..., str]]] = {
    "lt": (operator.lt, max),
    "lte": (operator.le, max),
    "gt": (operator.gt, min),
    "gte": (operator.ge, min),
}


class Family(NamedTuple):
    """How to follow an atom over texts: by constants, by an automaton or by a key."""

    name: str
    constants: tuple[str, ...] = ()
    machine: Machine | None = None


_ALIKE = Family("alike")
"""All texts answer alike."""
_OPEN = Family("open")
"""Nothing is known."""


def text_cells(atoms: Sequence[Atom]) -> Iterator[Cell]:
    """Cut all texts into cells."""
    families = [(atom, family_of(atom)) for atom in atoms]
    constants: dict[str, None] = {}
    for _, family in families:
        constants.update(dict.fromkeys(family.constants))
    yield from (single("text", atoms, constant) for constant in constants)
    unknown = bits(atom for atom, family in families if family is _OPEN)
    views, lost = _views(families)
    unknown |= lost
    alike = [atom for atom, family in families if family is _ALIKE]
    true, unanswered = answers(alike, "x")
    base = Cell("text", true, unanswered | unknown)
    if len(views) == 1:
        yield from _cells_of_one(atoms, base, views[0], constants)
    elif views:
        yield from _cells_of_several(base, views, constants)
    else:
        base.more = lambda: fresh_texts(constants)
        base.samples = [next(fresh_texts(constants))]
        yield base


def fresh_texts(taken: dict[str, None]) -> Iterator[str]:
    """Yield texts that are none of those taken."""
    names = (f"user-{number}" for number in itertools.count(1))
    return (name for name in names if name not in taken)


def _cells_of_one(
    atoms: Sequence[Atom], base: Cell, view: View, taken: dict[str, None]
) -> Iterator[Cell]:
    for place, (true, unknown) in enumerate(view.masks):

        def more(place: int = place) -> Iterator[str]:
            return (text for text in view.texts(place) if text not in taken)

        samples = list(itertools.islice(more(), FEW + 1))
        if len(samples) > FEW or not view.is_complete(place):
            yield Cell("text", base.true | true, base.open | unknown, samples[:_SHOWN], more)
            continue
        # These are all: each is looked at on its own.
        yield from (single("text", atoms, text) for text in samples)


def _cells_of_several(base: Cell, views: list[View], taken: dict[str, None]) -> Iterator[Cell]:
    """Combine several ways to look; combinations without a known text may be empty."""
    found: dict[tuple[int, ...], list[str]] = {}
    pool: list[str] = []
    for view in views:
        for place in range(len(view.masks)):
            pool.extend(itertools.islice(view.texts(place), 20))
    for text in dict.fromkeys(pool):
        if text not in taken:
            found.setdefault(tuple(view.index(text) for view in views), []).append(text)
    for places in itertools.product(*(range(len(view.masks)) for view in views)):
        cell = Cell("text", base.true, base.open, found.get(places, [])[:20])
        for view, place in zip(views, places, strict=True):
            true, unknown = view.masks[place]
            cell.true |= true
            cell.open |= unknown
        yield cell


def _views(families: list[tuple[Atom, Family]]) -> tuple[list[View], int]:
    """Return the ways to look at texts, and the atoms that are too much for them."""
    groups: dict[str, list[Atom]] = {}
    machines: list[tuple[Atom, Machine]] = []
    for atom, family in families:
        if family.machine is not None:
            machines.append((atom, family.machine))
        elif family.name in _KEYED:
            groups.setdefault(family.name, []).append(atom)
    views: list[View] = [_KEYED[name](group) for name, group in groups.items()]
    automata, lost = _automata(machines)
    views.extend(automata)
    # The largest ways to look are given up first.
    views.sort(key=lambda view: len(view.masks))
    while math.prod(len(view.masks) for view in views) > MAX_CELLS and len(views) > 1:
        for true, unknown in views.pop().masks:
            lost |= true | unknown
    return views, lost


def _automata(machines: list[tuple[Atom, Machine]]) -> tuple[list[View], int]:
    if not machines:
        return [], 0
    try:
        return [_Automata(machines)], 0
    except TooManyStatesError:
        if len(machines) == 1:
            return [], machines[0][0].bit
    half = len(machines) // 2
    (one, lost), (other, more) = _automata(machines[:half]), _automata(machines[half:])
    return [*one, *other], lost | more


class _Automata(View):
    """Texts cut by automata."""

    def __init__(self, machines: list[tuple[Atom, Machine]]) -> None:
        self._machines = machines
        self._product = Product(machines)
        self.masks = list(self._product.cells)
        self._places = {mask: place for place, mask in enumerate(self.masks)}

    def index(self, text: str) -> int:
        """Return the cell of a text."""
        return self._places[self._product.cell_of(text)]

    def texts(self, cell: int) -> Iterator[str]:
        """Yield texts of a cell."""
        return self._product.texts(self.masks[cell])

    def is_complete(self, cell: int) -> bool:
        """Whether :meth:`texts` yields every text of a cell, if it ends."""
        return self._product.is_complete(self.masks[cell])


_KEYED: dict[str, Callable[[Sequence[Atom]], View]] = {
    "number": number_view,
    "time": time_view,
    "semver": lambda atoms: semver_view(atoms, strict=False),
    "semver-strict": lambda atoms: semver_view(atoms, strict=True),
    "version": version_view,
    "cidr": Addresses,
    "lowered": Lowered,
}


def family_of(atom: Atom) -> Family:
    """Return how to follow an atom over texts."""
    question = atom.question
    if atom.test is None:
        return _ALIKE if isinstance(question, Each) else _OPEN
    if isinstance(question, Named):
        return Family("constants", tuple(question.keys))
    if not isinstance(question, AttributeIs):
        return _ALIKE
    if question.ci and question.op not in IGNORES_CASE and question.op not in ("exists", "type"):
        return _OPEN
    return _family_of_leaf(question)


def _family_of_leaf(leaf: AttributeIs) -> Family:
    if leaf.op in ("exists", "type"):
        return Family("number") if leaf.read_as == "number" else _ALIKE
    if leaf.read_as == "length":
        return _length(leaf)
    if leaf.read_as == "number":
        return _OPEN if cuts_of(leaf) is None else Family("number")
    texts = tuple(value for value in leaf.values if type(value) is str)
    if leaf.read_as == "auto" and len(texts) < len(leaf.values):
        numeric = all(is_number(value) for value in leaf.values)
        return Family("number") if numeric and leaf.op in ("in", *_ORDER) else _OPEN
    if leaf.read_as == "string" and leaf.op != "mod":
        if len(texts) < len(leaf.values) and leaf.op not in (*IGNORES_CASE, *_ORDER):
            return _OPEN
        texts = tuple(text_of(value) for value in leaf.values)
    return _plain_family(leaf, texts)


def _plain_family(leaf: AttributeIs, texts: tuple[str, ...]) -> Family:
    """Follow an atom that sees texts as they are."""
    if leaf.op == "mod":
        return _ALIKE
    if leaf.op == "regex":
        read = functools.partial(parse, fold=leaf.ci)
        node = Choice(tuple(readable(read, texts)))
        return Family("machine", machine=Search(node))
    if leaf.op in IGNORES_CASE:
        return _of_texts(leaf, texts)
    if leaf.op in _ORDER:
        if not texts:
            return _ALIKE
        compare, nearest = _ORDER[leaf.op]
        return Family("machine", machine=Order(nearest(texts), compare))
    if leaf.op in ("before", "after"):
        return Family("time")
    if leaf.op.startswith("semver_"):
        return Family("semver-strict" if leaf.strict else "semver")
    return Family("version" if leaf.op.startswith("version_") else leaf.op)


def _of_texts(leaf: AttributeIs, texts: tuple[str, ...]) -> Family:
    if leaf.ci:
        texts = tuple(text.lower() for text in texts)
    if not texts:
        return _ALIKE
    if leaf.op == "in":
        if not leaf.ci:
            return Family("constants", texts)
        if len(texts) > MAX_LOWERED:
            return Family("lowered")
    return Family("machine", machine=Search(pattern_of(leaf.op, texts), lower=leaf.ci))


def _length(leaf: AttributeIs) -> Family:
    """Follow an atom that sees how long a text is."""
    cuts = cuts_of(replace(leaf, read_as=None))
    if cuts is None or cuts.period > 1 or any(point > MAX_LENGTH for point in cuts.points):
        return _OPEN
    most = max((math.ceil(point) for point in cuts.points), default=0) + 1
    test = length_test(leaf)
    return Family("machine", machine=Length(max(most, 1), test))


def length_test(leaf: AttributeIs) -> Callable[[int], bool]:
    """Return the test of a length itself."""
    return test_of(replace(leaf, read_as=None, elements=False))
