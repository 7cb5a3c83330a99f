"""The decision rule over thousands of trajectories at once: `decide`, look by look, as arrays.

What it hides: the looks' order of verdicts (STATISTICS.md 1.14) written for arrays. Error rates,
spending functions, bounds and the decision statistic are those of `decide` itself; a test holds the
two to the same verdict at the same look on the same sums.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stats.anytime.events import event_log_e
from stats.anytime.mixtures import Direction
from stats.decision.evidence import CONSTANT
from stats.decision.plan import DecisionPlan, MetricSpec, Role
from stats.decision.policy import Policy
from stats.decision.result import Verdict
from stats.effects.score import corrected, score_arrays, uncorrected
from stats.errors import PlanError
from stats.planning.schedule import Schedule, acted_on, looks_with_news
from stats.sequential.bounds import MAX_CORRELATION, boundary
from stats.sequential.spending import Spending

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
_T = TypeVar("_T", bound=np.generic)

#: How a trajectory can end; the codes of `Endings.verdicts` are places in this tuple.
ENDS = (
    Verdict.HARM,
    Verdict.VALUE_PROVEN,
    Verdict.NO_HARM_PROVEN,
    Verdict.FUTILE,
    Verdict.NOT_PROVEN_IN_TIME,
)


@dataclass(frozen=True, eq=False)
class Endings:
    """How each trajectory ended.

    Parameters
    ----------
    verdicts : ndarray of int, shape (replicas,)
        Place of the verdict in `ENDS`.
    looks : ndarray of int, shape (replicas,)
        Index of the look that gave it.
    winners : ndarray of int, shape (replicas,)
        Index of the proven arm in the plan's arms; -1 if nothing was proven.
    """

    verdicts: NDArray[np.int64]
    looks: NDArray[np.int64]
    winners: NDArray[np.int64]


def follow(
    schedule: Schedule,
    sums: Mapping[str, Array],
    plan: DecisionPlan,
    policy: Policy | None = None,
    *,
    heed_futility: bool = True,
) -> Endings:
    """Follow trajectories of sums to their ends.

    Parameters
    ----------
    schedule : Schedule
        The looks. The units must be the same in every replica.
    sums : mapping of str to ndarray, shape (replicas, looks, arms, 4)
        ``n, s1, s2, s3`` of every deciding metric at every look.
    plan : DecisionPlan
        What was promised. The split is taken to be as designed: no look is INVALID.
    policy : Policy, optional
        Error rates. Default: ``Policy()``.
    heed_futility : bool, default True
        Whether FUTILE ends a trajectory; it is a recommendation, and may be ignored.

    Returns
    -------
    Endings
        The first verdict other than CONTINUE. An arm harmed at a look is dropped from the next.

    Raises
    ------
    PlanError
        If sums of a metric are missing or of another shape.
    """
    policy = policy or Policy()
    shape = _shape(schedule, sums, plan)
    treatments = len(plan.treatments)
    harm = np.zeros((*shape, treatments), dtype=bool)
    proven, futile = harm.copy(), harm.copy()
    worth = np.zeros(harm.shape)
    for arm in range(treatments):
        tests = [
            _Tests(schedule, sums[metric.key], arm + 1, metric, plan, policy)
            for metric in plan.metrics
            if metric.role is not Role.EXPLORE
        ]
        success = [test for test in tests if test.metric.role is Role.SUCCESS]
        guardrails = [test for test in tests if test.metric.role is Role.GUARDRAIL]
        for test in tests:
            harm[..., arm] |= test.harmed()
        proven[..., arm] = bool(success or guardrails)
        if success:
            proven[..., arm] = np.logical_or.reduce([test.shipped() for test in success])
            missing = any(test.metric.mde is None for test in success)
            futile[..., arm] = not missing
            for test in success if not missing else ():
                futile[..., arm] &= test.hopeless()
        for test in guardrails:
            proven[..., arm] &= test.held()
        if treatments > 1:
            worth[..., arm] = _worth(success, guardrails)
    return _first(schedule, harm, proven, futile if heed_futility else None, worth, plan)


def _shape(schedule: Schedule, sums: Mapping[str, Array], plan: DecisionPlan) -> tuple[int, int]:
    deciding = [metric for metric in plan.metrics if metric.role is not Role.EXPLORE]
    shapes = {sums[metric.key].shape for metric in deciding if metric.key in sums}
    if not deciding or len(shapes) != 1 or any(metric.key not in sums for metric in deciding):
        raise PlanError("every deciding metric needs its sums, all of one shape")
    shape = shapes.pop()
    if len(shape) != 4 or shape[1:] != (schedule.looks, len(plan.arms), 4):
        raise PlanError(f"sums of shape {shape} do not fit the looks and arms")
    return shape[0], shape[1]


def _first(
    schedule: Schedule,
    harm: Flags,
    proven: Flags,
    futile: Flags | None,
    worth: Array,
    plan: DecisionPlan,
) -> Endings:
    """Read the answers of all looks in the rule's order, and stop at the first verdict."""
    left = ~np.logical_or.accumulate(harm, axis=1)
    won = proven & left & np.array(schedule.may_ship)[:, None]
    at_final = np.arange(schedule.looks) == schedule.looks - 1
    value = bool(plan.of_role(Role.SUCCESS))
    codes = np.full(left.shape[:2], -1)
    codes[:, at_final] = ENDS.index(Verdict.NOT_PROVEN_IN_TIME)
    if futile is not None:
        given_up = (futile | ~left).all(axis=2) & np.array(schedule.may_be_futile)
        codes[given_up] = ENDS.index(Verdict.FUTILE)
    codes[won.any(axis=2)] = ENDS.index(Verdict.VALUE_PROVEN if value else Verdict.NO_HARM_PROVEN)
    codes[~left.any(axis=2)] = ENDS.index(Verdict.HARM)
    looks = (codes >= 0).argmax(axis=1)
    rows = np.arange(len(codes))
    at_end = won[rows, looks]
    best = np.where(at_end, worth[rows, looks], -np.inf)
    # All proven arms may be worth -inf (an unbounded limit): the plan's order then decides.
    winners = np.where(at_end & (best == best.max(axis=1, keepdims=True)), 1, 0).argmax(axis=1) + 1
    verdicts = codes[rows, looks]
    shipped = (verdicts == 1) | (verdicts == 2)
    return Endings(verdicts, looks, np.where(shipped, winners, -1))


