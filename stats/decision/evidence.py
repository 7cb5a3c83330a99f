"""What the looks so far say about one metric in one treatment arm.

This module hides one decision: which looks count as tested. A look is passed over - nothing is
tested, no error is spent, the last tested look still stands - when the data is too thin, or has
grown by less than the plan's minimum gain since (also when it shrank, by late deduplication). The
final look counts whatever it gained: there is no later one to spend on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stats.decision.look import LookData
from stats.decision.plan import DecisionPlan, MetricSpec
from stats.decision.policy import Policy
from stats.effects.contrast import Contrast, futility, noninferiority
from stats.effects.cuped import adjust
from stats.effects.lift import Lift, fieller_from_errors
from stats.effects.score import Score, score_difference
from stats.errors import StatsError
from stats.sequential.bounds import MAX_CORRELATION
from stats.sums.moments import CovariateMoments, Moments

# n·Σy² and (Σy)² that agree to this share differ by rounding only: the metric is constant.
_CONSTANT = 1e-13


@dataclass(frozen=True)
class Evidence:
    """One metric, control against one treatment, at the last look that may be tested.

    Parameters
    ----------
    times, correlations : tuple of float
        Spending time of every tested look, and its correlation with the tested look before.
    score : Score
        Decision statistic at the last of them, treatment minus control.
    carried : str or None
        Why this look itself is not tested; then the score is an earlier look's.
    """

    metric: MetricSpec
    times: tuple[float, ...]
    correlations: tuple[float, ...]
    control: Moments
    treatment: Moments
    binary: bool
    score: Score
    carried: str | None

    def noninferiority(self) -> Contrast:
        """Contrast against the guardrail's margin."""
        return noninferiority(
            self.control,
            self.treatment,
            margin=self.metric.margin or 0.0,
            sign=self.metric.sign,
            binary=self.binary,
        )

    def futility(self) -> Contrast:
        """Contrast against the success metric's MDE."""
        return futility(
            self.control,
            self.treatment,
            mde=self.metric.mde or 0.0,
            sign=self.metric.sign,
            binary=self.binary,
        )

    def lift(self, z_low: float, z_high: float) -> Lift | None:
        """Bound the lift so that it leaves out 0 exactly when the score crosses a bound.

        The critical values are what Welch's statistic of the same data would be at the bounds.
        """
        error_c, error_t = (
            (arm.mean * (1 - arm.mean) if self.binary else arm.variance) / arm.n
            for arm in (self.control, self.treatment)
        )
        if self.control.mean == 0:
            return None
        spread = error_c + error_t
        scale = self.score.se / math.sqrt(spread) if spread > 0 else math.inf
        return fieller_from_errors(
            (self.control.mean, error_c),
            (self.treatment.mean, error_t),
            self.score.raw_at(z_low) * scale,
            -self.score.raw_at(z_high) * scale,
        )


def gather(
    looks: Sequence[LookData], plan: DecisionPlan, policy: Policy, metric: MetricSpec, arm: str
) -> Evidence | str:
    """Collect the evidence, or say in words why there is none."""
    times: list[float] = []
    correlations: list[float] = []
    units = 0.0
    tested: tuple[LookData, Moments, Moments] | None = None
    reason: str | None = "no looks yet"
    for look in looks:
        pair = _pair(look, plan, policy, metric, arm)
        reason = pair if isinstance(pair, str) else None
        if isinstance(pair, str):
            continue
        control, treatment = pair
        n = control.n + treatment.n
        if tested is not None and not look.is_final and n < units * (1 + policy.minimum_gain):
            gain = f"{policy.minimum_gain:.1%}"
            reason = f"less than {gain} more units than at look {tested[0].number}"
            continue
        correlations.append(min(MAX_CORRELATION, math.sqrt(units / n)))
        times.append(look.spending_time)
        tested, units = (look, control, treatment), n
    if tested is None:
        return reason or "no data"
    look, control, treatment = tested
    carried = None if reason is None else f"carried over from look {look.number}: {reason}"
    binary = metric.binary
    try:
        if isinstance(control, CovariateMoments) and isinstance(treatment, CovariateMoments):
            adjusted = adjust(control, treatment)
            control, treatment, binary = adjusted.control, adjusted.treatment, False
        score = score_difference(control, treatment, binary=binary)
    except StatsError as error:
        return str(error)
    return Evidence(
        metric, tuple(times), tuple(correlations), control, treatment, binary, score, carried
    )


def _pair(
    look: LookData, plan: DecisionPlan, policy: Policy, metric: MetricSpec, arm: str
) -> tuple[Moments, Moments] | str:
    """Return the sums of both arms if they may be tested, else why not."""
    arms: Mapping[str, Moments] = look.metrics.get(metric.key, {})
    control, treatment = arms.get(plan.control), arms.get(arm)
    if control is None or treatment is None:
        return "no data"
    both = control + treatment
    if both.n < policy.minimum_units or min(control.n, treatment.n) < 2:
        return f"too few units: {control.n:g} and {treatment.n:g}"
    if metric.binary and both.total < policy.minimum_events:
        return f"too few events: {both.total:g}"
    if both.n * both.s2 - both.s1 * both.s1 <= _CONSTANT * both.n * both.s2:
        return "all units are equal"
    return control, treatment
