"""A flag set made ready for evaluation: each flag becomes a function at its first use."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from flagstone.engine.attributes import read
from flagstone.engine.bucketing import threshold, unit_text
from flagstone.engine.conditions import Check, compile_condition, unit_hash
from flagstone.engine.details import (
    ErrorCode,
    EvaluationDetails,
    Reason,
    default_details,
    failing,
    fault_details,
    off_details,
    serving,
    unmet_details,
)
from flagstone.engine.model import Fault, Flag, FlagSet, Rule, Split
from flagstone.engine.times import seconds_of

Program = Callable[[dict[str, Any], float], EvaluationDetails]
Step = Callable[[dict[str, Any], float], "EvaluationDetails | None"]


class CompiledFlagSet:
    """A flag set whose flags are functions; immutable to its users, and safe between threads."""

    __slots__ = ("_programs", "_segments", "flag_keys", "flag_set")

    def __init__(self, flag_set: FlagSet) -> None:
        self.flag_set = flag_set
        self.flag_keys = frozenset(flag_set.flags)
        self._programs: dict[str, Program] = {}
        self._segments: dict[str, Check] = {}

    def evaluate(self, flag_key: str, context: Mapping[str, Any], now: float) -> EvaluationDetails:
        """Return the variant of ``flag_key`` in ``context`` at ``now``, and why; never raises."""
        try:
            if type(context) is not dict:
                context = plain_context(context)
            program = self._programs.get(flag_key) or self._program(flag_key)
            return program(context, now)
        except Exception as error:  # noqa: BLE001  whatever came in, an answer goes out
            return self._last_resort(flag_key, context, now, error)

    def segment(self, key: str) -> Check:
        """Return the compiled condition of a segment."""
        check = self._segments.get(key)
        if check is None:
            condition = self.flag_set.segments[key]
            if isinstance(condition, Fault):
                raise KeyError(key)
            check = self._segments[key] = compile_condition(condition, self)
        return check

    def _program(self, flag_key: str) -> Program:
        flag = self.flag_set.flags.get(flag_key)
        if flag is None:
            details = not_found(flag_key)
            return lambda context, now: details
        program = self._programs[flag_key] = compile_flag(flag, self)
        return program

    def _last_resort(
        self, flag_key: object, context: object, now: object, error: Exception
    ) -> EvaluationDetails:
        try:
            if isinstance(now, dt.datetime) and isinstance(context, dict):
                return self.evaluate(str(flag_key), context, seconds_of(now))
            if not isinstance(flag_key, str) or flag_key not in self.flag_set.flags:
                return not_found(flag_key)
            code = ErrorCode.GENERAL if isinstance(context, dict) else ErrorCode.INVALID_CONTEXT
            return failing(flag_key, code, f"{type(error).__name__} during evaluation")
        except Exception:  # noqa: BLE001
            return failing("", ErrorCode.GENERAL, "evaluation failed")


def compile_flag_set(flag_set: FlagSet) -> CompiledFlagSet:
    """Make a flag set ready for evaluation; each flag compiles when it is first asked for."""
    return CompiledFlagSet(flag_set)


def not_found(flag_key: object) -> EvaluationDetails:
    """Answer for a key that no flag has."""
    key = flag_key if isinstance(flag_key, str) else ""
    return failing(key, ErrorCode.FLAG_NOT_FOUND, "there is no such flag")


def plain_context(context: object) -> dict[str, Any]:
    """Return the context as a ``dict``; ``None`` is the empty one."""
    if context is None:
        return {}
    if isinstance(context, Mapping):
        return dict(context)
    raise TypeError("a context is a mapping")


def compile_flag(flag: Flag, around: CompiledFlagSet) -> Program:
    """Turn a flag into a function."""
    if flag.killed or not flag.enabled:
        return _constant(off_details(flag))
    if flag.fault is not None:
        return _constant(fault_details(flag))
    steps = [
        *(_prerequisite(flag, part.flag, part.variants, around) for part in flag.prerequisites),
        *(_target(flag, target) for target in flag.targets),
        *(_rule(flag, rule, around) for rule in flag.rules),
    ]
    default = default_details(flag)
    if not steps:
        return _constant(default)

    def program(context: dict[str, Any], now: float) -> EvaluationDetails:
        for step in steps:
            details = step(context, now)
            if details is not None:
                return details
        return default

    return program


def _constant(details: EvaluationDetails) -> Program:
    return lambda context, now: details


def _prerequisite(flag: Flag, key: str, variants: tuple[str, ...], around: CompiledFlagSet) -> Step:
    unmet = unmet_details(flag, key)

    def step(context: dict[str, Any], now: float) -> EvaluationDetails | None:
        return None if around.evaluate(key, context, now).variant in variants else unmet

    return step


def _target(flag: Flag, target: Any) -> Step:
    details = serving(flag, target.variant, Reason.TARGETING_MATCH)
    keys, path, until = frozenset(target.keys), target.by, target.until

    def step(context: dict[str, Any], now: float) -> EvaluationDetails | None:
        if until is not None and not now < until:
            return None
        return details if unit_text(read(context, path)) in keys else None

    return step


def _rule(flag: Flag, rule: Rule, around: CompiledFlagSet) -> Step:
    holds = compile_condition(rule.when, around)
    start, end, serve = rule.start, rule.end, _serve(flag, rule)

    def step(context: dict[str, Any], now: float) -> EvaluationDetails | None:
        if start is not None and not now >= start:
            return None
        if end is not None and not now < end:
            return None
        return serve(context, now) if holds(context, now) else None

    return step


def _serve(flag: Flag, rule: Rule) -> Step:
    if isinstance(rule.serve, Split):
        return _split(flag, rule, rule.serve)
    details = serving(flag, rule.serve, Reason.TARGETING_MATCH, rule=rule)
    return lambda context, now: details


def _split(flag: Flag, rule: Rule, split: Split) -> Step:
    hash_of, of = unit_hash(split.bucketing), split.bucketing.of
    without_unit = None
    if split.missing is not None:
        without_unit = serving(flag, split.missing, Reason.TARGETING_MATCH, rule=rule)
    shares = [
        (
            threshold(low, of),
            threshold(high, of),
            serving(flag, share.variant, Reason.SPLIT, rule=rule),
        )
        for share in split.shares
        for low, high in share.ranges
    ]

    def step(context: dict[str, Any], now: float) -> EvaluationDetails | None:
        place = hash_of(context)
        if place is None:
            return without_unit
        for low, high, details in shares:
            if low <= place < high:
                return details
        return None

    return step
