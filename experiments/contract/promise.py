"""A plan in plain words: what was promised, by whom, to whom, and how it is decided."""

from __future__ import annotations

from experiments.contract import words
from experiments.contract.document import canonical_json, format_duration
from experiments.contract.metric import Metric
from experiments.contract.money import Value
from experiments.contract.plan import Plan
from experiments.contract.release import Release

_ROLES = {
    "success": "success: must be shown better",
    "guardrail": "guardrail: must be shown safe",
    "safety": "safety: stops the change when it gets worse",
    "explore": "exploratory: decides nothing",
}
_BETTER = {"up": "more is better", "down": "less is better"}


def promise_lines(plan: Plan) -> tuple[str, ...]:
    """Say what was promised, a sentence or two a line."""
    total = sum(weight for _arm, weight in plan.weights)
    arms = words.listed([f"{arm} {words.percent(w / total)}" for arm, w in plan.weights])
    audience = f"{words.percent(plan.coverage)} of the audience"
    if plan.audience is not None:
        audience += f" for whom {canonical_json(plan.audience)} holds"
    policy = plan.policy
    lines = [
        (
            f"{plan.customer} is the customer: carries the risk and alone confirms shipping. "
            f"{plan.owner} is the owner and runs it."
        ),
        (
            f"Flag {plan.flag} in {plan.environment}: {arms}, for up to {audience}. "
            f"{plan.control} is doing nothing."
        ),
        (
            f"Proof by {words.days(plan, plan.prove_by_seconds)} after the start; nothing ships "
            f"before {words.days(plan, policy.minimum_seconds)}; harm stops an arm at any look. "
            f"Silence at the deadline goes back to {plan.control}."
        ),
    ]
    spent = f"policy {policy.name}: a change that is worth nothing is called proven at most "
    spent += f"{words.percent(policy.alpha_ship)} of the time"
    if plan.release is not None:
        return _release_lines(plan, plan.release)
    if plan.authorised_in_advance:
        spent += "; proven, it ships without being confirmed"
    lines.append(f"{spent[0].upper()}{spent[1:]}.")
    return tuple(lines)


def _release_lines(plan: Plan, release: Release) -> tuple[str, ...]:
    (variant,) = plan.treatments
    shares = words.listed([words.percent(step.share) for step in release.steps])
    approved = [str(k + 1) for k, step in enumerate(release.steps) if step.approval]
    waits = f"Step {words.listed(approved)} waits for another person. " if approved else ""
    audience = f"{variant} for {shares} of the audience, then for everybody"
    holds = format_duration(release.hold_seconds)
    longer = format_duration(release.max_wait_seconds)
    lines = (
        f"{plan.customer} is the customer and carries the risk. {plan.owner} is the owner.",
        (
            f"Flag {plan.flag} in {plan.environment}: {audience}; as many on {plan.control} are "
            "compared with them."
        ),
        (
            f"{waits}Steps of {holds} in all, and {longer} longer at the most; harm turns "
            f"everybody back to {plan.control} at any look, and so does waiting for longer."
        ),
        (
            f"Policy {plan.policy.name}: a harmless {variant} is turned back at most "
            f"{words.percent(plan.policy.alpha_harm)} of the time."
        ),
    )
    return tuple(lines)


def metric_line(metric: Metric) -> str:
    """Say what a metric counts and what was promised of it."""
    counted = f"{metric.counted} within {format_duration(metric.window_seconds)}"
    if metric.rare:
        counted += ", rare: its events are weighed one by one"
    if metric.covariate is not None:
        counted += f", adjusted for {metric.covariate}"
    parts = [_ROLES[metric.role], counted, _BETTER[metric.direction]]
    if metric.mde is not None:
        parts.append(f"at least {words.percent(metric.mde)} is worth having")
    if metric.superiority_margin:
        margin = words.difference(metric, metric.superiority_margin).lstrip("+")
        parts.append(f"break-even at {margin}")
    if metric.margin is not None:
        parts.append(f"at most {words.percent(metric.margin)} worse is tolerated")
    return f"{metric.key} – {'; '.join(parts)}."


def price_lines(value: Value) -> list[str]:
    """Say what a success is worth, and what the change costs."""
    brings = f"{value.likely.normalize():f} {value.currency}"
    if value.low != value.high:
        brings += f" (from {value.low.normalize():f} to {value.high.normalize():f})"
    costs = (
        (value.monthly_costs, "a month"),
        (value.build, "to build it"),
        (value.cleanup, "to take the old way out"),
    )
    said = [f"{cents / 100:,.2f} {value.currency} {words}" for cents, words in costs if cents]
    return [
        (
            f"One more success brings {brings}; {value.units_per_month.normalize():,f} people a "
            f"month meet the change, for {value.horizon_months} months."
        ),
        *([f"It costs {', '.join(said)}."] if said else []),
    ]
