"""The decision rule: which verdict one look gives (STATISTICS.md 1.14).

Each metric in each treatment arm is asked up to three questions - is it worse, is it proven, can it
still be proven - each with its own share of its own error. The answers are then read in one order:
INVALID, HARM, VALUE_PROVEN or NO_HARM_PROVEN, FUTILE, the deadline, CONTINUE.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from stats.anytime.events import event_evidence
from stats.anytime.srm import SampleRatio, sample_ratio
from stats.decision.evidence import Evidence, gather
from stats.decision.look import LookData
from stats.decision.plan import DecisionPlan, MetricSpec, Role
from stats.decision.policy import Policy
from stats.decision.result import Decision, TestKind, TestResult, Verdict
from stats.effects.contrast import Contrast
from stats.errors import LookError, StatsError
from stats.sequential.bounds import boundary
from stats.sequential.spending import Spending
from stats.sums.moments import Moments


def decide(
    looks: Sequence[LookData],
    plan: DecisionPlan,
    policy: Policy | None = None,
    *,
    dropped: Collection[str] = (),
) -> Decision:
    """Say what the last of ``looks`` means.

    Parameters
    ----------
    looks : sequence of LookData
        Every scheduled look so far, in order. The last is decided; the earlier ones say which
        looks the error was spent on.
    plan : DecisionPlan
        What was promised before the first look.
    policy : Policy, optional
        The error rates of the house. Default: those of ``Policy()``.
    dropped : collection of str, optional
        Treatment arms stopped at earlier looks: not tested, not in the sample ratio. Their share of
        the error is not handed to the others.

    Returns
    -------
    Decision
        Verdict, arms to ship or to drop, and every test. Thin, missing or constant data is no error
        but a reason in its `TestResult`.

    Raises
    ------
    LookError
        If there is no look, looks are out of order, or a look or ``dropped`` names what the plan
        does not know.

    Notes
    -----
    One may peek: that is what it is for. Over all looks together, one-sided: a worthless change
    ships with probability at most ``alpha_ship``, one with an inferior guardrail at most
    ``alpha_guardrail``; a harmless one is stopped for harm at most ``alpha_harm``; one that has
    its MDE is called futile at most ``beta_futility`` (STATISTICS.md 1.14, propositions 2 to 4).
    Deterministic: equal arguments give equal floats.

    Examples
    --------
    >>> from stats import DecisionPlan, LookData, MetricSpec, Moments, Role, decide
    >>> plan = DecisionPlan(
    ...     ("old", "new"), (0.5, 0.5), (MetricSpec("signup", Role.SUCCESS, binary=True),)
    ... )
    >>> sums = {"old": Moments.conversions(100, 10), "new": Moments.conversions(100, 0)}
    >>> look = LookData(1, 1 / 28, False, False, False, {"old": 100, "new": 100}, {"signup": sums})
    >>> decision = decide([look], plan)
    >>> decision.verdict.value, decision.harmed
    ('HARM', ('new',))
    """
    policy = policy or Policy()
    _check(looks, plan, dropped)
    look = looks[-1]
    arms = tuple(arm for arm in plan.treatments if arm not in dropped)
    ratio = _sample_ratio(look, plan, policy, dropped)
    tests = tuple(
        test
        for metric in plan.metrics
        for arm in arms
        for test in _tests(looks, plan, policy, metric, arm)
    )
    harmed = tuple(arm for arm in arms if _any(tests, arm, "harm", "harm_events"))
    left = tuple(arm for arm in arms if arm not in harmed)
    proven = tuple(arm for arm in left if look.may_ship and _proven(plan, tests, arm))
    futile = tuple(arm for arm in left if look.may_be_futile and _futile(plan, tests, arm))
    told = Decision(Verdict.CONTINUE, None, harmed, futile, ratio.log_e, ratio.p_value, tests)
    if ratio.log_e >= math.log(policy.srm_threshold):
        return replace(told, verdict=Verdict.INVALID)
    if not left:
        return replace(told, verdict=Verdict.HARM)
    if proven:
        value = bool(plan.of_role(Role.SUCCESS))
        verdict = Verdict.VALUE_PROVEN if value else Verdict.NO_HARM_PROVEN
        return replace(told, verdict=verdict, winner=_best(plan, tests, proven))
    if futile == left:
        return replace(told, verdict=Verdict.FUTILE)
    if look.is_final:
        return replace(told, verdict=Verdict.NOT_PROVEN_IN_TIME)
    return told


def _check(looks: Sequence[LookData], plan: DecisionPlan, dropped: Collection[str]) -> None:
    if not looks:
        raise LookError("there is no look to decide")
    for before, after in pairwise(looks):
        if after.number <= before.number or after.spending_time < before.spending_time:
            raise LookError(
                f"look {after.number} (time {after.spending_time:g}) comes after"
                f" look {before.number} (time {before.spending_time:g})"
            )
    strangers = set(looks[-1].counts) - set(plan.arms)
    strangers |= set(dropped) - set(plan.treatments)
    strangers |= set(looks[-1].metrics) - {metric.key for metric in plan.metrics}
    if strangers:
        raise LookError(f"the plan does not know {', '.join(sorted(strangers))}")


def _sample_ratio(
    look: LookData, plan: DecisionPlan, policy: Policy, dropped: Collection[str]
) -> SampleRatio:
    pairs = [
        (float(look.counts.get(arm, 0)), weight)
        for arm, weight in zip(plan.arms, plan.weights, strict=True)
        if arm not in dropped
    ]
    counts, weights = [n for n, _ in pairs], [w for _, w in pairs]
    return sample_ratio(counts, weights, concentration=policy.srm_concentration)


# --- tests of one metric in one arm


def _tests(
    looks: Sequence[LookData], plan: DecisionPlan, policy: Policy, metric: MetricSpec, arm: str
) -> Iterator[TestResult]:
    kinds = _kinds(plan, policy, metric)
    if "harm_events" in kinds:
        kinds.remove("harm_events")
        yield _events(looks[-1], plan, policy, metric, arm)
    evidence = gather(looks, plan, policy, metric, arm)
    if isinstance(evidence, str):
        yield from (TestResult(kind, metric.key, arm, reason=evidence) for kind in kinds)
        return
    shown = _shown(plan, policy, evidence, arm)
    for kind in kinds:
        try:
            yield _test(plan, policy, evidence, replace(shown, kind=kind))
        except StatsError as error:
            yield replace(shown, kind=kind, reason=str(error))


def _kinds(plan: DecisionPlan, policy: Policy, metric: MetricSpec) -> list[TestKind]:
    if metric.role is Role.EXPLORE:
        return ["explore"]
    kinds: list[TestKind] = ["harm"] if policy.harm_alpha(plan, metric) > 0 else []
    if kinds and metric.rare:
        kinds.append("harm_events")
    if metric.role is Role.SUCCESS:
        kinds += ["ship", "futility"] if metric.mde is not None else ["ship"]
    elif metric.role is Role.GUARDRAIL:
        kinds.append("noninferiority")
    return kinds


def _events(
    look: LookData, plan: DecisionPlan, policy: Policy, metric: MetricSpec, arm: str
) -> TestResult:
    """Test rare trouble by which arm its events fall on: exact, from the first event on."""
    shown = TestResult("harm_events", metric.key, arm)
    arms = look.metrics.get(metric.key, {})
    control, treatment = arms.get(plan.control), arms.get(arm)
    if not isinstance(control, Moments) or not isinstance(treatment, Moments):
        return replace(shown, reason="no data")
    weights = dict(zip(plan.arms, plan.weights, strict=True))
    alpha = policy.harm_alpha(plan, metric)
    try:
        found = event_evidence(
            control.total,
            treatment.total,
            weights[arm] / (weights[arm] + weights[plan.control]),
            direction="decrease" if metric.sign > 0 else "increase",
            concentration=policy.event_concentration,
        )
    except StatsError as error:
        return replace(shown, reason=str(error))
    bound = -math.log(alpha)
    return replace(
        shown,
        log_e=found.log_e,
        log_e_bound=bound,
        alpha_spent=alpha,
        passed=found.log_e >= bound,
    )


def _bound(
    spending: Spending, evidence: Evidence, acting: Sequence[bool] | None = None
) -> tuple[float, float]:
    """Return the upper bound of the last tested look, and the error spent by then."""
    result = boundary(spending, *evidence.chain(acting))
    return result.bounds[-1], result.spent[-1]


def _shown(plan: DecisionPlan, policy: Policy, evidence: Evidence, arm: str) -> TestResult:
    """Describe the difference and its repeated confidence interval, without a test.

    The interval is the set of differences that neither the proof bound above nor the harm bound
    below would reject: [difference - u SE, difference + l SE] for a metric that should rise. On the
    side of harm it holds at all looks together, on the side of proof at all that may ship, and at
    any one look between two of them.
    """
    metric, score = evidence.metric, evidence.score
    upper, _ = _bound(policy.proof_spending(plan, metric), evidence, evidence.may_ship)
    lower, _ = _bound(policy.harm_spending(plan, metric), evidence)
    z_low, z_high = (upper, -lower) if metric.sign > 0 else (lower, -upper)
    lift = evidence.lift(z_low, z_high)
    return TestResult(
        "explore",
        metric.key,
        arm,
        estimate=score.difference,
        se=score.se,
        reason=evidence.carried,
        low=_finite(score.limit(z_low)),
        high=_finite(score.limit(z_high)),
        relative=lift.lift if lift else None,
        relative_low=lift.low if lift else None,
        relative_high=lift.high if lift else None,
    )


def _test(plan: DecisionPlan, policy: Policy, evidence: Evidence, shown: TestResult) -> TestResult:
    metric, score = evidence.metric, evidence.score
    sign = metric.sign
    match shown.kind:
        case "harm":
            bound, spent = _bound(policy.harm_spending(plan, metric), evidence)
            contrast = Contrast(sign * score.difference, score.se, sign * score.z)
            return _answer(shown, contrast, -bound, spent, passed=contrast.z <= -bound)
        case "ship":
            bound, spent = _bound(policy.proof_spending(plan, metric), evidence, evidence.may_ship)
            beyond = sign * metric.superiority_margin
            contrast = Contrast(
                sign * (score.difference - beyond), score.se, sign * score.z_beyond(beyond)
            )
            return _answer(shown, contrast, bound, spent, passed=contrast.z >= bound)
        case "noninferiority":
            bound, spent = _bound(policy.proof_spending(plan, metric), evidence, evidence.may_ship)
            contrast = evidence.noninferiority()
            return _answer(shown, contrast, bound, spent, passed=contrast.z >= bound)
        case "futility":
            bound, spent = _bound(policy.futility_spending(), evidence, evidence.may_be_futile)
            contrast = evidence.futility()
            return _answer(shown, contrast, -bound, spent, passed=contrast.z <= -bound)
    return shown


def _answer(
    shown: TestResult, contrast: Contrast, bound: float, spent: float, *, passed: bool
) -> TestResult:
    return replace(
        shown,
        contrast=contrast.value,
        se=contrast.se,
        z=contrast.z,
        bound=bound,
        alpha_spent=spent,
        passed=passed,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


# --- the rule over all metrics of one arm


def _of(tests: Sequence[TestResult], arm: str, kind: TestKind) -> list[TestResult]:
    return [test for test in tests if test.arm == arm and test.kind == kind]


def _any(tests: Sequence[TestResult], arm: str, *kinds: TestKind) -> bool:
    return any(test.passed for kind in kinds for test in _of(tests, arm, kind))


def _proven(plan: DecisionPlan, tests: Sequence[TestResult], arm: str) -> bool:
    """Tell whether ``arm`` may ship: some success proven, every guardrail shown safe."""
    guardrails = _of(tests, arm, "noninferiority")
    if not all(test.passed for test in guardrails):
        return False
    if plan.of_role(Role.SUCCESS):
        return _any(tests, arm, "ship")
    # The claim "no harm" rests on guardrails alone; without one there is nothing to prove.
    return bool(guardrails)


def _futile(plan: DecisionPlan, tests: Sequence[TestResult], arm: str) -> bool:
    """Tell whether every success metric of ``arm`` is shown to be short of its MDE."""
    contrasts = _of(tests, arm, "futility")
    enough = len(contrasts) == len(plan.of_role(Role.SUCCESS)) > 0
    return enough and all(test.passed for test in contrasts)


def _best(plan: DecisionPlan, tests: Sequence[TestResult], arms: Sequence[str]) -> str:
    """Choose among proven arms: the highest lower limit of the plan's first success metric.

    Without a success metric: the arm whose tightest guardrail is the furthest from its bound.
    The plan's order breaks ties.
    """
    success = plan.of_role(Role.SUCCESS)

    def worth(arm: str) -> float:
        if not success:
            return min((t.z or 0) - (t.bound or 0) for t in _of(tests, arm, "noninferiority"))
        first = next(t for t in _of(tests, arm, "ship") if t.metric == success[0].key)
        pessimistic = first.low if success[0].sign > 0 else first.high
        return -math.inf if pessimistic is None else success[0].sign * pessimistic

    return max(arms, key=worth)
