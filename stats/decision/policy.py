"""The error rates of a house: how often it may be wrong in which way, and how they are divided."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stats.anytime.events import CONCENTRATION
from stats.decision.plan import DecisionPlan, MetricSpec, Role
from stats.errors import PlanError
from stats.sequential.spending import Spending, SpendingShape


@dataclass(frozen=True)
class Policy:
    """Error rates and thresholds that hold for every experiment of a house.

    Parameters
    ----------
    alpha_ship, alpha_guardrail, alpha_harm : float, default 0.025
        One-sided error rates. Ship is divided over success metrics and arms, guardrail over arms
        only (intersection-union), harm over the watched metrics by the plan's weights and over
        arms.
    beta_futility : float, default 0.10
        Chance to give up on an arm that does have its MDE. Non-binding: it costs no alpha.
    epsilon : float, default 0.1
        Share of every alpha kept for looks after the planned horizon.
    srm_concentration, srm_threshold : float, default 1000
        Prior strength of the sample-ratio evidence, and the evidence that invalidates.
    event_concentration : float, default 20
        Prior strength of the exact event test: small finds large effects from fewer events.
    minimum_units, minimum_events : float, default 100 and 5
        A metric is tested from this many units (both arms), and events if binary (both arms).
    minimum_gain : float, default 0.002
        A look with a smaller relative growth of information spends nothing.

    Raises
    ------
    PlanError
        If a number is outside its range.
    """

    alpha_ship: float = 0.025
    alpha_guardrail: float = 0.025
    alpha_harm: float = 0.025
    beta_futility: float = 0.10
    epsilon: float = 0.1
    srm_concentration: float = 1000.0
    srm_threshold: float = 1000.0
    minimum_units: float = 100.0
    minimum_events: float = 5.0
    minimum_gain: float = 0.002
    event_concentration: float = CONCENTRATION

    def __post_init__(self) -> None:
        for name in ("alpha_ship", "alpha_guardrail", "alpha_harm", "beta_futility"):
            if not 0 < getattr(self, name) < 0.5:
                raise PlanError(f"{name} must lie between 0 and 0.5")
        if not 0 <= self.epsilon < 1:
            raise PlanError("epsilon must lie in [0, 1)")
        if not (0 < self.srm_concentration < math.inf and 1 < self.srm_threshold < math.inf):
            raise PlanError("srm_concentration must be positive and srm_threshold above 1")
        if not 0 < self.event_concentration < math.inf:
            raise PlanError("event_concentration must be positive")
        if not (0 <= self.minimum_gain < 1 and self.minimum_units >= 0 <= self.minimum_events):
            raise PlanError("minimum_gain must lie in [0, 1), the other minima not below 0")

    def harm_alpha(self, plan: DecisionPlan, metric: MetricSpec) -> float:
        """Tell the one-sided error of each harm test of one metric in one treatment arm.

        A metric that two tests watch gives each of them half.
        """
        shared = self.alpha_harm * plan.harm_weight(metric) / len(plan.treatments)
        return shared / 2 if metric.rare else shared

    def harm_spending(self, plan: DecisionPlan, metric: MetricSpec) -> Spending:
        """Spend the error of a harm test: much of it early, to stop fast.

        A metric that is not watched gets the interval it would have if it were watched alone.
        """
        alpha = self.harm_alpha(plan, metric) or self.alpha_harm / len(plan.treatments)
        return Spending(SpendingShape.KIM_DEMETS, alpha, self.epsilon, 0.5)

    def proof_spending(self, plan: DecisionPlan, metric: MetricSpec) -> Spending:
        """Spend the error of "value is proven", or of "the guardrail holds": hardly any early."""
        alpha = self.alpha_guardrail
        if metric.role is Role.SUCCESS:
            alpha = self.alpha_ship / len(plan.of_role(Role.SUCCESS))
        return Spending(SpendingShape.OBRIEN_FLEMING, alpha / len(plan.treatments), self.epsilon)

    def futility_spending(self) -> Spending:
        """Spend the error of "the MDE is out of reach"."""
        return Spending(SpendingShape.OBRIEN_FLEMING, self.beta_futility, self.epsilon)
