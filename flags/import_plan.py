"""What an import finds, and what of it can come into an environment, without touching a row.

Each flag and each segment is read on its own, so that one that is refused stays alone; then all
that rests upon something refused is refused too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flags.canonical import canonical_bytes, digest, same
from flags.conditions import as_input_error, check_condition, flags_of, leaves, segments_of
from flags.drafts import parse_draft
from flags.errors import FlagstoneError, InvalidInputError, StateError
from flags.models import Environment
from flags.plain import (
    MAX_FLAG_BYTES,
    MAX_NAME_LENGTH,
    MAX_PREREQUISITES,
    MAX_RULES,
    MAX_SEGMENTS,
    MAX_TARGET_KEYS,
    check_key,
    check_name,
    check_plain,
)
from flags.workspace import FlagCopy, SegmentCopy, empty_state
from flagstone.engine import (
    FlagSetError,
    condition_document,
    flag_document,
    parse_condition,
    parse_flag,
    parse_flag_set,
)
from flagstone.engine.model import Fault

_NESTING = 64
_STATE = tuple(empty_state(off=None, default=None))


@dataclass(slots=True)
class Reading:
    """What a flag set holds, each part of it read on its own; ``flags`` are documents."""

    flags: dict[str, dict[str, Any]] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    refused_segments: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class ImportPlan:
    """What is there, and what is to come into it."""

    environment: Environment
    flags: dict[str, FlagCopy]
    segments: dict[str, SegmentCopy]
    imported: dict[str, FlagCopy] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    refused_segments: dict[str, str] = field(default_factory=dict)

    def created(self) -> list[str]:
        """Give the flags that are not there yet."""
        return [key for key in self.imported if key not in self.flags]

    def updated(self) -> list[str]:
        """Give the flags whose state changes."""
        return [
            key
            for key, flag in self.imported.items()
            if key in self.flags and not same(flag.state, self.flags[key].state)
        ]

    def changed_segments(self) -> list[str]:
        """Give the segments that are new or change."""
        return [
            key
            for key, condition in self.conditions.items()
            if key not in self.segments or not same(condition, self.segments[key].condition)
        ]

    def result(self) -> tuple[dict[str, FlagCopy], dict[str, SegmentCopy]]:
        """Give the environment's flags and segments as they will be."""
        segments = dict(self.segments)
        for key, condition in self.conditions.items():
            name = segments[key].name if key in segments else self.names.get(key, "")
            segments[key] = SegmentCopy(key, name, condition)
        return {**self.flags, **self.imported}, segments


def plan_import(
    environment: Environment,
    flags: dict[str, FlagCopy],
    segments: dict[str, SegmentCopy],
    reading: Reading,
) -> ImportPlan:
    """Say what of a flag set can come into an environment with these flags and segments.

    Raises
    ------
    InvalidInputError
        If there would be too many segments.
    """
    plan = ImportPlan(
        environment,
        flags,
        segments,
        conditions=reading.conditions,
        names=reading.names,
        refused=reading.refused,
        refused_segments=reading.refused_segments,
    )
    for key, given in reading.flags.items():
        try:
            plan.imported[key] = _imported(key, given, flags.get(key))
        except FlagstoneError as error:
            plan.refused[key] = _reason(error)
    if len(plan.conditions.keys() | segments) > MAX_SEGMENTS:
        raise InvalidInputError(f"there would be more than {MAX_SEGMENTS:,} segments")
    _settle(plan)
    return plan


# Reading: each flag and each segment on its own, so that one that is refused stays alone.


def read_flag_set(document: Mapping[str, Any]) -> Reading:
    """Read what is to come, without a look at what is there: before anything is locked.

    Raises
    ------
    InvalidInputError
        If the document is no flag set.
    """
    if "flags" not in document:
        raise InvalidInputError("a flag set has flags", field="flags", hint='{"flags": {…}}')
    try:
        flag_set = parse_flag_set(document, strict=False)
        parse_flag_set({**document, "flags": {}, "segments": {}}, strict=True)
    except FlagSetError as error:
        raise as_input_error(error) from None
    found = Reading()
    keys = {key: _segment_key(key) for key in flag_set.segments}
    for old, segment in flag_set.segments.items():
        key = keys[old]
        try:
            if isinstance(segment, Fault):
                raise InvalidInputError(str(segment))
            check_plain({old: document["segments"][old]}, "")
            parse_condition(document["segments"][old])
            condition = _with_keys(condition_document(segment), keys)
            found.conditions[key] = check_condition(condition, "")
            found.names[key] = "" if key == old else old[:MAX_NAME_LENGTH]
        except (FlagstoneError, FlagSetError) as error:
            found.refused_segments[key] = _reason(error)
    for key, flag in flag_set.flags.items():
        try:
            if flag.fault is not None:
                raise InvalidInputError(str(flag.fault))
            check_plain(document["flags"][key], "", max_nesting=_NESTING)
            parse_flag({**document["flags"][key], "key": key})
            given = flag_document(flag)
            for rule in given["rules"]:
                _with_keys(rule["when"], keys)
            _check_limits(given)
            found.flags[key] = given
        except (FlagstoneError, FlagSetError) as error:
            found.refused[key] = _reason(error)
    return found


def _segment_key(name: str) -> str:
    """Give a key that a segment can have here, made of its name alone: found again next time."""
    try:
        return check_key(name, "")
    except InvalidInputError:
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50]
        return f"{slug or 'segment'}-{digest(name.encode('utf-8', 'replace'))[:8]}"


