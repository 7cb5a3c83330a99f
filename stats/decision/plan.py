"""What a decision is made of, and what it says: plain frozen values, no arithmetic of tests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal

from stats.errors import LookError, PlanError
from stats.sums.moments import Moments


class Role(StrEnum):
    """What a metric may do to the decision."""

    SUCCESS = "success"
    """Must be shown better than control; watched for harm; the futility test is about it."""
    GUARDRAIL = "guardrail"
    """Must be shown not worse than its margin before anything ships; watched for harm."""
    SAFETY = "safety"
    """Watched for harm only."""
    EXPLORE = "explore"
    """Estimated and shown; never enters the decision."""


class Verdict(StrEnum):
    """What one look says, strongest first."""

    INVALID = "INVALID"
    HARM = "HARM"
    VALUE_PROVEN = "VALUE_PROVEN"
    NO_HARM_PROVEN = "NO_HARM_PROVEN"
    FUTILE = "FUTILE"
    NOT_PROVEN_IN_TIME = "NOT_PROVEN_IN_TIME"
    CONTINUE = "CONTINUE"


@dataclass(frozen=True)
class MetricSpec:
    """One metric of a plan.

    Parameters
    ----------
    key : str
        Name, unique in the plan.
    role : Role
        What the metric may do to the decision.
    binary : bool, default False
        True when ``y`` is 0 or 1 per unit: the null hypothesis then fixes the variance.
    direction : {"up", "down"}, default "up"
        Which way is good.
    mde : float, optional
        Success: smallest effect worth having, relative to control (0.05 is 5 %). Without it the
        metric never makes an arm futile.
    margin : float, optional
        Guardrail: largest tolerated loss, relative to control. Required for that role.
    superiority_margin : float, default 0
        Success: the treatment must beat control by more than this, in the metric's unit.

    Raises
    ------
    PlanError
        If a guardrail has no margin, or a number is outside its range.
    """

    key: str
    role: Role
    binary: bool = False
    direction: Literal["up", "down"] = "up"
    mde: float | None = None
    margin: float | None = None
    superiority_margin: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "role", Role(self.role))
        if self.direction not in ("up", "down"):
            raise PlanError(f"metric {self.key}: direction is 'up' or 'down'")
        if self.role is Role.GUARDRAIL and self.margin is None:
            raise PlanError(f"metric {self.key}: a guardrail needs a margin")
        if self.mde is not None and not 0 < self.mde < math.inf:
            raise PlanError(f"metric {self.key}: the MDE must be a positive number")
        if self.margin is not None and not 0 < self.margin < math.inf:
            raise PlanError(f"metric {self.key}: the margin must be a positive number")
        if not math.isfinite(self.superiority_margin):
            raise PlanError(f"metric {self.key}: the superiority margin must be finite")

    @property
    def sign(self) -> int:
        """1 when up is good, -1 when down is good."""
        return 1 if self.direction == "up" else -1


@dataclass(frozen=True)
class DecisionPlan:
    """Everything about a decision that is fixed before the first look.

    Parameters
    ----------
    arms : tuple of str
        Control first, then the treatments.
    weights : tuple of float
        Designed share of each arm (any positive scale): what the sample ratio is checked against.
    metrics : tuple of MetricSpec
        Without a success metric the claim is "no harm": all guardrails must be shown safe.
    alpha_ship, alpha_guardrail, alpha_harm : float, default 0.025
        One-sided error rates. Ship is divided over success metrics and arms, guardrail over arms
        only (intersection-union), harm over the watched metrics by ``harm_weights`` and over arms.
    beta_futility : float, default 0.10
        Chance to give up on an arm that does have its MDE. Non-binding: it costs no alpha.
    epsilon : float, default 0.1
        Share of every alpha kept for looks after the planned horizon.
    harm_weights : mapping of str to float, optional
        Shares of ``alpha_harm`` by metric, at most 1 in all. Default: half over the success
        metrics, half over guardrails and safety metrics; all to the one kind that exists.
    srm_concentration, srm_threshold : float, default 1000
        Prior strength of the sample-ratio evidence, and the evidence that invalidates.
    minimum_units, minimum_events : float, default 100 and 5
        A metric is tested from this many units (both arms), and events if binary (both arms).
    minimum_gain : float, default 0.002
        A look with a smaller relative growth of information spends nothing.

    Raises
    ------
    PlanError
        If a part contradicts another.
    """

    arms: tuple[str, ...]
    weights: tuple[float, ...]
    metrics: tuple[MetricSpec, ...]
    alpha_ship: float = 0.025
    alpha_guardrail: float = 0.025
    alpha_harm: float = 0.025
    beta_futility: float = 0.10
    epsilon: float = 0.1
    harm_weights: Mapping[str, float] | None = None
    srm_concentration: float = 1000.0
    srm_threshold: float = 1000.0
    minimum_units: float = 100.0
    minimum_events: float = 5.0
    minimum_gain: float = 0.002

    def __post_init__(self) -> None:
        if len(self.arms) < 2 or len(set(self.arms)) != len(self.arms):
            raise PlanError("a plan needs a control and at least one treatment, each named once")
        if len(self.weights) != len(self.arms):
            raise PlanError(f"{len(self.arms)} arms need {len(self.arms)} weights")
        if not all(0 <= w < math.inf for w in self.weights) or sum(self.weights) <= 0:
            raise PlanError("weights must be finite, not negative, and not all zero")
        keys = [metric.key for metric in self.metrics]
        if len(set(keys)) != len(keys):
            raise PlanError("every metric needs its own key")
        for name in ("alpha_ship", "alpha_guardrail", "alpha_harm", "beta_futility"):
            if not 0 < getattr(self, name) < 0.5:
                raise PlanError(f"{name} must lie between 0 and 0.5")
        if not 0 <= self.epsilon < 1:
            raise PlanError("epsilon must lie in [0, 1)")
        if not (0 < self.srm_concentration < math.inf and 1 < self.srm_threshold < math.inf):
            raise PlanError("srm_concentration must be positive and srm_threshold above 1")
        if not (0 <= self.minimum_gain < 1 and self.minimum_units >= 0 <= self.minimum_events):
            raise PlanError("minimum_gain must lie in [0, 1), the other minima not below 0")
        self._check_harm_weights()

    def _check_harm_weights(self) -> None:
        if self.harm_weights is None:
            return
        watched = {metric.key for metric in self.metrics if metric.role is not Role.EXPLORE}
        for key, weight in self.harm_weights.items():
            if key not in watched:
                raise PlanError(f"harm weight for {key}: no such watched metric")
            if not 0 <= weight <= 1:
                raise PlanError(f"harm weight for {key} must lie in [0, 1]")
        if sum(self.harm_weights.values()) > 1 + 1e-9:
            raise PlanError("harm weights must not exceed 1 in all")

    @property
    def control(self) -> str:
        """The arm that everything is compared with."""
        return self.arms[0]

    @property
    def treatments(self) -> tuple[str, ...]:
        """The other arms, in the plan's order."""
        return self.arms[1:]

    def of_role(self, *roles: Role) -> tuple[MetricSpec, ...]:
        """Metrics with one of these roles, in the plan's order."""
        return tuple(metric for metric in self.metrics if metric.role in roles)

    def harm_alpha(self, metric: MetricSpec) -> float:
        """One-sided harm alpha of one metric in one treatment arm; 0 when it is not watched."""
        if metric.role is Role.EXPLORE:
            return 0.0
        if self.harm_weights is not None:
            weight = self.harm_weights.get(metric.key, 0.0)
        else:
            success = len(self.of_role(Role.SUCCESS))
            others = len(self.of_role(Role.GUARDRAIL, Role.SAFETY))
            alike = success if metric.role is Role.SUCCESS else others
            weight = (0.5 if success and others else 1.0) / alike
        return self.alpha_harm * weight / len(self.treatments)


