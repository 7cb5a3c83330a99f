"""What the looks so far say about one metric in one treatment arm.

This module hides one decision: which looks count as tested. A look is passed over - nothing is
tested, no error is spent, the last tested look still stands - when the data is too thin, or has
told too little news since (also when units were lost, by late deduplication). The final look counts
whatever it gained: there is no later one to spend on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stats.decision.look import LookData, Sums
from stats.decision.plan import DecisionPlan, MetricSpec
from stats.decision.policy import Policy
from stats.effects.contrast import Contrast, futility, noninferiority
from stats.effects.cuped import adjust
from stats.effects.cuped_ratio import adjust_ratio
from stats.effects.lift import Lift, fieller_from_errors
from stats.effects.ratio import linearised
from stats.effects.score import Score, score_difference
from stats.errors import MomentsError, StatsError
from stats.sequential.bounds import MAX_CORRELATION
from stats.sequential.clock import correlation
from stats.sums.moments import CovariateMoments, Moments
from stats.sums.ratio import RatioCovariateMoments, RatioMoments

#: n·Σy² and (Σy)² that agree to this share differ by rounding only: the metric is constant.
CONSTANT = 1e-13


@dataclass(frozen=True)
class Evidence:
    """One metric, control against one treatment, at the last look that may be tested.

    Parameters
    ----------
    times, correlations : tuple of float
        Spending time of every tested look, and its correlation with the tested look before.
    may_ship, may_be_futile : tuple of bool
        Whether value, or futility, could be found on what each of them saw.
    score : Score
        Decision statistic at the last of them, treatment minus control.
    carried : str or None
        Why this look itself is not tested; then the score is an earlier look's.
    """

    metric: MetricSpec
    times: tuple[float, ...]
    correlations: tuple[float, ...]
    may_ship: tuple[bool, ...]
    may_be_futile: tuple[bool, ...]
    control: Moments
    treatment: Moments
    binary: bool
    score: Score
    carried: str | None

    def chain(
        self, acting: Sequence[bool] | None = None
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return times and correlations of the looks at which a test could act, and of the last.

        A look that cannot act spends nothing: no path can end there. The last one is always among
        them, so that its interval can be told on any day; what it would spend is not kept.
        """
        if acting is None:
            return self.times, self.correlations
        times, correlations, tie = [], [], 1.0
        last = len(self.times) - 1
        for k, (time, step) in enumerate(zip(self.times, self.correlations, strict=True)):
            tie *= step
            if acting[k] or k == last:
                times.append(time)
                correlations.append(tie)
                tie = 1.0
        return tuple(times), tuple(correlations)

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
    acting: list[tuple[bool, bool]] = []
    units = 0.0
    clock = _Clock()
    tested: tuple[LookData, Sums, Sums] | None = None
    reason: str | None = "no looks yet"
    for look in looks:
        clock.pass_look(look, plan, metric, arm)
        acts = look.may_ship, look.may_be_futile
        pair = _pair(look, plan, policy, metric, arm)
        square = 0.0
        if not isinstance(pair, str):
            square = clock.square(units / (pair[0].n + pair[1].n))
            if tested is not None and not look.is_final and square * (1 + policy.minimum_gain) > 1:
                gain = f"{policy.minimum_gain:.1%}"
                pair = f"less than {gain} more {clock.news} than at look {tested[0].number}"
        if isinstance(pair, str):
            reason = pair
            if acting:
                # What stands there is acted on here: it is paid for as if it had been read here.
                acting[-1] = acting[-1][0] or acts[0], acting[-1][1] or acts[1]
            continue
        reason = None
        control, treatment = pair
        correlations.append(min(MAX_CORRELATION, math.sqrt(square)))
        times.append(look.spending_time)
        acting.append(acts)
        tested, units = (look, control, treatment), control.n + treatment.n
        clock.start()
    if tested is None:
        return reason or "no data"
    look, control, treatment = tested
    carried = None if reason is None else f"carried over from look {look.number}: {reason}"
    try:
        means_c, means_t = as_means(control, treatment)
        binary = metric.binary and means_c is control
        score = score_difference(means_c, means_t, binary=binary)
    except StatsError as error:
        return str(error)
    return Evidence(
        metric,
        tuple(times),
        tuple(correlations),
        tuple(ships for ships, _ in acting),
        tuple(ends for _, ends in acting),
        means_c,
        means_t,
        binary,
        score,
        carried,
    )


class _Clock:
    """How closely the next tested look is tied to the last one."""

    def __init__(self) -> None:
        self._tie: float | None = None
        """Correlation since the last tested look; ``None`` where it was not measured."""

    def start(self) -> None:
        """Start anew: the look at hand is tested."""
        self._tie = 1.0

    def pass_look(self, look: LookData, plan: DecisionPlan, metric: MetricSpec, arm: str) -> None:
        """Go on to the next look, whether it will be tested or not."""
        arms = look.consecutive.get(metric.key, {})
        control, treatment = arms.get(plan.control), arms.get(arm)
        if self._tie is None or control is None or treatment is None:
            self._tie = None
            return
        try:
            self._tie *= correlation(control, treatment)
        except StatsError:
            self._tie = None

    def square(self, share: float) -> float:
        """Return the squared correlation; ``share`` of the units now were there before."""
        return share if self._tie is None else self._tie**2

    @property
    def news(self) -> str:
        """What a look that is passed over has too little of."""
        return "units" if self._tie is None else "information"


def as_means(control: Sums, treatment: Sums) -> tuple[Moments, Moments]:
    """Write any metric as two means whose difference is the one asked for."""
    if isinstance(control, RatioCovariateMoments) and isinstance(treatment, RatioCovariateMoments):
        adjusted = adjust_ratio(control, treatment)
        return adjusted.control, adjusted.treatment
    if isinstance(control, RatioMoments) and isinstance(treatment, RatioMoments):
        both = linearised(control, treatment)
        return both.control, both.treatment
    if isinstance(control, CovariateMoments) and isinstance(treatment, CovariateMoments):
        means = adjust(control, treatment)
        return means.control, means.treatment
    if isinstance(control, Moments) and isinstance(treatment, Moments):
        return control, treatment
    raise MomentsError(
        f"{type(control).__name__} cannot be held against {type(treatment).__name__}"
    )


def _pair(
    look: LookData, plan: DecisionPlan, policy: Policy, metric: MetricSpec, arm: str
) -> tuple[Sums, Sums] | str:
    """Return the sums of both arms if they may be tested, else why not."""
    arms: Mapping[str, Sums] = look.metrics.get(metric.key, {})
    control, treatment = arms.get(plan.control), arms.get(arm)
    if control is None or treatment is None:
        return "no data"
    n = control.n + treatment.n
    if n < policy.minimum_units or min(control.n, treatment.n) < 2:
        return f"too few units: {control.n:g} and {treatment.n:g}"
    if isinstance(control, Moments) and isinstance(treatment, Moments):
        events = control.total + treatment.total
        if metric.binary and events < policy.minimum_events:
            return f"too few events: {events:g}"
        # Every look is asked again at each later one: sums are compared, no object is made.
        moved = treatment.about(control.shift)
        first, second = control.s1 + moved.s1, control.s2 + moved.s2
        if n * second - first * first <= CONSTANT * n * second:
            return "all units are equal"
    return control, treatment
