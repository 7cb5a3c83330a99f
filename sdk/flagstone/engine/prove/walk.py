"""Two diagrams walked together: everywhere that their answers differ, a witness is wanted.

The walk asks the question that one of both asks next, divides the region, and goes on in either
part. It stops where both sides come to the same node, or where no answers that can still come are
of interest. What was walked once from the same nodes with the same meaning is not walked again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flagstone.engine.prove.answers import Change, change_of
from flagstone.engine.prove.diagram import Node
from flagstone.engine.prove.space import Region, Space

MAX_STEPS = 60_000

Attempt = Callable[[Region, Change], "Change | None"]
"""Looks for a witness of a change in a region; returns the change that was found instead of it."""


@dataclass(slots=True)
class Findings:
    """What is left after a walk: changes that may occur though no witness was found."""

    doubts: set[Change] = field(default_factory=set)
    is_complete: bool = True


class Walk:
    """Walks two diagrams over a space.

    ``wanted`` are the changes that are still of interest; attempts take away from it.
    """

    def __init__(self, space: Space, ends: dict[int, Node], wanted: set[Change]) -> None:
        self.space = space
        self.ends = ends
        self.wanted = wanted
        self._interest: dict[int, int] = {}
        self._known_wanted: frozenset[Change] = frozenset()

    def run(
        self, before: Node, after: Node, attempt: Attempt, *, exactly: bool = False
    ) -> Findings:
        """Look at every difference; ``exactly`` looks again where only the past differs."""
        findings = Findings()
        stack: list[tuple[Node, Node, Region]] = [(before, after, self.space.whole)]
        seen: set[Any] = set()
        steps = 0
        while stack:
            one, other, region = stack.pop()
            if one is other or not self._is_interesting(one, other):
                continue
            if one.atom is None and other.atom is None:
                change = change_of(one.answer, other.answer)
                if attempt(region, change) is None:
                    findings.doubts.add(change)
                continue
            meaning = region if exactly else self._meaning(region, one.support | other.support)
            key = (one.number, other.number, meaning)
            if key in seen:
                continue
            seen.add(key)
            steps += 1
            if steps > MAX_STEPS:
                findings.is_complete = False
                break
            stack.extend(self._next(one, other, region))
        return findings

    def _meaning(self, region: Region, support: int) -> Any:
        return self.space.projected(region, support)

    def _next(self, one: Node, other: Node, region: Region) -> list[tuple[Node, Node, Region]]:
        """Ask the next question: that of the side which has more before it."""
        atom = one.atom if one.height >= other.height else other.atom
        if atom is None:
            raise AssertionError("a node that has a height has a question")
        holds, fails = self.space.divide(region, atom)
        following = []
        if fails is not None:
            left = one.no if one.atom is atom else one
            right = other.no if other.atom is atom else other
            following.append((left, right, fails))
        if holds is not None:
            left = one.yes if one.atom is atom else one
            right = other.yes if other.atom is atom else other
            following.append((left, right, holds))
        return following

    def _is_interesting(self, one: Node, other: Node) -> bool:
        """Whether answers that are still possible make a change that is wanted."""
        if self._known_wanted != self.wanted:
            self._known_wanted = frozenset(self.wanted)
            self._interest = {
                bit: sum(
                    there
                    for there, end in self.ends.items()
                    if end is not self.ends[bit]
                    and change_of(self.ends[bit].answer, end.answer) in self.wanted
                )
                for bit in self.ends
            }
        left = one.ends
        while left:
            bit = left & -left
            if self._interest[bit] & other.ends:
                return True
            left ^= bit
        return False