@dataclass(frozen=True)
class LookData:
    """One numbered reading of the sums.

    Parameters
    ----------
    number : int
        Number of the look, growing.
    spending_time : float
        Argument of the spending function: planned share of the experiment that is over (1 at the
        horizon, more after an extension). It must come from the schedule, not from the data.
    may_ship, may_be_futile : bool
        Whether this look may prove value, or futility (whole weeks, from day 7). Harm always may.
    is_final : bool
        Whether the deadline is here: what is not proven now is not proven in time.
    counts : mapping of arm to int
        Exposed units, for the sample ratio.
    metrics : mapping of metric key to mapping of arm to Moments
        Sums over matured units. A missing metric or arm counts as no data.

    Raises
    ------
    LookError
        If the spending time is negative, NaN or infinite, or a count is negative.
    """

    number: int
    spending_time: float
    may_ship: bool
    may_be_futile: bool
    is_final: bool
    counts: Mapping[str, int]
    metrics: Mapping[str, Mapping[str, Moments]]

    def __post_init__(self) -> None:
        if not 0 <= self.spending_time < math.inf:
            raise LookError(f"look {self.number}: spending time {self.spending_time} is no time")
        for arm, count in self.counts.items():
            if not 0 <= count < math.inf:
                raise LookError(f"look {self.number}: {count} units in {arm}")


