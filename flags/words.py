"""Conditions, numbers and instants in plain words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

_MAX_VALUES = 3
_MAX_CLAUSES = 4

_OPERATORS = {
    "in": ("is", "is not"),
    "contains": ("contains", "does not contain"),
    "starts_with": ("starts with", "does not start with"),
    "ends_with": ("ends with", "does not end with"),
    "regex": ("matches", "does not match"),
    "lt": ("is below", "is not below"),
    "lte": ("is at most", "is not at most"),
    "gt": ("is above", "is not above"),
    "gte": ("is at least", "is not at least"),
    "before": ("is before", "is not before"),
    "after": ("is after", "is not after"),
    "semver_eq": ("is version", "is not version"),
    "semver_lt": ("is below version", "is not below version"),
    "semver_lte": ("is at most version", "is not at most version"),
    "semver_gt": ("is above version", "is not above version"),
    "semver_gte": ("is at least version", "is not at least version"),
    "cidr": ("is in the network", "is not in the network"),
    "type": ("is of the type", "is not of the type"),
}


def join(words: Sequence[str], last: str) -> str:
    """Give ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def percent(share: float) -> str:
    """Give a share as a percentage, without digits that say nothing: ``25 %``, ``0.5 %``."""
    return f"{round(share * 100, 2):g} %"


def unit_word(by: Any) -> str:
    """Give what is counted: users, unless bucketing goes by another attribute."""
    name = attribute(by)
    return "users" if name == "targetingKey" else f"users (by {name})"


def attribute(attr: Any) -> str:
    """Give an attribute's name; a path is joined for reading only."""
    return attr if isinstance(attr, str) else ".".join(str(step) for step in attr)


def describe_condition(condition: Any) -> str:
    """Give a condition as a phrase that follows a noun: ``whose email ends with @acme.com``."""
    if _count(condition) > _MAX_CLAUSES:
        return f"who meet {_count(condition)} conditions"
    return _phrase(condition, holds=True)


def _count(condition: Any) -> int:
    if not isinstance(condition, dict):
        return 1
    for name in ("all", "any"):
        if name in condition:
            return sum(_count(inner) for inner in condition[name])
    if "not" in condition:
        return _count(condition["not"])
    return 1


def _phrase(condition: Any, *, holds: bool) -> str:
    if not isinstance(condition, dict):
        return "of all kinds" if holds else "of no kind"
    if "not" in condition:
        return _phrase(condition["not"], holds=not holds)
    for name, words in _GROUPS.items():
        if name in condition:
            return words(condition[name], holds)
    for name, phrase in _LEAVES.items():
        if name in condition:
            return phrase(condition, holds)
    return "who meet a condition" if holds else "who do not meet a condition"


def _all(conditions: list[Any], holds: bool) -> str:  # noqa: FBT001
    return _grouped(conditions, "and" if holds else "or", holds=holds)


def _any(conditions: list[Any], holds: bool) -> str:  # noqa: FBT001
    return _grouped(conditions, "or" if holds else "and", holds=holds)


def _grouped(conditions: list[Any], word: str, *, holds: bool) -> str:
    phrases = []
    for condition in conditions:
        phrase = _phrase(condition, holds=holds)
        inner = (
            condition["not"] if isinstance(condition, dict) and "not" in condition else condition
        )
        nested = isinstance(inner, dict) and ("all" in inner or "any" in inner)
        phrases.append(f"({phrase})" if nested and len(conditions) > 1 else phrase)
    return join(phrases, word)


def _segment(leaf: dict[str, Any], holds: bool) -> str:  # noqa: FBT001
    return f"in {leaf['segment']}" if holds else f"not in {leaf['segment']}"


def _flag(leaf: dict[str, Any], holds: bool) -> str:  # noqa: FBT001
    if leaf.get("variants"):
        verb = "serves" if holds else "does not serve"
        return f"for whom {leaf['flag']} {verb} {join(leaf['variants'], 'or')}"
    if "value" in leaf:
        verb = "has" if holds else "does not have"
        return f"for whom {leaf['flag']} {verb} a value {_phrase(leaf['value'], holds=True)}"
    on = leaf.get("on", True) is holds
    return f"for whom {leaf['flag']} is {'on' if on else 'off'}"


def _bucket(leaf: dict[str, Any], holds: bool) -> str:  # noqa: FBT001
    bucket = leaf["bucket"]
    share = sum(end - start for start, end in bucket["ranges"]) / bucket.get("of", 10_000)
    return f"in {percent(share if holds else 1 - share)} of {bucket['salt']}"


def _attribute(leaf: dict[str, Any], holds: bool) -> str:  # noqa: FBT001
    # Inside ``each`` the thing itself goes unnamed.
    name = attribute(leaf.get("attr", [])) or "value"
    if "each" in leaf:
        return f"{'with' if holds else 'without'} a {name} {_phrase(leaf['each'], holds=True)}"
    if leaf["op"] == "exists":
        return f"{'with' if holds else 'without'} {name}"
    verb, negated = _OPERATORS.get(
        leaf["op"], (leaf["op"].replace("_", " "), f"not {leaf['op'].replace('_', ' ')}")
    )
    if "values_from" in leaf:
        source = leaf["values_from"]
        compared = f"the {attribute(source['attr'])}" if "attr" in source else "now"
    else:
        compared = _values(leaf.get("values", []))
    return f"whose {name} {verb if holds else negated} {compared}"


def _values(values: list[Any]) -> str:
    shown = [_value(value) for value in values[:_MAX_VALUES]]
    if len(values) > _MAX_VALUES:
        shown.append(f"{len(values) - _MAX_VALUES} more")
    return join(shown, "or")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_GROUPS: dict[str, Callable[[list[Any], bool], str]] = {"all": _all, "any": _any}
_LEAVES: dict[str, Callable[[dict[str, Any], bool], str]] = {
    "segment": _segment,
    "flag": _flag,
    "bucket": _bucket,
    "attr": _attribute,
    "op": _attribute,
}


def moment(instant: dt.datetime) -> str:
    """Write an instant: ``3 March 2026, 14:05 UTC``, with seconds where there are any."""
    at = instant.astimezone(dt.UTC)
    clock = f"{at:%H:%M:%S}".removesuffix(":00")
    return f"{at.day} {at:%B %Y}, {clock} UTC"


def to_the_minute(instant: dt.datetime) -> str:
    """Write an instant of which nobody needs the seconds."""
    return moment(instant.replace(second=0, microsecond=0))
