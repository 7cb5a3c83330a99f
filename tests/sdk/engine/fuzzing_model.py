"""What everything that came through the door promises, said once more and apart from the parser."""

from __future__ import annotations

import math
from typing import Any

from flagstone.engine import (
    AllOf,
    Always,
    AnyOf,
    AttributeIs,
    Bucketing,
    Each,
    FlagServes,
    FlagSet,
    InBucket,
    InSegment,
    Not,
    Split,
)
from flagstone.engine.bucketing import HASHES
from tests.sdk.engine.fuzzing import OPERATORS, READ_AS


def assert_sound(flag_set: FlagSet) -> None:
    """What came through the door keeps every promise that the evaluation relies on."""
    for flag in flag_set.flags.values():
        variants = set(flag.variants)
        assert {flag.off, flag.default} <= variants | {None}
        for variant in flag.variants.values():
            assert_value(variant.value, flag.type)
        assert_json(flag.metadata)
        for target in flag.targets:
            assert target.variant in variants
            assert all(type(key) is str for key in target.keys)
            assert target.until is None or math.isfinite(target.until)
        for rule in flag.rules:
            served = {rule.serve} if isinstance(rule.serve, str) else assert_split(rule.serve)
            assert served <= variants
            assert_condition(rule.when, 0)
        if flag.fault is None and flag.enabled and not flag.killed:
            for part in flag.prerequisites:
                other = flag_set.flags[part.flag]
                assert other.fault is not None or set(part.variants) <= set(other.variants)
    assert is_free_of_circles(flag_set)


def assert_value(value: Any, kind: str) -> None:
    types = {"boolean": (bool,), "string": (str,), "integer": (int,), "float": (float,)}
    if kind in types:
        assert type(value) in types[kind]
    assert_json(value)
    if kind == "integer":
        assert abs(value) < 2**53


def assert_json(value: Any, depth: int = 0) -> None:
    assert depth <= 64
    if type(value) is list:
        for element in value:
            assert_json(element, depth + 1)
    elif type(value) is dict:
        for name, element in value.items():
            assert type(name) is str
            assert_json(element, depth + 1)
    elif type(value) is float:
        assert math.isfinite(value)
    else:
        assert value is None or type(value) in (bool, int, str)


def assert_split(split: Split) -> set[str]:
    assert_bucketing(split.bucketing)
    for share in split.shares:
        assert_ranges(share.ranges, split.bucketing.of)
        for low, high in share.ranges:
            # Two variants never meet: the ends of the ranges are where they would.
            for other in split.shares:
                if other.variant != share.variant and low < high:
                    assert not any(low < end and start < high for start, end in other.ranges)
    named = {share.variant for share in split.shares}
    return {*named, *([] if split.missing is None else [split.missing])}


def assert_bucketing(bucketing: Bucketing) -> None:
    assert bucketing.hash in HASHES
    assert 1 <= bucketing.of < 2**53
    assert type(bucketing.salt) is str
    assert bucketing.salt or bucketing.hash != "flagstone"
    assert_path(bucketing.by)


def assert_ranges(ranges: Any, of: int) -> None:
    for low, high in ranges:
        assert type(low) is type(high) is int
        assert 0 <= low <= high <= of


def assert_path(path: Any) -> None:
    assert type(path) is tuple
    assert len(path) <= 20
    assert all(type(name) is str for name in path)


def assert_condition(condition: Any, depth: int) -> None:
    assert depth <= 50
    match condition:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                assert_condition(part, depth + 1)
        case Not(inner):
            assert_condition(inner, depth + 1)
        case Each(attr, inner):
            assert_path(attr)
            assert_condition(inner, depth + 1)
        case InBucket(bucketing, ranges):
            assert_bucketing(bucketing)
            assert_ranges(ranges, bucketing.of)
        case AttributeIs():
            assert condition.op in OPERATORS
            assert condition.read_as in (None, *READ_AS)
            assert_path(condition.attr)
            if isinstance(condition.values_from, tuple):
                assert_path(condition.values_from)
            for value in condition.values:
                assert_json(value)
        case _:
            assert isinstance(condition, Always | InSegment | FlagServes)


def is_free_of_circles(flag_set: FlagSet) -> bool:
    """Whether following references from what is not at fault always ends, and ends somewhere."""
    done: set[Any] = set()

    def ends(node: tuple[str, str], above: frozenset[Any]) -> bool:
        if node in done:
            return True
        if node in above:
            return False
        kind, key = node
        if kind == "flag":
            flag = flag_set.flags[key]
            if flag.fault is not None or flag.killed or not flag.enabled:
                return True
            wanted = [("flag", part.flag) for part in flag.prerequisites]
            conditions: list[Any] = [rule.when for rule in flag.rules]
        else:
            wanted, conditions = [], [flag_set.segments[key]]
        while conditions:
            condition = conditions.pop()
            match condition:
                case AllOf(parts) | AnyOf(parts):
                    conditions.extend(parts)
                case Not(inner):
                    conditions.append(inner)
                case InSegment(name):
                    wanted.append(("segment", name))
                case FlagServes():
                    wanted.append(("flag", condition.flag))
        if not all(ends(other, above | {node}) for other in wanted):
            return False
        done.add(node)
        return True

    return all(ends(("flag", key), frozenset()) for key in flag_set.flags)
