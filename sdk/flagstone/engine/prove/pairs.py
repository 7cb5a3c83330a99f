"""Both sides of an edit as one diagram: pairs of nodes that are reached by the same answers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from flagstone.engine.prove.answers import Change, change_of
from flagstone.engine.prove.atoms import Atom, UndecidedError
from flagstone.engine.prove.diagram import Node

MAX_PAIRS = 100_000


@dataclass(eq=False, slots=True)
class Pair:
    """A node of either side, the question that comes next, and where its answers lead.

    ``alive`` says that a change that is wanted can still come; ``true`` and ``false`` are the
    atoms that hold, and do not hold, on every way to one.
    """

    number: int
    atom: Atom | None
    yes: Pair | None
    no: Pair | None
    support: int
    change: Change | None
    alive: bool = False
    true: int = 0
    false: int = 0


class Pairs:
    """All pairs that can be reached from the one at the start.

    Raises
    ------
    UndecidedError
        If there are too many.
    """

    def __init__(self, before: Node, after: Node) -> None:
        self._known: dict[tuple[int, int], Pair] = {}
        # Each pair comes after those that it leads to.
        self._ordered: list[Pair] = []
        self.start = self._made(before, after)

    def _made(self, before: Node, after: Node) -> Pair:
        """Make pairs with a stack of our own: flags may ask much in a row."""
        stack = [(before, after)]
        while stack:
            one, other = stack[-1]
            key = (one.number, other.number)
            if key in self._known:
                stack.pop()
                continue
            if one is other or (one.atom is None and other.atom is None):
                change = None if one is other else change_of(one.answer, other.answer)
                self._add(key, None, None, None, 0, change)
                continue
            # The side that has more before it is asked first, so that both come together again.
            atom = one.atom if one.height >= other.height else other.atom
            following = [_after(one, other, atom, holds) for holds in (True, False)]
            keys = [(left.number, right.number) for left, right in following]
            waiting = [
                pair for pair, name in zip(following, keys, strict=True) if name not in self._known
            ]
            if waiting:
                stack.extend(waiting)
                continue
            yes, no = (self._known[name] for name in keys)
            self._add(key, atom, yes, no, one.support | other.support, None)
        return self._known[before.number, after.number]

    def _add(
        self,
        key: tuple[int, int],
        atom: Atom | None,
        yes: Pair | None,
        no: Pair | None,
        support: int,
        change: Change | None,
    ) -> None:
        if len(self._ordered) >= MAX_PAIRS:
            raise UndecidedError(f"both sides together ask more than {MAX_PAIRS} questions")
        pair = Pair(len(self._ordered), atom, yes, no, support, change)
        self._known[key] = pair
        self._ordered.append(pair)

    def aim_at(self, wanted: Collection[Change]) -> None:
        """Find out where changes that are wanted can still come, and what they take."""
        for pair in self._ordered:
            yes, no, atom = pair.yes, pair.no, pair.atom
            if atom is None or yes is None or no is None:
                pair.alive = pair.change in wanted
                continue
            pair.alive = yes.alive or no.alive
            if yes.alive and no.alive:
                pair.true, pair.false = yes.true & no.true, yes.false & no.false
            elif yes.alive:
                pair.true, pair.false = yes.true | atom.bit, yes.false
            elif no.alive:
                pair.true, pair.false = no.true, no.false | atom.bit
            if pair.true & pair.false:
                pair.alive = False


def _after(one: Node, other: Node, atom: Atom | None, holds: bool) -> tuple[Node, Node]:  # noqa: FBT001  an answer
    """Return where an answer leads either side; who does not ask stays."""
    if one.atom is atom:
        one = one.yes if holds else one.no
    if other.atom is atom:
        other = other.yes if holds else other.no
    return one, other
