"""What contexts can be: for each attribute its cells, for each hash its buckets, and the times.

A region of the space says which cells are left of each. Asking an atom divides a region into the
part where it holds and the part where it does not. Attributes and hashes are taken to be
independent: a region may be empty though it looks as if it were not, and never the other way
round.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flagstone.engine.attributes import MISSING
from flagstone.engine.bucketing import bucket_of
from flagstone.engine.model import InBucket, Json, Path
from flagstone.engine.operators import number_of
from flagstone.engine.prove.atoms import Atom, HasUnit, Since
from flagstone.engine.prove.buckets import Asked, lines_of
from flagstone.engine.prove.cells import Cell, answers, bits, single
from flagstone.engine.prove.containers import Elements, array_cells, object_cells
from flagstone.engine.prove.numbers import number_cells
from flagstone.engine.prove.texts import text_cells
from flagstone.engine.prove.together import hanging_together

MAX_HINTS = 20

Region = tuple[int, ...]
"""Which cells are left of each variable, as bits."""


class Times(NamedTuple):
    """The times of evaluation: from the first until just before the last."""

    first: float = -math.inf
    last: float = math.inf


@dataclass(slots=True)
class Variable:
    """An attribute (``None`` is the clock) with its cells; ``parent`` is what it stands in."""

    path: Path | None
    cells: list[Cell]
    parent: int | None = None
    children: list[int] = field(default_factory=list)
    objects: int = 0
    missing: int = 0


class Place(NamedTuple):
    """Where an atom is answered: in cells of a variable, and for open cells by a second one."""

    variable: int
    true: int
    open: int
    second: int
    second_true: int


class Hidden(NamedTuple):
    """A second variable: which atoms hold in each of its cells; ``asked`` if it is a hash."""

    truths: list[int]
    asked: tuple[Asked, ...] = ()


class Space:
    """The variables behind some atoms.

    Parameters
    ----------
    atoms : sequence of Atom
        All that will be asked.
    elements : Elements
        Says what elements of arrays can fulfil.
    times : Times or None
        ``None`` where nothing depends on the time.
    is_context : bool
        Whether the root is a context, an object; otherwise it is an element, any value.
    """

    def __init__(
        self,
        atoms: Sequence[Atom],
        elements: Elements,
        times: Times | None = None,
        *,
        is_context: bool = True,
    ) -> None:
        self.atoms = atoms
        self.is_context = is_context
        self.variables: list[Variable] = []
        self.hidden: list[Hidden] = []
        self.places: dict[int, Place] = {}
        self.by_number = {atom.number: atom for atom in atoms}
        self._projected: dict[tuple[int, int, int], Any] = {}
        self._relevant: dict[int, list[int]] = {}
        by_path: dict[Path | None, list[Atom]] = {}
        for atom in atoms:
            by_path.setdefault(atom.path, []).append(atom)
        paths = sorted((path for path in by_path if path is not None), key=lambda p: (len(p), p))
        for path in paths:
            self._add(path, by_path[path], paths, elements)
        if times is not None:
            timed = by_path.get(None, [])
            self.variables.append(Variable(None, list(_time_cells(timed, times))))
        self._find_places(by_path)

    def _add(self, path: Path, atoms: list[Atom], paths: list[Path], elements: Elements) -> None:
        has_parts = any(_is_inside(other, path) for other in paths)
        # Of the attributes that this one stands in the last is the nearest.
        above = [n for n, found in enumerate(self.variables) if _is_inside(path, found.path)]
        hashed = [atom for atom in atoms if isinstance(atom.question, (InBucket, HasUnit))]
        plain = [atom for atom in atoms if not isinstance(atom.question, (InBucket, HasUnit))]
        is_context = not path and self.is_context
        cells = _cells(
            plain, elements, is_context=is_context, is_root=not path, has_parts=has_parts
        )
        cells = (_with_buckets(cell, hashed) for cell in cells)
        merged = _merged(cells, has_parts=has_parts, inside=bool(above))
        variable = Variable(path, merged, above[-1] if above else None)
        for place, cell in enumerate(variable.cells):
            variable.objects |= (cell.kind == "object") << place
            variable.missing |= (cell.kind == "missing") << place
        if above:
            self.variables[above[-1]].children.append(len(self.variables))
        self.variables.append(variable)

    def _find_places(self, by_path: dict[Path | None, list[Atom]]) -> None:
        unknown: list[Atom] = []
        for number, variable in enumerate(self.variables):
            for atom in by_path.get(variable.path, []):
                true = _where(atom, (cell.true for cell in variable.cells))
                left = _where(atom, (cell.open for cell in variable.cells))
                self.places[atom.number] = Place(number, true, left, -1, 0)
                if left:
                    unknown.append(atom)
        for line in lines_of(unknown):
            self._hide(Hidden(line.truths, line.asked), [asked.atom for asked in line.asked])
        others = [atom for atom in unknown if not isinstance(atom.question, InBucket)]
        for group, truths in hanging_together(others, self._is_for_numbers):
            self._hide(Hidden(truths), group)

    def _is_for_numbers(self, atom: Atom) -> bool:
        place = self.places[atom.number]
        cells = self.variables[place.variable].cells
        return all(cells[at].kind == "number" for at in places_of(place.open))

    def _hide(self, hidden: Hidden, atoms: Sequence[Atom]) -> None:
        """Add a second variable that answers some atoms where their cells leave them open."""
        number = len(self.variables) + len(self.hidden)
        self.hidden.append(hidden)
        for atom in atoms:
            place = self.places[atom.number]
            true = _where(atom, hidden.truths)
            self.places[atom.number] = place._replace(second=number, second_true=true)

    @property
    def whole(self) -> Region:
        """The region that is everything."""
        sizes = [len(variable.cells) for variable in self.variables]
        sizes += [len(hidden.truths) for hidden in self.hidden]
        return tuple((1 << size) - 1 for size in sizes)

    def divide(self, region: Region, atom: Atom) -> tuple[Region | None, Region | None]:
        """Return the parts of a region where an atom holds and where not; ``None`` if empty."""
        place = self.places[atom.number]
        cells = region[place.variable]
        true, unknown = cells & place.true, cells & place.open
        false = cells & ~place.true & ~place.open
        if not unknown:
            return self._keep(region, place, true), self._keep(region, place, false)
        second = region[place.second]
        yes, no = second & place.second_true, second & ~place.second_true
        holds = self._keep(region, place, true | (unknown if yes else 0), yes)
        fails = self._keep(region, place, false | (unknown if no else 0), no)
        return holds, fails

    def _keep(self, region: Region, place: Place, cells: int, second: int = 0) -> Region | None:
        if not cells:
            return None
        if cells == region[place.variable] and (not second or second == region[place.second]):
            return region
        left = list(region)
        if second and cells & place.open:
            left[place.second] = second
        if cells != region[place.variable]:
            left[place.variable] = cells
            return self._agreed(left, place.variable)
        return tuple(left)

    def _agreed(self, left: list[int], start: int) -> Region | None:
        """Let what stands inside an object and the object itself agree."""
        waiting = [start]
        while waiting:
            number = waiting.pop()
            variable = self.variables[number]
            if variable.parent is not None and not left[number] & variable.missing:
                parent = self.variables[variable.parent]
                objects = left[variable.parent] & parent.objects
                if objects != left[variable.parent]:
                    left[variable.parent] = objects
                    waiting.append(variable.parent)
            if variable.children and not left[number] & variable.objects:
                for child in variable.children:
                    missing = left[child] & self.variables[child].missing
                    if missing != left[child]:
                        left[child] = missing
                        waiting.append(child)
            if not left[number]:
                return None
        return tuple(left) if all(left) else None

    def projected(self, region: Region, support: int) -> Any:
        """Return what a region means for the atoms in ``support``, something hashable."""
        numbers = self._relevant.get(support)
        if numbers is None:
            numbers = self._relevant[support] = [
                number for number, asked in enumerate(self._asked()) if asked & support
            ]
        seen = []
        for number in numbers:
            key = (number, region[number], support)
            found = self._projected.get(key)
            if found is None:
                found = self._projected[key] = self._project(number, region[number], support)
            seen.append(found)
        return tuple(seen)

    def _asked(self) -> Iterator[int]:
        """Yield for each variable the atoms that it answers, as bits."""
        for variable in self.variables:
            yield bits(atom for atom in self.atoms if atom.path == variable.path)
        for hidden in self.hidden:
            yield functools.reduce(operator.or_, hidden.truths, 0)

    def _project(self, number: int, cells: int, support: int) -> Any:
        if number < len(self.variables):
            held = self.variables[number].cells
            return frozenset(
                (held[place].true & support, held[place].open & support)
                for place in places_of(cells)
            )
        truths = self.hidden[number - len(self.variables)].truths
        return frozenset(truths[place] & support for place in places_of(cells))


def _is_inside(path: Path, other: Path | None) -> bool:
    """Whether an attribute stands in another one."""
    return other is not None and len(other) < len(path) and path[: len(other)] == other


def _where(atom: Atom, sets: Iterable[int]) -> int:
    """Return the places of the sets that an atom is in, as bits."""
    return sum(bool(held & atom.bit) << place for place, held in enumerate(sets))


def places_of(cells: int) -> Iterator[int]:
    """Yield the places of the bits that are set."""
    while cells:
        low = cells & -cells
        yield low.bit_length() - 1
        cells ^= low


def _cells(
    atoms: Sequence[Atom], elements: Elements, *, is_context: bool, is_root: bool, has_parts: bool
) -> Iterator[Cell]:
    """Cut all values of an attribute into cells."""
    if not is_context:
        if not is_root:
            yield single("missing", atoms, MISSING)
        yield from text_cells(atoms)
        yield from number_cells(atoms, _numbers_named(atoms))
        for value in (True, False):
            yield single("boolean", atoms, value)
        yield single("null", atoms, None)
        yield from array_cells(atoms, elements)
    yield from object_cells(atoms, has_parts=has_parts)


def _numbers_named(atoms: Sequence[Atom]) -> Iterator[int | float]:
    """Yield numbers that a few texts among the constants read as: worth looking at alone."""
    texts = (
        value
        for atom in atoms
        for value in getattr(atom.question, "values", ())[:MAX_HINTS]
        if type(value) is str
    )
    for text in texts:
        with contextlib.suppress(ValueError):
            yield number_of(text)


def _with_buckets(cell: Cell, hashed: list[Atom]) -> Cell:
    """Say where a cell's values lie among the buckets, or that it is open."""
    sample = cell.samples[0] if cell.samples else _TYPICAL[cell.kind]
    if cell.whole:
        cell.true |= answers(hashed, sample)[0]
        return cell
    for atom in hashed:
        match atom.question:
            case HasUnit():
                cell.true |= answers([atom], sample)[0]
            case InBucket(bucketing) if bucket_of(bucketing, sample) is not None:
                cell.open |= atom.bit
    return cell


