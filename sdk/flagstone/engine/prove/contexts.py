"""From a region back to values: contexts that lie in it, the simplest first."""

from __future__ import annotations

import copy
import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flagstone.engine.attributes import MISSING
from flagstone.engine.bucketing import edge_of, place_of
from flagstone.engine.model import AttributeIs, Bucketing, Each
from flagstone.engine.prove.atoms import Atom
from flagstone.engine.prove.cells import Cell
from flagstone.engine.prove.keys import time_texts
from flagstone.engine.prove.space import Hidden, Region, Space, Variable, places_of
from flagstone.engine.wording import attribute_words, condition_words

MAX_UNITS = 60_000
"""So many units are tried to find one with certain buckets."""
_FEW_UNITS = 2_000
_CHOICES = 6
_POOL = 40

Truth = Callable[[Any], int | None]


@dataclass(slots=True)
class Budget:
    """How many units may still be tried, and how many contexts."""

    units: int = 2 * MAX_UNITS
    contexts: int = 10_000


def contexts_in(
    space: Space, region: Region, budget: Budget, limit: int
) -> Iterator[tuple[Any, float | None]]:
    """Yield contexts (and times) that lie in a region, as far as it is known.

    Where atoms are open, a few values of each attribute are combined; whoever takes a context
    from here has to evaluate it.
    """
    search = _Search(space, region, budget)
    firsts: list[list[Any]] = []
    for number in range(len(space.variables)):
        found = list(itertools.islice(search.values(number), 1))
        if not found:
            return
        firsts.append(found)
    yield assembled(space, [values[0] for values in firsts])
    choices = [
        search.choices(number) if search.is_flexible(number) else firsts[number]
        for number in range(len(firsts))
    ]
    for values in _combined(choices, limit):
        if budget.contexts <= 0:
            return
        budget.contexts -= 1
        yield assembled(space, values)


def _combined(choices: list[list[Any]], limit: int) -> Iterator[list[Any]]:
    """Yield all combinations but the first, or some that are scattered if there are too many."""
    count = math.prod(map(len, choices))
    if count <= limit:
        yield from map(list, itertools.islice(itertools.product(*choices), 1, None))
        return
    state = 1
    for _ in range(limit):
        values = []
        for held in choices:
            # Knuth's MMIX generator: scattered, and the same in every process.
            state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
            values.append(held[(state >> 33) % len(held)])
        yield values


def obstacles(space: Space, region: Region) -> str:
    """Say what may have kept a context in a region from being found, in words."""
    found: dict[str, None] = {}
    count = len(space.variables)
    search = _Search(space, region, Budget(_FEW_UNITS))
    for number, variable in enumerate(space.variables):
        if variable.path is not None and next(search.values(number), None) is None:
            words = f"no value was found for {attribute_words(variable.path)}"
            salts = search.salts(number)
            found[f"{words} in the buckets of {' and '.join(salts)}" if salts else words] = None
    for number, hidden in enumerate(space.hidden, count):
        if hidden.asked or region[number] == (1 << len(hidden.truths)) - 1:
            continue
        asked = functools.reduce(operator.or_, hidden.truths, 0)
        atom = next(atom for atom in space.atoms if asked & atom.bit)
        found[f"{_question_words(atom)} is not followed exactly"] = None
    return "; ".join(found) or "no context was found where it may be so"


def _question_words(atom: Atom) -> str:
    match atom.question:
        case AttributeIs() | Each():
            return repr(condition_words(atom.question))
        case _:
            return "a flag's value at some time"


def assembled(space: Space, values: Sequence[Any]) -> tuple[Any, float | None]:
    """Put the values of all variables together; return the root and the time."""
    root: Any = {}
    now = None
    for variable, value in zip(space.variables, values, strict=True):
        if variable.path is None:
            now = value
        elif not variable.path:
            root = copy.deepcopy(value)
        elif value is not MISSING and type(root) is dict:
            holder = root
            for name in variable.path[:-1]:
                inner = holder.get(name)
                if type(inner) is not dict:
                    inner = holder[name] = {}
                holder = inner
            holder[variable.path[-1]] = copy.deepcopy(value)
    return root, now


