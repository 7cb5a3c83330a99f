"""What is wrong with files, and what is odd, told without a service. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flags.canonical import same
from flags.conditions import check_condition, leaves
from flags.errors import InvalidInputError
from flags.files import FlagFile, SegmentFile, StateFile, read_flag, read_segment
from flags.instructions import NewRule, WeightedSplit

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing about one file: ``kind`` and ``key`` name it, ``field`` where in it."""

    kind: str
    key: str
    field: str
    severity: str
    message: str
    hint: str = ""


def lint(
    flags: Mapping[str, Any], segments: Mapping[str, Any], *, now: dt.datetime, alone: bool = False
) -> list[Complaint]:
    """Look at files by key; errors are what applying them would refuse.

    Parameters
    ----------
    alone : bool
        Whether these are not all the files, so that nobody knows what is missing.
    """
    found: list[Complaint] = []
    read_flags: dict[str, FlagFile] = {}
    read_segments: dict[str, SegmentFile] = {}
    for key, document in flags.items():
        try:
            read_flags[key] = read_flag(key, document, "")
        except InvalidInputError as error:
            found.append(_refused("flags", key, error))
    for key, document in segments.items():
        try:
            read_segments[key] = read_segment(key, document, "")
        except InvalidInputError as error:
            found.append(_refused("segments", key, error))
    known = None if alone else _Known(read_flags, read_segments)
    for key, flag in read_flags.items():
        found += _of_flag(key, flag, known, now)
    for key, segment in read_segments.items():
        for environment, here in segment.environments.items():
            at = f"environments.{environment}.condition"
            found += _of_condition("segments", key, here.condition, at, environment, known)
    return found


def _refused(kind: str, key: str, error: InvalidInputError) -> Complaint:
    return Complaint(
        kind, key, (error.field or "").lstrip("."), ERROR, error.message, error.hint or ""
    )


@dataclass(frozen=True, slots=True)
class _Known:
    flags: Mapping[str, FlagFile]
    segments: Mapping[str, SegmentFile]


def _of_flag(
    key: str, flag: FlagFile, known: _Known | None, now: dt.datetime
) -> Iterator[Complaint]:
    if not flag.owner:
        yield _odd(key, "owner", "nobody owns it", "name who decides about it")
    if flag.kind == "temporary" and flag.expires is None:
        yield _odd(key, "expires", "it never ends", 'say "expires", or "kind": "permanent"')
    if _is_over(flag.expires, now):
        yield _odd(key, "expires", "its time is over", "remove it, or give it more time")
    try:
        flag.stored_variants()
    except InvalidInputError as error:
        field = error.field or "variants"
        yield Complaint("flags", key, field, ERROR, error.message, error.hint or "")
    for environment, state in flag.environments.items():
        at = f"environments.{environment}"
        for field, variant in _variants(state):
            if variant is not None and variant not in flag.variants:
                message, hint = f"there is no variant {variant!r}", f"one of {_names(flag)}"
                yield Complaint("flags", key, f"{at}.{field}", ERROR, message, hint)
        yield from _of_state(key, state, environment, known, now)


def _of_state(
    key: str, state: StateFile, environment: str, known: _Known | None, now: dt.datetime
) -> Iterator[Complaint]:
    at = f"environments.{environment}"
    for index, each in enumerate(state.prerequisites if known is not None else ()):
        assert known is not None
        here = f"{at}.prerequisites[{index}]"
        yield from _asks("flags", key, here, each.flag, each.variants, known)
    for index, target in enumerate(state.targets):
        if _is_over(target.until, now):
            yield _odd(key, f"{at}.targets[{index}].until", "its time is over", "take it out")
    for index, rule in enumerate(state.rules):
        here = f"{at}.rules[{index}]"
        yield from _of_condition("flags", key, rule.when, f"{here}.when", environment, known)
        if _is_over(rule.end, now):
            yield _odd(key, f"{here}.end", "its time is over", "take the rule out")
        for field, message, hint in _does_nothing(rule, state.default):
            yield _odd(key, f"{here}.{field}", message, hint)
    for index, before in _unreachable(state.rules):
        yield _odd(
            key,
            f"{at}.rules[{index}]",
            f"nobody reaches it: {before} serves everybody that it is for",
            "take it out, or put it before",
        )


