"""Golden topics of what past experiments, priors and bandits say."""

from __future__ import annotations

import math

from benchmarks.methods.common import Inputs, Outputs, Topics
from stats import (
    FLAT_PRIOR,
    BetaPrior,
    Conversions,
    Moments,
    NormalPrior,
    TauMethod,
    beta_posterior,
    conditional_estimate,
    lift_posterior,
    random_effects,
    thompson_allocation,
)


def bayes_normal(inputs: Inputs) -> Outputs:
    if inputs["kind"] != "proportion":
        raise NotImplementedError(inputs["kind"])
    believed = inputs["prior"]
    control, treatment = (
        Moments.conversions(inputs[arm]["n"], inputs[arm]["sum"])
        for arm in ("control", "treatment")
    )
    prior = NormalPrior(believed["mean"], math.sqrt(believed["variance"]))
    view = lift_posterior(
        control,
        treatment,
        prior if believed["proper"] else FLAT_PRIOR,
        relative=inputs["difference"] == "relative",
        binary=True,
        sign=-1 if inputs["inverse"] else 1,
        confidence_level=1 - inputs["alpha"],
    )
    return {
        "chance_to_win": view.chance_to_win,
        "mean": view.mean,
        "sd": view.sd,
        "lo": view.low,
        "hi": view.high,
        "risk_choose_control": view.risk_of_control,
        "risk_choose_treatment": view.risk_of_treatment,
    }


def bayes_beta(inputs: Inputs) -> Outputs:
    view = beta_posterior(
        Conversions(inputs["x_c"], inputs["n_c"]),
        Conversions(inputs["x_t"], inputs["n_t"]),
        BetaPrior(inputs["prior_a"], inputs["prior_b"]),
    )
    return {
        "chance_to_win": view.chance_to_win,
        "expected_loss_choose_treatment": view.risk_of_treatment,
        "expected_loss_choose_control": view.risk_of_control,
        "mean_c": view.mean_control,
        "mean_t": view.mean_treatment,
    }


def meta(inputs: Inputs) -> Outputs:
    fixed, dl, pm, reml = (
        random_effects(inputs["effects"], inputs["variances"], method=method)
        for method in (
            TauMethod.FIXED,
            TauMethod.DERSIMONIAN_LAIRD,
            TauMethod.PAULE_MANDEL,
            TauMethod.REML,
        )
    )
    return {
        "q": fixed.q,
        "q_p": fixed.q_p_value,
        "mean_fixed": fixed.mean,
        "tau2_dl": dl.tau2,
        "mean_dl": dl.mean,
        "se_dl": dl.se,
        "shrunk_dl": list(dl.shrunk),
        "tau2_pm": pm.tau2,
        "mean_pm": pm.mean,
        "tau2_reml": reml.tau2,
        "mean_reml": reml.mean,
    }


def winners_curse(inputs: Inputs) -> Outputs:
    result = conditional_estimate(inputs["estimate"], inputs["se"], upper=inputs["z_crit"])
    return {
        "selected": result.selected,
        "conditional_mle": result.most_likely,
        "conditional_median_unbiased": result.median_unbiased,
    }


def bandit(inputs: Inputs) -> Outputs:
    result = thompson_allocation(inputs["mean"], inputs["sd"], floor=inputs["floor"])
    return {
        "best_arm_probability": list(result.best_probabilities),
        "allocation": list(result.shares),
    }


TOPICS: Topics = {
    "bandit": bandit,
    "meta": meta,
    "winners_curse": winners_curse,
    "bayes_normal": bayes_normal,
    "bayes_beta": bayes_beta,
}
