"""The decision rule, look by look."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import replace

import pytest

from stats import (
    CovariateMoments,
    DecisionPlan,
    LookData,
    LookError,
    MetricSpec,
    Moments,
    PlanError,
    Policy,
    Role,
    TestResult,
    Verdict,
    adjust,
    decide,
    score_difference,
)

SIGNUP = MetricSpec("signup", Role.SUCCESS, binary=True, mde=0.05)
LATENCY = MetricSpec("latency", Role.GUARDRAIL, direction="down", margin=0.05)
ERRORS = MetricSpec("errors", Role.SAFETY, binary=True, direction="down")


def plan_of(*metrics: MetricSpec, arms: int = 2, **options: object) -> DecisionPlan:
    names = ("control", *(f"new{k}" for k in range(1, arms)))
    return DecisionPlan(names, (1.0,) * arms, metrics, **options)  # type: ignore[arg-type]


def rate(n: float, share: float) -> Moments:
    return Moments.conversions(n, round(n * share))


def level(n: float, mean: float, deviation: float = 1.0) -> Moments:
    return Moments(n, n * mean, n * (mean**2 + deviation**2), n * mean**3)


def look(
    number: int,
    time: float,
    metrics: dict[str, Iterable[Moments]],
    *,
    counts: Iterable[float] | None = None,
    late: bool = True,
    final: bool = False,
) -> LookData:
    arms = {
        key: {("control" if k == 0 else f"new{k}"): m for k, m in enumerate(moments)}
        for key, moments in metrics.items()
    }
    n = list(counts) if counts is not None else [m.n for m in next(iter(arms.values())).values()]
    named = {("control" if k == 0 else f"new{k}"): int(c) for k, c in enumerate(n)}
    return LookData(number, time, late, late, final, named, arms)


def found(tests: Iterable[TestResult], kind: str, metric: str, arm: str = "new1") -> TestResult:
    return next(t for t in tests if (t.kind, t.metric, t.arm) == (kind, metric, arm))


# --- one verdict after the other, strongest first


def test_a_broken_split_invalidates_even_a_harm() -> None:
    numbers = look(1, 0.5, {"signup": [rate(5000, 0.1), rate(5600, 0.02)]})
    decision = decide([numbers], plan_of(SIGNUP))
    assert decision.verdict is Verdict.INVALID
    assert decision.srm_log_e > math.log(1000)
    assert decision.harmed == ("new1",)
    assert decision.winner is None


def test_harm_acts_at_a_look_that_may_neither_ship_nor_give_up() -> None:
    numbers = look(1, 0.01, {"signup": [rate(2000, 0.1), rate(2000, 0.03)]}, late=False)
    assert decide([numbers], plan_of(SIGNUP)).verdict is Verdict.HARM


@pytest.mark.parametrize("metric", [SIGNUP, LATENCY, ERRORS], ids=lambda m: m.role.value)
def test_every_watched_role_can_stop_an_arm(metric: MetricSpec) -> None:
    n = 4000
    sums = {
        "signup": [rate(n, 0.1), rate(n, 0.1)],
        "latency": [level(n, 5), level(n, 5)],
        "errors": [rate(n, 0.02), rate(n, 0.02)],
    }
    calm = decide([look(1, 0.3, sums, late=False)], plan_of(SIGNUP, LATENCY, ERRORS))
    assert calm.verdict is Verdict.CONTINUE
    worse = {"signup": rate(n, 0.05), "latency": level(n, 6), "errors": rate(n, 0.06)}
    sums[metric.key][1] = worse[metric.key]
    decision = decide([look(1, 0.3, sums, late=False)], plan_of(SIGNUP, LATENCY, ERRORS))
    assert decision.verdict is Verdict.HARM
    assert [t.metric for t in decision.tests if t.kind == "harm" and t.passed] == [metric.key]


def test_value_is_proven_only_at_a_look_that_may_ship() -> None:
    sums = {"signup": [rate(20_000, 0.1), rate(20_000, 0.13)]}
    early = decide([look(1, 0.5, sums, late=False)], plan_of(SIGNUP))
    late = decide([look(1, 0.5, sums)], plan_of(SIGNUP))
    assert (early.verdict, early.winner) == (Verdict.CONTINUE, None)
    assert (late.verdict, late.winner) == (Verdict.VALUE_PROVEN, "new1")


def test_nothing_ships_before_every_guardrail_is_shown_safe() -> None:
    better = [rate(20_000, 0.1), rate(20_000, 0.13)]
    plan = plan_of(SIGNUP, LATENCY)
    unclear = look(1, 0.5, {"signup": better, "latency": [level(200, 5, 9), level(200, 5, 9)]})
    safe = look(1, 0.5, {"signup": better, "latency": [level(20_000, 5), level(20_000, 5)]})
    missing = look(1, 0.5, {"signup": better})
    assert decide([unclear], plan).verdict is Verdict.CONTINUE
    assert decide([missing], plan).verdict is Verdict.CONTINUE
    assert decide([safe], plan).verdict is Verdict.VALUE_PROVEN


def test_a_claim_of_no_harm_rests_on_the_guardrails_alone() -> None:
    safe = look(1, 0.8, {"latency": [level(20_000, 5), level(20_000, 5)]})
    decision = decide([safe], plan_of(LATENCY))
    assert (decision.verdict, decision.winner) == (Verdict.NO_HARM_PROVEN, "new1")


def test_safety_metrics_alone_prove_nothing() -> None:
    calm = {"errors": [rate(90_000, 0.02), rate(90_000, 0.02)]}
    assert decide([look(1, 0.9, calm)], plan_of(ERRORS)).verdict is Verdict.CONTINUE
    final = decide([look(1, 1.0, calm, final=True)], plan_of(ERRORS))
    assert final.verdict is Verdict.NOT_PROVEN_IN_TIME


def test_an_arm_that_cannot_reach_its_mde_is_futile() -> None:
    sums = {"signup": [rate(60_000, 0.1), rate(60_000, 0.1)]}
    early = decide([look(1, 0.8, sums, late=False)], plan_of(SIGNUP))
    late = decide([look(1, 0.8, sums)], plan_of(SIGNUP))
    assert (early.verdict, early.futile) == (Verdict.CONTINUE, ())
    assert (late.verdict, late.futile) == (Verdict.FUTILE, ("new1",))


def test_without_an_mde_nothing_is_futile() -> None:
    sums = {"signup": [rate(60_000, 0.1), rate(60_000, 0.1)]}
    assert (
        decide([look(1, 0.8, sums)], plan_of(replace(SIGNUP, mde=None))).verdict is Verdict.CONTINUE
    )


def test_a_futile_arm_is_named_while_the_others_go_on() -> None:
    sums = {"signup": [rate(60_000, 0.1), rate(60_000, 0.1), rate(60_000, 0.1028)]}
    decision = decide([look(1, 0.5, sums)], plan_of(SIGNUP, arms=3))
    assert (decision.verdict, decision.futile) == (Verdict.CONTINUE, ("new1",))


def test_futility_needs_every_success_metric() -> None:
    other = MetricSpec("return", Role.SUCCESS, binary=True, mde=0.05)
    flat = [rate(60_000, 0.1), rate(60_000, 0.1)]
    open_ = [rate(1_000, 0.1), rate(1_000, 0.104)]
    plan = plan_of(SIGNUP, other)
    assert decide([look(1, 0.8, {"signup": flat, "return": open_})], plan).futile == ()
    assert decide([look(1, 0.8, {"signup": flat, "return": flat})], plan).futile == ("new1",)


def test_silence_at_the_deadline_is_not_proven_in_time() -> None:
    sums = {"signup": [rate(3_000, 0.1), rate(3_000, 0.103)]}
    assert decide([look(1, 1.0, sums)], plan_of(SIGNUP)).verdict is Verdict.CONTINUE
    final = decide([look(1, 1.0, sums, final=True)], plan_of(SIGNUP))
    assert final.verdict is Verdict.NOT_PROVEN_IN_TIME


def test_a_final_look_can_still_prove_value() -> None:
    sums = {"signup": [rate(20_000, 0.1), rate(20_000, 0.13)]}
    final = decide([look(1, 1.0, sums, final=True)], plan_of(SIGNUP))
    assert final.verdict is Verdict.VALUE_PROVEN


# --- several arms


def test_a_harmed_arm_is_named_while_the_others_go_on() -> None:
    sums = {"signup": [rate(5000, 0.1), rate(5000, 0.05), rate(5000, 0.1)]}
    first = look(1, 0.3, sums, late=False)
    plan = plan_of(SIGNUP, arms=3)
    decision = decide([first], plan)
    assert (decision.verdict, decision.harmed) == (Verdict.CONTINUE, ("new1",))


def test_a_dropped_arm_is_neither_tested_nor_counted_in_the_split() -> None:
    sums = {"signup": [rate(9000, 0.1), rate(5000, 0.05), rate(9000, 0.1)]}
    later = look(2, 0.5, sums, late=False)
    plan = plan_of(SIGNUP, arms=3)
    assert decide([later], plan).verdict is Verdict.INVALID
    decision = decide([later], plan, dropped={"new1"})
    assert decision.verdict is Verdict.CONTINUE
    assert {test.arm for test in decision.tests} == {"new2"}


def test_harm_in_the_last_arm_left_is_the_verdict() -> None:
    sums = {"signup": [rate(5000, 0.1), rate(5000, 0.1), rate(5000, 0.05)]}
    plan = plan_of(SIGNUP, arms=3)
    numbers = [look(1, 0.3, sums, late=False)]
    assert decide(numbers, plan, dropped=("new1",)).verdict is Verdict.HARM
    assert decide(numbers, plan, dropped=("new1", "new2")).verdict is Verdict.HARM


def test_the_arm_with_the_highest_lower_limit_wins() -> None:
    plan = plan_of(SIGNUP, arms=3)
    sums = {"signup": [rate(20_000, 0.1), rate(20_000, 0.13), rate(20_000, 0.15)]}
    assert decide([look(1, 0.5, sums)], plan).winner == "new2"
    # The larger estimate may be the less certain one.
    unsure = {"signup": [rate(20_000, 0.1), rate(20_000, 0.13), rate(1_200, 0.142)]}
    plan = replace(plan, weights=(20, 20, 1.2))
    decision = decide([look(1, 0.9, unsure)], plan)
    assert found(decision.tests, "ship", "signup", "new2").passed
    assert decision.winner == "new1"


def test_the_lowest_upper_limit_wins_when_down_is_good() -> None:
    metric = MetricSpec("wait", Role.SUCCESS, direction="down")
    sums = {"wait": [level(5000, 5), level(5000, 4.5), level(5000, 4.2)]}
    assert decide([look(1, 0.8, sums)], plan_of(metric, arms=3)).winner == "new2"


def test_without_a_success_metric_the_safest_arm_wins() -> None:
    sums = {"latency": [level(20_000, 5), level(20_000, 5.02), level(20_000, 4.98)]}
    decision = decide([look(1, 0.9, sums)], plan_of(LATENCY, arms=3))
    assert (decision.verdict, decision.winner) == (Verdict.NO_HARM_PROVEN, "new2")


# --- error shares


def test_harm_alpha_is_half_for_success_and_half_for_the_rest() -> None:
    plan = plan_of(SIGNUP, LATENCY, ERRORS)
    alphas = [Policy().harm_alpha(plan, metric) for metric in plan.metrics]
    assert alphas == pytest.approx([0.0125, 0.00625, 0.00625])
    assert Policy().harm_alpha(plan_of(SIGNUP), SIGNUP) == 0.025
    assert Policy().harm_alpha(plan_of(ERRORS, LATENCY), ERRORS) == 0.0125
    assert Policy().harm_alpha(plan_of(SIGNUP, arms=3), SIGNUP) == 0.0125
    rare = replace(ERRORS, rare=True)
    assert Policy().harm_alpha(plan_of(SIGNUP, rare), rare) == 0.00625


def test_ship_alpha_is_shared_by_success_metrics_and_arms_and_guardrail_alpha_by_arms() -> None:
    other = MetricSpec("return", Role.SUCCESS, binary=True)
    sums = {
        "signup": [rate(5000, 0.1)] * 3,
        "return": [rate(5000, 0.1)] * 3,
        "latency": [level(5000, 5)] * 3,
    }
    tests = decide([look(1, 1.0, sums)], plan_of(SIGNUP, other, LATENCY, arms=3)).tests
    spent = {(t.kind, t.metric): t.alpha_spent for t in tests}
    assert spent["ship", "signup"] == pytest.approx(0.9 * 0.025 / 4)
    assert spent["noninferiority", "latency"] == pytest.approx(0.9 * 0.025 / 2)
    assert spent["harm", "signup"] == pytest.approx(0.9 * 0.025 / 8)
    assert spent["futility", "signup"] == pytest.approx(0.9 * 0.10)


def test_a_metric_of_harm_weight_zero_is_not_watched() -> None:
    plan = plan_of(SIGNUP, ERRORS, harm_weights={"signup": 1.0})
    sums = {"signup": [rate(4000, 0.1)] * 2, "errors": [rate(4000, 0.01), rate(4000, 0.2)]}
    decision = decide([look(1, 0.3, sums)], plan)
    assert decision.harmed == ()
    assert [t for t in decision.tests if t.metric == "errors"] == []


def test_a_single_look_at_the_horizon_has_the_bound_2_005() -> None:
    sums = {"signup": [rate(5000, 0.1), rate(5000, 0.1)]}
    decision = decide([look(1, 1.0, sums, final=True)], plan_of(SIGNUP))
    assert found(decision.tests, "ship", "signup").bound == pytest.approx(2.0047, abs=1e-4)
    assert found(decision.tests, "harm", "signup").bound == pytest.approx(-2.0047, abs=1e-4)


def test_a_superiority_margin_must_be_beaten_not_reached() -> None:
    sums = {"signup": [rate(20_000, 0.10), rate(20_000, 0.12)]}
    for margin, verdict in ((0.01, Verdict.VALUE_PROVEN), (0.02, Verdict.CONTINUE)):
        plan = plan_of(replace(SIGNUP, superiority_margin=margin, mde=None))
        decision = decide([look(1, 0.9, sums)], plan)
        ship = found(decision.tests, "ship", "signup")
        assert decision.verdict is verdict
        assert ship.low is not None
        assert (ship.low > margin) == ship.passed


def test_explore_metrics_are_estimated_and_never_tested() -> None:
    curious = MetricSpec("rounds", Role.EXPLORE)
    sums = {"signup": [rate(4000, 0.1)] * 2, "rounds": [level(4000, 5), level(4000, 1)]}
    decision = decide([look(1, 0.3, sums, late=False)], plan_of(SIGNUP, curious))
    (shown,) = [t for t in decision.tests if t.metric == "rounds"]
    assert decision.verdict is Verdict.CONTINUE
    assert (shown.kind, shown.z, shown.bound, shown.passed) == ("explore", None, None, False)
    assert shown.estimate == -4
    assert shown.high is not None
    assert shown.high < 0


# --- thin and strange data


@pytest.mark.parametrize("time", [1 / 28, 1 / 112, 1 / 672])
@pytest.mark.parametrize("units", [(100, 100), (300, 100), (1900, 100), (2000, 2000)])
def test_an_arm_without_conversions_is_stopped_at_the_first_look(
    units: tuple[int, int], time: float
) -> None:
    sums = {"signup": [rate(units[0], 0.1), rate(units[1], 0.0)]}
    numbers = look(1, time, sums, late=False)
    decision = decide([numbers], replace(plan_of(SIGNUP), weights=units))
    assert decision.verdict is Verdict.HARM


def test_an_arm_without_conversions_is_stopped_within_hours_of_small_looks() -> None:
    looks = []
    for hour in range(1, 20):
        n = 20 * hour
        sums = {"signup": [rate(n, 0.1), rate(n, 0.0)]}
        looks.append(look(hour, hour / 672, sums, late=False))
        if decide(looks, plan_of(SIGNUP)).verdict is Verdict.HARM:
            break
    assert 50 <= n <= 140


@pytest.mark.parametrize(
    ("arms", "reason"),
    [
        ([], "no data"),
        ([Moments(), Moments()], "too few units"),
        ([rate(5000, 0.1), Moments()], "too few units"),
        ([rate(5000, 0.1), rate(1, 0)], "too few units"),
        ([rate(49, 0.1), rate(50, 0.1)], "too few units"),
        ([rate(5000, 0.0), Moments.conversions(5000, 4)], "too few events"),
        ([rate(5000, 1.0), rate(5000, 1.0)], "all units are equal"),
    ],
)
def test_thin_data_is_a_reason_and_not_an_error(arms: list[Moments], reason: str) -> None:
    numbers = look(1, 0.5, {"signup": arms}, counts=[5000, 5000])
    decision = decide([numbers], plan_of(SIGNUP))
    assert decision.verdict is Verdict.CONTINUE
    assert {test.kind for test in decision.tests} == {"harm", "ship", "futility"}
    assert all(reason in (test.reason or "") for test in decision.tests)


def test_a_constant_measurement_is_a_reason_and_not_an_error() -> None:
    same = {"latency": [level(5000, 0.3, 0.0), level(5000, 0.3, 0.0)]}
    decision = decide([look(1, 0.5, same)], plan_of(LATENCY))
    assert {t.reason for t in decision.tests} == {"all units are equal"}


def test_a_control_mean_of_zero_has_no_lift_but_a_difference() -> None:
    sums = {"latency": [level(5000, 0.0), level(5000, 0.2)]}
    harm = found(decide([look(1, 0.5, sums)], plan_of(LATENCY)).tests, "harm", "latency")
    assert harm.estimate == pytest.approx(0.2)
    assert (harm.relative, harm.relative_low) == (None, None)


def test_units_that_shrink_or_stand_still_carry_the_last_test_over() -> None:
    plan = plan_of(SIGNUP)
    first = look(1, 0.25, {"signup": [rate(5000, 0.1), rate(5000, 0.11)]})
    for n in (4900, 5000, 5005):
        second = look(2, 0.30, {"signup": [rate(n, 0.1), rate(n, 0.02)]})
        alone, both = decide([first], plan), decide([first, second], plan)
        for before, after in zip(alone.tests, both.tests, strict=True):
            assert after.reason is not None
            assert "carried over from look 1" in after.reason
            assert replace(after, reason=None) == before
    grown = look(2, 0.30, {"signup": [rate(5010, 0.1), rate(5010, 0.02)]})
    assert decide([first, grown], plan).verdict is Verdict.HARM


def test_a_look_passed_over_spends_nothing() -> None:
    plan = plan_of(SIGNUP)
    one = look(1, 0.25, {"signup": [rate(5000, 0.1), rate(5000, 0.11)]})
    idle = look(2, 0.30, {"signup": [rate(5000, 0.1), rate(5000, 0.11)]})
    two = look(3, 0.50, {"signup": [rate(9000, 0.1), rate(9000, 0.11)]})
    assert decide([one, idle, two], plan).tests == decide([one, two], plan).tests


def test_the_final_look_spends_what_is_left_although_nothing_new_came_in() -> None:
    plan = plan_of(replace(SIGNUP, mde=None))
    sums = {"signup": [rate(20_000, 0.100), rate(20_000, 0.1069)]}
    early, late = look(1, 0.7, sums), look(2, 1.0, sums, final=True)
    assert decide([early], plan).verdict is Verdict.CONTINUE
    decision = decide([early, late], plan)
    assert decision.verdict is Verdict.VALUE_PROVEN
    assert found(decision.tests, "ship", "signup").alpha_spent == pytest.approx(0.0225)
    assert found(decision.tests, "ship", "signup").reason is None


def test_a_covariate_sharpens_the_decision() -> None:
    def arm(effect: float, *, covariate: bool) -> Moments:
        x = [float(k % 50) for k in range(1000)]
        y = [2 * v + (k % 3) + effect for k, v in enumerate(x)]
        return CovariateMoments.of_pairs(y, x) if covariate else Moments.of(y)

    value = MetricSpec("value", Role.SUCCESS)
    for covariate, verdict in ((False, Verdict.CONTINUE), (True, Verdict.VALUE_PROVEN)):
        arms = [arm(0, covariate=covariate), arm(0.5, covariate=covariate)]
        assert decide([look(1, 1.0, {"value": arms})], plan_of(value)).verdict is verdict


def test_a_conversion_with_a_covariate_is_tested_as_a_mean() -> None:
    def arm(shift: int) -> CovariateMoments:
        x = [float(k % 2) for k in range(2000)]
        y = [float((k % 2) * (k % 5 < 3) or k % 50 < shift) for k in range(2000)]
        return CovariateMoments.of_pairs(y, x)

    arms = [arm(0), arm(4)]
    adjusted = adjust(*arms)
    expected = score_difference(adjusted.control, adjusted.treatment)
    tests = decide([look(1, 1.0, {"signup": arms})], plan_of(SIGNUP)).tests
    assert found(tests, "ship", "signup").z == expected.z
    assert found(tests, "ship", "signup").se == expected.se


# --- what is refused, what is written


def test_looks_out_of_order_or_foreign_to_the_plan_are_refused() -> None:
    plan, sums = plan_of(SIGNUP), {"signup": [rate(500, 0.1), rate(500, 0.1)]}
    one, two = look(1, 0.2, sums), look(2, 0.4, sums)
    with pytest.raises(LookError, match="no look"):
        decide([], plan)
    with pytest.raises(LookError, match="comes after"):
        decide([two, one], plan)
    with pytest.raises(LookError, match="comes after"):
        decide([one, replace(two, spending_time=0.1)], plan)
    with pytest.raises(LookError, match="does not know other"):
        decide([replace(one, counts={"other": 4})], plan)
    with pytest.raises(LookError, match="does not know control"):
        decide([one], plan, dropped=["control"])
    with pytest.raises(LookError, match="does not know speed"):
        decide([replace(one, metrics={"speed": {}})], plan)
    for time in (-0.1, math.nan, math.inf):
        with pytest.raises(LookError):
            look(1, time, sums)
    with pytest.raises(LookError):
        look(1, 0.1, sums, counts=[-1, 5])


@pytest.mark.parametrize(
    "change",
    [
        {"arms": ("control",), "weights": (1.0,)},
        {"arms": ("a", "a")},
        {"weights": (1.0,)},
        {"weights": (0.0, 0.0)},
        {"weights": (-1.0, 2.0)},
        {"metrics": (SIGNUP, SIGNUP)},
        {"harm_weights": {"signup": 0.8, "errors": 0.8}},
        {"harm_weights": {"unknown": 0.5}},
        {"harm_weights": {"signup": -0.5}},
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(change: dict) -> None:
    with pytest.raises(PlanError):
        replace(plan_of(SIGNUP, ERRORS), **change)


@pytest.mark.parametrize(
    "change",
    [
        {"alpha_ship": 0.0},
        {"alpha_harm": 0.6},
        {"beta_futility": math.nan},
        {"epsilon": 1.0},
        {"srm_threshold": 1.0},
        {"srm_concentration": 0.0},
        {"minimum_gain": -0.1},
        {"minimum_units": -1.0},
    ],
)
def test_a_policy_outside_its_range_is_refused(change: dict) -> None:
    with pytest.raises(PlanError):
        Policy(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"role": Role.GUARDRAIL},
        {"binary": False, "rare": True},
        {"mde": 0.0},
        {"margin": -0.1},
        {"direction": "left"},
        {"superiority_margin": math.nan},
    ],
)
def test_a_metric_that_contradicts_itself_is_refused(change: dict) -> None:
    with pytest.raises(PlanError):
        replace(SIGNUP, **change)


def test_a_document_is_plain_json_and_the_same_every_time() -> None:
    plan = plan_of(SIGNUP, LATENCY, ERRORS)
    sums = {
        "signup": [rate(500, 0.1), rate(500, 0.12)],
        "latency": [level(500, 5), level(500, 5.1)],
    }
    looks = [look(1, 0.001, sums)]
    one, other = (json.dumps(decide(looks, plan).to_document()) for _ in range(2))
    assert one == other
    document = json.loads(one)
    ship = next(t for t in document["tests"] if t["kind"] == "ship")
    assert ship["bound"] is None  # infinite: no error to spend yet
    assert ship["low"] is None
    assert document["verdict"] == "CONTINUE"
