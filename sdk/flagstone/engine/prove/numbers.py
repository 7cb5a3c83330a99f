"""Numbers, cut where comparisons with constants change, and by remainders."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from flagstone.engine.model import AttributeIs
from flagstone.engine.operators import is_number, number_of
from flagstone.engine.prove.atoms import Atom, Named, Question, readable
from flagstone.engine.prove.cells import Cell, answers, single
from flagstone.engine.times import seconds_of

Number = int | float

FEW = 64
"""So many integers between two constants are looked at one by one."""
MAX_PERIOD = 720
_CONSTANT = frozenset({"exists", "type"})
_ORDERED = frozenset({"in", "lt", "lte", "gt", "gte"})
_TIMES = frozenset({"before", "after"})
_NEVER = frozenset({"contains", "starts_with", "ends_with", "regex", "cidr"})


class Cuts(NamedTuple):
    """Where an atom's answer may change on the line of numbers, and after how many it repeats."""

    points: tuple[Number, ...] = ()
    period: int = 1


def cuts_of(question: Question) -> Cuts | None:
    """Return where numbers change the answer of a question; ``None`` if that is not known."""
    match question:
        case Named(_, keys):
            return Cuts(tuple(int(key) for key in keys if _is_integer_text(key)))
        case AttributeIs():
            return None if question.values_from is not None else _cuts_of_leaf(question)
        case _:
            return Cuts()


def _is_integer_text(text: str) -> bool:
    digits = text[1:] if text[:1] == "-" else text
    return len(text) <= 300 and digits.isascii() and digits.isdigit() and str(int(text)) == text


def _cuts_of_leaf(leaf: AttributeIs) -> Cuts | None:
    if leaf.op in _CONSTANT or leaf.read_as == "length":
        return Cuts()
    if leaf.read_as == "joined":
        return None
    if leaf.read_as == "string":
        if leaf.op == "in":
            return _points(leaf.values, texts=True)
        return Cuts() if leaf.op in _TIMES or leaf.op in ("cidr", "mod") else None
    if leaf.op in _ORDERED:
        return _points(leaf.values, texts=leaf.read_as is not None)
    if leaf.op in _TIMES:
        return _points((*leaf.values, *readable(seconds_of, leaf.values)), texts=True)
    if leaf.op in _NEVER or leaf.op.startswith("semver_"):
        return Cuts()
    return _remainders(leaf) if leaf.op == "mod" else None


def _points(constants: Iterable[object], *, texts: bool) -> Cuts | None:
    kept = (value for value in constants if is_number(value) or (texts and type(value) is str))
    points = tuple(readable(number_of, kept))
    if not all(abs(point) < math.inf for point in points):
        return None
    return Cuts(points)


def _remainders(leaf: AttributeIs) -> Cuts | None:
    period = 1
    for pair in leaf.values:
        if type(pair) is not list or len(pair) != 2 or not all(map(is_number, pair)):
            return None
        by, rest = pair
        # Other remainders are met by rounding only.
        if by != int(by) or rest != int(rest) or not 0 <= rest < by:
            return None
        period = math.lcm(period, int(by))
    return Cuts((), period) if period <= MAX_PERIOD else None


class Line(NamedTuple):
    """The line of numbers with its cuts; the atoms in ``unknown`` are not followed on it."""

    points: list[Number]
    period: int
    unknown: int


def line_of(atoms: Sequence[Atom]) -> Line:
    """Collect the cuts of all atoms."""
    points: set[Number] = set()
    period, unknown = 1, 0
    for atom in atoms:
        cuts = cuts_of(atom.question)
        if cuts is None or math.lcm(period, cuts.period) > MAX_PERIOD:
            unknown |= atom.bit
        else:
            points.update(cuts.points)
            period = math.lcm(period, cuts.period)
    return Line(sorted(points), period, unknown)


