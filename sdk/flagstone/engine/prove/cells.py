"""Cells: values of one attribute that answer every question alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from flagstone.engine.attributes import MISSING
from flagstone.engine.model import Each
from flagstone.engine.prove.atoms import Atom

Samples = Callable[[], Iterator[Any]]


@dataclass(slots=True)
class Cell:
    """Values of one kind for which the atoms in ``true`` hold, those in ``open`` may hold.

    ``samples`` are some of them, and ``more`` yields further ones. A ``whole`` cell has its
    samples and no other values, so that even their buckets are known. A cell without samples may
    be empty: counting it makes a proof harder, never wrong.
    """

    kind: str
    true: int
    open: int
    samples: list[Any] = field(default_factory=list)
    more: Samples | None = None
    whole: bool = False

    def values(self) -> Iterator[Any]:
        """Yield values of the cell, the simplest first."""
        yield from self.samples
        if self.more is not None:
            yield from self.more()


def answers(atoms: Iterable[Atom], value: Any) -> tuple[int, int]:
    """Return which atoms hold for a value, and which a value alone does not answer."""
    true = unknown = 0
    for atom in atoms:
        if atom.test is None:
            # A missing attribute answers no, and only elements of arrays are looked at.
            never = value is MISSING or (
                isinstance(atom.question, Each) and type(value) is not list
            )
            unknown |= 0 if never else atom.bit
        elif atom.test(value):
            true |= atom.bit
    return true, unknown


def bits(atoms: Iterable[Atom]) -> int:
    """Return the atoms as a set of bits."""
    found = 0
    for atom in atoms:
        found |= atom.bit
    return found


def single(kind: str, atoms: Sequence[Atom], value: Any) -> Cell:
    """Return the cell of one value."""
    true, unknown = answers(atoms, value)
    return Cell(kind, true, unknown, [value], whole=True)
