"""The golden topic of the decision rule."""

from __future__ import annotations

from benchmarks.methods.common import Inputs, Outputs, Topics
from stats import (
    DecisionPlan,
    LookData,
    MetricSpec,
    Moments,
    Policy,
    Role,
    Verdict,
    decide,
    futility,
    noninferiority,
    score_difference,
)

GOLDEN_ROLES = {
    "success": Role.SUCCESS,
    "guardrail": Role.GUARDRAIL,
    "deterioration": Role.SAFETY,
}

GOLDEN_VERDICTS = {
    Verdict.INVALID: "invalid_srm",
    Verdict.HARM: "kill",
    Verdict.VALUE_PROVEN: "ship",
    Verdict.FUTILE: "futile",
}


def scenario_plan(inputs: Inputs) -> DecisionPlan:
    """Write the plan of a golden scenario as one of ours."""
    metrics = tuple(
        MetricSpec(
            key,
            GOLDEN_ROLES[metric["role"]],
            metric["binary"],
            metric["direction"],
            mde=metric.get("rel_mde"),
            margin=metric.get("rel_nim"),
        )
        for key, metric in inputs["metrics"].items()
    )
    total = sum(inputs["alpha_harm"].values())
    return DecisionPlan(
        tuple(inputs["weights"]),
        tuple(inputs["weights"].values()),
        metrics,
        harm_weights={key: alpha / total for key, alpha in inputs["alpha_harm"].items()},
    )


def scenario_policy(inputs: Inputs) -> Policy:
    """Write the error rates of a golden scenario as a policy of ours."""
    return Policy(
        alpha_ship=inputs["alpha_success"],
        alpha_guardrail=inputs["alpha_noninferiority"],
        alpha_harm=sum(inputs["alpha_harm"].values()),
        beta_futility=inputs["alpha_futility"],
        epsilon=inputs["epsilon"],
        srm_concentration=inputs["srm_concentration"],
        srm_threshold=1 / inputs["alpha_srm"],
    )


def scenario_looks(inputs: Inputs) -> list[LookData]:
    """Write the cumulative sums of a golden scenario as looks."""
    sums = inputs["cumulative"]
    looks = []
    for k, time in enumerate(inputs["information"]):
        metrics = {
            metric: {arm: Moments(*rows[k]) for arm, rows in arms.items()}
            for metric, arms in sums.items()
        }
        counts = {arm: int(moments.n) for arm, moments in next(iter(metrics.values())).items()}
        late = k + 1 >= inputs["min_look_ship_futility"]
        looks.append(LookData(k + 1, time, late, late, False, counts, metrics))
    return looks


def scenario(inputs: Inputs) -> Outputs:
    plan, policy, looks = scenario_plan(inputs), scenario_policy(inputs), scenario_looks(inputs)
    decision, at = "continue", -1
    for k in range(len(looks)):
        verdict = decide(looks[: k + 1], plan, policy).verdict
        if verdict is not Verdict.CONTINUE:
            decision, at = GOLDEN_VERDICTS[verdict], k
            break
    control, treatment = plan.arms
    outputs: Outputs = {"decision": decision, "look_index": at}
    for metric in plan.metrics:
        arms = [
            (look.metrics[metric.key][control], look.metrics[metric.key][treatment])
            for look in looks
        ]
        suffix = "_harm_direction" if metric.direction == "down" else ""
        outputs[f"z_{metric.key}{suffix}"] = [
            score_difference(c, t, binary=metric.binary).z for c, t in arms
        ]
        if metric.margin is not None:
            outputs[f"z_ni_{metric.key}"] = [
                noninferiority(c, t, margin=metric.margin, sign=metric.sign, binary=metric.binary).z
                for c, t in arms
            ]
        if metric.mde is not None:
            outputs["z_futility"] = [
                futility(c, t, mde=metric.mde, sign=metric.sign, binary=metric.binary).z
                for c, t in arms
            ]
    return outputs


TOPICS: Topics = {
    "scenario": scenario,
}
