"""Simulated plans: the array rule is `decide` itself, and the promised error rates come out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

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
    Signal,
    Truth,
    Verdict,
    World,
    boundary,
    crossings,
    decide,
    draw_sums,
    follow,
    operating_characteristics,
    sample_size,
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
    arms = ("old", "new") if len(weights) == 2 else ("old", "new1", "new2")
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
    for truth in (
        *standard_truths(plan).values(),
        Truth({"crashes": 1.5}, {"new1": {"wait": 0.5}, "new": {"wait": 0.5}}),
    ):
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


SHIP = DecisionPlan(("old", "new"), (1, 1), (BUYS,))
SHOP = World({"buys": Baseline.of_rate(0.1)})
FIXED = 57_760
"""Units per arm for 80 % power of one planned look at +5 % of 10 %."""


def tried(plan: DecisionPlan, world: World, schedule: Schedule, **options: Any) -> Any:
    rng = np.random.default_rng(options.pop("seed", 7))
    return operating_characteristics(plan, world=world, schedule=schedule, rng=rng, **options)


def test_one_metric_does_what_the_design_promises() -> None:
    """STATISTICS.md 4: P1, F1, F2. Looks may ship on every day from the seventh on."""
    schedule = Schedule.daily(SHIP, 2 * FIXED, days=56, horizon_days=28, ship_every_days=1)
    found = tried(SHIP, SHOP, schedule, replicas=4000)
    assert 0.745 < found.proof_at_mde.value < 0.79
    assert found.false_futility.value <= 0.11
    assert found.ship_when_worthless.value <= 0.0325
    assert 0.58 < found.expected_end["worthless"].value <= 0.66
    assert 0.27 < found.expected_end["harmful"].value <= 0.34
    assert found.prospects["harmful"].proven().value <= 0.001


def test_a_decision_of_four_metrics_does_what_the_design_promises() -> None:
    """STATISTICS.md 4: D1, D2; sized with beta* = 0.05, correlation 0.3."""
    size = sample_size(Signal.of_difference(Baseline.of_rate(0.1), 0.05), power=0.95).control
    drift = 1.6449 + 1.96
    deviation = 0.05 * math.sqrt(size / (1 + 0.95**2)) / drift
    guards = [MetricSpec(f"g{k}", Role.GUARDRAIL, margin=0.05) for k in range(3)]
    plan = DecisionPlan(("old", "new"), (1, 1), (BUYS, *guards))
    world = World(
        {"buys": Baseline.of_rate(0.1)}
        | {f"g{k}": Baseline.of_mean(1.0, deviation) for k in range(3)},
        0.3,
    )
    schedule = Schedule.daily(plan, 2 * size, days=56, horizon_days=28, ship_every_days=1)
    truths = {
        name: truth
        for name, truth in standard_truths(plan).items()
        if name in {"worthless", "worth having", "breached: g0"}
    }
    found = tried(plan, world, schedule, truths=truths, replicas=4000)
    assert 0.01 <= found.ship_when_worthless.value <= 0.03
    assert 0.006 <= found.false_harm_stop.value <= 0.03
    assert found.ship_when_breached.value <= 0.03
    assert 0.745 <= found.proof_at_mde.value <= 0.80
    assert 0.45 < found.expected_end["worthless"].value < 0.52
    assert found.prospects["breached: g0"].stopped().value > 0.8


def test_simulated_proofs_are_those_of_the_exact_recursion() -> None:
    weeks = [week / 4 for week in range(1, 5)]
    bounds = boundary(Policy().proof_spending(SHIP, BUYS), weeks).bounds
    z = 0.005 / math.sqrt((0.09 + 0.105 * 0.895) / FIXED)
    exact = crossings(weeks, bounds, drift=z).upper_by()
    truth = {"gain": Truth({"buys": 0.05})}
    schedule = Schedule.daily(SHIP, 2 * FIXED)
    found = tried(SHIP, SHOP, schedule, truths=truth, replicas=20_000, heed_futility=False)
    proven = found.prospects["gain"].proven()
    assert abs(proven.value - exact) < 4 * proven.se


def test_all_ends_together_are_all_replicas_and_time_runs_forward() -> None:
    schedule = Schedule.daily(SHIP, 2 * FIXED, days=14)
    found = tried(SHIP, SHOP, schedule, replicas=1100).prospects["worth having"]
    assert sum(sum(row) for row in found.ended.values()) == found.replicas == 1100
    assert found.probability(*ENDS).value == 1.0
    assert found.proven(by=0.5).value <= found.proven().value
    assert found.winners["new"] == round(found.proven().value * 1100)
    assert found.won_by("new") == found.proven()
    assert found.median_end() <= 1.0
    assert found.median_end(Verdict.HARM) == math.inf


def test_equal_generators_give_equal_answers_and_every_truth_meets_the_same_chance() -> None:
    schedule = Schedule.daily(SHIP, 2 * FIXED, days=14)
    truths = {"one": Truth(), "other": Truth({"buys": 0.0})}
    first = tried(SHIP, SHOP, schedule, truths=truths, replicas=600)
    assert first == tried(SHIP, SHOP, schedule, truths=truths, replicas=600)
    assert first.prospects["one"] == first.prospects["other"]
    assert first != tried(SHIP, SHOP, schedule, truths=truths, replicas=600, seed=8)


def test_futility_that_is_not_heeded_ends_nothing() -> None:
    schedule = Schedule.daily(SHIP, 2 * FIXED, days=14)
    found = tried(SHIP, SHOP, schedule, replicas=600, heed_futility=False)
    assert found.prospects["worthless"].given_up().value == 0.0
    assert tried(SHIP, SHOP, schedule, replicas=600).prospects["worthless"].given_up().value > 0.5


def test_drawn_sums_have_the_moments_and_correlations_of_their_world() -> None:
    plan = DecisionPlan(("old", "new"), (3, 1), (BUYS, SPEND, CRASHES))
    schedule = Schedule.daily(plan, 80_000, days=4, minimum_days=1)
    sums = draw_sums(
        WORLD, Truth({"spend": 0.1, "crashes": 1.0}), plan, schedule, 4000, np.random.default_rng(5)
    )
    assert sums["buys"].shape == (4000, 4, 2, 4)
    means = {key: array[..., 1] / array[..., 0] for key, array in sums.items()}
    assert means["spend"][:, -1].mean(axis=0) == pytest.approx([1.0, 1.1], abs=0.001)
    assert means["crashes"][:, -1].mean(axis=0) == pytest.approx([0.01, 0.02], rel=0.01)
    # 60,000 and 20,000 units by the end: the variance of a mean is variance / n.
    spread = means["spend"][:, -1].var(axis=0) * np.array([60_000, 20_000])
    assert spread == pytest.approx([9.0, 9.0], rel=0.1)
    matrix = np.corrcoef(means["buys"][:, -1, 1], means["spend"][:, -1, 1])
    assert matrix[0, 1] == pytest.approx(0.3, abs=0.06)
    # A look keeps what the looks before it held: corr = sqrt(n_1 / n_4).
    kept = np.corrcoef(means["spend"][:, 0, 0], means["spend"][:, -1, 0])
    assert kept[0, 1] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    "correlation",
    [1.5, -0.9, [[1.0, 0.5], [0.4, 1.0]], np.eye(3).tolist(), [[2.0, 0.0], [0.0, 2.0]]],
)
def test_metrics_that_cannot_be_correlated_like_that_are_refused(correlation: Any) -> None:
    rates = {key: Baseline.of_rate(0.1) for key in ("a", "b", "c")}
    if not isinstance(correlation, float):
        rates.pop("c")
    with pytest.raises(PlanError):
        World(rates, correlation)


def test_what_cannot_be_simulated_is_a_named_error() -> None:
    schedule = Schedule.daily(SHIP, 1000)
    with pytest.raises(PlanError, match="buys"):
        tried(SHIP, World({"spend": Baseline.of_rate(0.1)}), schedule)
    with pytest.raises(ParameterError, match="replicas"):
        tried(SHIP, SHOP, schedule, replicas=0)
    with pytest.raises(PlanError, match="guardrail"):
        _ = tried(SHIP, SHOP, schedule, replicas=1).ship_when_breached
    with pytest.raises(PlanError, match="sums"):
        follow(schedule, {}, SHIP)
    with pytest.raises(PlanError, match="fit"):
        follow(schedule, {"buys": np.ones((2, 3, 2, 4))}, SHIP)


def test_the_worst_guardrail_is_the_one_that_counts() -> None:
    plan = DecisionPlan(("old", "new"), (1, 1), (BUYS, SPEED, REFUNDS))
    assert set(standard_truths(plan)) == {
        "worthless",
        "worth having",
        "harmful",
        "breached: wait",
        "breached: refunds",
    }
    assert standard_truths(plan)["breached: wait"].lifts == {"buys": 0.05, "wait": 0.05}
    found = tried(plan, WORLD, Schedule.daily(plan, 400_000), replicas=500)
    each = [found.prospects[f"breached: {key}"].proven() for key in ("wait", "refunds")]
    assert found.ship_when_breached in each
    assert found.ship_when_breached.value == max(chance.value for chance in each)


def counted(looks: Sequence[Sequence[tuple[float, float]]]) -> Array:
    """Write units and events of every look and arm as sums of one replica."""
    return np.array([[[[n, x, x, x] for n, x in look] for look in looks]], dtype=float)


def by_hand(
    plan: DecisionPlan, sums: Mapping[str, Array], may_ship: tuple[bool, ...]
) -> tuple[Verdict, int, str | None]:
    """Follow one hand-made trajectory by both rules, which must agree."""
    (units,) = next(iter(sums.values()))[..., 0].tolist()
    times = tuple((k + 1) / len(units) for k in range(len(units)))
    schedule = Schedule(times, tuple(map(tuple, units)), may_ship, (False,) * len(units))
    ends = follow(schedule, sums, plan)
    arm = int(ends.winners[0])
    ours = ENDS[ends.verdicts[0]], int(ends.looks[0]), plan.arms[arm] if arm > 0 else None
    assert ours == follow_by_decide(schedule, sums, plan, Policy(), 0)
    return ours


def test_rare_events_stop_an_arm_before_there_are_units_for_anything_else() -> None:
    sums = {"crashes": counted([[(40, 0), (40, 20)], [(45, 0), (45, 20)]])}
    assert by_hand(shop(CRASHES), sums, (False, False)) == (Verdict.HARM, 0, None)


def test_what_the_last_tested_look_proved_still_stands_at_a_look_without_news() -> None:
    looks = [[(20_000, 2000), (20_000, 2400)]] * 2 + [[(30_000, 3000), (30_000, 3000)]]
    ended = by_hand(shop(BUYS), {"buys": counted(looks)}, (False, True, True))
    assert ended == (Verdict.VALUE_PROVEN, 1, "new")


def test_an_arm_that_is_harmed_does_not_ship_however_good_it_looks() -> None:
    buys = counted([[(20_000, 2000), (20_000, 2600), (20_000, 2010)]] * 2)
    trouble = counted([[(20_000, 100), (20_000, 400), (20_000, 100)]] * 2)
    ended = by_hand(
        shop(BUYS, CRASHES, weights=(1, 1, 1)), {"buys": buys, "crashes": trouble}, (True, True)
    )
    assert ended == (Verdict.NOT_PROVEN_IN_TIME, 1, None)


def test_trajectories_too_thin_for_any_test_end_at_the_deadline() -> None:
    plan = DecisionPlan(("old", "new"), (1.0, 1.0), (BUYS, SPEED))
    schedule = Schedule.daily(plan, 40, days=14)
    sums = draw_sums(WORLD, Truth(), plan, schedule, 5, np.random.default_rng(1))
    found = follow(schedule, sums, plan)
    assert {ENDS[code] for code in found.verdicts} == {Verdict.NOT_PROVEN_IN_TIME}
    assert set(found.looks) == {13}
