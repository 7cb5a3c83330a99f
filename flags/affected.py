"""Which flags a change can reach, and which attributes they ask about.

A flag is reached if it changes, or if it asks (by a prerequisite, a condition or a segment) a flag
or a segment that is reached.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from flagstone.engine import Condition, Fault, Flag, FlagServes, FlagSet, InSegment
from flagstone.engine.mentions import Path, leaves, mentioned_attributes

__all__ = ["Path", "affected_flags", "asked_attributes", "mentioned_attributes"]

Node = tuple[str, str]
"""``("flag", key)`` or ``("segment", key)``."""


def affected_flags(
    before: FlagSet, after: FlagSet, flags: Collection[str], segments: Collection[str]
) -> tuple[list[str], list[str]]:
    """Return the flags that differ, and the other flags that depend on a change, by key.

    Parameters
    ----------
    before, after : FlagSet
        The environment on either side of the change.
    flags, segments : collection of str
        Keys of what differs.
    """
    askers: dict[Node, set[Node]] = {}
    for flag_set in (before, after):
        for node, asked in _edges(flag_set):
            askers.setdefault(asked, set()).add(node)
    reached = {("flag", key) for key in flags} | {("segment", key) for key in segments}
    frontier = list(reached)
    while frontier:
        for node in askers.get(frontier.pop(), set()) - reached:
            reached.add(node)
            frontier.append(node)
    keys = {key for kind, key in reached if kind == "flag"}
    return sorted(keys & set(flags)), sorted(keys - set(flags))


def asked_attributes(flag_set: FlagSet, flag_keys: Collection[str]) -> set[Path]:
    """Return the attributes that decide what flags serve: theirs, and of the flags they ask."""
    keys: set[str] = set()
    waiting: list[Node] = [("flag", key) for key in flag_keys]
    seen: set[Node] = set(waiting)
    while waiting:
        kind, key = waiting.pop()
        asked: Iterator[Node] = iter(())
        if kind == "flag":
            keys.add(key)
            flag = flag_set.flags.get(key)
            asked = iter(()) if flag is None else _asked_by(flag)
        else:
            condition = flag_set.segments.get(key)
            if condition is not None and not isinstance(condition, Fault):
                asked = _asked_in(condition)
        new = set(asked) - seen
        seen |= new
        waiting.extend(new)
    return mentioned_attributes(flag_set, keys)


def _edges(flag_set: FlagSet) -> Iterator[tuple[Node, Node]]:
    """Yield who asks whom."""
    for key, flag in flag_set.flags.items():
        for asked in _asked_by(flag):
            yield ("flag", key), asked
    segments: Mapping[str, Condition | Fault] = flag_set.segments
    for key, condition in segments.items():
        if not isinstance(condition, Fault):
            for asked in _asked_in(condition):
                yield ("segment", key), asked


def _asked_by(flag: Flag) -> Iterator[Node]:
    for prerequisite in flag.prerequisites:
        yield "flag", prerequisite.flag
    for rule in flag.rules:
        yield from _asked_in(rule.when)


def _asked_in(condition: Condition) -> Iterator[Node]:
    for leaf in leaves(condition):
        if isinstance(leaf, FlagServes):
            yield "flag", leaf.flag
        elif isinstance(leaf, InSegment):
            yield "segment", leaf.segment
