"""What the global holdout asks of an experiment's rules: nobody who is held gets in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, col, select

from experiments.contract.lanes import narrowed
from experiments.contract.plan import Plan
from experiments.models import HoldoutRow
from experiments.rules.serving import Rule, held_rule_id
from flags.models import Environment

FLAG = "flagstone-holdout"
HELD, OPEN = "held", "open"
CONDITION: dict[str, Any] = {"flag": FLAG, "variants": [HELD]}
LET_IN: dict[str, Any] = {"not": CONDITION}


def current(session: Session, environment: Environment) -> HoldoutRow | None:
    """Give the environment's holdout that is on, if one is."""
    return session.exec(
        select(HoldoutRow)
        .where(HoldoutRow.environment_id == environment.id, col(HoldoutRow.ended_at).is_(None))
        .execution_options(populate_existing=True)
    ).first()


def is_on(session: Session, environment: Environment) -> bool:
    """Tell whether units are held out of everything in the environment."""
    return current(session, environment) is not None


def held_rule(plan: Plan) -> Rule:
    """Give control to everybody of the audience who is held; nothing is tracked."""
    when = narrowed(plan.audience, CONDITION)
    return {"id": held_rule_id(plan), "when": when, "serve": plan.control}


def with_holdout(plan: Plan, rules: Mapping[str, Rule], *, held: bool) -> dict[str, Rule]:
    """Give an experiment's rules as they are while units are held, or while none are.

    What gives control to everybody it reaches needs no change.
    """
    mine = {key: rule for key, rule in rules.items() if key != held_rule_id(plan)}
    plain = {key: {**rule, "when": _without(rule["when"])} for key, rule in mine.items()}
    if not held or all(rule["serve"] == plan.control for rule in plain.values()):
        return plain
    limited = {
        key: rule
        if rule["serve"] == plan.control
        else {**rule, "when": narrowed(rule["when"], LET_IN)}
        for key, rule in plain.items()
    }
    return {**limited, held_rule_id(plan): held_rule(plan)}


def _without(condition: Any) -> Any:
    if condition == LET_IN:
        return True
    if not isinstance(condition, Mapping) or set(condition) != {"all"}:
        return condition
    parts = [_without(part) for part in condition["all"] if part != LET_IN]
    if len(parts) == len(condition["all"]):
        return {"all": parts}
    return narrowed(True, *parts)
