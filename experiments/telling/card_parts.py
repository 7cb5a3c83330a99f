"""The parts of the verdict card that hold numbers: worth, trust, cost and evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.contract import costs, money, words
from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from experiments.machine.alarms import LEAST_ATTRITION_P
from experiments.machine.lifecycle import Hold, Outcome, State
from experiments.telling.card_harm import MOST_ARMS_NAMED, passed
from experiments.telling.card_status import CardStatus


@dataclass(frozen=True)
class Worth:
    """What one success metric is worth in one arm, against doing nothing.

    Numbers are in the metric's unit (a conversion: share of units); ``low`` and ``high`` bound the
    difference at all looks that can decide together, ``None`` where unbounded. ``break_even`` lies
    on the same axis. ``money`` is the net benefit in cents, where the plan values the metric.
    """

    metric: str
    arm: str
    unit: str
    good: str
    control_mean: float | None
    treatment_mean: float | None
    estimate: float | None
    low: float | None
    high: float | None
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    break_even: float | None
    break_even_label: str
    proven: bool
    text: str
    money: money.Worth | None = None
    currency: str = ""


@dataclass(frozen=True)
class Trust:
    """One reason to trust the numbers, or not."""

    name: str
    good: bool
    text: str


@dataclass(frozen=True)
class Evidence:
    """One test, for those who ask."""

    kind: str
    metric: str
    arm: str
    estimate: float | None
    se: float | None
    z: float | None
    bound: float | None
    alpha_spent: float
    passed: bool
    reason: str | None
    text: str
    log_e: float | None = None
    log_e_bound: float | None = None


def worth_part(
    plan: Plan, look: Mapping[str, Any], decision: Mapping[str, Any]
) -> tuple[Worth, ...]:
    """Say what every metric of the claim is worth in every arm."""
    lines = []
    # A release claims nothing: at which bounds no harm was seen is what it has to tell.
    roles = {"value": ("success",), "no_harm": ("guardrail",)}.get(
        plan.claim, ("guardrail", "safety")
    )
    kinds = {"success": "ship", "guardrail": "noninferiority", "safety": "harm"}
    for metric in plan.metrics:
        if metric.role not in roles:
            continue
        arm_means = words.means(look, metric.key)
        for arm in plan.treatments:
            test = words.find_test(decision, kinds[metric.role], metric.key, arm)
            lines.append(_worth_line(plan, metric, arm, test, arm_means))
    return tuple(lines)


def _worth_line(
    plan: Plan,
    metric: Metric,
    arm: str,
    test: Mapping[str, Any] | None,
    arm_means: Mapping[str, float],
) -> Worth:
    control_mean = arm_means.get(plan.control)
    break_even, label = _break_even(metric, control_mean)
    name = metric.title
    known = test if test is not None and test["estimate"] is not None else None
    if known is None:
        text = f"{name}, {arm}: too few units yet"
    else:
        text = (
            f"{name}, {arm} against {plan.control}: {words.difference(metric, known['estimate'])}"
        )
        if known["relative"] is not None:
            text += f" ({words.signed_percent(known['relative'])})"
        text += f", {words.interval(metric, known['low'], known['high'])}"
        if metric.covariate:
            text += f", adjusted for {metric.covariate}"
    if break_even is not None:
        text += f"; {label} {words.difference(metric, break_even)}"
    priced = costs.worth_of(plan, metric, known) if known is not None else None
    if priced is not None:
        text += f"; {costs.worth_text(plan, priced)}"
    fields = ("estimate", "low", "high", "relative", "relative_low", "relative_high")
    return Worth(
        metric=metric.key,
        arm=arm,
        unit=metric.unit,
        good=metric.direction,
        control_mean=control_mean,
        treatment_mean=arm_means.get(arm),
        **{name: known[name] if known else None for name in fields},
        break_even=break_even,
        break_even_label=label,
        proven=bool(known and known["passed"] and known["kind"] != "harm"),
        text=text,
        money=priced,
        currency=plan.value.currency if priced is not None and plan.value is not None else "",
    )


def _break_even(metric: Metric, control_mean: float | None) -> tuple[float | None, str]:
    sign = 1 if metric.direction == "up" else -1
    if metric.superiority_margin:
        return sign * metric.superiority_margin, "break-even"
    if metric.mde is not None and control_mean is not None:
        return sign * metric.mde * abs(control_mean), "least worth having"
    if metric.margin is not None and control_mean is not None:
        return -sign * metric.margin * abs(control_mean), "tolerated"
    return None, ""


def evidence_part(
    plan: Plan, look: Mapping[str, Any], decision: Mapping[str, Any]
) -> tuple[Evidence, ...]:
    """Give every test, for those who ask."""
    rows = []
    for test in decision["tests"]:
        metric = plan.metric(test["metric"])
        head = f"{test['kind']} {test['metric']} {test['arm']}"
        crossed = "crossed" if test["passed"] else "not crossed"
        if test["kind"] == "harm_events" and test["log_e_bound"] is not None:
            found = words.rare_events(plan, test, look)
            text = f"{head}: {found} {crossed}, alpha spent {test['alpha_spent']:.4f}"
        elif test["z"] is None and test["estimate"] is not None:
            interval = words.interval(metric, test["low"], test["high"])
            estimate = words.difference(metric, test["estimate"])
            text = f"{head}: {estimate}, {interval}; decides nothing"
        elif test["z"] is None:
            text = f"{head}: {test['reason'] or 'no test at this look'}"
        else:
            bound = "none" if test["bound"] is None else f"{test['bound']:.3f}"
            text = (
                f"{head}: {words.difference(metric, test['estimate'])}, z {test['z']:.3f}, "
                f"bound {bound} {crossed}, alpha spent {test['alpha_spent']:.4f}"
            )
        fields = ("kind", "metric", "arm", "estimate", "se", "z", "bound", "alpha_spent")
        rows.append(
            Evidence(
                **{name: test[name] for name in fields},
                passed=test["passed"],
                reason=test["reason"],
                text=text,
                log_e=test.get("log_e"),
                log_e_bound=test.get("log_e_bound"),
            )
        )
    return tuple(rows)


def trust_part(
    plan: Plan,
    status: CardStatus,
    look: Mapping[str, Any] | None,
    decision: Mapping[str, Any] | None,
    quality: Mapping[str, Any] | None,
) -> tuple[Trust, ...]:
    """Say why the numbers may be trusted, or not."""
    lines = []
    if look is not None and decision is not None:
        counts = _counted(plan, look)
        limit = plan.policy.srm_threshold
        evidence = words.odds(decision["srm_log_e"])
        broken = decision["verdict"] == Outcome.INVALID
        word = "not the planned one" if broken else "as planned"
        detail = f"evidence against it {evidence}, alarm at {limit:,.0f}"
        lines.append(Trust("split", not broken, f"{word}: {counts} ({detail})"))
    if quality is not None:
        seen = sum(look["counts"].values()) if look else 0
        bad = quality["quarantined"] > 0.01 * max(1, seen + quality["quarantined"])
        twice = f"{quality['quarantined']:,} met several arms and count nowhere"
        bots = quality.get("bots", 0)
        if bots:
            twice += f"; {bots:,} act too often for people and count nowhere"
        lines.append(Trust("people", not bad, f"{seen:,} people count; {twice}"))
        lines.append(_freshness(quality, replayed=status.replayed))
        if quality.get("attrition") is not None:
            lines.append(_attrition(quality))
    if look is not None and status.audits:
        lines.append(Trust("audits", status.audits_good, status.audits))
    seal = status.plan_hash
    if status.state == State.HELD and status.held_cause not in {Hold.QUALITY, Hold.STALE}:
        lines.append(Trust("seal", False, "broken: the rule was edited by hand"))
    elif seal and status.replayed:
        text = f"plan {seal[:12]} as replayed; a replay proves no promise made beforehand"
        lines.append(Trust("seal", True, text))
    elif seal:
        lines.append(Trust("seal", True, f"unbroken, plan {seal[:12]}"))
    else:
        lines.append(Trust("seal", False, "not sealed yet"))
    return tuple(lines)


def _counted(plan: Plan, look: Mapping[str, Any]) -> str:
    counts = {arm: look["counts"].get(arm, 0) for arm in plan.arms}
    if len(plan.treatments) <= MOST_ARMS_NAMED:
        return ", ".join(f"{arm} {count:,}" for arm, count in counts.items())
    others = [counts[arm] for arm in plan.treatments]
    return (
        f"{plan.control} {counts[plan.control]:,}, {len(others)} arms with {min(others):,} to "
        f"{max(others):,}"
    )


def _freshness(quality: Mapping[str, Any], *, replayed: bool) -> Trust:
    age = quality["newest_event_age_seconds"]
    if age is None:
        text = "recorded data without times" if replayed else "no event has come in"
        return Trust("freshness", replayed, text)
    stale = quality["stale"]
    how = "stale" if stale else "fresh"
    text = f"{how}: newest event {_in_its_unit(age)} before the look"
    usual = quality.get("may_be_silent_seconds")
    if usual is not None:
        text += f" (so few come that {_in_its_unit(usual)} without any are no alarm)"
    return Trust("freshness", not stale, text)


def _in_its_unit(seconds: float) -> str:
    """Write a length of time in the unit that makes it a number of two digits or so."""
    for unit, length in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:,.0f} s"


def _attrition(quality: Mapping[str, Any]) -> Trust:
    shares = words.lost_shares(quality["attrition"])
    if not shares:
        return Trust("attrition", True, "nobody was watched long enough yet")
    p = quality.get("attrition_p")
    even = p is None or p >= LEAST_ATTRITION_P
    how = "alike in all arms" if even else "unequal"
    found = "too few units to compare" if p is None else f"p {p:.2g}, alarm below 0.001"
    return Trust("attrition", even, f"{how}: {words.listed(shares)} lost ({found})")


def cost_part(
    plan: Plan,
    status: CardStatus,
    look: Mapping[str, Any] | None,
    decision: Mapping[str, Any] | None,
    offset: float | None,
    *,
    hide: bool,
) -> str:
    """Say how many met the change, and what a shown harm has cost."""
    if look is None or decision is None:
        return f"Nothing yet: nobody has met the change.{costs.sunk_text(plan)}"
    counts = [(look["counts"].get(arm, 0), arm) for arm in plan.treatments]
    if len(counts) > MOST_ARMS_NAMED:
        counts = [(sum(count for count, _arm in counts), f"one of {len(counts)} arms")]
    exposed = [f"{count:,} met {arm}" for count, arm in counts]
    text = f"{words.listed(exposed)}, {look['counts'].get(plan.control, 0):,} {plan.control}"
    if offset is not None and not status.replayed:
        text += f", in {words.days(plan, offset)}"
    in_money = costs.cost_text(plan, look, decision, offset, hide=hide)
    if hide:
        return f"{text}.{in_money}"
    losses = []
    for metric in plan.metrics:
        for arm in plan.treatments:
            total = _loss(plan, look, decision, metric, arm)
            if total:
                # Events are fewer, their value is less.
                fewer = "less" if metric.ratio and metric.ratio.numerator == "value" else "fewer"
                way = fewer if total < 0 else "more"
                name = _lost(metric)
                about = words.plain(float(f"{abs(total):.3g}"))
                losses.append(f"about {about} {way} {name} in {arm}")
    if losses:
        text += f": {words.listed(losses)} than on {plan.control}"
    return f"{text}.{in_money}"


def _lost(metric: Metric) -> str:
    """Name what there is more or less of."""
    if metric.ratio is not None:
        return metric.ratio.numerator_of(metric.event)
    if metric.kind == "quantile":
        return metric.beyond
    return metric.key


def _loss(
    plan: Plan,
    look: Mapping[str, Any],
    decision: Mapping[str, Any],
    metric: Metric,
    arm: str,
) -> float | None:
    """Tell by how much an arm in which harm was found differs from control, over all its units."""
    if not any(passed(decision, kind, metric.key, arm) for kind in words.HARM_KINDS):
        return None
    test = words.find_test(decision, "harm", metric.key, arm)
    units = float(look["counts"].get(arm, 0))
    if metric.ratio is not None or (metric.kind == "quantile" and not metric.reading.of_units):
        # A ratio's difference is per denominator; those of mature units are all that is known.
        units = words.below_the_line(look, metric.key, arm)
    if test is not None and test["estimate"] is not None:
        return float(test["estimate"]) * units
    # Rare events stop before there are units enough for an estimate: the difference as counted.
    arm_means = words.means(look, metric.key)
    if plan.control not in arm_means or arm not in arm_means:
        return None
    return (arm_means[arm] - arm_means[plan.control]) * units
