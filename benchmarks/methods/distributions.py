"""Golden topics of quantiles, and of what differs between segments and days."""

from __future__ import annotations

from typing import Any

from benchmarks.methods.common import Inputs, Outputs, Topics
from stats import (
    QuantileEstimate,
    compare_quantiles,
    distribution_band,
    effect_trend,
    order_statistic_ranks,
    stitched_count_bound,
)
from stats import heterogeneity as compare_segments


def quantile(inputs: Inputs) -> Outputs:
    level = 1 - inputs["alpha"]

    def estimate(arm: dict[str, Any]) -> QuantileEstimate:
        value, low, high = (arm[f"quantile_{name}"] for name in ("hat", "lower", "upper"))
        return QuantileEstimate(inputs["nu"], arm["n"], value, low, high, level)

    control, treatment = estimate(inputs["control"]), estimate(inputs["treatment"])
    result = compare_quantiles(control, treatment, confidence_level=level)
    return {
        "diff": result.difference,
        "se": result.se,
        "rel_lift": result.lift,
        "rel_se_delta": result.lift_se,
        "unit_var_c": control.n * control.se**2,
    }


def quantile_orderstat(inputs: Inputs) -> Outputs:
    ranks = order_statistic_ranks(inputs["n"], inputs["p"], confidence_level=1 - inputs["alpha"])
    return {"lower_rank": ranks.low, "upper_rank": ranks.high, "exact_coverage": ranks.coverage}


def quantile_cs(inputs: Inputs) -> Outputs:
    n, alpha = inputs["t"], inputs["alpha"]
    return {
        "double_stitching": stitched_count_bound(
            n, inputs["p"], alpha=alpha, tuned_for=inputs["t_opt"]
        ),
        "lil": distribution_band(n, alpha=alpha, from_n=inputs["t_min"]),
    }


def novelty(inputs: Inputs) -> Outputs:
    trend = effect_trend(inputs["day"], inputs["effect"], inputs["se"])
    return {
        "slope": trend.slope,
        "intercept": trend.intercept,
        "se_known_variance": trend.slope_se,
        "z": trend.z,
        "p": trend.p_value,
    }


def heterogeneity(inputs: Inputs) -> Outputs:
    found = compare_segments(inputs["effects"], inputs["ses"])
    return {"q": found.q, "p": found.p_value, "pooled": found.pooled, "i2": found.i2}


TOPICS: Topics = {
    "quantile": quantile,
    "quantile_orderstat": quantile_orderstat,
    "quantile_cs": quantile_cs,
    "novelty": novelty,
    "heterogeneity": heterogeneity,
}
