"""What the units of one deadline can show: sizes, MDEs and power of a sequential proof.

A proof may come at any whole week, and its bounds are paid for. The drift that a metric needs is
therefore solved for with the recursion, for the very looks that are planned - their times, the
units that the forecast gives them, and which of them may ship. There is no table of inflation
factors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from scipy import optimize

from stats.decision.plan import DecisionPlan, MetricSpec, Role
from stats.decision.policy import Policy
from stats.errors import PlanError
from stats.planning.baseline import Baseline, Signal
from stats.planning.power import (
    SampleSize,
    error_per_test,
    sample_size,
    smallest_detectable_lift,
)
from stats.planning.schedule import Schedule, acted_on, looks_with_news
from stats.planning.worlds import World
from stats.sequential.bounds import boundary
from stats.sequential.drift import crossings, fixed_drift, required_drift
from stats.sequential.spending import Spending


@dataclass(frozen=True)
class MetricOutlook:
    """What a deadline means for one metric, in the treatment arm with the fewest units.

    Parameters
    ----------
    metric : str
        Its key.
    role : Role
        Success or guardrail.
    target : float
        The plan's MDE or margin, relative to control.
    units, required : SampleSize
        Matured units at the deadline, and those the target needs.
    detectable : float
        Smallest MDE (success) or margin (guardrail that truly stays) that these units show;
        ``inf`` if none.
    power : float
        Chance that this test shows the target by the deadline.
    inflation : float
        Units that looking every day costs, over those of one planned look.
    """

    metric: str
    role: Role
    target: float
    units: SampleSize
    required: SampleSize
    detectable: float
    power: float
    inflation: float

    @property
    def lacking(self) -> float:
        """Units needed over units there are: at most 1 when the deadline is enough."""
        return self.required.control / self.units.control


@dataclass(frozen=True)
class Deadline:
    """What can be proven by one deadline.

    Parameters
    ----------
    days : int
        The deadline.
    power_per_test : float
        Power that each test needs, so that all of them together have the plan's.
    metrics : tuple of MetricOutlook
        Success metrics and guardrails, in the plan's order.
    """

    days: int
    power_per_test: float
    metrics: tuple[MetricOutlook, ...]

    @property
    def binding(self) -> MetricOutlook:
        """The metric that needs the most."""
        return max(self.metrics, key=lambda metric: metric.lacking)

    @property
    def is_enough(self) -> bool:
        """Whether every metric has the units it needs."""
        return self.binding.lacking <= 1


def outlook(
    plan: DecisionPlan,
    world: World,
    schedule: Schedule,
    *,
    days: int,
    policy: Policy | None = None,
    power: float = 0.8,
) -> Deadline:
    """Say what the units of one schedule can show.

    Parameters
    ----------
    plan : DecisionPlan
        Its success metrics need an MDE.
    world : World
        What its success metrics and guardrails are like; their correlation does not matter here.
    schedule : Schedule
        Looks and matured units up to the deadline.
    days : int
        The deadline, for the record.
    policy : Policy, optional
        Error rates. Default: ``Policy()``.
    power : float, default 0.8
        Chance that a change with its MDE, whose guardrails stay, is proven by the deadline. It is
        a lower bound: the misses of the tests are added up (STATISTICS.md 1.14, proposition 5).

    Returns
    -------
    Deadline
        One outlook per success metric and guardrail. Of several success metrics each is sized for
        itself: whichever of them gains, it is shown.

    Raises
    ------
    PlanError
        If there is nothing to prove, an MDE or a baseline is missing, or no unit matures in time.
    ParameterError
        If the power cannot be had, or an MDE takes a rate out of its range.
    """
    policy = policy or Policy()
    each = _power_per_test(plan, policy, power)
    questions = _questions(plan, world, schedule, policy)
    return Deadline(days, each, tuple(_outlook(question, each) for question in questions))


def suffices(
    plan: DecisionPlan,
    world: World,
    schedule: Schedule,
    *,
    policy: Policy | None = None,
    power: float = 0.8,
) -> bool:
    """Tell whether one schedule has the units that a plan needs; quicker than its `outlook`."""
    policy = policy or Policy()
    each = _power_per_test(plan, policy, power)
    return all(q.power() >= each for q in _questions(plan, world, schedule, policy))


def _power_per_test(plan: DecisionPlan, policy: Policy, power: float) -> float:
    """Share the chance to miss among the tests that a ship needs.

    A false stop for harm is counted for the metrics that stay as they are; one that gains its MDE
    is not taken for a harm.
    """
    guardrails, success = plan.of_role(Role.GUARDRAIL), plan.of_role(Role.SUCCESS)
    if not guardrails and not success:
        raise PlanError("without a success metric or a guardrail there is nothing to prove")
    staying = sum(plan.harm_weight(metric) for metric in plan.metrics if metric not in success)
    tests = len(guardrails) + (1 if success else 0)
    return 1 - error_per_test(1 - power, tests - 1, alpha_harm=policy.alpha_harm * staying)


# A look at which a proof may fall: its spending time and its units.
_Design = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class _Question:
    """One metric at one schedule: what is to be shown, with which units and bounds."""

    metric: MetricSpec
    baseline: Baseline
    target: float
    units: SampleSize
    design: _Design
    spending: Spending

    def signal(self, target: float) -> Signal:
        if self.metric.role is Role.SUCCESS:
            signal = Signal.of_difference(self.baseline, self.metric.sign * target)
            return replace(signal, value=signal.value - self.metric.superiority_margin)
        return Signal.of_noninferiority(self.baseline, target, sign=self.metric.sign)

    def statistic(self, target: float) -> float:
        return self.signal(target).statistic(self.units.control, self.units.treatment)

    def power(self) -> float:
        information, proof, correlations = _bounds(self.design, self.spending)
        drift = self.statistic(self.target)
        return crossings(information, proof, drift=drift, correlations=correlations).upper_by()


def _questions(
    plan: DecisionPlan, world: World, schedule: Schedule, policy: Policy
) -> list[_Question]:
    final = schedule.units[-1]
    units = SampleSize(final[0], min(final[1:]))
    arm = final[1:].index(units.treatment) + 1
    totals = [row[0] + row[arm] for row in schedule.units]
    tested = looks_with_news(totals, policy.minimum_units, policy.minimum_gain)
    if not tested or min(units.control, units.treatment) < 2:
        raise PlanError("too few units by the deadline to test anything")
    proofs = acted_on(tested, schedule.may_ship)
    if not proofs:
        raise PlanError("no look by the deadline may prove anything")
    design = tuple((schedule.times[k], totals[k]) for k in proofs)
    questions = []
    for metric in plan.of_role(Role.SUCCESS, Role.GUARDRAIL):
        baseline = world.baselines.get(metric.key)
        target = metric.mde if metric.role is Role.SUCCESS else metric.margin
        if baseline is None or target is None:
            raise PlanError(f"metric {metric.key}: its baseline or its MDE is missing")
        spending = policy.proof_spending(plan, metric)
        questions.append(_Question(metric, baseline, target, units, design, spending))
    return questions


def _outlook(question: _Question, power: float) -> MetricOutlook:
    units, alpha = question.units, question.spending.alpha
    if not question.signal(question.target).value > 0:
        raise PlanError(
            f"metric {question.metric.key}: its MDE is not above its superiority margin"
        )
    needed = _needed_drift(question.design, question.spending, power)
    inflation = (needed / fixed_drift(alpha, power)) ** 2
    required = sample_size(
        question.signal(question.target),
        ratio=units.treatment / units.control,
        alpha=alpha,
        power=power,
        inflation=inflation,
    )
    if question.metric.superiority_margin:
        detectable = _smallest_effect(question, needed)
    elif question.metric.role is Role.SUCCESS:
        detectable = smallest_detectable_lift(
            question.baseline,
            units.control,
            units.treatment,
            alpha=alpha,
            power=power,
            inflation=inflation,
            sign=question.metric.sign,
        )
    else:
        detectable = _smallest_margin(question, needed)
    return MetricOutlook(
        question.metric.key,
        question.metric.role,
        question.target,
        units,
        required,
        detectable,
        question.power(),
        inflation,
    )


def _smallest_effect(question: _Question, drift: float) -> float:
    """Solve for the effect whose part beyond the superiority margin is shown."""

    def excess(logarithm: float) -> float:
        return question.statistic(math.exp(logarithm)) - drift

    baseline, sign = question.baseline, question.metric.sign
    limit = 1 - 1e-9 if sign < 0 else 1e6
    if sign > 0 and baseline.binary:
        limit = (1 / baseline.mean - 1) * (1 - 1e-9)
    if excess(math.log(limit)) < 0:
        return math.inf
    return math.exp(optimize.brentq(excess, math.log(1e-12), math.log(limit), xtol=1e-12))


def _smallest_margin(question: _Question, drift: float) -> float:
    def excess(logarithm: float) -> float:
        return question.statistic(math.exp(logarithm)) - drift

    # Where up is good, a margin of everything tolerates everything.
    highest = 0.0 if question.metric.sign > 0 else math.log(1e6)
    if excess(highest) < 0:
        return math.inf
    return math.exp(optimize.brentq(excess, math.log(1e-12), highest, xtol=1e-12))


@lru_cache(maxsize=4096)
def _bounds(
    design: _Design, spending: Spending
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Return information, bounds of a proof, and correlations."""
    horizon = design[-1][1]
    information: list[float] = []
    for _, units in design:
        # A deadline at which nothing new matures is tested all the same.
        least = information[-1] * (1 + 1e-9) if information else 0.0
        information.append(max(units / horizon, least))
    correlations = [0.0, *(math.sqrt(a[1] / b[1]) for a, b in pairwise(design))]
    proof = boundary(spending, [time for time, _ in design], correlations).bounds
    return tuple(information), proof, tuple(correlations)


@lru_cache(maxsize=4096)
def _needed_drift(design: _Design, spending: Spending, power: float) -> float:
    information, proof, correlations = _bounds(design, spending)
    return required_drift(information, proof, power, correlations=correlations)
