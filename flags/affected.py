"""Which flags a change can reach, and which attributes they ask about.

A flag is reached if it changes, or if it asks (by a prerequisite, a condition or a segment) a flag
or a segment that is reached.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from flagstone.engine import (
    AllOf,
    AnyOf,
    AttributeIs,
    Condition,
    Each,
    Fault,
    Flag,
    FlagServes,
    FlagSet,
    InBucket,
    InSegment,
    Not,
    Split,
)

Path = tuple[str, ...]
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


def mentioned_attributes(flag_set: FlagSet, flag_keys: Collection[str]) -> set[Path]:
    """Return the attributes that flags ask about, in their rules, targets and segments."""
    found: set[Path] = set()
    segments: set[str] = set()
    for key in flag_keys:
        flag = flag_set.flags.get(key)
        if flag is None:
            continue
        for target in flag.targets:
            found.add(target.by)
        for rule in flag.rules:
            if isinstance(rule.serve, Split):
                found.add(rule.serve.bucketing.by)
            for leaf in _leaves(rule.when):
                _mention(leaf, found, segments)
    looked_at: set[str] = set()
    while segments - looked_at:
        key = (segments - looked_at).pop()
        looked_at.add(key)
        condition = flag_set.segments.get(key)
        if condition is not None and not isinstance(condition, Fault):
            for leaf in _leaves(condition):
                _mention(leaf, found, segments)
    return found


def _mention(leaf: Condition, found: set[Path], segments: set[str]) -> None:
    if isinstance(leaf, AttributeIs):
        found.add(leaf.attr)
        if isinstance(leaf.values_from, tuple):
            found.add(leaf.values_from)
    elif isinstance(leaf, Each):
        found.add(leaf.attr)
    elif isinstance(leaf, InBucket):
        found.add(leaf.bucketing.by)
    elif isinstance(leaf, InSegment):
        segments.add(leaf.segment)


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
    for leaf in _leaves(condition):
        if isinstance(leaf, FlagServes):
            yield "flag", leaf.flag
        elif isinstance(leaf, InSegment):
            yield "segment", leaf.segment


def _leaves(condition: Condition) -> Iterator[Condition]:
    if isinstance(condition, AllOf | AnyOf):
        for part in condition.conditions:
            yield from _leaves(part)
    elif isinstance(condition, Not):
        yield from _leaves(condition.condition)
    else:
        yield condition
