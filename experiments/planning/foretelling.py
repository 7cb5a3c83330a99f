"""What the plan's own rule can show with so many units, and how often it errs: dates and chances.

What it hides: how a plan's looks, ramp, windows and spending time become the schedule that
`stats.planning` understands. No table of sample sizes: the rule that will decide is asked.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.contract.metric import Metric
from experiments.contract.plan import Plan, plan_hash
from experiments.contract.policy import look_schedule
from experiments.judging.looks import decision_plan, decision_policy
from experiments.measuring.today import Arrivals
from stats import (
    Baseline,
    Role,
    Schedule,
    Simulated,
    StatsError,
    World,
    operating_characteristics,
    outlook,
)
from stats.planning.worlds import standard_truths

Document = dict[str, Any]

#: Chance to prove a change that has its MDE, and keeps its guardrails, by the deadline.
POWER = 0.8
#: Simulated experiments in each world: the Monte Carlo error of a share is at most 0.011.
RUNS = 2000
#: Looks that are simulated: thousands would cost minutes and change nothing.
MOST_LOOKS = 120


@dataclass(frozen=True)
class Known:
    """What the forecast rests on: measured where it could be, else stated.

    Parameters
    ----------
    arrivals : Arrivals, optional
        ``None`` when neither is known.
    baselines : mapping of str to Baseline
        Metrics that are known.
    """

    arrivals: Arrivals | None
    baselines: Mapping[str, Baseline]


def tidy(value: float) -> float:
    """Cut a number to six digits: more would differ between processors and say nothing."""
    return float(f"{value:.6g}")


# --- looks and units


def simulated_looks(plan: Plan) -> tuple[float, ...]:
    """Give the looks' instants, thinned evenly where there are too many; ship instants first."""
    every = look_schedule(plan.policy, plan.prove_by_seconds)
    if len(every) <= MOST_LOOKS:
        return every
    shipping = [at for at in every if plan.policy.may_ship(at, plan.prove_by_seconds)]
    others = [at for at in every if not plan.policy.may_ship(at, plan.prove_by_seconds)]
    chosen = _evenly(shipping, MOST_LOOKS // 2)
    return tuple(sorted({*chosen, *_evenly(others, MOST_LOOKS - len(chosen))}))


def _evenly(instants: Sequence[float], most: int) -> list[float]:
    """Thin a list, its last kept."""
    if len(instants) <= most:
        return list(instants)
    return [instants[(k + 1) * len(instants) // most - 1] for k in range(most)]


def enrolled(plan: Plan, arrivals: Arrivals, seconds: float) -> float:
    """Count the units that take part by an instant: the ramp lets in a share of who comes."""
    total, begin = 0.0, 0.0
    for step in plan.policy.ramp_steps(plan.coverage):
        end = min(begin + step.hold_seconds, seconds, plan.enrol_seconds)
        if end > begin:
            total += step.coverage * (arrivals.until(end) - arrivals.until(begin))
        begin += step.hold_seconds
    return total


def schedule_of(
    plan: Plan, arrivals: Arrivals, window: float, looks: Sequence[float]
) -> Schedule | None:
    """Give the looks with the units that have matured; ``None`` if none has by the last.

    Parameters
    ----------
    window : float
        Seconds that a unit is watched for.
    looks : sequence of float
        Their instants, in seconds from the start.

    Notes
    -----
    Spending time as in :func:`experiments.judging.looks.build_look`: the share of ``prove_by``, or
    of the planned units, of which a ship look that has them all is the last.
    """
    shares = [weight / sum(plan.weight_of.values()) for _arm, weight in plan.weights]
    prove_by = plan.prove_by_seconds
    times: list[float] = []
    units: list[tuple[float, ...]] = []
    ships: list[bool] = []
    futile: list[bool] = []
    for at in looks:
        matured = enrolled(plan, arrivals, at - window)
        over = at >= prove_by
        time = at / prove_by
        if plan.planned_units is not None:
            time = 1.0 if over else matured / plan.planned_units
        if times and time <= times[-1]:
            if not over:
                continue
            # The deadline is a look whatever came before it.
            time = times[-1] * (1 + 1e-9)
        times.append(time)
        units.append(tuple(share * matured for share in shares))
        ships.append(plan.policy.may_ship(at, prove_by))
        futile.append(plan.policy.may_be_futile(at, prove_by))
        if time >= 1 and ships[-1]:
            break
    if not times or max(units[-1]) <= 0:
        return None
    return Schedule(tuple(times), tuple(units), tuple(ships), tuple(futile))


# --- what can be proven


def asked_of(plan: Plan, known: Known) -> list[Metric]:
    """List the metrics whose proof can be foretold: those that prove and that are known."""
    proving = [metric for metric in plan.metrics if metric.role in {"success", "guardrail"}]
    return [metric for metric in proving if metric.key in known.baselines]


def deadline_of(
    plan: Plan,
    known: Known,
    arrivals: Arrivals,
    looks: Sequence[float],
    instant: float,
    asked: Sequence[Metric],
) -> Document:
    """Say what has a chance of POWER to be proven by one instant, under the sealed rules."""
    until = looks[: bisect.bisect_right(looks, instant * (1 + 1e-9))]
    metrics = [_seen(plan, known, arrivals, until, metric) for metric in asked]
    return {
        "day": tidy(instant / plan.policy.day_seconds),
        "seconds": instant,
        "units": round(enrolled(plan, arrivals, instant)),
        "enough": all(each["lacking"] is not None and each["lacking"] <= 1 for each in metrics),
        "metrics": metrics,
    }


def _seen(
    plan: Plan, known: Known, arrivals: Arrivals, looks: Sequence[float], metric: Metric
) -> Document:
    document: Document = {
        "metric": metric.key,
        "role": metric.role,
        "direction": metric.direction,
        "target": metric.mde if metric.role == "success" else metric.margin,
    }
    nothing = {"detectable": None, "power": 0.0, "lacking": None}
    schedule = schedule_of(plan, arrivals, metric.window_seconds, looks)
    if schedule is None:
        return document | nothing | {"reason": "nobody has been watched for its whole window"}
    # The others share the error and the power only: what they are like does not matter here.
    others = {each.key: Baseline(1.0, 1.0) for each in plan.metrics}
    decides = decision_plan(plan)
    specs = tuple(
        spec
        if spec.key == metric.key or spec.role is not Role.SUCCESS
        # Halves can be lost as well as gained; a fall by all of it would leave no mean.
        else replace(spec, mde=0.5, superiority_margin=0.0)
        for spec in decides.metrics
    )
    if not any(schedule.may_ship):
        return document | nothing | {"reason": "the policy lets no proof fall that early"}
    try:
        deadline = outlook(
            replace(decides, metrics=specs),
            World(others | {metric.key: known.baselines[metric.key]}),
            schedule,
            days=1,
            policy=decision_policy(plan),
            power=POWER,
        )
    except StatsError as error:
        return document | nothing | {"reason": str(error)}
    seen = next(each for each in deadline.metrics if each.metric == metric.key)
    return document | {
        "detectable": tidy(seen.detectable) if math.isfinite(seen.detectable) else None,
        "power": tidy(seen.power),
        "lacking": tidy(seen.lacking),
        "units": list(seen.units.whole),
        "required": list(seen.required.whole),
    }


def ways_out_of(plan: Plan, traffic: Document, deadline: Document) -> Document | None:
    """Give the four ways out of a deadline that is not enough, each taken alone."""
    if deadline["enough"]:
        return None
    lacking = [each for each in deadline["metrics"] if (each["lacking"] or math.inf) > 1]
    factor = max(each["lacking"] or math.inf for each in lacking)
    known = math.isfinite(factor)
    coverage = plan.coverage * factor
    return {
        "larger": [
            {name: each[name] for name in ("metric", "role", "direction", "target", "detectable")}
            for each in lacking
        ],
        "units_per_day": tidy(traffic["units_per_day"] * factor) if known else None,
        "coverage": tidy(coverage) if plan.coverage < 1 and coverage <= 1 else None,
        "correlation": tidy(math.sqrt(1 - 1 / factor)) if known else None,
        "units_spent": deadline["units"],
    }


def operating_of(
    plan: Plan,
    known: Known,
    arrivals: Arrivals,
    looks: Sequence[float],
    runs: int,
    notes: list[str],
) -> Document | None:
    """Try the plan where the truth is known; the longest window tells when a unit counts."""
    decides = decision_plan(plan)
    deciding = [metric for metric in decides.metrics if metric.role is not Role.EXPLORE]
    unknown = [metric for metric in deciding if metric.key not in known.baselines]
    if any(metric.role is not Role.SAFETY for metric in unknown):
        return None
    notes += [f"{each.key} is left out of the simulation: it is not known." for each in unknown]
    tried = tuple(metric for metric in deciding if metric.key in known.baselines)
    windows = [plan.metric(metric.key).window_seconds for metric in tried]
    schedule = schedule_of(plan, arrivals, max(windows), looks)
    if schedule is None:
        return None
    simulated = replace(decides, metrics=tried)
    truths = {
        name: truth for name, truth in standard_truths(simulated).items() if name != "harmful"
    }
    seed = int(plan_hash(plan.to_document())[:16], 16)
    try:
        found = operating_characteristics(
            simulated,
            decision_policy(plan),
            world=World({metric.key: known.baselines[metric.key] for metric in tried}),
            schedule=schedule,
            rng=np.random.default_rng(seed),
            truths=truths,
            replicas=runs,
        )
    except StatsError as error:
        notes.append(f"It cannot be simulated: {error}.")
        return None
    claims_value = plan.claim == "value"
    guarded = any(metric.role is Role.GUARDRAIL for metric in tried)
    return {
        "runs": runs,
        "looks": schedule.looks,
        "proof_at_mde": _chance(found.proof_at_mde),
        # Where nothing but harmlessness is claimed, a change that does nothing should ship.
        "ship_if_worthless": _chance(found.ship_when_worthless) if claims_value else None,
        "ship_if_breached": _chance(found.ship_when_breached) if guarded else None,
        "false_harm_stop": _chance(found.false_harm_stop),
    }


def _chance(chance: Simulated) -> Document:
    return {"value": tidy(chance.value), "se": tidy(chance.se)}
