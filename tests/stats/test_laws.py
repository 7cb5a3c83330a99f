"""Laws of the whole decision, and its error rates by simulation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stats import (
    DecisionPlan,
    LookData,
    MetricSpec,
    Moments,
    Role,
    Spending,
    SpendingShape,
    Verdict,
    boundary,
    decide,
    score_arrays,
)

VALUE = MetricSpec("value", Role.SUCCESS, mde=0.05)
COST = MetricSpec("cost", Role.GUARDRAIL, direction="down", margin=0.1)
CLICK = MetricSpec("click", Role.SUCCESS, binary=True)
DAILY = [day / 28 for day in range(1, 29)]
SHIP = boundary(Spending(SpendingShape.OBRIEN_FLEMING, 0.025, 0.1), DAILY).bounds
HARM = boundary(Spending(SpendingShape.KIM_DEMETS, 0.025, 0.1, 0.5), DAILY).bounds


@st.composite
def histories(draw: st.DrawFn, metrics: tuple[MetricSpec, ...] = (VALUE, COST)) -> list[LookData]:
    """Two arms of skewed revenue over a few looks, from nothing at all to a large effect."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shift = draw(st.sampled_from([-0.4, -0.1, 0.0, 0.1, 0.3]))
    share = draw(st.sampled_from([0.5, 0.5, 0.1]))
    total = {m.key: [Moments(), Moments()] for m in metrics}
    looks = []
    count = draw(st.integers(1, 4))
    for number in range(1, count + 1):
        for metric in metrics:
            for k in (0, 1):
                n = round(draw(st.integers(200, 1500)) * (share if k else 1 - share)) + 2
                effect = shift * k * metric.sign
                values = np.maximum(rng.gamma(4.0, 0.5, n) + effect, 0)
                total[metric.key][k] += Moments.of(list(values))
        sums = {key: {"control": pair[0], "new": pair[1]} for key, pair in total.items()}
        counts = {arm: int(1e4 * number) for arm in ("control", "new")}
        looks.append(LookData(number, number / 4, True, True, number == 4, counts, sums))
    return looks


def plan_of(*metrics: MetricSpec) -> DecisionPlan:
    return DecisionPlan(("control", "new"), (0.5, 0.5), metrics)


def only(looks: list[LookData], *keys: str) -> list[LookData]:
    return [replace(k, metrics={key: k.metrics[key] for key in keys}) for k in looks]


@settings(max_examples=40, deadline=None)
@given(histories(), st.sampled_from([1e-4, 0.01, 60.0, 1e6]))
def test_the_unit_of_a_metric_changes_no_decision(looks: list[LookData], unit: float) -> None:
    plan = plan_of(VALUE, COST)
    other = [
        replace(
            k,
            metrics={
                key: {arm: m.scaled(unit) for arm, m in arms.items()}
                for key, arms in k.metrics.items()
            },
        )
        for k in looks
    ]
    one, two = decide(looks, plan), decide(other, plan)
    assert (one.verdict, one.winner, one.harmed) == (two.verdict, two.winner, two.harmed)
    for a, b in zip(one.tests, two.tests, strict=True):
        assert a.passed == b.passed
        assert a.estimate is not None
        assert b.estimate == pytest.approx(a.estimate * unit, rel=1e-6, abs=1e-9 * unit)
        assert a.relative_low is None or b.relative_low == pytest.approx(
            a.relative_low, rel=1e-6, abs=1e-9
        )


@settings(max_examples=40, deadline=None)
@given(histories())
def test_another_guardrail_never_makes_shipping_easier(looks: list[LookData]) -> None:
    with_it = decide(looks, plan_of(VALUE, COST))
    without = decide(only(looks, "value"), plan_of(VALUE))
    if with_it.verdict is Verdict.VALUE_PROVEN:
        assert without.verdict is Verdict.VALUE_PROVEN


@settings(max_examples=40, deadline=None)
@given(histories())
def test_intervals_and_tests_never_disagree(looks: list[LookData]) -> None:
    for test in decide(looks, plan_of(VALUE, COST)).tests:
        down = test.metric == "cost"
        if test.kind == "ship":
            assert test.passed == (test.low is not None and test.low > 0)
            if test.relative_low is not None:
                assert test.passed == (test.relative_low > 0)
        if test.kind == "harm":
            end, relative = (
                (test.low, test.relative_low) if down else (test.high, test.relative_high)
            )
            sign = 1 if down else -1
            assert test.passed == (end is not None and sign * end > 0)
            if relative is not None:
                assert test.passed == (sign * relative > 0)


@settings(max_examples=25, deadline=None)
@given(histories((VALUE,)))
def test_swapping_the_arms_flips_every_sign(looks: list[LookData]) -> None:
    swapped = [
        replace(
            k,
            metrics={
                key: {"control": arms["new"], "new": arms["control"]}
                for key, arms in k.metrics.items()
            },
        )
        for k in looks
    ]
    one = decide(looks, plan_of(VALUE)).tests[0]
    other = decide(swapped, plan_of(VALUE)).tests[0]
    assert one.z is not None
    assert other.estimate == pytest.approx(-(one.estimate or 0), rel=1e-9, abs=1e-12)
    assert other.z == pytest.approx(-one.z, rel=1e-9, abs=1e-9)
    assert other.bound == one.bound