TestKind = Literal["harm", "ship", "noninferiority", "futility", "explore"]


@dataclass(frozen=True)
class TestResult:
    """One test of one metric in one treatment arm at this look.

    Parameters
    ----------
    kind : {"harm", "ship", "noninferiority", "futility", "explore"}
        What was asked. ``explore`` is an estimate without a test.
    metric, arm : str
        Of what, and for which treatment.
    estimate : float or None
        Difference, treatment minus control, in the metric's unit (CUPED-adjusted if it was).
    contrast, se : float or None
        What is tested, positive meaning good (harm: the difference; ship: the difference beyond the
        superiority margin; noninferiority: the difference plus the tolerated loss; futility: the
        difference minus the MDE), and its standard error, in the metric's unit.
    z, bound : float or None
        Test statistic and bound, positive meaning good. Harm and futility pass at ``z <= bound``
        (a negative bound), ship and noninferiority at ``z >= bound``. An infinite bound cannot be
        reached at this look.
    alpha_spent : float
        Error spent by this test up to this look.
    passed : bool
        Whether the bound is crossed.
    reason : str or None
        Why there is no test, or from which look it is carried over.
    low, high : float or None
        Repeated confidence interval of the difference; None where unbounded. Valid at all scheduled
        looks together: one may peek.
    relative, relative_low, relative_high : float or None
        The same as lift, divided by control's mean (Fieller); None where unbounded.
    """

    __test__ = False  # pytest must not collect this class

    kind: TestKind
    metric: str
    arm: str
    estimate: float | None = None
    contrast: float | None = None
    se: float | None = None
    z: float | None = None
    bound: float | None = None
    alpha_spent: float = 0.0
    passed: bool = False
    reason: str | None = None
    low: float | None = None
    high: float | None = None
    relative: float | None = None
    relative_low: float | None = None
    relative_high: float | None = None

    def to_document(self) -> dict[str, Any]:
        """Plain JSON values; an infinite number becomes None."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True)
class Decision:
    """What one look says.

    Parameters
    ----------
    verdict : Verdict
        The verdict of the look.
    winner : str or None
        Treatment arm to ship, when something is proven.
    harmed : tuple of str
        Treatment arms to drop now. The verdict is HARM only when no treatment is left.
    futile : tuple of str
        Treatment arms that will not reach their MDE.
    srm_log_e, srm_p : float
        Natural logarithm of the sequential evidence for a sample-ratio mismatch (one may peek), and
        the chi-square p-value (display only: do not peek with it).
    tests : tuple of TestResult
        Every test, in the plan's order of metrics, then arms.
    """

    verdict: Verdict
    winner: str | None = None
    harmed: tuple[str, ...] = ()
    futile: tuple[str, ...] = ()
    srm_log_e: float = 0.0
    srm_p: float = 1.0
    tests: tuple[TestResult, ...] = field(default=())

    def to_document(self) -> dict[str, Any]:
        """Plain JSON values, floats cut to ten significant digits.

        The bounds are good to eight digits; the cut keeps the last bits, in which processors
        differ, out of a record that is hashed. An infinite number becomes None.
        """
        return {
            "verdict": self.verdict.value,
            "winner": self.winner,
            "harmed": list(self.harmed),
            "futile": list(self.futile),
            "srm_log_e": _plain(self.srm_log_e),
            "srm_p": _plain(self.srm_p),
            "tests": [test.to_document() for test in self.tests],
        }


def _plain(value: object) -> object:
    if not isinstance(value, float):
        return value
    return float(f"{value:.10g}") + 0.0 if math.isfinite(value) else None
