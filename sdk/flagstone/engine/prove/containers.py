"""Arrays and objects in cells: by what their elements are, how many there are, and whole."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flagstone.engine.attributes import MISSING
from flagstone.engine.model import AttributeIs, Condition, Each
from flagstone.engine.prove.atoms import Atom, Named, is_about_values
from flagstone.engine.prove.cells import Cell, answers, bits, single
from flagstone.engine.prove.numbers import cuts_of
from flagstone.engine.prove.texts import length_test

MAX_UNIONS = 512
MAX_LENGTH = 200
_NOWHERE = "\0\0"
"""An element that no constant has."""

Elements = Callable[[Sequence[Condition]], "dict[int, Any] | None"]
"""Returns which of some conditions an element can fulfil at once, as bits, with such an element or
:data:`MISSING`; ``None`` if that is too much."""


@dataclass(frozen=True, slots=True)
class _Lengths:
    """Lengths that are told apart: each a first one, and the one after the last if there is one."""

    spans: tuple[tuple[int, int | None], ...]
    tests: tuple[tuple[Atom, Callable[[int], bool]], ...]
    unknown: int

    def true(self, length: int) -> int:
        """Return the atoms that hold for a length."""
        return bits(atom for atom, test in self.tests if test(length))


def _lengths(atoms: Sequence[Atom]) -> _Lengths:
    cuts, tests, unknown = {0}, [], 0
    for atom in atoms:
        leaf = atom.question
        if not isinstance(leaf, AttributeIs) or leaf.read_as != "length":
            continue
        if leaf.values_from is not None:
            continue
        if leaf.op in ("exists", "type"):
            tests.append((atom, length_test(leaf)))
            continue
        found = cuts_of(replace(leaf, read_as=None))
        if found is None or found.period > 1 or any(n > MAX_LENGTH for n in found.points):
            unknown |= atom.bit
            continue
        tests.append((atom, length_test(leaf)))
        for point in found.points:
            # From the integer at or after a cut, and from the one behind it, answers may differ.
            cuts |= {length for length in (-int(-point // 1), int(point // 1) + 1) if length > 0}
    firsts = sorted(cuts)
    spans = tuple(zip(firsts, [*firsts[1:], None], strict=True))
    return _Lengths(spans, tuple(tests), unknown)


def object_cells(atoms: Sequence[Atom], *, has_parts: bool) -> Iterator[Cell]:
    """Cut all objects into cells; ``has_parts`` if attributes inside them are asked for too."""
    lengths = _lengths(atoms)
    unknown = lengths.unknown
    constants = [value for atom in atoms for value in _constants(atom) if type(value) is dict]
    if has_parts:
        # What stands inside is chosen on its own, so nothing is known of the whole.
        unknown |= bits(atom for atom, _ in lengths.tests)
        unknown |= bits(
            atom for atom in atoms if any(type(value) is dict for value in _constants(atom))
        )
        constants = []
    yield from (single("object", atoms, constant) for constant in constants)
    spans = ((0, None),) if has_parts else lengths.spans
    for first, after in spans:
        sample = next(_objects(first, after, constants), None)
        if sample is None:
            continue
        true, unanswered = answers(atoms, sample)

        def more(first: int = first, after: int | None = after) -> Iterator[Any]:
            return _objects(first, after, constants)

        yield Cell("object", true & ~unknown, unanswered | unknown, [sample], more)


def _objects(first: int, after: int | None, taken: list[Any]) -> Iterator[Any]:
    """Yield objects of some length that are none of those taken."""
    if first == 0:
        if {} not in taken:
            yield {}
        first = 1
    for length in range(first, first + 3 if after is None else min(after, first + 3)):
        for number in range(1, 20):
            yield {f"part-{place}": f"value-{number}" for place in range(length)}


def array_cells(atoms: Sequence[Atom], elements: Elements) -> Iterator[Cell]:
    """Cut all arrays into cells."""
    # With ``elements`` it is the elements' lengths that count.
    lengths = _lengths([atom for atom in atoms if not getattr(atom.question, "elements", False)])
    asked = [(atom, condition) for atom in atoms for condition in _on_elements(atom)]
    unknown = lengths.unknown | bits(atom for atom in atoms if _is_open(atom))
    every = bits(atom for atom, _ in asked)
    constants = [value for atom in atoms for value in _constants(atom) if type(value) is list]
    yield from (single("array", atoms, constant) for constant in constants)
    kinds: dict[int, Any] = {0: "x"}
    unions: dict[int, list[int]] = {0: []}
    if asked:
        found = elements([condition for _, condition in asked])
        joined = None if found is None else _unions(found)
        if found is None or joined is None:
            # Too many kinds of elements: everything about them is left open.
            unknown |= every
        else:
            kinds, unions = found, joined
    measured = bits(atom for atom, _ in lengths.tests)
    rest = [atom for atom in atoms if not (every | measured | unknown) & atom.bit]
    # What asks neither for elements nor for the length tells the constants from all others only.
    alike, _ = answers(rest, [_NOWHERE])
    for union, needed in unions.items():
        held = bits(atom for place, (atom, _) in enumerate(asked) if union >> place & 1)
        for first, after in lengths.spans:
            if after is not None and after <= len(needed):
                continue
            if not needed and first > 0 and 0 not in kinds:
                continue
            true = (held | lengths.true(first) | alike) & ~unknown
            samples = list(_arrays(needed, kinds, first, after, constants))
            yield Cell("array", true, unknown, samples)


def _arrays(
    needed: list[int],
    kinds: dict[int, Any],
    first: int,
    after: int | None,
    taken: list[Any],
) -> Iterator[list[Any]]:
    """Yield arrays that have an element of each kind needed, and no other kinds."""
    padding = needed[:1] or [0]
    for longer in range(3):
        length = max(first, len(needed)) + longer
        if after is not None and length >= after:
            return
        chosen = [*needed, *padding * (length - len(needed))]
        if any(kinds.get(kind, MISSING) is MISSING for kind in chosen):
            return
        array = [copy.deepcopy(kinds[kind]) for kind in chosen]
        for candidate in (array, array[::-1]):
            if candidate not in taken:
                yield candidate


def _unions(kinds: Iterable[int]) -> dict[int, list[int]] | None:
    """Return what the elements of an array can fulfil together, and the fewest kinds for it."""
    unions: dict[int, list[int]] = {0: []}
    waiting = [0]
    for union in waiting:
        for kind in kinds:
            larger = union | kind
            if larger not in unions:
                unions[larger] = [*unions[union], kind]
                waiting.append(larger)
        if len(unions) > MAX_UNIONS:
            return None
    return unions


def _on_elements(atom: Atom) -> Iterator[Condition]:
    """Yield the condition that an array fulfils if one of its elements does."""
    question = atom.question
    if isinstance(question, Each):
        if is_about_values(question.condition):
            yield question.condition
    elif isinstance(question, AttributeIs) and question.values_from is None:
        if question.elements:
            yield replace(question, attr=(), elements=False)
        elif question.op == "contains" and question.read_as is None:
            yield replace(question, attr=(), op="in")


def _is_open(atom: Atom) -> bool:
    """Whether nothing is known of an atom on arrays."""
    question = atom.question
    if isinstance(question, Each):
        return not is_about_values(question.condition)
    if not isinstance(question, AttributeIs):
        return not isinstance(question, Named)
    if question.values_from is not None:
        return True
    if question.elements or question.op in ("exists", "type"):
        return False
    return question.read_as == "joined" or (
        question.op == "contains" and question.read_as == "auto"
    )


def _constants(atom: Atom) -> Sequence[Any]:
    """Return the constants with which a whole array or object may be equal."""
    question = atom.question
    if isinstance(question, AttributeIs) and question.op == "in" and question.values_from is None:
        return question.values
    return ()