def number_cells(atoms: Sequence[Atom], hints: Iterable[Number] = ()) -> Iterator[Cell]:
    """Cut all numbers into cells; ``hints`` are cuts beyond those that the atoms need."""
    line = line_of(atoms)
    points = sorted({*line.points, *hints})
    for point in points:
        for form in forms_of(point):
            yield _open(single("number", atoms, form), line.unknown)
    for low, high in itertools.pairwise([None, *points, None]):
        for cell in _between(atoms, low, high, line.period):
            yield _open(cell, line.unknown)


def _open(cell: Cell, unknown: int) -> Cell:
    """Leave open what is not followed, unless the cell has but one value."""
    if not cell.whole:
        cell.true &= ~unknown
        cell.open |= unknown
    return cell


def forms_of(point: Number) -> Iterator[Number]:
    """Yield a number as an integer and as a float; hashes and texts may tell them apart."""
    if point != int(point):
        yield point
        return
    yield int(point)
    try:
        number = float(point)
    except OverflowError:
        return
    if number == point:
        yield number
        if not number:
            yield -0.0


def _between(
    atoms: Sequence[Atom], low: Number | None, high: Number | None, period: int
) -> Iterator[Cell]:
    first, last = integers_between(low, high)
    if first is not None and last is not None and last - first < FEW:
        for number in range(first, last + 1):
            for form in forms_of(number):
                yield single("number", atoms, form)
    else:
        for rest in range(period):
            yield _whole_numbers(atoms, first, last, rest, period)
    fraction = next(fractions_between(low, high), None)
    if fraction is not None:
        true, unknown = answers(atoms, fraction)
        more = lambda: fractions_between(low, high)  # noqa: E731  it is called again and again
        yield Cell("number", true, unknown, [fraction], more)


def integers_between(low: Number | None, high: Number | None) -> tuple[int | None, int | None]:
    """Return the first and the last integer strictly between two numbers."""
    first = None if low is None else math.floor(low) + 1
    last = None if high is None else math.ceil(high) - 1
    return first, last


def _whole_numbers(
    atoms: Sequence[Atom], first: int | None, last: int | None, rest: int, period: int
) -> Cell:
    def numbers() -> Iterator[int]:
        if first is None and last is not None:
            number, step = last - (last - rest) % period, -period
        else:
            base = first or 0
            number, step = base + (rest - base) % period, period
        while first is None or last is None or number <= last:
            yield number
            number += step

    sample = next(numbers())
    true, unknown = answers(atoms, sample)
    return Cell("number", true, unknown, [sample], numbers)


def fractions_between(low: Number | None, high: Number | None) -> Iterator[float]:
    """Yield floats with a fraction strictly between two numbers; one at least, if there is one."""

    def fits(number: float) -> bool:
        if not math.isfinite(number):
            return False
        below = high is None or number < high
        return below and (low is None or number > low) and number != math.floor(number)

    for candidate in _fractions_near(low, high):
        if fits(candidate):
            yield candidate


def _fractions_near(low: Number | None, high: Number | None) -> Iterator[float]:
    edges: list[float] = []
    for edge in (low, high):
        try:
            edges.append(0.0 if edge is None else float(edge))
        except OverflowError:
            edges.append(1.7e308 if edge and edge > 0 else -1.7e308)
    start, end = edges
    if low is None:
        start = end - 1000.0
    elif high is None:
        end = start + 1000.0
    yield (start / 2 + end / 2)
    if low is not None:
        yield math.floor(start) + 0.5
        yield math.floor(start) + 1.5
    if high is not None:
        yield math.ceil(end) - 0.5
        yield math.ceil(end) - 1.5
    yield 0.5
    yield -0.5
    above, below = start, end
    for _ in range(3):
        above, below = math.nextafter(above, math.inf), math.nextafter(below, -math.inf)
        yield above
        yield below
    for step in range(1, 1000):
        yield start + (end - start) * (step * 0.6180339887498949 % 1.0)