def _with_keys(condition: Any, keys: Mapping[str, str]) -> Any:
    for _, leaf in leaves(condition, ""):
        if "segment" in leaf:
            leaf["segment"] = keys[leaf["segment"]]
    return condition


def _reason(error: FlagstoneError | FlagSetError) -> str:
    place = error.path if isinstance(error, FlagSetError) else error.field
    return f"{place}: {error.message}" if place else error.message


def _imported(key: str, document: dict[str, Any], there: FlagCopy | None) -> FlagCopy:
    """Give the flag as it will be in this environment, or refuse it."""
    state = {name: document[name] for name in _STATE}
    if there is not None:
        if there.archived:
            raise StateError("is archived here; restore it first")
        if there.type != document["type"]:
            raise StateError(f"exists already, and its type is {there.type}")
        if not same(_plain_variants(there.variants), _plain_variants(document["variants"])):
            raise StateError(f"exists already, with other variants: {', '.join(there.variants)}")
        # Copied at the top only: nobody writes into what is below.
        changed = not same(there.state, state)
        return replace(there, state=state, version=there.version + 1) if changed else there
    metadata = dict(document["metadata"])
    owner = metadata.pop("owner", "")
    draft = parse_draft(
        {
            "key": key,
            "type": document["type"],
            "client": document["client"],
            "owner": owner,
            "metadata": metadata,
            "variants": document["variants"],
        }
    )
    return FlagCopy(
        key=key,
        type=draft.type,
        name="",
        description="",
        owner=draft.owner,
        client=draft.client,
        archived=False,
        metadata=dict(draft.metadata),
        variants=draft.stored_variants(),
        state=state,
        version=1,
    )


def _plain_variants(variants: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"value": part["value"], "on": part.get("on", part["value"] is not False)}
        for name, part in variants.items()
    }


def _check_limits(document: dict[str, Any]) -> None:
    """Hold a flag to what the instructions of a change may write."""
    keys = sum(len(target["keys"]) for target in document["targets"])
    for name, count, most in (
        ("rules", len(document["rules"]), MAX_RULES),
        ("prerequisites", len(document["prerequisites"]), MAX_PREREQUISITES),
        ("target keys", keys, MAX_TARGET_KEYS),
    ):
        if count > most:
            raise InvalidInputError(f"has {count:,} {name}; at most {most:,} are allowed")
    for index, rule in enumerate(document["rules"]):
        check_name(rule["id"], f"rules[{index}].id", what="rule")
        check_condition(rule["when"], f"rules[{index}].when")
    if len(canonical_bytes(document)) > MAX_FLAG_BYTES:
        raise InvalidInputError(f"takes more than {MAX_FLAG_BYTES:,} bytes")


# Settling: what rests upon something refused is refused too.


def _settle(plan: ImportPlan) -> None:
    _keep_others_segments(plan)
    while True:
        for key, reason in _unmet(plan):
            plan.imported.pop(key, None)
            plan.refused.setdefault(key, reason)
        lost = dict(_unmet_segments(plan))
        for key, reason in lost.items():
            del plan.conditions[key]
            plan.refused_segments[key] = reason
        if not lost and next(_unmet(plan), None) is None:
            return


def _keep_others_segments(plan: ImportPlan) -> None:
    """Refuse to replace a segment that flags name which are not part of the import."""
    outside = {
        key: flag
        for key, flag in plan.flags.items()
        if not flag.archived and key not in plan.imported
    }
    for key in plan.changed_segments():
        if key not in plan.segments:
            continue
        users = [name for name, flag in outside.items() if key in _segments_named(flag)]
        users += [
            name
            for name, segment in plan.segments.items()
            if name not in plan.conditions and key in segments_of(segment.condition)
        ]
        if users:
            del plan.conditions[key]
            named = ", ".join(users[:3])
            plan.refused_segments[key] = f"is another one here, and {named} depends on it"


def _segments_named(flag: FlagCopy) -> set[str]:
    found: set[str] = set()
    for rule in flag.state["rules"]:
        found |= segments_of(rule["when"])
    return found


def _flags_named(flag: FlagCopy) -> set[str]:
    found = {part["flag"] for part in flag.state["prerequisites"]}
    for rule in flag.state["rules"]:
        found |= set(flags_of(rule["when"]))
    return found


def _unmet(plan: ImportPlan) -> Iterator[tuple[str, str]]:
    for key, flag in list(plan.imported.items()):
        reason = _missing(plan, _flags_named(flag), _segments_named(flag))
        if reason is not None:
            yield key, reason


def _unmet_segments(plan: ImportPlan) -> Iterator[tuple[str, str]]:
    for key, condition in list(plan.conditions.items()):
        reason = _missing(plan, flags_of(condition), segments_of(condition))
        if reason is not None:
            yield key, reason


def _missing(plan: ImportPlan, flags: Iterable[str], segments: Iterable[str]) -> str | None:
    for key in sorted(flags):
        there = plan.flags.get(key)
        if key in plan.refused or (key not in plan.imported and (there is None or there.archived)):
            return f"depends on the flag {key!r}, which is not imported"
    for key in sorted(segments):
        if key in plan.refused_segments:
            return f"depends on the segment {key!r}, which {plan.refused_segments[key]}"
        if key not in plan.conditions and key not in plan.segments:
            return f"depends on the segment {key!r}, which is not there"
    return None