class _Tests:
    """All tests of one metric in one treatment arm, at every look of every trajectory."""

    def __init__(
        self,
        schedule: Schedule,
        sums: Array,
        arm: int,
        metric: MetricSpec,
        plan: DecisionPlan,
        policy: Policy,
    ) -> None:
        self.metric, self._plan, self._policy = metric, plan, policy
        self._schedule, self._arm = schedule, arm
        self._control, self._treatment = sums[:, :, 0], sums[:, :, arm]
        # The same in every replica.
        self._units = sums[0, :, 0, 0] + sums[0, :, arm, 0]
        parts = score_arrays(self._control, self._treatment, binary=metric.binary)
        self._difference, self._se, _, _, self._kappa, self._raw, self._z = parts
        self._patterns, self._of = np.unique(self._eligible(), axis=0, return_inverse=True)
        gain = policy.minimum_gain
        # A look without usable data has no units that could be tested.
        self._tested = [
            looks_with_news(np.where(pattern, self._units, -1.0).tolist(), 0.0, gain)
            for pattern in self._patterns
        ]
        self._last = np.full(self._patterns.shape, -1)
        for row, tested in zip(self._last, self._tested, strict=True):
            row[tested] = tested
        np.maximum.accumulate(self._last, axis=1, out=self._last)
        self._every_look_is_tested = bool((self._last == np.arange(schedule.looks)).all())

    def harmed(self) -> Flags:
        alpha = self._policy.harm_alpha(self._plan, self.metric)
        if not alpha > 0:
            return np.zeros(self._z.shape, dtype=bool)
        spending = self._policy.harm_spending(self._plan, self.metric)
        harmed = self._carried(self.metric.sign * self._z <= -self._bounds(spending))
        return harmed | self._events(alpha) if self.metric.rare else harmed

    def _events(self, alpha: float) -> Flags:
        """Tell where the exact event test, which needs no minimum of data, finds harm."""
        weights = self._plan.weights
        share = weights[self._arm] / (weights[0] + weights[self._arm])
        events = self._control[..., 1], self._treatment[..., 1]
        direction: Direction = "decrease" if self.metric.sign > 0 else "increase"
        found: Flags = event_log_e(*events, share, direction=direction) >= -math.log(alpha)
        return found

    def shipped(self) -> Flags:
        sign, beyond = self.metric.sign, self.metric.superiority_margin
        z = self._z
        if beyond:
            z = corrected((self._difference - sign * beyond) / self._se, self._kappa)
        return self._carried(sign * z >= self._proof_bounds())

    def held(self) -> Flags:
        return self._carried(self._contrast(self.metric.margin or 0.0) >= self._proof_bounds())

    def hopeless(self) -> Flags:
        spending = self._policy.futility_spending()
        bounds = self._bounds(spending, self._schedule.may_be_futile)
        return self._carried(self._contrast(-(self.metric.mde or 0.0)) <= -bounds)

    def pessimistic_limit(self) -> Array:
        """Lower limit of the gain: what proven arms are compared by."""
        sign = self.metric.sign
        z = sign * self._proof_bounds()
        with np.errstate(invalid="ignore"):
            limit = sign * (self._difference - uncorrected(z, self._kappa) * self._se)
        return self._carried(np.where(np.isfinite(limit), limit, -np.inf), -math.inf)

    def slack(self) -> Array:
        """How far a guardrail is inside its bound."""
        slack = self._contrast(self.metric.margin or 0.0) - self._proof_bounds()
        return self._carried(slack, -math.inf)

    def _proof_bounds(self) -> Array:
        spending = self._policy.proof_spending(self._plan, self.metric)
        return self._bounds(spending, self._schedule.may_ship)

    def _eligible(self) -> Flags:
        """Tell which looks have data that may be tested (as `decide` gathers its evidence)."""
        n_c, n_t = self._control[..., 0], self._treatment[..., 0]
        n = n_c + n_t
        eligible = (n >= self._policy.minimum_units) & (np.minimum(n_c, n_t) >= 2)
        first = self._control[..., 1] + self._treatment[..., 1]
        second = self._control[..., 2] + self._treatment[..., 2]
        if self.metric.binary:
            eligible &= first >= self._policy.minimum_events
        return eligible & (n * second - first * first > CONSTANT * n * second)

    def _bounds(self, spending: Spending, acting: Sequence[bool] | None = None) -> Array:
        """Bounds of every trajectory at the looks that spend; NaN, which nothing passes, elsewhere.

        Those are its tested looks, or the ones among them that are acted on before the next.
        """
        rows = np.full(self._patterns.shape, math.nan)
        for row, tested in zip(rows, self._tested, strict=True):
            spent = tested if acting is None else acted_on(tested, acting)
            units = [0.0, *(float(self._units[look]) for look in spent)]
            correlations = [
                min(MAX_CORRELATION, math.sqrt(units[k] / units[k + 1])) for k in range(len(spent))
            ]
            times = [self._schedule.times[look] for look in spent]
            row[spent] = boundary(spending, times, correlations).bounds
        return rows[self._of]

    def _carried(self, values: NDArray[_T], nothing: float = 0) -> NDArray[_T]:
        """Let what the last tested look said stand at a look that is not tested."""
        if self._every_look_is_tested:
            return values
        last = self._last[self._of]
        carried = np.take_along_axis(values, np.maximum(last, 0), axis=1)
        carried[last < 0] = nothing
        return carried

    def _contrast(self, allowance: float) -> Array:
        """Compute `noninferiority` (positive allowance) or `futility` (negative), for arrays."""
        (mean_c, error_c), (mean_t, error_t) = (
            _mean_and_error(arm, binary=self.metric.binary)
            for arm in (self._control, self._treatment)
        )
        sign = self.metric.sign
        of_control = -sign + allowance * np.copysign(1.0, mean_c)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.sqrt(error_t + of_control**2 * error_c)
            z: Array = (sign * mean_t + of_control * mean_c) / spread
        return z


def _mean_and_error(sums: Array, *, binary: bool) -> tuple[Array, Array]:
    """Return mean and squared standard error of one arm."""
    n, s1, s2 = sums[..., 0], sums[..., 1], sums[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = s1 / n
        spread = mean * (1 - mean) if binary else np.maximum(0.0, s2 - s1 * mean) / (n - 1)
        error: Array = spread / n
        return mean, error


def _worth(success: Sequence[_Tests], guardrails: Sequence[_Tests]) -> Array:
    """Say how good an arm is, beside other proven arms."""
    if success:
        return success[0].pessimistic_limit()
    slack: Array = np.minimum.reduce([test.slack() for test in guardrails])
    return slack
