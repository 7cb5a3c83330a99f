"""Flags as decision diagrams: questions with a node for yes and one for no, answers at the ends.

Segments and flags that a flag refers to are written into it. Equal parts are one object, of both
sides of an edit: where both sides come to the same node, everything after it is the same.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from flagstone.engine.conditions import compile_condition
from flagstone.engine.model import (
    AllOf,
    Always,
    AnyOf,
    AttributeIs,
    Bucketing,
    Clock,
    Condition,
    Each,
    Fault,
    FlagServes,
    FlagSet,
    InBucket,
    InSegment,
    Not,
    Range,
    Rule,
    Split,
    Variant,
)
from flagstone.engine.operators import number_of, test_of
from flagstone.engine.prove.atoms import (
    NOWHERE,
    Atom,
    AtSomeTime,
    HasUnit,
    Named,
    Question,
    Since,
    UndecidedError,
    leaves_of,
    name_of,
)
from flagstone.engine.times import seconds_of

MAX_NODES = 60_000


@dataclass(eq=False, slots=True)
class Node:
    """A question and where its answers lead; without a question, what is answered in the end."""

    number: int
    atom: Atom | None
    yes: Node
    no: Node
    answer: Any
    support: int
    height: int


class Outcome(NamedTuple):
    """How a flag ends: with a variant or without, and whether because of an error."""

    variant: Variant | None
    error: bool = False


Ending = Callable[[Outcome], Node]


class Diagrams:
    """Makes nodes, each once."""

    def __init__(self) -> None:
        self.atoms: list[Atom] = []
        self._atoms: dict[Any, Atom] = {}
        self._nodes: dict[tuple[int, int, int], Node] = {}
        self._ends: dict[Any, Node] = {}
        self._count = 0

    def end(self, name: Any, answer: Any) -> Node:
        """Return the node that ends with an answer; equal names are one answer."""
        node = self._ends.get(name)
        if node is None:
            node = self._ends[name] = self._new(None, None, None, answer)
        return node

    def ask(self, question: Question, yes: Node, no: Node) -> Node:
        """Return the node that asks a question, unless the answer makes no difference."""
        if yes is no:
            return yes
        name = name_of(question)
        atom = self._atoms.get(name)
        if atom is None:
            atom = self._atoms[name] = Atom(len(self.atoms), question)
            self.atoms.append(atom)
        yes = yes.yes if yes.atom is atom else yes
        no = no.no if no.atom is atom else no
        key = (atom.number, yes.number, no.number)
        node = yes if yes is no else self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = self._new(atom, yes, no, None)
        return node

    def _new(self, atom: Atom | None, yes: Node | None, no: Node | None, answer: Any) -> Node:
        self._count += 1
        if self._count > MAX_NODES:
            raise UndecidedError(f"the flag asks more than {MAX_NODES} questions in a row")
        if atom is None or yes is None or no is None:
            node = Node(self._count, None, None, None, answer, 0, 0)  # type: ignore[arg-type]
            node.yes = node.no = node
            return node
        support = atom.bit | yes.support | no.support
        height = 1 + max(yes.height, no.height)
        return Node(self._count, atom, yes, no, None, support, height)


class Writer:
    """Writes the conditions and flags of one flag set as nodes.

    ``now`` is the one time of evaluation, or ``None`` if there are several.
    """

    def __init__(self, diagrams: Diagrams, flag_set: FlagSet, now: float | None) -> None:
        self.diagrams = diagrams
        self.ask = diagrams.ask
        self.flag_set = flag_set
        self.now = now
        self._inside: list[str] = []

    def flag(self, key: str, ending: Ending) -> Node:
        """Write a flag; ``ending`` gives the node for each of its outcomes."""
        flag = self.flag_set.flags.get(key)
        if flag is None:
            return ending(Outcome(None, error=True))
        if key in self._inside:
            raise UndecidedError(f"the flag {key!r} refers to itself, in a circle")

        def serving(variant: str | None) -> Node:
            return ending(Outcome(None if variant is None else flag.variants.get(variant)))

        if flag.killed or not flag.enabled:
            return serving(flag.off)
        if flag.fault is not None:
            return ending(Outcome(None, error=True))
        self._inside.append(key)
        node = serving(flag.default)
        for rule in reversed(flag.rules):
            node = self.rule(rule, serving, node)
        for target in reversed(flag.targets):
            named = Named(target.by, frozenset(target.keys))
            found = self.ask(named, serving(target.variant), node)
            node = found if target.until is None else self.since(target.until, node, found)
        for part in reversed(flag.prerequisites):
            wanted = FlagServes(part.flag, part.variants)
            node = self.condition(wanted, node, serving(flag.off))
        self._inside.pop()
        return node

    def rule(self, rule: Rule, serving: Callable[[str], Node], otherwise: Node) -> Node:
        """Write a rule, and what comes after it."""
        if isinstance(rule.serve, Split):
            served = self.split(rule.serve, serving, otherwise)
        else:
            served = serving(rule.serve)
        node = self.condition(rule.when, served, otherwise)
        if rule.end is not None:
            node = self.since(rule.end, otherwise, node)
        if rule.start is not None:
            node = self.since(rule.start, node, otherwise)
        return node

    def split(self, split: Split, serving: Callable[[str], Node], otherwise: Node) -> Node:
        """Write a split, and what comes after it."""
        node = otherwise
        for share in reversed(split.shares):
            node = self.bucket(split.bucketing, share.ranges, serving(share.variant), node)
        if split.missing is not None:
            node = self.ask(HasUnit(split.bucketing), node, serving(split.missing))
        return node

    def since(self, seconds: float, after: Node, before: Node) -> Node:
        """Write that a time has come."""
        if not math.isfinite(seconds):
            raise UndecidedError("a time is not finite")
        if self.now is not None:
            return after if self.now >= seconds else before
        return self.ask(Since(seconds), after, before)

    def bucket(
        self, bucketing: Bucketing, ranges: Iterable[Range], inside: Node, outside: Node
    ) -> Node:
        """Write that the unit's bucket lies in the ranges."""
        joined = joined_ranges(ranges)
        if not joined:
            return outside
        if joined == ((0, bucketing.of),):
            return self.ask(HasUnit(bucketing), inside, outside)
        return self.ask(InBucket(bucketing, joined), inside, outside)

    def condition(self, condition: Condition, yes: Node, no: Node) -> Node:
        """Write a condition on the context."""
        match condition:
            case Always():
                return yes
            case AllOf(parts) | AnyOf(parts):
                return self._several(condition, parts, yes, no)
            case Not(inner):
                return self.condition(inner, no, yes)
            case InSegment(key):
                segment = self.flag_set.segments.get(key)
                if segment is None or isinstance(segment, Fault):
                    raise UndecidedError(f"the segment {key!r} cannot be read")
                return self.condition(segment, yes, no)
            case FlagServes():
                return self._flag_serves(condition, yes, no)
            case InBucket(bucketing, ranges):
                return self.bucket(bucketing, ranges, yes, no)
            case Each():
                return self.ask(self._settled(condition), yes, no)  # type: ignore[arg-type]
            case AttributeIs():
                return self._attribute_is(condition, yes, no)

    def _several(
        self, condition: AllOf | AnyOf, parts: tuple[Condition, ...], yes: Node, no: Node
    ) -> Node:
        if not parts:
            return no
        every = isinstance(condition, AllOf)
        node = yes if every else no
        for part in reversed(parts):
            node = self.condition(part, node, no) if every else self.condition(part, yes, node)
        return node

    def _flag_serves(self, condition: FlagServes, yes: Node, no: Node) -> Node:
        def ending(outcome: Outcome) -> Node:
            variant = outcome.variant
            if outcome.error:
                return no
            if condition.variants is not None and (
                variant is None or variant.key not in condition.variants
            ):
                return no
            if condition.on is not None and (variant is not None and variant.on) != condition.on:
                return no
            if condition.value is None:
                return yes
            return (
                no if variant is None else self._of_value(condition.value, variant.value, yes, no)
            )

        return self.flag(condition.flag, ending)

    def _of_value(self, condition: Condition, value: Any, yes: Node, no: Node) -> Node:
        holds = compile_condition(condition, NOWHERE)
        if self.now is not None or not any(map(_asks_clock, leaves_of(condition))):
            return yes if holds(value, self.now or 0.0) else no
        cuts = _turns(condition, value)
        if cuts is None:
            return self.ask(AtSomeTime(condition, value), yes, no)
        node = yes if holds(value, cuts[-1]) else no
        for before, cut in reversed(
            list(itertools.pairwise([math.nextafter(cuts[0], -math.inf), *cuts]))
        ):
            node = self.since(cut, node, yes if holds(value, before) else no)
        return node

    def _attribute_is(self, leaf: AttributeIs, yes: Node, no: Node) -> Node:
        settled = self._settled(leaf)
        if not isinstance(settled, AttributeIs):
            return no
        source = settled.values_from
        if source is None:
            if not settled.values and settled.op != "exists":
                return no
            return self.ask(settled, yes, no)
        node = self.ask(settled, yes, no)
        if source is Clock.NOW:
            return node
        # Without the other side nothing is compared.
        return self.ask(AttributeIs(source, "exists"), node, no)

    def _settled(self, condition: Condition) -> Condition:
        """Compare with the one time of evaluation, if there is but one, instead of the clock."""
        if self.now is None:
            return condition
        match condition:
            case AllOf(parts):
                return AllOf(tuple(map(self._settled, parts)))
            case AnyOf(parts):
                return AnyOf(tuple(map(self._settled, parts)))
            case Not(inner):
                return Not(self._settled(inner))
            case Each(attr, inner):
                return Each(attr, self._settled(inner))
            case AttributeIs() if condition.values_from is Clock.NOW:
                settled = replace(condition, values=(self.now,), values_from=None)
                return settled if _is_usable(settled) else AnyOf(())
            case _:
                return condition


