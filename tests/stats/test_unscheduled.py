"""Whoever asks at every hour is told the truth by all of the answers together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stats import (
    DecisionPlan,
    LookData,
    MetricSpec,
    Moments,
    ParameterError,
    Role,
    UnscheduledLook,
    always_valid,
    planned_precision,
    read_unscheduled,
    score_difference,
)

HOURS, PATHS, UNITS = 28 * 24, 300, 20_000
PLAN = DecisionPlan(("old", "new"), (0.5, 0.5), (MetricSpec("buys", Role.SUCCESS, binary=True),))


def ask(
    old: tuple[float, float],
    new: tuple[float, float],
    plan: DecisionPlan = PLAN,
    **changes: float | tuple[str, ...],
) -> UnscheduledLook:
    pair = {"old": Moments.conversions(*old), "new": Moments.conversions(*new)}
    counts = {"old": int(old[0]), "new": int(new[0])}
    look = LookData(0, 0.0, False, False, False, counts, {"buys": pair})
    return read_unscheduled(look, plan, **{"planned_units": UNITS, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate", "lift"), [(0.1, 0.0), (0.1, 0.2)])
def test_all_answers_of_28_days_together_cover_the_truth(rate: float, lift: float) -> None:
    """672 hours: one in twenty may miss at any of them; intervals for one look miss far oftener.

    Every path is read where it is furthest from the truth, by the very function that answers.
    """
    rng = np.random.default_rng(20)
    missed = missed_by_one_look = 0
    for _ in range(PATHS):
        arms = []
        for share in (rate, rate * (1 + lift)):
            came = rng.poisson(UNITS / 2 / HOURS, HOURS)
            arms.append((np.cumsum(came), np.cumsum(rng.binomial(came, share))))
        (n, old), (m, new) = arms
        seen = (n + m >= 100) & (old + new >= 5)
        n, m, old, new = (counted[seen] for counted in (n, m, old, new))
        pooled = (old + new) / (n + m)
        far = np.abs(new / m - old / n - rate * lift) / np.sqrt(
            pooled * (1 - pooled) * (1 / n + 1 / m)
        )
        missed_by_one_look += far.max() > 1.96
        # The bound moves slowly: the worst answer is among those that are furthest off.
        for hour in np.argsort(far)[-4:]:
            (reading,) = ask((n[hour], old[hour]), (m[hour], new[hour])).readings
            assert reading.low is not None
            assert reading.high is not None
            if not reading.low <= rate * lift <= reading.high:
                missed += 1
                break
    # 4,000 paths miss in 2 to 3 %; 300 of them in 5 % by chance once in a thousand.
    assert missed / PATHS <= 0.05
    assert missed_by_one_look / PATHS > 0.3


def test_it_is_the_normal_mixture_tuned_to_a_quarter_of_the_plan() -> None:
    old, new = (4000.0, 400.0), (4000.0, 480.0)
    (reading,) = ask(old, new, planned_units=40_000).readings
    score = score_difference(Moments.conversions(*old), Moments.conversions(*new), binary=True)
    information = 1 / score.se**2
    found = always_valid(
        score.difference, score.se, planned_precision(information * 40_000 / 8000), alpha=0.05
    )
    assert (reading.estimate, reading.se) == (score.difference, score.se)
    assert reading.low == pytest.approx(found.low, rel=1e-12)
    assert reading.high == pytest.approx(found.high, rel=1e-12)
    # With as many as a quarter it is the narrowest that a mixture can be: 3.035 standard errors.
    widths = [
        ask((n, n / 10), (n, n / 10 + 1), planned_units=40_000).readings[0].critical
        for n in (500.0, 5000.0, 20_000.0)
    ]
    assert widths[1] == pytest.approx(3.035, abs=1e-3)
    assert widths[0] > widths[1] < widths[2]


def test_it_asks_what_a_scheduled_look_asks_of_thin_data() -> None:
    assert "too few units" in (ask((40, 4), (40, 4)).readings[0].reason or "")
    assert "too few events" in (ask((400, 1), (400, 2)).readings[0].reason or "")
    assert ask((400, 4), (400, 4)).readings[0].reason is None


def test_of_a_broken_split_nothing_is_read() -> None:
    found = ask((6000, 600), (4000, 400))
    assert found.split_broken
    assert found.srm_log_e > math.log(1000)
    assert found.readings == ()


def test_an_arm_that_was_dropped_is_not_read() -> None:
    plan = DecisionPlan(("old", "new", "third"), (1, 1, 1), PLAN.metrics)
    pair = {arm: Moments.conversions(4000, 400) for arm in ("old", "new")}
    counts = {"old": 4000, "new": 4000, "third": 100}
    look = LookData(0, 0.0, False, False, False, counts, {"buys": pair})
    found = read_unscheduled(look, plan, planned_units=UNITS, dropped=("third",))
    assert [(each.metric, each.arm) for each in found.readings] == [("buys", "new")]
    assert not found.split_broken
    assert read_unscheduled(look, plan, planned_units=UNITS).split_broken


@pytest.mark.parametrize("wrong", [{"planned_units": 0.0}, {"planned_units": math.inf}])
def test_what_was_planned_is_a_number(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match="planned_units"):
        ask((400, 40), (400, 40), **wrong)
    with pytest.raises(ParameterError, match="alpha"):
        ask((400, 40), (400, 40), alpha=0.0)
