"""Golden topics of evidence that may be read at any moment."""

from __future__ import annotations

import math

from benchmarks.methods.common import Inputs, Outputs, Topics
from stats import (
    Moments,
    always_valid,
    approximate_precision,
    delayed_critical,
    delayed_start,
    event_evidence,
    event_p_value,
    half_normal_critical,
    half_normal_log_e,
    linear_critical,
    linear_evidence,
    mixture_critical,
    mixture_log_e,
    sample_ratio,
    sample_size_precision,
)


def srm(inputs: Inputs) -> Outputs:
    result = sample_ratio(
        inputs["counts"], inputs["weights"], concentration=inputs["concentration"]
    )
    return {
        "chi2_p": result.p_value,
        "chi2": result.chi2,
        "log_e": result.log_e,
        "anytime_p": result.anytime_p,
    }


def acs_growthbook(inputs: Inputs) -> Outputs:
    arms, errors = [], []
    for arm in (inputs["control"], inputs["treatment"]):
        binary = inputs["kind"] == "proportion"
        moments = Moments(arm["n"], arm["sum"], arm["sum"] if binary else arm["sumsq"])
        mean = moments.mean
        arms.append(moments)
        errors.append((mean * (1 - mean) if binary else moments.variance) / moments.n)
    control, treatment = arms
    units, alpha = control.n + treatment.n, inputs["alpha"]
    lift = treatment.mean / control.mean
    readings = {
        "abs": (treatment.mean - control.mean, math.sqrt(sum(errors))),
        "rel": (lift - 1, math.sqrt(errors[1] + lift**2 * errors[0]) / abs(control.mean)),
    }
    outputs: Outputs = {}
    for name, (difference, se) in readings.items():
        precision = sample_size_precision(1 / se**2, units, inputs["tuning"], alpha)
        result = always_valid(difference, se, precision, alpha=alpha)
        outputs |= {
            f"{name}_est": result.difference,
            f"{name}_lo": result.low,
            f"{name}_hi": result.high,
            f"{name}_p": result.anytime_p,
            f"{name}_log_e": result.log_e,
        }
    return outputs


def msprt(inputs: Inputs) -> Outputs:
    se = math.sqrt((inputs["var_c"] + inputs["var_t"]) / inputs["n_per_arm"])
    result = always_valid(
        inputs["mean_t"] - inputs["mean_c"], se, 1 / inputs["tau"] ** 2, alpha=inputs["alpha"]
    )
    return {
        "log_lambda": result.log_e,
        "p": result.anytime_p,
        "ci_halfwidth": (result.high - result.low) / 2,
    }


def normal_mixture(inputs: Inputs) -> Outputs:
    score, information, one_sided = inputs["s"], inputs["v"], inputs["one_sided"]
    # The reference program approximates the best tuning; one-sided, at twice the level.
    r = approximate_precision(inputs["v_opt"], inputs["alpha_opt"] * (2 if one_sided else 1))
    evidence = half_normal_log_e if one_sided else mixture_log_e
    critical = half_normal_critical if one_sided else mixture_critical
    return {
        "log_e": float(evidence(score, information, r)),
        # Its bounds are on the scale of the score.
        "bound": float(critical(information, r, inputs["alpha"])) * math.sqrt(information),
        "r": r,
    }


def avlm(inputs: Inputs) -> Outputs:
    n, coefficients, g, alpha = (inputs[key] for key in ("n", "n_coef", "g", "alpha"))
    result = linear_evidence(inputs["t"] ** 2, n, coefficients, g)
    return {
        "p": result.anytime_p,
        "log_e": result.log_e,
        "t_radius": linear_critical(n, coefficients, g, alpha),
        "z_radius": float(mixture_critical(n, g, alpha)),
    }


def delayed(inputs: Inputs) -> Outputs:
    if "multiples" in inputs:
        bounds = delayed_critical(inputs["multiples"], 1.0, inputs["alpha"])
        return {
            "a": float(delayed_critical(1.0, 1.0, inputs["alpha"])),
            "z": [float(z) for z in bounds],
        }
    test = delayed_start(inputs["r"], inputs["v_start"], inputs["alpha"])
    return {
        "log_threshold": test.log_threshold,
        "z_at_start": float(test.critical(inputs["v_start"])),
    }


def event_split(inputs: Inputs) -> Outputs:
    events = (inputs["events_c"], inputs["events_t"], inputs["share_t"])
    direction, concentration = inputs["direction"], inputs["concentration"]
    one_sided = event_evidence(*events, direction=direction, concentration=concentration)
    either = event_evidence(*events, direction="both", concentration=concentration)
    return {
        "fixed_horizon_exact_p": event_p_value(*events, direction=direction),
        "log_e": one_sided.log_e,
        "anytime_p": one_sided.anytime_p,
        "log_e_two_sided": either.log_e,
    }


TOPICS: Topics = {
    "srm": srm,
    "acs_growthbook": acs_growthbook,
    "msprt": msprt,
    "normal_mixture": normal_mixture,
    "avlm": avlm,
    "delayed_start": delayed,
    "event_split": event_split,
}