@settings(max_examples=25, deadline=None)
@given(histories((VALUE,)))
def test_calling_down_good_mirrors_the_decision(looks: list[LookData]) -> None:
    mirrored = [
        replace(
            k,
            metrics={
                key: {arm: m.scaled(-1) for arm, m in arms.items()}
                for key, arms in k.metrics.items()
            },
        )
        for k in looks
    ]
    up = decide(looks, plan_of(VALUE))
    down = decide(mirrored, plan_of(replace(VALUE, direction="down")))
    assert up.verdict == down.verdict
    for a, b in zip(up.tests, down.tests, strict=True):
        assert (a.z, a.bound, a.passed) == pytest.approx((b.z, b.bound, b.passed))
        assert (a.low, a.high) == tuple(None if x is None else -x for x in (b.high, b.low))


@settings(max_examples=25, deadline=None)
@given(histories(), st.integers(1, 4))
def test_deciding_day_by_day_equals_deciding_at_once(looks: list[LookData], k: int) -> None:
    assume(k <= len(looks))
    plan = plan_of(VALUE, COST)
    for number in range(1, k + 1):
        step = decide(looks[:number], plan)
    assert step == decide(looks[:k], plan)


# --- error rates, short: the long simulations are a benchmark


def binary_history(
    rng: np.random.Generator, runs: int, rates: tuple[float, float], units: tuple[int, int]
) -> np.ndarray:
    """Sums by run, look and arm: shape (runs, 28, 2, 4)."""
    sums = np.empty((runs, 28, 2, 4))
    for arm, (rate, n) in enumerate(zip(rates, units, strict=True)):
        converted = rng.binomial(n, rate, size=(runs, 28)).cumsum(axis=1)
        sums[:, :, arm, 0] = n * np.arange(1, 29)
        sums[:, :, arm, 1:] = converted[..., None]
    return sums


@pytest.mark.parametrize(
    ("rate", "units"), [(0.10, (2000, 2000)), (0.01, (3800, 200)), (0.10, (1900, 100))]
)
def test_an_a_a_test_that_is_looked_at_daily_keeps_its_error_rates(
    rate: float, units: tuple[int, int]
) -> None:
    runs = 4000
    sums = binary_history(np.random.default_rng(31), runs, (rate, rate), units)
    z = score_arrays(sums[:, :, 0], sums[:, :, 1], binary=True)[-1]
    shipped = (z >= np.array(SHIP)).any(axis=1).mean()
    killed = (z <= -np.array(HARM)).any(axis=1).mean()
    tolerance = 3 * math.sqrt(0.0225 / runs)
    assert shipped <= 0.0225 + tolerance
    assert killed <= 0.0225 + tolerance
    assert max(shipped, killed) >= 0.010  # it uses its alpha


def test_a_skewed_small_arm_is_not_stopped_by_chance() -> None:
    """Revenue with rare large values, 5 % canary: Welch's test stops 40 % of harmless ones."""
    rng = np.random.default_rng(32)
    runs, n = 600, (950, 50)
    sums = np.empty((runs, 28, 2, 4))
    for arm in (0, 1):
        buys = rng.random((runs, 28, n[arm])) < 0.1
        values = np.where(buys, rng.lognormal(0.0, 1.5, buys.shape), 0.0)
        sums[:, :, arm, 0] = n[arm] * np.arange(1, 29)
        for power in (1, 2, 3):
            sums[:, :, arm, power] = (values**power).sum(axis=2).cumsum(axis=1)
    difference, _, se_welch, *_, z = score_arrays(sums[:, :, 0], sums[:, :, 1])
    killed = (z <= -np.array(HARM)).any(axis=1).mean()
    naive = (difference / se_welch <= -np.array(HARM)).any(axis=1).mean()
    assert killed <= 0.025 + 3 * math.sqrt(0.025 / runs)
    assert naive > 0.2


def test_decide_crosses_where_the_bounds_do() -> None:
    """The function that decides and the arrays that are simulated are the same statistics."""
    sums = binary_history(np.random.default_rng(33), 12, (0.10, 0.106), (1000, 1000))
    z = score_arrays(sums[:, :, 0], sums[:, :, 1], binary=True)[-1]
    plan = plan_of(CLICK)
    for run in range(12):
        looks = [
            LookData(
                k + 1,
                DAILY[k],
                True,
                True,
                False,
                {"control": int(sums[run, k, 0, 0]), "new": int(sums[run, k, 1, 0])},
                {
                    "click": {
                        "control": Moments(*map(float, sums[run, k, 0])),
                        "new": Moments(*map(float, sums[run, k, 1])),
                    }
                },
            )
            for k in range(28)
        ]
        for k in range(28):
            expected = Verdict.CONTINUE
            if z[run, k] >= SHIP[k]:
                expected = Verdict.VALUE_PROVEN
            elif z[run, k] <= -HARM[k]:
                expected = Verdict.HARM
            assert decide(looks[: k + 1], plan).verdict is expected


def test_a_real_harm_is_found_long_before_the_horizon() -> None:
    runs = 400
    sums = binary_history(np.random.default_rng(34), runs, (0.10, 0.09), (2060, 2060))
    z = score_arrays(sums[:, :, 0], sums[:, :, 1], binary=True)[-1]
    crossed = z <= -np.array(HARM)
    day = np.where(crossed.any(axis=1), crossed.argmax(axis=1) + 1, 99)
    assert np.median(day) <= 0.30 * 28
