"""From the model back to a document: the inverse of parsing."""

from __future__ import annotations

from typing import Any

from flagstone.engine.model import (
    NATIVE_HASH,
    AllOf,
    Always,
    AnyOf,
    AttributeIs,
    Bucketing,
    Clock,
    Condition,
    Each,
    Fault,
    Flag,
    FlagServes,
    FlagSet,
    InBucket,
    InSegment,
    Json,
    Not,
    Path,
    Rule,
    Split,
    Target,
    Variant,
)
from flagstone.engine.parse import SCHEMA
from flagstone.engine.reading import json_value
from flagstone.engine.times import format_time


def to_document(flag_set: FlagSet) -> dict[str, Any]:
    """Write a flag set as plain JSON; parsing it gives an equal flag set.

    What could not be read is written as it was found.
    """
    return {
        "schema": SCHEMA,
        "environment": flag_set.environment,
        "version": flag_set.version,
        "flags": {key: flag_document(flag) for key, flag in flag_set.flags.items()},
        "segments": {
            key: segment.document if isinstance(segment, Fault) else condition_document(segment)
            for key, segment in flag_set.segments.items()
        },
    }


def flag_document(flag: Flag) -> Json:
    """Write one flag."""
    if flag.fault is not None and flag.fault.has_document:
        return flag.fault.document
    return {
        "key": flag.key,
        "type": flag.type,
        "version": flag.version,
        "client": flag.client,
        "variants": {key: _variant(variant) for key, variant in flag.variants.items()},
        "enabled": flag.enabled,
        "killed": flag.killed,
        "off": flag.off,
        "prerequisites": [
            {"flag": part.flag, "variants": list(part.variants)} for part in flag.prerequisites
        ],
        "targets": [_target(target) for target in flag.targets],
        "rules": [_rule(rule) for rule in flag.rules],
        "default": flag.default,
        "metadata": json_value(flag.metadata),
    }


def _variant(variant: Variant) -> dict[str, Any]:
    document: dict[str, Any] = {"value": json_value(variant.value)}
    if variant.on is not (variant.value is not False):
        document["on"] = variant.on
    return document


def _target(target: Target) -> dict[str, Any]:
    document: dict[str, Any] = {
        "variant": target.variant,
        "by": _path(target.by),
        "keys": list(target.keys),
    }
    if target.until is not None:
        document["until"] = format_time(target.until)
    return document


def _rule(rule: Rule) -> dict[str, Any]:
    document: dict[str, Any] = {"id": rule.id}
    if rule.start is not None:
        document["start"] = format_time(rule.start)
    if rule.end is not None:
        document["end"] = format_time(rule.end)
    if rule.track:
        document["track"] = True
    document["when"] = condition_document(rule.when)
    document["serve"] = _split(rule.serve) if isinstance(rule.serve, Split) else rule.serve
    return document


def _split(split: Split) -> dict[str, Any]:
    return {
        "split": {
            **_bucketing(split.bucketing),
            "missing": "skip" if split.missing is None else split.missing,
            "to": [
                {"variant": share.variant, "ranges": [list(pair) for pair in share.ranges]}
                for share in split.shares
            ],
        }
    }


def _bucketing(bucketing: Bucketing) -> dict[str, Any]:
    return {
        "by": _path(bucketing.by),
        "hash": bucketing.hash or NATIVE_HASH,
        "salt": bucketing.salt,
        "of": bucketing.of,
    }


def _path(path: Path) -> str | list[str]:
    return path[0] if len(path) == 1 else list(path)


def condition_document(condition: Condition) -> Json:
    """Write one condition."""
    match condition:
        case Always():
            return True
        case AllOf(conditions):
            return {"all": [condition_document(part) for part in conditions]}
        case AnyOf(conditions):
            return {"any": [condition_document(part) for part in conditions]}
        case Not(inner):
            return {"not": condition_document(inner)}
        case InSegment(segment):
            return {"segment": segment}
        case FlagServes():
            return _flag_serves(condition)
        case InBucket(bucketing, ranges):
            inside = {**_bucketing(bucketing), "ranges": [list(pair) for pair in ranges]}
            return {"bucket": inside}
        case Each(attr, inner):
            return {"attr": _path(attr), "each": condition_document(inner)}
        case AttributeIs():
            return _attribute_is(condition)


def _flag_serves(condition: FlagServes) -> dict[str, Any]:
    document: dict[str, Any] = {"flag": condition.flag}
    if condition.variants is not None:
        document["variants"] = list(condition.variants)
    if condition.on is not None:
        document["on"] = condition.on
    if condition.value is not None:
        document["value"] = condition_document(condition.value)
    return document


def _attribute_is(condition: AttributeIs) -> dict[str, Any]:
    document: dict[str, Any] = {"attr": _path(condition.attr), "op": condition.op}
    if condition.values_from is Clock.NOW:
        document["values_from"] = {"clock": "now"}
    elif isinstance(condition.values_from, tuple):
        document["values_from"] = {"attr": _path(condition.values_from)}
    if condition.values or (condition.values_from is None and condition.op != "exists"):
        document["values"] = [json_value(value) for value in condition.values]
    if condition.read_as is not None:
        document["as"] = condition.read_as
    for name in ("ci", "elements", "strict"):
        if getattr(condition, name):
            document[name] = True
    return document
