"""Both sides walked together: everywhere that their answers differ, a witness is wanted.

The walk divides the region at each question and goes on in either part. Before it goes on, it
demands at once whatever every way to a difference takes: most ways end there. What was walked once
from the same pair with the same meaning is not walked again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flagstone.engine.prove.answers import Change
from flagstone.engine.prove.atoms import UndecidedError
from flagstone.engine.prove.pairs import Pair, Pairs
from flagstone.engine.prove.space import Region, Space, places_of

MAX_STEPS = 60_000

Attempt = Callable[[Region, Change], bool]
"""Looks for a witness of a change in a region, and says whether it was found."""


class Walk:
    """Walks pairs over a space.

    ``wanted`` are the changes that are still of interest; attempts take away from it.
    """

    def __init__(self, space: Space, pairs: Pairs, wanted: set[Change]) -> None:
        self.space = space
        self.pairs = pairs
        self.wanted = wanted

    def run(self, attempt: Attempt, *, exactly: bool = False) -> set[Change]:
        """Look at every difference; return the changes of which a witness was not found.

        ``exactly`` looks again where only the past differs.

        Raises
        ------
        UndecidedError
            If there are too many cases.
        """
        doubts: set[Change] = set()
        aim: set[Change] = set()
        stack: list[tuple[Pair, Region, int, int]] = [(self.pairs.start, self.space.whole, 0, 0)]
        seen: set[Any] = set()
        while stack:
            if aim != self.wanted:
                aim = set(self.wanted)
                self.pairs.aim_at(aim)
            pair, region, true, false = stack.pop()
            demanded = self._demanded(pair, region, true, false) if pair.alive else None
            if demanded is None:
                continue
            if pair.change is not None:
                if not attempt(demanded, pair.change):
                    doubts.add(pair.change)
                continue
            meaning = demanded if exactly else self.space.projected(demanded, pair.support)
            key = pair.number, meaning
            if key in seen:
                continue
            seen.add(key)
            if len(seen) > MAX_STEPS:
                raise UndecidedError(f"there are more than {MAX_STEPS} cases")
            if pair.atom is None or pair.yes is None or pair.no is None:
                continue
            true, false, bit = true | pair.true, false | pair.false, pair.atom.bit
            holds, fails = self.space.divide(demanded, pair.atom)
            if fails is not None and pair.no.alive:
                stack.append((pair.no, fails, true, false | bit))
            if holds is not None and pair.yes.alive:
                stack.append((pair.yes, holds, true | bit, false))
        return doubts

    def _demanded(self, pair: Pair, region: Region, true: int, false: int) -> Region | None:
        """Return the part of a region from which a change that is wanted can be reached."""
        left: Region | None = region
        atoms = self.space.by_number
        for number in places_of(pair.true & ~true):
            if left is not None:
                left = self.space.divide(left, atoms[number])[0]
        for number in places_of(pair.false & ~false):
            if left is not None:
                left = self.space.divide(left, atoms[number])[1]
        return left
