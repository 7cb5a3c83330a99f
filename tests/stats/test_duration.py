"""Days and deadlines: published inflation, laws of traffic, and remedies that do what they say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from stats import (
    Baseline,
    DecisionPlan,
    MetricSpec,
    ParameterError,
    PlanError,
    Policy,
    Role,
    Schedule,
    World,
    duration,
    operating_characteristics,
    outlook,
    remedies,
)
from stats.planning.schedule import looks_with_news

BUYS = MetricSpec("buys", Role.SUCCESS, binary=True, mde=0.05)
WAIT = MetricSpec("wait", Role.GUARDRAIL, direction="down", margin=0.02)
WORLD = World({"buys": Baseline.of_rate(0.1), "wait": Baseline.of_mean(2.0, 3.0)})
ONE = DecisionPlan(("old", "new"), (1, 1), (BUYS,))
TWO = DecisionPlan(("old", "new"), (1, 1), (BUYS, WAIT))


@pytest.mark.parametrize(
    ("days", "power", "factor"),
    [(7, 0.8, 1.063), (14, 0.9, 1.067), (28, 0.8, 1.081), (28, 0.9, 1.074), (28, 0.95, 1.069)],
)
def test_daily_looks_that_may_all_ship_cost_what_the_design_says(
    days: int, power: float, factor: float
) -> None:
    """STATISTICS.md 1.11."""
    schedule = Schedule.daily(ONE, 1e6, days=days, minimum_days=1, ship_every_days=1)
    found = outlook(ONE, WORLD, schedule, days=days, power=power).metrics[0]
    assert found.inflation == pytest.approx(factor, abs=6e-4)


def test_proofs_pay_for_the_looks_at_which_they_may_fall_and_for_no_others() -> None:
    weekly, daily = Schedule.daily(ONE, 1e6), Schedule.daily(ONE, 1e6, ship_every_days=1)
    for schedule, price in ((weekly, 1.051), (daily, 1.081)):
        metric = outlook(ONE, WORLD, schedule, days=28).metrics[0]
        assert metric.inflation == pytest.approx(price, abs=1e-3)


def test_required_units_give_the_power_when_they_come() -> None:
    found = duration(TWO, WORLD, [4000.0] * 5 + [1500.0] * 2).wanted
    for metric in found.metrics:
        total = metric.required.control + metric.required.treatment
        pattern = np.cumsum([4000.0] * 5 + [1500.0] * 2)
        days = [pattern[d % 7] + d // 7 * pattern[-1] for d in range(28)]
        scaled = [total / days[-1] * units for units in days]
        again = outlook(TWO, WORLD, Schedule.daily(TWO, scaled), days=28)
        (same,) = (other for other in again.metrics if other.metric == metric.metric)
        assert same.power == pytest.approx(found.power_per_test, abs=1e-4)
        assert same.detectable == pytest.approx(same.target, rel=1e-3)


def test_simulation_confirms_the_power_that_was_sized_for() -> None:
    total = 2 * duration(ONE, WORLD, [5000.0]).wanted.metrics[0].required.control
    found = operating_characteristics(
        ONE,
        world=WORLD,
        schedule=Schedule.daily(ONE, total),
        rng=np.random.default_rng(3),
        replicas=4000,
        heed_futility=False,
    )
    proof = found.proof_at_mde
    assert abs(proof.value - 0.8) < 4 * proof.se


def test_more_days_show_smaller_effects_and_the_first_sufficient_week_is_found() -> None:
    found = duration(ONE, WORLD, [9000.0], days=42)
    seen = [deadline.metrics[0].detectable for deadline in found.deadlines]
    assert seen == sorted(seen, reverse=True)
    enough = [deadline.days for deadline in found.deadlines if deadline.is_enough]
    assert found.days == enough[0]
    later = duration(ONE, WORLD, [9000.0], days=7)
    assert later.days == found.days, "the same week from either side"


def test_a_deadline_that_is_no_week_is_looked_at_too() -> None:
    assert [d.days for d in duration(ONE, WORLD, [9000.0], days=17).deadlines] == [7, 14, 17]


def test_what_never_suffices_has_no_day() -> None:
    assert duration(ONE, WORLD, [50.0]).days is None


def test_the_metric_that_needs_the_most_binds() -> None:
    found = duration(TWO, WORLD, [4000.0]).wanted
    assert found.binding.metric == "wait"
    loose = replace(TWO, metrics=(BUYS, replace(WAIT, margin=0.2)))
    assert duration(loose, WORLD, [4000.0]).wanted.binding.metric == "buys"


def test_every_guardrail_makes_each_test_surer() -> None:
    powers = [
        duration(plan, WORLD, [4000.0]).wanted.power_per_test
        for plan in (ONE, TWO, replace(TWO, metrics=(WAIT,)))
    ]
    # The false stop of a guardrail counts; that of a metric which gains its MDE does not.
    assert powers == pytest.approx([0.8, 1 - (0.2 - 0.0125) / 2, 1 - (0.2 - 0.025)])


def test_arms_share_the_error_and_the_smallest_counts() -> None:
    three = DecisionPlan(("old", "a", "b"), (2, 1.5, 0.5), (BUYS,))
    found = duration(three, WORLD, [8000.0]).wanted.metrics[0]
    assert found.units.whole == (112_000, 28_000)
    even = DecisionPlan(("old", "a"), (4, 1), (BUYS,))
    alone = duration(even, WORLD, [5000.0]).wanted.metrics[0]
    assert alone.units.whole == (112_000, 28_000)
    assert found.required.control > 1.1 * alone.required.control


def test_a_window_costs_its_days() -> None:
    late = Schedule.from_traffic(ONE, [100.0, 200.0], days=5, window_days=2, share=0.5)
    assert [sum(row) for row in late.units] == [0, 0, 50, 150, 200]


def test_a_forecast_goes_on_with_its_last_week() -> None:
    units = Schedule.from_traffic(ONE, [10.0, *([1.0] * 6), 3.0], days=16).units
    steps = np.diff([sum(row) for row in units])
    assert steps.tolist() == [1.0] * 6 + [3.0] + [1.0] * 6 + [3.0] + [1.0]


def test_looks_without_news_are_not_tested_but_the_last_is() -> None:
    assert looks_with_news([50, 100, 100.1, 200, 200, 200], 100, 0.002) == [1, 3, 5]


def test_a_deadline_at_which_nothing_new_matures_still_has_an_outlook() -> None:
    schedule = Schedule.daily(ONE, [10_000.0 * min(day, 8) for day in range(1, 11)], days=10)
    found = outlook(ONE, WORLD, schedule, days=10).metrics[0]
    assert 0 < found.power < 1


def test_every_remedy_does_what_it_says() -> None:
    plan, traffic, share = DecisionPlan(("old", "new"), (3, 1), (BUYS,)), [12_000.0], 0.4
    found = duration(plan, WORLD, traffic, share=share)
    help_ = remedies(plan, found, share=share)
    assert not found.wanted.is_enough
    assert help_.even_split
    assert duration(replace(plan, weights=(1, 1)), WORLD, traffic, share=share).wanted.is_enough
    assert help_.share is not None
    assert duration(plan, WORLD, traffic, share=help_.share * 1.0001).wanted.is_enough
    assert not duration(plan, WORLD, traffic, share=help_.share * 0.999).wanted.is_enough
    assert help_.correlation is not None
    assert (1 - help_.correlation**2) * found.wanted.binding.lacking == pytest.approx(1.0)
    sharper = World({"buys": Baseline.of_rate(0.1).with_covariate(help_.correlation**2 + 1e-3)})
    assert duration(plan, sharper, traffic, share=share).wanted.is_enough
    ((key, mde),) = help_.targets
    assert key == "buys"
    easier = replace(plan, metrics=(replace(BUYS, mde=mde * 1.0001),))
    assert duration(easier, WORLD, traffic, share=share).wanted.is_enough
    assert help_.days is not None
    assert duration(plan, WORLD, traffic, share=share, days=help_.days).wanted.is_enough


def test_a_stricter_policy_needs_more_units() -> None:
    needs = [
        duration(ONE, WORLD, [5000.0], policy=Policy(alpha_ship=alpha)).wanted.metrics[0]
        for alpha in (0.025, 0.005)
    ]
    assert needs[1].required.control > 1.3 * needs[0].required.control


def test_a_margin_that_no_units_show_is_infinite() -> None:
    plan = replace(TWO, metrics=(WAIT,))
    wild = World({"wait": Baseline.of_mean(2.0, 300.0)})
    found = outlook(plan, wild, Schedule.daily(plan, 200), days=28).metrics[0]
    assert found.detectable == math.inf


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"traffic": []}, PlanError),
        ({"traffic": [0.0]}, PlanError),
        ({"traffic": [math.nan]}, PlanError),
        ({"traffic": [-1.0, 5.0]}, PlanError),
        ({"traffic": [1.0]}, PlanError),
        ({"share": 0.0}, PlanError),
        ({"share": 1.5}, PlanError),
        ({"days": 6}, PlanError),
        ({"days": 14, "window_days": 14}, PlanError),
        ({"plan": replace(ONE, metrics=(replace(BUYS, mde=None),))}, PlanError),
        ({"plan": replace(ONE, metrics=(replace(BUYS, role=Role.SAFETY),))}, PlanError),
        ({"world": World({"wait": Baseline.of_rate(0.5)})}, PlanError),
        ({"plan": replace(ONE, metrics=(replace(BUYS, mde=20.0),))}, ParameterError),
        ({"power": 0.999, "plan": TWO}, ParameterError),
    ],
)
def test_what_cannot_be_planned_is_a_named_error(change: dict, error: type[Exception]) -> None:
    asked = {"plan": ONE, "world": WORLD, "traffic": [5000.0], **change}
    with pytest.raises(error):
        duration(**asked)


@pytest.mark.parametrize(
    "parts",
    [
        ((), (), (), ()),
        ((1.0,), ((1.0, 1.0),), (True, True), (True,)),
        ((0.5, 0.5), ((1.0, 1.0),) * 2, (True,) * 2, (True,) * 2),
        ((0.5, 1.0), ((2.0, 1.0), (1.0, 1.0)), (True,) * 2, (True,) * 2),
        ((0.5, math.inf), ((1.0, 1.0),) * 2, (True,) * 2, (True,) * 2),
        ((-0.5, 1.0), ((1.0, 1.0),) * 2, (True,) * 2, (True,) * 2),
        ((0.5, 1.0), ((1.0, 1.0), (1.0,)), (True,) * 2, (True,) * 2),
    ],
)
def test_a_schedule_that_contradicts_itself_is_refused(parts: tuple) -> None:
    with pytest.raises(PlanError):
        Schedule(*parts)
