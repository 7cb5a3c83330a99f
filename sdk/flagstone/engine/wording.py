"""Conditions and values in plain words, short enough for one line."""

from __future__ import annotations

import json

from flagstone.engine.attributes import MISSING
from flagstone.engine.model import (
    AllOf,
    Always,
    AnyOf,
    AttributeIs,
    Clock,
    Condition,
    Each,
    FlagServes,
    InBucket,
    InSegment,
    Not,
    Path,
)

MAX_VALUES = 5
MAX_LENGTH = 200
_VERBS = {
    "in": "is",
    "contains": "contains",
    "starts_with": "starts with",
    "ends_with": "ends with",
    "regex": "matches",
    "lt": "<",
    "lte": "≤",
    "gt": ">",
    "gte": "≥",
    "before": "is before",
    "after": "is after",
    "exists": "exists",
    "cidr": "lies in network",
    "type": "is of type",
    "mod": "modulo [divisor, remainder] is",
}


def value_words(value: object) -> str:
    """Write a value of a context, whatever it is, on one short line."""
    if value is MISSING:
        return "missing"
    try:
        words = json.dumps(value)
    except Exception:  # noqa: BLE001  any object may stand in a context
        words = f"an object of type {type(value).__name__}"
    return words if len(words) <= MAX_LENGTH else words[: MAX_LENGTH - 1] + "…"


def attribute_words(path: Path) -> str:
    """Write the name of an attribute."""
    return " → ".join(path) if path else "the value"


def condition_words(condition: Condition) -> str:
    """Write a condition as a phrase."""
    match condition:
        case Always():
            return "everybody"
        case AllOf(parts):
            return _joined(parts, " and ")
        case AnyOf(parts):
            return _joined(parts, " or ")
        case Not(inner):
            return f"not ({condition_words(inner)})"
        case InSegment(segment):
            return f"in segment {segment}"
        case FlagServes():
            return _flag_words(condition)
        case InBucket(bucketing, ranges):
            spans = ", ".join(f"{low}–{high}" for low, high in ranges)
            by = attribute_words(bucketing.by)
            return f"bucket of {by} in {spans} of {bucketing.of} (salt {bucketing.salt})"
        case Each(attr, inner):
            return f"an element of {attribute_words(attr)} with {condition_words(inner)}"
        case AttributeIs():
            return _attribute_words(condition)


def _joined(parts: tuple[Condition, ...], word: str) -> str:
    if not parts:
        return "nobody"
    shown = word.join(condition_words(part) for part in parts[:MAX_VALUES])
    return shown if len(parts) <= MAX_VALUES else f"{shown}{word}…"


def _flag_words(condition: FlagServes) -> str:
    words = []
    if condition.variants is not None:
        words.append(f"serves {' or '.join(condition.variants)}")
    if condition.on is not None:
        words.append("is on" if condition.on else "is off")
    if condition.value is not None:
        words.append(f"has a value with {condition_words(condition.value)}")
    return f"flag {condition.flag} {' and '.join(words)}".rstrip()


def _attribute_words(condition: AttributeIs) -> str:
    name = attribute_words(condition.attr)
    if condition.elements:
        name = f"{name} (or an element of it)"
    if condition.read_as is not None:
        name = f"{name} as {condition.read_as}"
    verb = _VERBS.get(condition.op, condition.op.replace("_", " "))
    words = f"{name} {verb}"
    if condition.values_from is Clock.NOW:
        words += " the present time"
    elif isinstance(condition.values_from, tuple):
        words += f" {attribute_words(condition.values_from)}"
    elif condition.op != "exists":
        shown = " or ".join(value_words(value) for value in condition.values[:MAX_VALUES])
        more = len(condition.values) - MAX_VALUES
        words += f" {shown}" + (f" or {more} more" if more > 0 else "")
    return f"{words}, in any case" if condition.ci else words
