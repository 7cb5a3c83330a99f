"""Flags as chains of functions: plain to read, careful with any object, and not the fastest.

This is what evaluation means. ``generate`` makes faster programs for the data that contexts hold
nearly always, and hands everything else to these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flagstone.engine.attributes import read
from flagstone.engine.bucketing import edge_of
from flagstone.engine.conditions import Surroundings, compile_condition, unit_place
from flagstone.engine.details import (
    EvaluationDetails,
    Reason,
    default_details,
    fault_details,
    off_details,
    serving,
    unmet_details,
)
from flagstone.engine.model import Flag, Rule, Split, Target
from flagstone.engine.units import unit_text

Program = Callable[[dict[str, Any], float], EvaluationDetails]
Stage = Callable[[dict[str, Any], float], "EvaluationDetails | None"]


def settled(flag: Flag) -> EvaluationDetails | None:
    """Return the answer of a flag that asks nothing of the context, or ``None``."""
    if flag.killed or not flag.enabled:
        return off_details(flag)
    if flag.fault is not None:
        return fault_details(flag)
    if flag.prerequisites or flag.targets or flag.rules:
        return None
    return default_details(flag)


def careful_program(flag: Flag, around: Surroundings) -> Program:
    """Turn a flag that is not settled into a function."""
    stages = [
        *(_prerequisite(flag, part.flag, part.variants, around) for part in flag.prerequisites),
        *(_target(flag, target) for target in flag.targets),
        *(_rule(flag, rule, around) for rule in flag.rules),
    ]
    default = default_details(flag)

    def program(context: dict[str, Any], now: float) -> EvaluationDetails:
        for stage in stages:
            details = stage(context, now)
            if details is not None:
                return details
        return default

    return program


def _prerequisite(flag: Flag, key: str, variants: tuple[str, ...], around: Surroundings) -> Stage:
    unmet = unmet_details(flag, key)

    def stage(context: dict[str, Any], now: float) -> EvaluationDetails | None:
        return None if around.evaluate(key, context, now).variant in variants else unmet

    return stage


def _target(flag: Flag, target: Target) -> Stage:
    details = serving(flag, target.variant, Reason.TARGETING_MATCH)
    keys, path, until = frozenset(target.keys), target.by, target.until

    def stage(context: dict[str, Any], now: float) -> EvaluationDetails | None:
        if until is not None and not now < until:
            return None
        return details if unit_text(read(context, path)) in keys else None

    return stage


def _rule(flag: Flag, rule: Rule, around: Surroundings) -> Stage:
    holds = compile_condition(rule.when, around)
    start, end, serve = rule.start, rule.end, _serve(flag, rule)

    def stage(context: dict[str, Any], now: float) -> EvaluationDetails | None:
        if start is not None and not now >= start:
            return None
        if end is not None and not now < end:
            return None
        return serve(context, now) if holds(context, now) else None

    return stage


def _serve(flag: Flag, rule: Rule) -> Stage:
    if isinstance(rule.serve, Split):
        return _split(flag, rule, rule.serve)
    details = serving(flag, rule.serve, Reason.TARGETING_MATCH, rule=rule)
    return lambda _context, _now: details


def _split(flag: Flag, rule: Rule, split: Split) -> Stage:
    bucketing = split.bucketing
    find = unit_place(bucketing)
    without_unit = None
    if split.missing is not None:
        without_unit = serving(flag, split.missing, Reason.TARGETING_MATCH, rule=rule)
    shares = [
        (
            edge_of(bucketing, low),
            edge_of(bucketing, high),
            serving(flag, share.variant, Reason.SPLIT, rule=rule),
        )
        for share in split.shares
        for low, high in share.ranges
    ]

    def stage(context: dict[str, Any], _now: float) -> EvaluationDetails | None:
        place = find(context)
        if place is None:
            return without_unit
        for low, high, details in shares:
            if low <= place < high:
                return details
        return None

    return stage