class _Search:
    """Looks for values of one variable after the other."""

    def __init__(self, space: Space, region: Region, budget: Budget) -> None:
        self.space = space
        self.region = region
        self.budget = budget
        self.buckets = 0
        self.wanted: dict[int, list[tuple[Truth, frozenset[int]]]] = {}
        self._salts: dict[int, list[str]] = {}
        count = len(space.variables)
        for number, hidden in enumerate(space.hidden, count):
            for asked in hidden.asked:
                self.buckets |= asked.atom.bit
            allowed = frozenset(hidden.truths[place] for place in places_of(region[number]))
            if hidden.asked and len(allowed) < len(hidden.truths):
                variable = space.places[hidden.asked[0].atom.number].variable
                self.wanted.setdefault(variable, []).append((_truth(hidden), allowed))
                salt = repr(hidden.asked[0].bucketing.salt)
                self._salts.setdefault(variable, []).append(salt)

    def salts(self, number: int) -> list[str]:
        """Return the salts of the hashes that a variable's units are searched for by."""
        return self._salts.get(number, [])

    def values(self, number: int) -> Iterator[Any]:
        """Yield values of a variable that lie in the region."""
        variable = self.space.variables[number]
        wanted = self.wanted.get(number, ())
        left = [variable.cells[place] for place in places_of(self.region[number])]
        # Where the buckets are known nothing has to be searched, where all is known nothing tried.
        left.sort(
            key=lambda cell: (
                bool(wanted and cell.open & self.buckets),
                bool(cell.open & ~self.buckets),
            )
        )
        for cell in left:
            if wanted and cell.open & self.buckets:
                yield from self._units(cell, wanted)
            else:
                yield from itertools.islice(cell.values(), _CHOICES)

    def _units(self, cell: Cell, wanted: Sequence[tuple[Truth, frozenset[int]]]) -> Iterator[Any]:
        for value in itertools.islice(cell.values(), MAX_UNITS):
            if self.budget.units <= 0:
                return
            self.budget.units -= 1
            # Of what is no unit the cell itself says all: its atoms on buckets are false there.
            if all(
                (found := truth(value)) is None or found in allowed for truth, allowed in wanted
            ):
                yield value

    def is_flexible(self, number: int) -> bool:
        """Whether values of one cell may answer differently, beyond their buckets."""
        variable = self.space.variables[number]
        if number in self.related:
            return True
        return any(
            variable.cells[place].open & ~self.buckets for place in places_of(self.region[number])
        )

    def choices(self, number: int) -> list[Any]:
        """Return several values of a variable to combine with others."""
        found = list(itertools.islice(self.values(number), _CHOICES))
        path = self.space.variables[number].path
        is_context = path == () and self.space.is_context
        if number in self.related and path is not None and not is_context:
            found.extend(self._pool())
        return found

    @functools.cached_property
    def related(self) -> set[int]:
        """Return the variables that are compared with each other or with the clock."""
        found: set[int] = set()
        by_path = {variable.path: place for place, variable in enumerate(self.space.variables)}
        for atom in self.space.atoms:
            question = atom.question
            if isinstance(question, AttributeIs) and question.values_from is not None:
                found.add(by_path[question.attr])
                source = question.values_from if isinstance(question.values_from, tuple) else None
                found.update(place for path, place in by_path.items() if path == source)
        return found

    def _pool(self) -> list[Any]:
        """Return values worth comparing: of the variables compared, and around the times."""
        pool: list[Any] = []
        for number in sorted(self.related):
            variable = self.space.variables[number]
            if variable.path is None:
                continue
            for place in places_of(self.region[number]):
                pool.extend(variable.cells[place].samples[:2])
        for number, variable in enumerate(self.space.variables):
            if variable.path is None:
                pool.extend(_moments(variable, self.region[number]))
        pool.extend([0, 1, 2, [0, 2], "a", "b", ["a", "b"], "1.0.0", "2.0.0"])
        return pool[:_POOL]


def _moments(variable: Variable, cells: int) -> Iterator[Any]:
    for place in places_of(cells):
        for moment in variable.cells[place].samples:
            yield from (moment, moment - 1, moment + 1)
            yield from itertools.islice(time_texts(moment - 1, moment - 1), 1)
            yield from itertools.islice(time_texts(moment + 1, moment + 1), 1)


def _truth(hidden: Hidden) -> Truth:
    """Return the function from a value to which atoms on its buckets hold; None: it is no unit."""
    places: dict[Bucketing, Callable[[object], Any]] = {}
    tests: list[tuple[Atom, Callable[[object], Any], list[tuple[Any, Any]]]] = []
    for atom, bucketing, ranges in hidden.asked:
        find = places.setdefault(bucketing, place_of(bucketing))
        edges = [(edge_of(bucketing, low), edge_of(bucketing, high)) for low, high in ranges]
        tests.append((atom, find, edges))

    def truth(value: Any) -> int | None:
        found = 0
        known: dict[int, Any] = {}
        for atom, find, edges in tests:
            place = known.get(id(find))
            if place is None:
                place = known[id(find)] = find(value)
            if place is None:
                return None
            if any(low <= place < high for low, high in edges):
                found |= atom.bit
        return found

    return truth