def _turns(condition: Condition, value: Any) -> list[float] | None:
    """Return the times at which a comparison of a constant with the clock may turn."""
    if not all(map(_asks_for_order, filter(_asks_clock, leaves_of(condition)))):
        return None
    cuts = {0.0}
    waiting = [value]
    for part in waiting:
        if isinstance(part, (list, dict)):
            waiting.extend(part.values() if isinstance(part, dict) else part)
            continue
        for read in (number_of, seconds_of):
            with contextlib.suppress(ValueError):
                try:
                    time = float(read(part))
                except OverflowError:
                    return None
                cuts |= {time, math.nextafter(time, math.inf)}
    return sorted(cuts)


def _asks_clock(leaf: Condition) -> bool:
    return isinstance(leaf, AttributeIs) and leaf.values_from is Clock.NOW


def _asks_for_order(leaf: Condition) -> bool:
    """Whether a comparison with the clock asks for the order of times only."""
    return (
        isinstance(leaf, AttributeIs)
        and leaf.op in ("in", "lt", "lte", "gt", "gte", "before", "after")
        and leaf.read_as in (None, "number", "auto")
    )


def _is_usable(leaf: AttributeIs) -> bool:
    """Whether the operator can use its constants; with others it matches nobody."""
    try:
        test_of(leaf)
    except ValueError:
        return False
    return True


def joined_ranges(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Sort ranges, join those that touch and drop empty ones."""
    joined: list[Range] = []
    for low, high in sorted(ranges):
        if low >= high:
            continue
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)
