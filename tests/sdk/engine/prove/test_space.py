"""Cells: every value lies in one, and what a cell says of its values is so."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine import Condition
from flagstone.engine.attributes import MISSING, read
from flagstone.engine.model import AttributeIs, Each
from flagstone.engine.prove.atoms import Atom, name_of
from flagstone.engine.prove.cells import answers
from flagstone.engine.prove.elements import element_kinds
from flagstone.engine.prove.space import Space
from tests.sdk.engine.fuzzing import fuzzed
from tests.sdk.engine.prove.random_leaves import a_parsed_leaf, a_value


def atoms_of(conditions: list[Condition]) -> list[Atom]:
    named = {name_of(condition): condition for condition in conditions}
    leaves = [part for part in named.values() if isinstance(part, (AttributeIs, Each))]
    return [Atom(number, leaf) for number, leaf in enumerate(leaves)]


def uncovered(space: Space, context: dict[str, Any]) -> list[Any]:
    """Return the variables of which no cell agrees with what the context holds there."""
    missed = []
    for variable in space.variables:
        atoms = [atom for atom in space.atoms if atom.path == variable.path]
        value = read(context, variable.path or ())
        true, _ = answers(atoms, value)
        if not any((cell.true ^ true) & ~cell.open == 0 for cell in variable.cells):
            missed.append((variable.path, value))
    return missed


def untrue(space: Space) -> list[Any]:
    """Return the samples of cells that answer otherwise than their cells say."""
    found = []
    for variable in space.variables:
        atoms = [atom for atom in space.atoms if atom.path == variable.path]
        for cell in variable.cells:
            for sample in cell.samples:
                true, _ = answers(atoms, sample)
                if (true ^ cell.true) & ~cell.open:
                    found.append((variable.path, cell, sample))
    return found


def check(seed: int) -> None:
    rng = random.Random(seed)
    paths: list[Any] = ["a", "a", "a", ["a", "x"]] if rng.random() < 0.3 else ["a"]
    leaves = [a_parsed_leaf(rng, rng.choice(paths)) for _ in range(rng.randint(1, 4))]
    space = Space(atoms_of(leaves), element_kinds)
    assert untrue(space) == []
    for _ in range(30):
        value = MISSING if rng.random() < 0.05 else a_value(rng)
        context = {} if value is MISSING else {"a": value}
        assert uncovered(space, context) == [], (seed, leaves, context)


@fuzzed(300)
@given(st.integers(0, 2**48))
def test_every_value_lies_in_a_cell_that_knows_its_answers(seed: int) -> None:
    check(seed)