def _odd(key: str, field: str, message: str, hint: str) -> Complaint:
    return Complaint("flags", key, field, WARNING, message, hint)


def _is_over(instant: str | None, now: dt.datetime) -> bool:
    return instant is not None and dt.datetime.fromisoformat(instant) <= now


def _names(flag: FlagFile) -> str:
    return ", ".join(flag.variants)


def _variants(state: StateFile) -> Iterator[tuple[str, str | None]]:
    yield "off", state.off
    yield "default", state.default
    for index, target in enumerate(state.targets):
        yield f"targets[{index}].variant", target.variant
    for index, rule in enumerate(state.rules):
        at = f"rules[{index}].serve"
        if isinstance(rule.serve, str):
            yield at, rule.serve
            continue
        split = rule.serve.split
        if isinstance(split, WeightedSplit):
            for name in split.weights:
                yield f"{at}.split.weights.{name}", name
        else:
            for place, arm in enumerate(split.to):
                yield f"{at}.split.to[{place}].variant", arm.variant
        if split.missing != "skip":
            yield f"{at}.split.missing", split.missing


def _of_condition(
    kind: str, key: str, condition: Any, at: str, environment: str, known: _Known | None
) -> Iterator[Complaint]:
    try:
        check_condition(condition, at)
    except InvalidInputError as error:
        hint = error.hint or "write an attribute with its operator, or all, any, not of those"
        yield Complaint(kind, key, error.field or at, ERROR, error.message, hint)
        return
    if known is None:
        return
    for here, leaf in leaves(condition, at):
        if "segment" in leaf:
            segment = known.segments.get(leaf["segment"])
            if segment is None or environment not in segment.environments:
                yield Complaint(
                    kind,
                    key,
                    f"{here}.segment",
                    ERROR,
                    f"{environment} has no segment {leaf['segment']!r}",
                    "write its file, or name another one",
                )
        if "flag" in leaf:
            yield from _asks(kind, key, here, leaf["flag"], leaf.get("variants") or (), known)


def _asks(
    kind: str, key: str, at: str, flag_key: str, variants: Any, known: _Known
) -> Iterator[Complaint]:
    other = known.flags.get(flag_key)
    if other is None:
        message, hint = f"there is no flag {flag_key!r}", "write its file, or name another one"
        yield Complaint(kind, key, f"{at}.flag", ERROR, message, hint)
        return
    for index, variant in enumerate(variants):
        if variant not in other.variants:
            message = f"flag {flag_key!r} has no variant {variant!r}"
            hint = f"one of {', '.join(other.variants)}"
            yield Complaint(kind, key, f"{at}.variants[{index}]", ERROR, message, hint)


def _does_nothing(rule: NewRule, default: str | None) -> Iterator[tuple[str, str, str]]:
    if isinstance(rule.serve, str):
        return
    split = rule.serve.split
    if isinstance(split, WeightedSplit):
        served = {name for name, weight in split.weights.items() if weight}
        empty = split.coverage == 0 or not served
    else:
        served = {arm.variant for arm in split.to if any(a < b for a, b in arm.ranges)}
        empty = not served
    if empty:
        yield "serve.split", "it takes in nobody", "widen it, or take the rule out"
    elif served == {default} and rule.when is True:
        message = f"everybody gets {default} anyway"
        yield "serve.split", message, "serve another variant, or take the rule out"


def _unreachable(rules: list[NewRule]) -> Iterator[tuple[int, str]]:
    """Give the rules behind one that serves everybody that they are for."""
    whole: list[NewRule] = []
    for index, rule in enumerate(rules):
        before = next(
            (each for each in whole if each.when is True or same(each.when, rule.when)), None
        )
        if before is not None:
            yield index, before.id or "the rule before it"
        elif isinstance(rule.serve, str) and rule.start is None and rule.end is None:
            whole.append(rule)
