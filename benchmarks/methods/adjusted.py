"""Golden topics of ratios, clusters, covariates and strata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.methods.common import Inputs, Outputs, Topics
from stats import (
    CovariateMoments,
    Moments,
    RatioCovariateMoments,
    RatioMoments,
    Theta,
    adjust,
    adjust_ratio,
    adjusted_delta_interval,
    adjusted_ratio_delta_interval,
    compare_means,
    compare_ratios,
    delta_interval,
    fieller_interval,
    lin_adjust,
    lin_regression,
    log_interval,
    post_stratify,
    ratio_as_mean,
)
from stats.sums.ratio import PRODUCTS


def ratio(inputs: Inputs) -> Outputs:
    arms = [
        RatioMoments(
            arm["n"],
            m1=arm["sum_m"],
            m2=arm["sumsq_m"],
            d1=arm["sum_d"],
            d2=arm["sumsq_d"],
            md=arm["sum_md"],
        )
        for arm in (inputs["control"], inputs["treatment"])
    ]
    level = 1 - inputs["alpha"]
    result = compare_ratios(*arms, confidence_level=level)
    control, treatment = (ratio_as_mean(arm) for arm in arms)
    delta, delta_error, _ = delta_interval(control, treatment, confidence_level=level)
    logs = log_interval(control, treatment, confidence_level=level)
    critical = (result.high - result.difference) / result.standard_error
    exact = fieller_interval(control, treatment, low_critical=critical)
    return {
        "ratio_c": control.mean,
        "ratio_t": treatment.mean,
        "unit_var_c": control.variance,
        "unit_var_t": treatment.variance,
        "diff": result.difference,
        "se": result.standard_error,
        "df": result.degrees_of_freedom,
        "p": result.p_value,
        "lo": result.low,
        "hi": result.high,
        "rel_lift": delta.lift,
        "rel_se_delta": delta_error,
        "rel_delta_lo": delta.low,
        "rel_delta_hi": delta.high,
        "rel_log_lo": logs.low,
        "rel_log_hi": logs.high,
        "rel_fieller_lo": exact.low,
        "rel_fieller_hi": exact.high,
    }


def clustered(inputs: Inputs) -> Outputs:
    units: dict[str, dict[str, list[float]]] = {"c": {}, "t": {}}
    for arm, unit, value in inputs["rows"]:
        units[arm].setdefault(unit, []).append(value)
    arms = [
        RatioMoments.of(
            [sum(rows) for rows in each.values()], [len(rows) for rows in each.values()]
        )
        for each in units.values()
    ]
    control, treatment = (ratio_as_mean(arm) for arm in arms)
    result = compare_ratios(*arms)
    return {
        "mean_c": control.mean,
        "mean_t": treatment.mean,
        "se_c": (control.variance / control.n) ** 0.5,
        "se_t": (treatment.variance / treatment.n) ** 0.5,
        "diff": result.difference,
        "se": result.standard_error,
    }


def cuped(inputs: Inputs) -> Outputs:
    control, treatment = (
        CovariateMoments(
            arm["n"],
            arm["sum_y"],
            arm["sumsq_y"],
            x1=arm["sum_x"],
            x2=arm["sumsq_x"],
            xy=arm["sum_xy"],
        )
        for arm in (inputs["control"], inputs["treatment"])
    )
    level = 1 - inputs["alpha"]
    # The reference programs take theta from all units as one sample; our default is within arms.
    total = adjust(control, treatment, theta=Theta.TOTAL)
    result = compare_means(total.control, total.treatment, confidence_level=level)
    relative, relative_error = adjusted_delta_interval(
        control, treatment, theta=Theta.TOTAL, confidence_level=level
    )
    per_arm = lin_adjust(control, treatment)
    return {
        "theta": total.theta,
        "theta_within": adjust(control, treatment).theta,
        "variance_reduction": total.variance_reduction,
        "diff": result.difference,
        "se": result.standard_error,
        "df": result.degrees_of_freedom,
        "p": result.p_value,
        "lo": result.low,
        "hi": result.high,
        "rel_lift": relative.lift,
        "rel_se_delta": relative_error,
        "rel_delta_lo": relative.low,
        "rel_delta_hi": relative.high,
        "lin_ate": per_arm.difference,
        "lin_se_superpop": per_arm.standard_error,
    }


def cuped_ratio(inputs: Inputs) -> Outputs:
    def summed(arm: Mapping[str, Any]) -> RatioCovariateMoments:
        products = (arm["cross"][i][j] for i, j in PRODUCTS)
        return RatioCovariateMoments(arm["n"], *arm["sums"], *products)

    control, treatment = summed(inputs["control"]), summed(inputs["treatment"])
    # gbstats weighs the covariances of both arms alike; our default weighs them by units.
    adjusted = adjust_ratio(control, treatment, theta=Theta.ARMS)
    relative, relative_error = adjusted_ratio_delta_interval(control, treatment, theta=Theta.ARMS)
    return {
        "theta": adjusted.theta,
        "diff": adjusted.comparison.difference,
        "se": adjusted.comparison.standard_error,
        "rel_lift": relative.lift,
        "rel_se_delta": relative_error,
    }


def lin(inputs: Inputs) -> Outputs:
    control, treatment = (
        (
            [x for arm, x, _ in inputs["rows"] if arm == which],
            [y for arm, _, y in inputs["rows"] if arm == which],
        )
        for which in (0, 1)
    )
    result = lin_regression(control[::-1], treatment[::-1])
    return {"ate": result.difference, "se_hc2": result.standard_error_hc2}


def poststrat(inputs: Inputs) -> Outputs:
    def summed(arm: Mapping[str, Any]) -> Moments:
        return Moments(arm["n"], arm["sum"], arm["sumsq"])

    strata = {
        str(number): (summed(stratum["control"]), summed(stratum["treatment"]))
        for number, stratum in enumerate(inputs["strata"])
    }
    result = post_stratify(strata, confidence_level=1 - inputs["alpha"])
    return {
        "diff": result.difference,
        "se": result.standard_error,
        "se_conditional": result.standard_error_conditional,
        "rel_lift": result.relative.lift if result.relative else None,
        "rel_se": result.relative_standard_error,
    }


TOPICS: Topics = {
    "ratio": ratio,
    "clustered": clustered,
    "cuped": cuped,
    "cuped_ratio": cuped_ratio,
    "lin": lin,
    "poststrat": poststrat,
}
