"""What an experiment promises: arms, their shares, and what each metric may do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from stats.errors import PlanError


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
    rare : bool, default False
        Binary trouble that is rare (errors, crashes, refunds): the exact event test watches it too,
        and has half of its harm alpha.

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
    rare: bool = False

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
        if self.rare and not self.binary:
            raise PlanError(f"metric {self.key}: only a binary metric can be counted as events")
        if not math.isfinite(self.superiority_margin):
            raise PlanError(f"metric {self.key}: the superiority margin must be finite")

    @property
    def sign(self) -> int:
        """1 when up is good, -1 when down is good."""
        return 1 if self.direction == "up" else -1


@dataclass(frozen=True)
class DecisionPlan:
    """What an experiment promises before its first look; the error rates are the `Policy`'s.

    Parameters
    ----------
    arms : tuple of str
        Control first, then the treatments.
    weights : tuple of float
        Designed share of each arm (any positive scale): what the sample ratio is checked against.
    metrics : tuple of MetricSpec
        Without a success metric the claim is "no harm": all guardrails must be shown safe.
    harm_weights : mapping of str to float, optional
        Shares of the policy's ``alpha_harm`` by metric, at most 1 in all. Default: half over the
        success metrics, half over guardrails and safety metrics; all to the one kind that exists.

    Raises
    ------
    PlanError
        If a part contradicts another.
    """

    arms: tuple[str, ...]
    weights: tuple[float, ...]
    metrics: tuple[MetricSpec, ...]
    harm_weights: Mapping[str, float] | None = None

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

    def harm_weight(self, metric: MetricSpec) -> float:
        """Tell which share of ``alpha_harm`` one metric has, over all arms; 0 if not watched."""
        if metric.role is Role.EXPLORE:
            return 0.0
        if self.harm_weights is not None:
            return self.harm_weights.get(metric.key, 0.0)
        success = len(self.of_role(Role.SUCCESS))
        others = len(self.of_role(Role.GUARDRAIL, Role.SAFETY))
        alike = success if metric.role is Role.SUCCESS else others
        return (0.5 if success and others else 1.0) / alike
