"""Simulated plans: the array rule is `decide` itself, and the promised error rates come out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from stats import (
    Baseline,
    DecisionPlan,
    LookData,
    MetricSpec,
    Moments,
    ParameterError,
    PlanError,
    Policy,
    Role,
    Schedule,
    Truth,
    Verdict,
    World,
    decide,
    draw_sums,
    follow,
    operating_characteristics,
    standard_truths,
)
from stats.planning.rule import ENDS, Array

BUYS = MetricSpec("buys", Role.SUCCESS, binary=True, mde=0.05)
SPEND = MetricSpec("spend", Role.SUCCESS, mde=0.05, superiority_margin=0.002)
SPEED = MetricSpec("wait", Role.GUARDRAIL, direction="down", margin=0.05)
REFUNDS = MetricSpec("refunds", Role.GUARDRAIL, binary=True, direction="down", margin=0.10)
CRASHES = MetricSpec("crashes", Role.SAFETY, binary=True, direction="down", rare=True)
FEEL = MetricSpec("feel", Role.EXPLORE)

WORLD = World(
    {
        "buys": Baseline.of_rate(0.1),
        "spend": Baseline.of_mean(1.0, 3.0),
        "wait": Baseline.of_mean(2.0, 4.0),
        "refunds": Baseline.of_rate(0.03),
        "crashes": Baseline.of_rate(0.01),
    },
    0.3,
)


def follow_by_decide(
    schedule: Schedule,
    sums: Mapping[str, Array],
    plan: DecisionPlan,
    policy: Policy,
    replica: int,
) -> tuple[Verdict, int, str | None]:
    """Follow one trajectory with `decide`, as a monitor does."""
    looks: list[LookData] = []
    dropped: set[str] = set()
    for k in range(schedule.looks):
        data = {
            key: {
                arm: Moments(*(float(part) for part in array[replica, k, place]))
                for place, arm in enumerate(plan.arms)
            }
            for key, array in sums.items()
        }
        counts = {arm: round(n) for arm, n in zip(plan.arms, schedule.units[k], strict=True)}
        final = k == schedule.looks - 1
        may = (schedule.may_ship[k], schedule.may_be_futile[k])
        looks.append(LookData(k + 1, schedule.times[k], *may, final, counts, data))
        told = decide(looks, plan, policy, dropped=dropped)
        if told.verdict is not Verdict.CONTINUE:
            return told.verdict, k, told.winner
        dropped |= set(told.harmed)
    raise AssertionError("the final look is the end")


def shop(*metrics: MetricSpec, weights: Sequence[float] = (1, 1)) -> DecisionPlan:
    arms = ("old", *(f"new{k}" for k in range(1, len(weights))))
    return DecisionPlan(arms, tuple(weights), metrics)


PLANS = {
    "one metric": (shop(BUYS), 40_000),
    "unequal arms, every role": (
        shop(BUYS, SPEED, REFUNDS, CRASHES, FEEL, weights=(0.8, 0.2)),
        30_000,
    ),
    "three arms, two successes": (shop(BUYS, SPEND, CRASHES, weights=(1, 1, 1)), 40_000),
    "three arms, nothing but guardrails": (shop(SPEED, REFUNDS, weights=(2, 1, 1)), 60_000),
    "fewer is better": (
        shop(MetricSpec("wait", Role.SUCCESS, direction="down", mde=0.1), REFUNDS, weights=(1, 2)),
        20_000,
    ),
    "three arms, fewer is better": (
        shop(MetricSpec("wait", Role.SUCCESS, direction="down", mde=0.1), weights=(1, 1, 1)),
        20_000,
    ),
    "hardly any units": (shop(BUYS, CRASHES), 1_500),
}


@pytest.mark.parametrize("name", PLANS)
def test_the_array_rule_and_decide_give_the_same_verdict_at_the_same_look(name: str) -> None:
    plan, units = PLANS[name]
    policy = Policy(alpha_ship=0.1, alpha_harm=0.1, alpha_guardrail=0.1, beta_futility=0.2)
    # Two looks on each day before the first week, none in between gains 0.2 % at the end.
    days = [units * min(day, 9) / 9 for day in range(1, 11)]
    schedule = Schedule.daily(
        plan, days, days=10, horizon_days=8, minimum_days=3, ship_every_days=2, looks_per_day=2
    )
    rng = np.random.default_rng(len(name))
    seen = set()
    for truth in (*standard_truths(plan).values(), Truth(by_arm={"new1": {"wait": 0.5}})):
        sums = draw_sums(WORLD, truth, plan, schedule, 8, rng)
        used = {metric.key: sums[metric.key] for metric in plan.metrics if metric.key in sums}
        ends = follow(schedule, used, plan, policy)
        for replica in range(8):
            verdict, look, winner = follow_by_decide(schedule, used, plan, policy, replica)
            arm = int(ends.winners[replica])
            ours = (ENDS[ends.verdicts[replica]], int(ends.looks[replica]))
            assert (*ours, plan.arms[arm] if arm > 0 else None) == (verdict, look, winner)
            seen.add(verdict)
    assert len(seen) > 1, "a comparison of equals shows nothing"
