"""Which attributes of a context flags ask about."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from flagstone.engine.model import (
    AllOf,
    AnyOf,
    AttributeIs,
    Condition,
    Each,
    Fault,
    FlagSet,
    InBucket,
    InSegment,
    Not,
    Split,
)

Path = tuple[str, ...]


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
            for leaf in leaves(rule.when):
                _mention(leaf, found, segments)
    looked_at: set[str] = set()
    while segments - looked_at:
        key = (segments - looked_at).pop()
        looked_at.add(key)
        condition = flag_set.segments.get(key)
        if condition is not None and not isinstance(condition, Fault):
            for leaf in leaves(condition):
                _mention(leaf, found, segments)
    return found


def leaves(condition: Condition) -> Iterator[Condition]:
    """Yield the conditions that a condition is joined of."""
    if isinstance(condition, (AllOf, AnyOf)):
        for part in condition.conditions:
            yield from leaves(part)
    elif isinstance(condition, Not):
        yield from leaves(condition.condition)
    else:
        yield condition


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
