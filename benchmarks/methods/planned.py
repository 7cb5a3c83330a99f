"""Golden topics of one planned look: means, proportions, lifts."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.methods.common import Inputs, Outputs, Topics, normal_upper
from stats import (
    Conversions,
    Moments,
    agresti_caffo_interval,
    compare_conversions,
    compare_means,
    conversion_lift_interval,
    conversion_lift_log_interval,
    conversion_lift_score_interval,
    delta_interval,
    difference_score,
    fieller_interval,
    log_interval,
    miettinen_nurminen_interval,
    newcombe_interval,
    noninferiority,
    ratio_score,
    score_difference,
    wald_interval,
)


def welch(inputs: Inputs) -> Outputs:
    control, treatment = (
        Moments(arm["n"], arm["sum"], arm["sumsq"])
        for arm in (inputs["control"], inputs["treatment"])
    )
    level = 1 - inputs["alpha"]
    result = compare_means(control, treatment, confidence_level=level)
    relative, relative_se, relative_p = delta_interval(control, treatment, confidence_level=level)
    outputs: Outputs = {
        "diff": result.difference,
        "se": result.standard_error,
        "p": result.p_value,
        "lo": result.low,
        "hi": result.high,
        "p_greater": result.p_greater,
        "p_less": result.p_less,
        "lo_one_sided": result.low_one_sided,
        "hi_one_sided": result.high_one_sided,
        "t": result.t,
        "df": result.degrees_of_freedom,
        "rel_lift": relative.lift,
        "rel_se_delta": relative_se,
        "rel_delta_lo": relative.low,
        "rel_delta_hi": relative.high,
        "rel_delta_p": relative_p,
    }
    if control.mean > 0 and treatment.mean > 0:
        logs = log_interval(control, treatment, confidence_level=level)
        critical = (result.high - result.difference) / result.standard_error
        exact = fieller_interval(control, treatment, low_critical=critical)
        outputs |= {
            "rel_log_lo": logs.low,
            "rel_log_hi": logs.high,
            "fieller_lo": exact.low,
            "fieller_hi": exact.high,
        }
    return outputs


def proportion(inputs: Inputs) -> Outputs:
    control = Conversions(inputs["x_c"], inputs["n_c"])
    treatment = Conversions(inputs["x_t"], inputs["n_t"])
    level = 1 - inputs["alpha"]
    result = compare_conversions(control, treatment, confidence_level=level)
    outputs: Outputs = {
        "pooled_z": result.z,
        "pooled_p": result.p_value,
        "diff": result.difference,
    }
    for name, method in {
        "wald": wald_interval,
        "agresti_caffo": agresti_caffo_interval,
        "newcombe": newcombe_interval,
        "mn_score": miettinen_nurminen_interval,
        "ratio_log": conversion_lift_log_interval,
        "ratio_score": conversion_lift_score_interval,
        "mover_wilson_ratio": conversion_lift_interval,
    }.items():
        interval: Any = method(control, treatment, confidence_level=level)
        outputs |= {f"{name}_lo": interval.low, f"{name}_hi": interval.high}
    return outputs


def kill_stat(inputs: Inputs) -> Outputs:
    control, treatment = (
        Moments(arm["n"], arm["s1"], arm["s2"], arm["s3"])
        for arm in (inputs["control"], inputs["treatment"])
    )
    score = score_difference(control, treatment, binary=bool(inputs.get("binary")))
    return {
        "diff": score.difference,
        "se_welch": score.se_welch,
        "se_pooled": score.se_pooled,
        "kappa": score.kappa,
        "z_raw": score.raw,
        "z_corrected": score.z,
    }


def noninferior(inputs: Inputs) -> Outputs:
    if not inputs["higher_is_better"]:
        raise NotImplementedError("the golden cases are all about gains")
    control = Conversions(inputs["x_c"], inputs["n_c"])
    treatment = Conversions(inputs["x_t"], inputs["n_t"])
    margin = inputs["rel_margin"]
    loss = -margin * control.rate
    # The peers' fixed margin needs no function of ours: it is the textbook z of a difference.
    fixed = treatment.rate - control.rate - loss
    fixed /= math.sqrt(control.squared_error + treatment.squared_error)
    score = difference_score(control, treatment, loss)
    linear = noninferiority(
        Moments.conversions(control.n, control.converted),
        Moments.conversions(treatment.n, treatment.converted),
        margin=margin,
        binary=True,
    ).z
    return {
        "wald_z": fixed,
        "wald_p": normal_upper(fixed),
        "score_fm_z": score,
        "score_fm_p": normal_upper(score),
        "relative_linear_z": linear,
        "relative_linear_p": normal_upper(linear),
        "relative_score_z": ratio_score(control, treatment, 1 - margin),
    }


def fieller(inputs: Inputs) -> Outputs:
    control, treatment = (
        Moments(arm["n"], arm["sum"], arm["sumsq"])
        for arm in (inputs["control"], inputs["treatment"])
    )
    z = inputs["z"]
    exact = fieller_interval(control, treatment, low_critical=z)
    delta, delta_se, _ = delta_interval(control, treatment)
    return {
        "g": z**2 * control.variance / control.n / control.mean**2,
        "lo": exact.low,
        "hi": exact.high,
        "delta_lo": delta.lift - z * delta_se,
        "delta_hi": delta.lift + z * delta_se,
    }


def newcombe(inputs: Inputs) -> Outputs:
    control = Conversions(inputs["x_c"], inputs["n_c"])
    treatment = Conversions(inputs["x_t"], inputs["n_t"])
    interval = newcombe_interval(control, treatment, confidence_level=1 - inputs["alpha"])
    return {
        "newcombe_lo": interval.low,
        "newcombe_hi": interval.high,
        "diff": treatment.rate - control.rate,
    }


TOPICS: Topics = {
    "welch": welch,
    "proportion": proportion,
    "kill_stat": kill_stat,
    "noninferiority": noninferior,
    "fieller": fieller,
    "newcombe_pub": newcombe,
}
