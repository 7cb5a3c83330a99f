"""Pure statistics on sufficient statistics: same numbers in, same decision out."""

from stats.decide import decide
from stats.errors import (
    LookError,
    MomentsError,
    NotEnoughDataError,
    ParameterError,
    PlanError,
    SpendingError,
    StatsError,
)
from stats.moments import CovariateMoments, Moments
from stats.plan import Decision, DecisionPlan, LookData, MetricSpec, Role, TestResult, Verdict

__all__ = [
    "CovariateMoments",
    "Decision",
    "DecisionPlan",
    "LookData",
    "LookError",
    "MetricSpec",
    "Moments",
    "MomentsError",
    "NotEnoughDataError",
    "ParameterError",
    "PlanError",
    "Role",
    "SpendingError",
    "StatsError",
    "TestResult",
    "Verdict",
    "decide",
]
