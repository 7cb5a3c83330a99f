"""What the rule reads beside plain means: ratios, covariates, growing totals, rare events."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from stats import (
    ConsecutiveSums,
    CovariateMoments,
    Decision,
    DecisionPlan,
    LookData,
    MetricSpec,
    Moments,
    Policy,
    RatioCovariateMoments,
    RatioMoments,
    Role,
    Spending,
    SpendingShape,
    TestResult,
    Verdict,
    boundary,
    correlation,
    decide,
    event_evidence,
)

CLICKS = MetricSpec("clicks", Role.SUCCESS, mde=0.05)
CRASH = MetricSpec("crash", Role.SAFETY, binary=True, direction="down", rare=True)
ARMS = ("old", "new")


def plan_of(*metrics: MetricSpec, weights: tuple[float, float] = (0.5, 0.5)) -> DecisionPlan:
    return DecisionPlan(ARMS, weights, metrics)


def look(number: int, time: float, metrics: dict, **more: object) -> LookData:
    sums = {key: dict(zip(ARMS, pair, strict=True)) for key, pair in metrics.items()}
    counts = {"old": 1000 * number, "new": 1000 * number}
    return LookData(number, time, True, True, False, counts, sums, **more)  # type: ignore[arg-type]


def test_of(decision: Decision, kind: str) -> TestResult:
    return next(test for test in decision.tests if test.kind == kind)


test_of.__test__ = False  # type: ignore[attr-defined]


# --- ratios


def ratio_pair(lift: float, seed: int = 1) -> list[RatioMoments]:
    rng = np.random.default_rng(seed)
    pair = []
    for rate in (0.2, 0.2 * (1 + lift)):
        views = rng.poisson(5, 4000) + 1.0
        pair.append(RatioMoments.of(list(rng.binomial(views.astype(int), rate) * 1.0), list(views)))
    return pair


def test_a_ratio_is_decided_by_the_difference_of_the_two_ratios() -> None:
    control, treatment = pair = ratio_pair(0.2)
    decision = decide([look(1, 0.8, {"clicks": pair})], plan_of(CLICKS))
    ship = test_of(decision, "ship")
    assert decision.verdict is Verdict.VALUE_PROVEN
    assert ship.estimate == pytest.approx(treatment.ratio - control.ratio, rel=1e-12)
    assert ship.relative == pytest.approx(treatment.ratio / control.ratio - 1, rel=1e-9)
    assert (ship.low or 0) > 0


def test_a_worse_ratio_is_a_harm() -> None:
    decision = decide([look(1, 0.8, {"clicks": ratio_pair(-0.2)})], plan_of(CLICKS))
    assert decision.verdict is Verdict.HARM


def test_a_ratio_whose_denominator_is_nothing_says_so_and_decides_nothing() -> None:
    empty = RatioMoments.of([0.0] * 200, [0.0] * 200)
    decision = decide([look(1, 0.8, {"clicks": [empty, empty]})], plan_of(CLICKS))
    assert decision.verdict is Verdict.CONTINUE
    assert test_of(decision, "ship").reason
    assert test_of(decision, "ship").z is None


def test_a_ratio_with_its_past_is_sharper() -> None:
    rng = np.random.default_rng(3)
    arms: list[tuple[RatioCovariateMoments, RatioMoments]] = []
    for lift in (0.0, 0.05):
        taste = rng.beta(1, 4, 5000)
        views, before = rng.poisson(8, 5000) + 1, rng.poisson(8, 5000) + 1
        clicks = rng.binomial(views, np.minimum(1, taste * (1 + lift)))
        past = rng.binomial(before, taste)
        parts = [list(map(float, part)) for part in (clicks, views, past, before)]
        arms.append((RatioCovariateMoments.of(*parts), RatioMoments.of(*parts[:2])))
    plan = plan_of(CLICKS)
    sharp, plain = (
        test_of(decide([look(1, 0.8, {"clicks": [a[k] for a in arms]})], plan), "ship")
        for k in (0, 1)
    )
    assert sharp.se is not None
    assert plain.se is not None
    assert sharp.se < 0.9 * plain.se


def test_sums_of_two_kinds_are_no_pair() -> None:
    pair = [ratio_pair(0.1)[0], Moments.of([1.0, 2.0] * 100)]
    decision = decide([look(1, 0.8, {"clicks": pair})], plan_of(CLICKS))
    assert test_of(decision, "ship").reason == "RatioMoments cannot be held against Moments"


def test_sums_about_a_shift_decide_as_those_about_zero() -> None:
    rng = np.random.default_rng(5)
    raw = [list(rng.normal(10 + 0.2 * k, 2, 500)) for k in (0, 1)]
    plan = plan_of(CLICKS)
    plain = decide([look(1, 0.8, {"clicks": [Moments.of(y) for y in raw]})], plan)
    shifted = [Moments.of(y, shift=s) for y, s in zip(raw, (10.0, 9.0), strict=True)]
    moved = decide([look(1, 0.8, {"clicks": shifted})], plan)
    for one, other in zip(plain.tests, moved.tests, strict=True):
        assert other.z == pytest.approx(one.z, rel=1e-9)
        assert other.low == pytest.approx(one.low, rel=1e-9)
    covariates = [CovariateMoments.of_pairs(y, y) for y in raw]
    assert decide([look(1, 0.8, {"clicks": covariates})], plan).tests[0].reason is not None


# --- totals that grow after a unit entered


def growing(lift: float = 0.0) -> list[LookData]:
    """All units are there from the first day on; what they spent grows from look to look."""
    rng = np.random.default_rng(11)
    rates = [rng.gamma(1.0, 1.0 + lift * k, 2000) for k in (0, 1)]
    totals = [np.zeros(2000), np.zeros(2000)]
    looks = []
    for number in (1, 2, 3):
        before = [list(total) for total in totals]
        totals = [t + rng.poisson(rate) for t, rate in zip(totals, rates, strict=True)]
        ties = [ConsecutiveSums.of(b, list(t)) for b, t in zip(before, totals, strict=True)]
        tied = {} if number == 1 else {"clicks": dict(zip(ARMS, ties, strict=True))}
        sums = {"clicks": [Moments.of(list(t)) for t in totals]}
        looks.append(look(number, number / 3, sums, consecutive=tied))
    return looks


def test_the_clock_of_a_growing_total_is_its_measured_correlation() -> None:
    looks = growing()
    ties = [correlation(*(entry.consecutive["clicks"][arm] for arm in ARMS)) for entry in looks[1:]]
    spending = Policy().proof_spending(plan_of(CLICKS), CLICKS)
    expected = boundary(spending, [1 / 3, 2 / 3, 1.0], [0.0, *ties])
    assert test_of(decide(looks, plan_of(CLICKS)), "ship").bound == expected.bounds[-1]
    assert 0.5 < ties[0] < 0.95


def test_without_it_a_look_of_the_same_units_is_passed_over() -> None:
    looks = [replace(entry, consecutive={}) for entry in growing()]
    ship = test_of(decide(looks[:2], plan_of(CLICKS)), "ship")
    assert ship.reason == "carried over from look 1: less than 0.2% more units than at look 1"


def test_a_look_that_tells_nothing_new_is_passed_over_by_the_clock() -> None:
    looks = growing()
    values = [0.0, 1.0, 5.0] * 100
    same = {arm: ConsecutiveSums.of(values, values) for arm in ARMS}
    repeated = replace(looks[1], consecutive={"clicks": same})
    ship = test_of(decide([looks[0], repeated], plan_of(CLICKS)), "ship")
    assert ship.reason == "carried over from look 1: less than 0.2% more information than at look 1"


def test_the_clock_runs_through_a_look_that_is_passed_over() -> None:
    looks = growing()
    idle = look(2, 0.4, {"clicks": [Moments(), Moments()]}, consecutive=looks[1].consecutive)
    last = replace(looks[2], number=4)
    ties = [correlation(*(entry.consecutive["clicks"][arm] for arm in ARMS)) for entry in looks[1:]]
    spending = Policy().proof_spending(plan_of(CLICKS), CLICKS)
    expected = boundary(spending, [1 / 3, 1.0], [0.0, math.prod(ties)])
    ship = test_of(decide([looks[0], idle, last], plan_of(CLICKS)), "ship")
    assert ship.bound == pytest.approx(expected.bounds[-1], rel=1e-12)


# --- looks that cannot act


def steady(*acts: bool, n: int = 1000) -> list[LookData]:
    """Looks of ever more units, some of which may ship."""
    looks = []
    for number, may in enumerate(acts, 1):
        sums = {"sale": [Moments.conversions(n * number, 100 * number)] * 2}
        entry = look(number, number / len(acts), sums)
        looks.append(replace(entry, may_ship=may, may_be_futile=may))
    return looks


SALE = MetricSpec("sale", Role.SUCCESS, binary=True, mde=0.05)


def test_a_look_that_cannot_ship_spends_no_error_of_proof_or_futility() -> None:
    plan, looks = plan_of(SALE), steady(False, True, False, True)
    some, all_of = [0.5, 1.0], [0.25, 0.5, 0.75, 1.0]
    decision = decide(looks, plan)
    for kind, spending, sign, times in (
        ("ship", Policy().proof_spending(plan, SALE), 1, some),
        ("futility", Policy().futility_spending(), -1, some),
        ("harm", Policy().harm_spending(plan, SALE), -1, all_of),
    ):
        expected = sign * boundary(spending, times).bounds[-1]
        assert test_of(decision, kind).bound == pytest.approx(expected, rel=1e-9)


def test_between_two_of_them_the_interval_is_told_as_if_it_could() -> None:
    plan, looks = plan_of(SALE), steady(False, True, False, True)[:3]
    expected = boundary(Policy().proof_spending(plan, SALE), [0.5, 0.75]).bounds[-1]
    ship = test_of(decide(looks, plan), "ship")
    assert ship.bound == pytest.approx(expected, rel=1e-9)
    assert ship.low is not None


def test_what_stands_at_a_look_that_acts_is_paid_for() -> None:
    plan, looks = plan_of(SALE), steady(False, True, False, True)
    same = replace(looks[1], metrics=looks[0].metrics)  # nothing new matured
    decision = decide([looks[0], same, *looks[2:]], plan)
    expected = boundary(Policy().proof_spending(plan, SALE), [0.25, 1.0]).bounds[-1]
    assert test_of(decision, "ship").bound == pytest.approx(expected, rel=1e-9)
    empty = replace(looks[1], metrics={})
    again = decide([looks[0], empty, *looks[2:]], plan)
    assert test_of(again, "ship").bound == test_of(decision, "ship").bound


# --- rare events


def crashes(old: int, new: int, n: int = 5000) -> LookData:
    return look(1, 0.01, {"crash": [Moments.conversions(n, old), Moments.conversions(n, new)]})


def test_rare_trouble_is_stopped_by_the_exact_test_before_the_score_may_be_asked() -> None:
    decision = decide([crashes(0, 25, n=45)], plan_of(CRASH))
    events = test_of(decision, "harm_events")
    assert test_of(decision, "harm").z is None  # too few units for it
    assert events.passed
    assert events.log_e == event_evidence(0, 25, 0.5).log_e
    assert decision.verdict is Verdict.HARM


def test_both_tests_of_a_rare_metric_have_half_of_its_error() -> None:
    plan = plan_of(CLICKS, CRASH)
    decision = decide([crashes(10, 11)], plan)
    events, harm = test_of(decision, "harm_events"), [t for t in decision.tests if t.kind == "harm"]
    assert events.alpha_spent == pytest.approx(0.025 / 2 / 2)
    assert events.log_e_bound == pytest.approx(-math.log(0.025 / 4))
    spending = Spending(SpendingShape.KIM_DEMETS, 0.025 / 4, 0.1, 0.5)
    assert harm[-1].alpha_spent == pytest.approx(spending.spent(0.01))


def test_the_exact_test_goes_by_the_designed_split() -> None:
    plan = plan_of(CRASH, weights=(0.9, 0.1))
    events = test_of(decide([crashes(90, 10)], plan), "harm_events")
    assert events.log_e == event_evidence(90, 10, 0.1).log_e
    assert not events.passed


def test_events_that_are_good_alarm_when_they_stay_away() -> None:
    rare = MetricSpec("sale", Role.SUCCESS, binary=True, rare=True)
    sums = {"sale": [Moments.conversions(3000, 40), Moments.conversions(3000, 2)]}
    assert test_of(decide([look(1, 0.01, sums)], plan_of(rare)), "harm_events").passed
    mirrored = {"sale": sums["sale"][::-1]}
    assert not test_of(decide([look(1, 0.01, mirrored)], plan_of(rare)), "harm_events").passed


def test_without_data_the_exact_test_says_so() -> None:
    decision = decide([look(1, 0.01, {})], plan_of(CRASH))
    assert test_of(decision, "harm_events").reason == "no data"
