"""Pure statistics on sufficient statistics: same numbers in, same decision out."""

from stats.anytime.delayed import DelayedStart, delayed_critical, delayed_start
from stats.anytime.linear import LinearEvidence, linear_critical, linear_evidence
from stats.anytime.mixtures import (
    AlwaysValid,
    always_valid,
    approximate_precision,
    half_normal_critical,
    half_normal_log_e,
    mixture_critical,
    mixture_log_e,
    planned_precision,
    sample_size_precision,
    tuned_precision,
)
from stats.anytime.srm import SampleRatio, sample_ratio
from stats.decision.decide import decide
from stats.decision.look import LookData
from stats.decision.plan import DecisionPlan, MetricSpec, Role
from stats.decision.policy import Policy
from stats.decision.result import Decision, TestResult, Verdict
from stats.effects.contrast import Contrast, futility, noninferiority
from stats.effects.cuped import Adjusted, Theta, adjust
from stats.effects.lift import (
    Lift,
    conversion_lift_interval,
    conversion_lift_log_interval,
    conversion_lift_score_interval,
    delta_interval,
    fieller_interval,
    log_interval,
)
from stats.effects.means import MeanComparison, compare_means
from stats.effects.proportions import (
    Conversions,
    Interval,
    RateComparison,
    agresti_caffo_interval,
    compare_conversions,
    difference_score,
    miettinen_nurminen_interval,
    newcombe_interval,
    ratio_score,
    wald_interval,
    wilson_interval,
)
from stats.effects.score import Score, score_arrays, score_difference
from stats.errors import (
    LookError,
    MomentsError,
    NotEnoughDataError,
    ParameterError,
    PlanError,
    SpendingError,
    StatsError,
)
from stats.planning.power import (
    Baseline,
    SampleSize,
    Signal,
    achieved_power,
    conversion_sample_size,
    error_per_test,
    sample_size,
    smallest_detectable_lift,
)
from stats.sequential.bounds import Boundary, boundary, crossing_probabilities
from stats.sequential.designs import obrien_fleming_bounds, pocock_bounds, wang_tsiatis_bounds
from stats.sequential.drift import (
    Crossings,
    crossings,
    fixed_drift,
    inflation_factor,
    required_drift,
)
from stats.sequential.spending import Spending, SpendingShape
from stats.sums.moments import CovariateMoments, Moments

__all__ = [
    "Adjusted",
    "AlwaysValid",
    "Baseline",
    "Boundary",
    "Contrast",
    "Conversions",
    "CovariateMoments",
    "Crossings",
    "Decision",
    "DecisionPlan",
    "DelayedStart",
    "Interval",
    "Lift",
    "LinearEvidence",
    "LookData",
    "LookError",
    "MeanComparison",
    "MetricSpec",
    "Moments",
    "MomentsError",
    "NotEnoughDataError",
    "ParameterError",
    "PlanError",
    "Policy",
    "RateComparison",
    "Role",
    "SampleRatio",
    "SampleSize",
    "Score",
    "Signal",
    "Spending",
    "SpendingError",
    "SpendingShape",
    "StatsError",
    "TestResult",
    "Theta",
    "Verdict",
    "achieved_power",
    "adjust",
    "agresti_caffo_interval",
    "always_valid",
    "approximate_precision",
    "boundary",
    "compare_conversions",
    "compare_means",
    "conversion_lift_interval",
    "conversion_lift_log_interval",
    "conversion_lift_score_interval",
    "conversion_sample_size",
    "crossing_probabilities",
    "crossings",
    "decide",
    "delayed_critical",
    "delayed_start",
    "delta_interval",
    "difference_score",
    "error_per_test",
    "fieller_interval",
    "fixed_drift",
    "futility",
    "half_normal_critical",
    "half_normal_log_e",
    "inflation_factor",
    "linear_critical",
    "linear_evidence",
    "log_interval",
    "miettinen_nurminen_interval",
    "mixture_critical",
    "mixture_log_e",
    "newcombe_interval",
    "noninferiority",
    "obrien_fleming_bounds",
    "planned_precision",
    "pocock_bounds",
    "ratio_score",
    "required_drift",
    "sample_ratio",
    "sample_size",
    "sample_size_precision",
    "score_arrays",
    "score_difference",
    "smallest_detectable_lift",
    "tuned_precision",
    "wald_interval",
    "wang_tsiatis_bounds",
    "wilson_interval",
]
