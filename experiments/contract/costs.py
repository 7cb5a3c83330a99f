"""What the card says in money: the worth of an effect, and what the experiment has cost so far."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from experiments.contract.effects import Effect, effects_at
from experiments.contract.metric import Metric
from experiments.contract.money import Value, Worth, cents, decimal_of, money_text, months_between
from experiments.contract.plan import Plan


def good(direction: str, effect: float) -> float:
    """Give an effect in the good direction: a fall is worth money where ``down`` is better."""
    return effect if direction == "up" else -effect


def in_good_direction(direction: str, effect: Effect) -> tuple[float | None, float | None]:
    """Give an interval's ends in the good direction, the worse one first."""
    ends = (effect.low, effect.high) if direction == "up" else (effect.high, effect.low)
    worse, better = (None if end is None else good(direction, end) for end in ends)
    return worse, better


def worth_of(plan: Plan, metric: Metric, test: Mapping[str, Any]) -> Worth | None:
    """Give the net benefit of a test's estimate and bounds, if the plan values the metric."""
    if plan.value is None or not plan.success_metrics or metric.key != plan.success_metrics[0].key:
        return None
    raw = Effect(test["estimate"], low=test["low"], high=test["high"])
    likely, way = good(metric.direction, raw.estimate), metric.direction
    return plan.value.net_benefits(likely, *in_good_direction(way, raw))


def worth_text(plan: Plan, worth: Worth) -> str:
    """Say a net benefit: low, likely and high, and against what."""
    assert plan.value is not None, "only a plan with money has a worth in money"
    currency = plan.value.currency
    low, high = (
        "no bound" if end is None else money_text(end, currency) for end in (worth.low, worth.high)
    )
    return (
        f"net benefit {money_text(worth.likely, currency)} in {plan.value.horizon_months} months, "
        f"between {low} and {high}, against doing nothing"
    )


def running_costs(value: Value, seconds: float, day_seconds: float) -> int:
    """Give what running and supporting the change has cost in that time, in cents."""
    return cents(months_between(seconds, day_seconds) * value.monthly_costs / 100)


def exposure_loss(direction: str, value: Value, effects: Mapping[str, Effect]) -> int:
    """Give what the arms that do worse than control have lost, in cents, never negative.

    Units that met an arm times its shrunk effect times the likely value of one unit.
    """
    lost = Decimal(0)
    for effect in effects.values():
        loss = max(0.0, -good(direction, effect.shrunk))
        lost += decimal_of(loss) * effect.units * value.likely
    return cents(lost)


def cost_text(
    plan: Plan,
    look: Mapping[str, Any],
    decision: Mapping[str, Any],
    offset: float | None,
    *,
    hide: bool,
) -> str:
    """Say what the experiment has cost so far, in money; empty where the plan has none."""
    if plan.value is None:
        return ""
    value, parts = plan.value, []
    if offset is not None and value.monthly_costs:
        run = running_costs(value, offset, plan.policy.day_seconds)
        parts.append(f"{money_text(run, value.currency)} to run it")
    if not hide:
        direction = plan.success_metrics[0].direction
        lost = exposure_loss(direction, value, effects_at(plan, look, decision))
        parts.append(f"{money_text(lost, value.currency)} lost by those who met it")
    told = f" In money: {' and '.join(parts)}." if parts else ""
    return told + sunk_text(plan)


def sunk_text(plan: Plan) -> str:
    """Say what is spent whatever is decided; empty where nothing is."""
    if plan.value is None or not plan.value.build:
        return ""
    return f" Built for {money_text(plan.value.build, plan.value.currency)}, which decides nothing."