_TYPICAL: dict[str, Json] = {"text": "x", "number": 1, "array": [], "object": {}}


def _merged(cells: Iterable[Cell], *, has_parts: bool, inside: bool) -> list[Cell]:
    """Join cells that answer alike; keep objects, or what is missing, apart where it matters."""
    found: dict[Any, Cell] = {}
    for cell in cells:
        apart = (has_parts and cell.kind == "object", inside and cell.kind == "missing")
        name = (cell.true, cell.open, apart)
        known = found.get(name)
        if known is None:
            found[name] = cell
            continue
        known.samples.extend(cell.samples[: max(0, 40 - len(known.samples))])
        if known.more is None:
            known.more = cell.more
    return list(found.values())


def _time_cells(atoms: list[Atom], times: Times) -> Iterator[Cell]:
    starts = {
        atom.question.seconds
        for atom in atoms
        if isinstance(atom.question, Since) and times.first < atom.question.seconds < times.last
    }
    edges = [times.first, *sorted(starts), times.last]
    unknown = bits(atom for atom in atoms if not isinstance(atom.question, Since))
    for low, high in itertools.pairwise(edges):
        earlier = min(0.0, high - 1.0, math.nextafter(high, -math.inf))
        sample = low if math.isfinite(low) else earlier
        true = bits(
            atom
            for atom in atoms
            if isinstance(atom.question, Since) and sample >= atom.question.seconds
        )
        middle = (sample + high) / 2 if math.isfinite(high) else sample + 1.0
        yield Cell("time", true, unknown, [sample, middle])
