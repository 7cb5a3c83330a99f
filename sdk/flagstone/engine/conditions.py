"""Conditions as functions: what each part of the grammar means.

A compiled condition takes the root it looks at (the context, or an element, or a flag's value) and
the time, and returns whether it holds. It never raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from flagstone.engine.attributes import MISSING, plain, read
from flagstone.engine.bucketing import edge_of, place_of
from flagstone.engine.details import EvaluationDetails
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
    InBucket,
    InSegment,
    Not,
)
from flagstone.engine.operators import test_against, test_of

Check = Callable[[Any, float], bool]


class Surroundings(Protocol):
    """What a condition may refer to beside the context."""

    def segment(self, key: str) -> Check:
        """Return the compiled condition of a segment."""

    def segment_condition(self, key: str) -> Condition | Fault:
        """Return the condition of a segment as it was read."""

    def evaluate(self, flag_key: str, context: Mapping[str, Any], now: float) -> EvaluationDetails:
        """Evaluate another flag."""


def compile_condition(condition: Condition, around: Surroundings) -> Check:
    """Turn a condition into a function."""
    match condition:
        case Always():
            return _always
        case AllOf(parts):
            return _all_of([compile_condition(part, around) for part in parts])
        case AnyOf(parts):
            return _any_of([compile_condition(part, around) for part in parts])
        case Not(inner):
            return _negated(compile_condition(inner, around))
        case InSegment(key):
            return around.segment(key)
        case FlagServes():
            return _flag_serves(condition, around)
        case InBucket():
            return _in_bucket(condition)
        case Each():
            return _each(condition, around)
        case AttributeIs():
            return _attribute_is(condition)


def _always(_root: Any, _now: float) -> bool:
    return True


def _nobody(_root: Any, _now: float) -> bool:
    return False


def _all_of(checks: list[Check]) -> Check:
    if not checks:
        return _nobody

    def check(root: Any, now: float) -> bool:
        for part in checks:  # noqa: SIM110  a generator would cost more than the checks
            if not part(root, now):
                return False
        return True

    return check


def _any_of(checks: list[Check]) -> Check:
    def check(root: Any, now: float) -> bool:
        for part in checks:  # noqa: SIM110  a generator would cost more than the checks
            if part(root, now):
                return True
        return False

    return check


def _negated(inner: Check) -> Check:
    return lambda root, now: not inner(root, now)


def _flag_serves(condition: FlagServes, around: Surroundings) -> Check:
    inner = None if condition.value is None else compile_condition(condition.value, around)
    key, variants, on = condition.flag, condition.variants, condition.on

    def check(root: Any, now: float) -> bool:
        details = around.evaluate(key, root, now)
        if details.error_code is not None:
            return False
        if variants is not None and details.variant not in variants:
            return False
        if on is not None and details.on is not on:
            return False
        return inner is None or (details.variant is not None and inner(details.value, now))

    return check


def unit_place(bucketing: Bucketing) -> Callable[[Any], Any]:
    """Return the function from a context to the place of its unit; ``None`` without a unit."""
    path, place = bucketing.by, place_of(bucketing)
    return lambda root: place(read(root, path))


def _in_bucket(condition: InBucket) -> Check:
    bucketing = condition.bucketing
    find = unit_place(bucketing)
    ranges = [(edge_of(bucketing, low), edge_of(bucketing, high)) for low, high in condition.ranges]

    def check(root: Any, _now: float) -> bool:
        place = find(root)
        return place is not None and any(low <= place < high for low, high in ranges)

    return check


def _each(condition: Each, around: Surroundings) -> Check:
    inner, path = compile_condition(condition.condition, around), condition.attr

    def check(root: Any, now: float) -> bool:
        try:
            elements = plain(read(root, path))
            return type(elements) is list and any(inner(element, now) for element in elements)
        except Exception:  # noqa: BLE001  the caller's list may raise anything
            return False

    return check


def _attribute_is(condition: AttributeIs) -> Check:
    path, source = condition.attr, condition.values_from
    if source is not None:
        return _attribute_against(condition)
    if not condition.values and condition.op != "exists":
        return _nobody
    test = test_of(condition)

    def check(root: Any, _now: float) -> bool:
        value = read(root, path)
        return value is not MISSING and test(value)

    return check


def _attribute_against(condition: AttributeIs) -> Check:
    path, source = condition.attr, condition.values_from

    def check(root: Any, now: float) -> bool:
        value = read(root, path)
        if value is MISSING:
            return False
        try:
            others = _other_side(root, source, now)
        except Exception:  # noqa: BLE001  the caller's list may raise anything
            return False
        return test_against(others, condition)(value)

    return check


def _other_side(root: Any, source: Any, now: float) -> tuple[object, ...]:
    if source is Clock.NOW:
        return (now,)
    other = read(root, source)
    if other is MISSING:
        return ()
    return tuple(other) if isinstance(other, (list, tuple)) else (other,)
