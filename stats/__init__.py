"""Pure statistics on sufficient statistics: same numbers in, same decision out."""

from stats.anytime.delayed import DelayedStart, delayed_critical, delayed_start
from stats.anytime.event_power import event_detection, events_needed
from stats.anytime.events import (
    EventEvidence,
    RampStage,
    event_evidence,
    event_log_e,
    event_p_value,
    ramp_evidence,
)
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
from stats.anytime.quantile_bands import (
    QuantileBand,
    distribution_band,
    quantile_band,
    quantile_difference_band,
    stitched_count_bound,
)
from stats.anytime.srm import SampleRatio, sample_ratio
from stats.decision.decide import decide
from stats.decision.look import LookData
from stats.decision.plan import DecisionPlan, MetricSpec, Role
from stats.decision.policy import Policy
from stats.decision.result import Decision, TestResult, Verdict
from stats.effects.caps import Cap, capped_moments, choose_cap
from stats.effects.contrast import Contrast, futility, noninferiority
from stats.effects.cuped import (
    Adjusted,
    Theta,
    adjust,
    adjust_arrays,
    adjusted_delta_interval,
    covariate_is_worth_using,
)
from stats.effects.cuped_ratio import (
    AdjustedRatio,
    adjust_ratio,
    adjusted_ratio_delta_interval,
)
from stats.effects.lift import (
    Lift,
    conversion_lift_interval,
    conversion_lift_log_interval,
    conversion_lift_score_interval,
    delta_interval,
    fieller_interval,
    log_interval,
)
from stats.effects.lin import (
    LinAdjusted,
    LinRegression,
    lin_adjust,
    lin_regression,
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
from stats.effects.quantile_differences import (
    QuantileComparison,
    compare_quantiles,
    quantile_difference_arrays,
    quantile_score,
)
from stats.effects.quantiles import (
    QuantileEstimate,
    Ranks,
    design_effect,
    order_statistic_ranks,
    quantile_of_histogram,
    quantile_of_values,
)
from stats.effects.ratio import (
    Linearised,
    compare_ratios,
    linearised,
    linearised_arrays,
    ratio_as_mean,
)
from stats.effects.score import Score, score_arrays, score_difference
from stats.effects.strata import (
    PostStratified,
    post_stratify,
)
from stats.errors import (
    LookError,
    MomentsError,
    NotEnoughDataError,
    ParameterError,
    PlanError,
    SpendingError,
    StatsError,
)
from stats.families.dunnett import (
    Dunnett,
    DunnettComparison,
    dunnett,
    dunnett_critical,
    dunnett_p_values,
)
from stats.families.e_values import (
    average_evidence,
    closed_evidence,
    e_bh,
    e_bh_log_q,
    evidence_of_p,
)
from stats.families.p_values import (
    benjamini_hochberg,
    benjamini_yekutieli,
    bonferroni,
    hochberg,
    holm,
    hommel,
)
from stats.history.heterogeneity import (
    Heterogeneity,
    ShrunkEffect,
    heterogeneity,
    heterogeneity_arrays,
    shrink_segments,
)
from stats.history.novelty import CohortDay, EffectCourse, EffectTrend, effect_trend, novelty
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
from stats.planning.rule import Endings, follow
from stats.planning.schedule import Schedule
from stats.planning.simulate import (
    OperatingCharacteristics,
    Prospect,
    Simulated,
    operating_characteristics,
)
from stats.planning.worlds import Truth, World, draw_sums, standard_truths
from stats.sequential.bounds import Boundary, boundary, crossing_probabilities
from stats.sequential.clock import chained_correlation, correlation
from stats.sequential.designs import obrien_fleming_bounds, pocock_bounds, wang_tsiatis_bounds
from stats.sequential.drift import (
    Crossings,
    crossings,
    fixed_drift,
    inflation_factor,
    required_drift,
)
from stats.sequential.spending import Spending, SpendingShape
from stats.sums.consecutive import ConsecutiveSums
from stats.sums.histogram import LogHistogram
from stats.sums.moments import (
    CovariateMoments,
    Moments,
    central_arrays,
)
from stats.sums.ratio import (
    RatioCovariateMoments,
    RatioMoments,
)

__all__ = [
    "Adjusted",
    "AdjustedRatio",
    "AlwaysValid",
    "Baseline",
    "Boundary",
    "Cap",
    "CohortDay",
    "ConsecutiveSums",
    "Contrast",
    "Conversions",
    "CovariateMoments",
    "Crossings",
    "Decision",
    "DecisionPlan",
    "DelayedStart",
    "Dunnett",
    "DunnettComparison",
    "EffectCourse",
    "EffectTrend",
    "Endings",
    "EventEvidence",
    "Heterogeneity",
    "Interval",
    "Lift",
    "LinAdjusted",
    "LinRegression",
    "LinearEvidence",
    "Linearised",
    "LogHistogram",
    "LookData",
    "LookError",
    "MeanComparison",
    "MetricSpec",
    "Moments",
    "MomentsError",
    "NotEnoughDataError",
    "OperatingCharacteristics",
    "ParameterError",
    "PlanError",
    "Policy",
    "PostStratified",
    "Prospect",
    "QuantileBand",
    "QuantileComparison",
    "QuantileEstimate",
    "RampStage",
    "Ranks",
    "RateComparison",
    "RatioCovariateMoments",
    "RatioMoments",
    "Role",
    "SampleRatio",
    "SampleSize",
    "Schedule",
    "Score",
    "ShrunkEffect",
    "Signal",
    "Simulated",
    "Spending",
    "SpendingError",
    "SpendingShape",
    "StatsError",
    "TestResult",
    "Theta",
    "Truth",
    "Verdict",
    "World",
    "achieved_power",
    "adjust",
    "adjust_arrays",
    "adjust_ratio",
    "adjusted_delta_interval",
    "adjusted_ratio_delta_interval",
    "agresti_caffo_interval",
    "always_valid",
    "approximate_precision",
    "average_evidence",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "bonferroni",
    "boundary",
    "capped_moments",
    "central_arrays",
    "chained_correlation",
    "choose_cap",
    "closed_evidence",
    "compare_conversions",
    "compare_means",
    "compare_quantiles",
    "compare_ratios",
    "conversion_lift_interval",
    "conversion_lift_log_interval",
    "conversion_lift_score_interval",
    "conversion_sample_size",
    "correlation",
    "covariate_is_worth_using",
    "crossing_probabilities",
    "crossings",
    "decide",
    "delayed_critical",
    "delayed_start",
    "delta_interval",
    "design_effect",
    "difference_score",
    "distribution_band",
    "draw_sums",
    "dunnett",
    "dunnett_critical",
    "dunnett_p_values",
    "e_bh",
    "e_bh_log_q",
    "effect_trend",
    "error_per_test",
    "event_detection",
    "event_evidence",
    "event_log_e",
    "event_p_value",
    "events_needed",
    "evidence_of_p",
    "fieller_interval",
    "fixed_drift",
    "follow",
    "futility",
    "half_normal_critical",
    "half_normal_log_e",
    "heterogeneity",
    "heterogeneity_arrays",
    "hochberg",
    "holm",
    "hommel",
    "inflation_factor",
    "lin_adjust",
    "lin_regression",
    "linear_critical",
    "linear_evidence",
    "linearised",
    "linearised_arrays",
    "log_interval",
    "miettinen_nurminen_interval",
    "mixture_critical",
    "mixture_log_e",
    "newcombe_interval",
    "noninferiority",
    "novelty",
    "obrien_fleming_bounds",
    "operating_characteristics",
    "order_statistic_ranks",
    "planned_precision",
    "pocock_bounds",
    "post_stratify",
    "quantile_band",
    "quantile_difference_arrays",
    "quantile_difference_band",
    "quantile_of_histogram",
    "quantile_of_values",
    "quantile_score",
    "ramp_evidence",
    "ratio_as_mean",
    "ratio_score",
    "required_drift",
    "sample_ratio",
    "sample_size",
    "sample_size_precision",
    "score_arrays",
    "score_difference",
    "shrink_segments",
    "smallest_detectable_lift",
    "standard_truths",
    "stitched_count_bound",
    "tuned_precision",
    "wald_interval",
    "wang_tsiatis_bounds",
    "wilson_interval",
]
