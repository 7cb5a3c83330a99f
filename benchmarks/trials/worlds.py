"""What is promised, what is true, and who comes by: the plans, truths and visitors to be tried."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy import stats as sps

from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.contract.policy import look_schedule
from experiments.judging.looks import decision_plan
from stats import Baseline, Schedule, Truth, World, outlook

Array = NDArray[np.float64]

DAY = 86_400.0
CUSTOMER, OWNER = "customer@example.org", "owner@example.org"
CONTROL, TREATMENT = "old", "new"
ARMS = (CONTROL, TREATMENT)
# Of the metrics of one unit. Values that are cut out of normal numbers are less alike than those.
CORRELATION, LATENT_CORRELATION = 0.3, 0.42

#: A customer who sleeps on it, the step of shipping, fourteen days of verification, and their last
#: looks.
AFTERWARDS_DAYS = 18

#: When to look. ``full`` are the 74 looks of proof-28d; ``sparse`` are 30, ``few`` are for tests.
LOOKS = {
    "full": ({"every": "1h", "until": "48h"}, {"every": "1d"}),
    "sparse": ({"every": "12h", "until": "48h"}, {"every": "1d"}),
    "few": ({"every": "3d"},),
}


@dataclass(frozen=True)
class Measure:
    """A metric without its target: how a unit's value is distributed today.

    Parameters
    ----------
    deviation : float
        Standard deviation per unit; a conversion's and a Poisson count's follow from the mean.
    """

    key: str
    role: str
    kind: str
    mean: float
    direction: str = "up"
    deviation: float = 0.0

    @property
    def baseline(self) -> Baseline:
        """Describe it as the planning functions want it."""
        if self.kind == "conversion":
            return Baseline.of_rate(self.mean)
        deviation = self.deviation or self.mean**0.5
        return Baseline.of_mean(self.mean, deviation)

    @property
    def sign(self) -> int:
        """1 when up is good."""
        return 1 if self.direction == "up" else -1

    def values(self, normal: Array, lift: float) -> Array:
        """Turn standard normal numbers (large is good) into values of units, after an effect.

        The same numbers with and without an effect are a unit's two potential outcomes.
        """
        mean, upper = self.mean * (1 + lift), self.sign * normal
        if self.kind == "conversion":
            return (upper > -special.ndtri(mean)).astype(float)
        quantile = special.ndtr(upper)
        if self.kind == "count":
            return np.asarray(sps.poisson.ppf(quantile, mean), dtype=float)
        shape = (self.mean / self.deviation) ** 2
        # An effect multiplies what everybody spends: the spread grows with the mean.
        drawn = sps.gamma.ppf(quantile, shape, scale=self.mean / shape)
        return np.round(np.asarray(drawn, dtype=float) * (1 + lift), 6)


MEASURES = (
    Measure("purchase", "success", "conversion", 0.30),
    Measure("error", "guardrail", "conversion", 0.25, "down"),
    Measure("revenue", "guardrail", "mean", 20.0, "up", 20.0),
    Measure("page", "guardrail", "count", 0.8),
)
BROKEN = "revenue"


@dataclass(frozen=True)
class Design:
    """How large and how long the experiments are.

    Parameters
    ----------
    visitors_per_day : int
        Units that come by each day; all of them once the ramp is done.
    days : int
        The deadline.
    window_seconds : float
        How long each unit is watched.
    looks : str
        How often to look: one of `LOOKS`.
    """

    visitors_per_day: int = 100
    days: int = 28
    window_seconds: float = 6 * 3600.0
    looks: str = "sparse"

    @property
    def visitors(self) -> int:
        """Units that come by until the deadline."""
        return self.visitors_per_day * self.days

    @property
    def come_days(self) -> int:
        """Days on which units come by: what is proven last ships and is verified meanwhile."""
        return self.days + AFTERWARDS_DAYS


def plan_document(design: Design, key: str, targets: Mapping[str, float]) -> dict[str, Any]:
    """Write the plan of one experiment; ``targets`` are its MDE and its margins."""
    return {
        "key": key,
        "flag": f"flag-{key}",
        "environment": "production",
        "control": CONTROL,
        "treatments": [TREATMENT],
        "weights": dict.fromkeys(ARMS, 1),
        "hypothesis": "It sells more.",
        "customer": CUSTOMER,
        "owner": OWNER,
        "prove_by": f"{design.days}d",
        "metrics": [_metric_document(design, key, measure, targets) for measure in MEASURES],
        "policy": _policy(design),
    }


def _policy(design: Design) -> Any:
    """Only the looks for harm may differ from proof-28d: not the errors, not when to ship."""
    if design.looks == "full":
        return "proof-28d"
    return {"name": f"{design.looks}-28d", "looks": list(LOOKS[design.looks]), "settle": "120s"}


def _metric_document(
    design: Design, key: str, measure: Measure, targets: Mapping[str, float]
) -> dict[str, Any]:
    target = "mde" if measure.role == "success" else "margin"
    return {
        "key": measure.key,
        "role": measure.role,
        "kind": measure.kind,
        "event": event_name(key, measure.key),
        "window": f"{design.window_seconds:g}s",
        "direction": measure.direction,
        target: targets[measure.key],
    }


def event_name(key: str, metric: str) -> str:
    """Name what visitors of one experiment do: experiments share a store, not their events."""
    return f"{metric}-{key}"


def schedule_of(plan: Plan, visitors_per_day: float) -> Schedule:
    """Give the looks of a plan and the matured units that they are expected to have."""
    policy, prove_by = plan.policy, plan.prove_by_seconds
    steps = policy.ramp_steps(plan.coverage)
    begins = [policy.ramp_offset(step) for step in range(len(steps))]
    ends = [*begins[1:], prove_by]

    def units(offset: float) -> float:
        until = max(0.0, offset - max(metric.window_seconds for metric in plan.metrics))
        return sum(
            visitors_per_day * step.coverage * max(0.0, min(end, until) - begin) / DAY
            for step, begin, end in zip(steps, begins, ends, strict=True)
        )

    offsets = look_schedule(policy, prove_by)
    shares = [weight / sum(plan.weight_of.values()) for _arm, weight in plan.weights]
    return Schedule(
        tuple(offset / prove_by for offset in offsets),
        tuple(tuple(units(offset) * share for share in shares) for offset in offsets),
        tuple(policy.may_ship(offset, prove_by) for offset in offsets),
        tuple(policy.may_be_futile(offset, prove_by) for offset in offsets),
    )


def baselines() -> World:
    """Describe the metrics for `stats.planning`."""
    return _world(CORRELATION)


def _world(correlation: float) -> World:
    return World({measure.key: measure.baseline for measure in MEASURES}, correlation)


@cache
def sized_targets(design: Design) -> Mapping[str, float]:
    """Choose the MDE and the margins that the visitors suffice for, by `stats.planning`.

    Each of the four tests then has just the power that together promises .80.
    """
    plan = parse_plan(plan_document(design, "sizing", {m.key: 0.1 for m in MEASURES}))
    schedule = schedule_of(plan, design.visitors_per_day)
    found = outlook(decision_plan(plan), baselines(), schedule, days=design.days)
    # Four digits, upwards: a plan is written by hand, and must not promise more than it can.
    return {m.metric: math.ceil(m.detectable * 1e4) / 1e4 for m in found.metrics}


def truths(targets: Mapping[str, float]) -> dict[str, Truth]:
    """Say what the changes truly do, in the order of EXPERIMENTS.md section 2."""
    (success,) = (m for m in MEASURES if m.role == "success")
    (broken,) = (m for m in MEASURES if m.key == BROKEN)
    gain, loss = success.sign * targets[success.key], -broken.sign * targets[broken.key]
    return {
        "no effect anywhere": Truth(),
        "success = MDE": Truth({success.key: gain}),
        "success = MDE, a guardrail = -margin": Truth({success.key: gain, broken.key: loss}),
        "success = -MDE": Truth({success.key: -gain}),
        "a guardrail = -2 margins": Truth({broken.key: 2 * loss}),
    }


HARMFUL = (
    "success = MDE, a guardrail = -margin",
    "success = -MDE",
    "a guardrail = -2 margins",
)


@dataclass(frozen=True, eq=False)
class Visitors:
    """Everybody who comes by during one experiment, in order of time, with both outcomes.

    Parameters
    ----------
    units : list of str
        Targeting keys.
    times : ndarray
        Seconds from the start.
    outcomes : dict of str to ndarray, shape (2, visitors)
        For each metric the value under control and under treatment.
    delays : dict of str to ndarray
        Seconds from the visit to what is done, for each metric.
    """

    units: list[str]
    times: Array
    outcomes: dict[str, Array]
    delays: dict[str, Array]

    def __len__(self) -> int:
        """How many come by."""
        return len(self.units)


def draw_visitors(design: Design, key: str, truth: Truth, seed: np.random.SeedSequence) -> Visitors:
    """Draw the visitors of one experiment, and those who come while its winner is verified."""
    (later,) = seed.spawn(1)
    first = _draw(design, key, truth, np.random.default_rng(seed), 0, design.days)
    rest = _draw(design, key, truth, np.random.default_rng(later), design.days, design.come_days)
    return Visitors(
        first.units + rest.units,
        np.concatenate([first.times, rest.times]),
        {m.key: np.hstack([first.outcomes[m.key], rest.outcomes[m.key]]) for m in MEASURES},
        {m.key: np.concatenate([first.delays[m.key], rest.delays[m.key]]) for m in MEASURES},
    )


def _draw(
    design: Design, key: str, truth: Truth, rng: np.random.Generator, begin: int, end: int
) -> Visitors:
    """Draw who comes by between two days."""
    count = design.visitors_per_day * (end - begin)
    prefix = int(rng.integers(2**40))
    normal = rng.standard_normal((count, len(MEASURES))) @ _world(LATENT_CORRELATION).root().T
    outcomes = {
        measure.key: np.stack(
            [
                measure.values(normal[:, place], 0.0),
                measure.values(normal[:, place], truth.lift(measure.key, TREATMENT)),
            ]
        )
        for place, measure in enumerate(MEASURES)
    }
    return Visitors(
        [f"{key}-{prefix:x}-{i}" for i in range(count)],
        (begin + np.sort(rng.random(count)) * (end - begin)) * DAY,
        outcomes,
        # Whole microseconds well inside the window, so that nothing falls off its edge.
        {m.key: rng.random(count) * 0.9 * design.window_seconds for m in MEASURES},
    )
