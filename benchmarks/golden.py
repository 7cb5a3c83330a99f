"""Compare ``stats`` with other programs' numbers.

    python benchmarks/golden.py FOLDER [TOPIC ...]

FOLDER holds one JSON file per topic; its README says what passing means. Every topic of the folder
is listed, also those whose methods are not built yet. The exit status is 1 when a case fails.

``TOPICS`` is the only place that maps a golden method to our functions; the test suite runs the
same mapping.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from stats import (
    Conversions,
    DecisionPlan,
    LookData,
    MetricSpec,
    Moments,
    Role,
    Spending,
    SpendingShape,
    Verdict,
    agresti_caffo_interval,
    boundary,
    compare_conversions,
    compare_means,
    conversion_lift_interval,
    conversion_lift_log_interval,
    conversion_lift_score_interval,
    crossing_probabilities,
    decide,
    delta_interval,
    difference_score,
    fieller_interval,
    futility,
    log_interval,
    miettinen_nurminen_interval,
    newcombe_interval,
    noninferiority,
    obrien_fleming_bounds,
    pocock_bounds,
    ratio_score,
    sample_ratio,
    score_difference,
    wald_interval,
    wang_tsiatis_bounds,
)
from stats.bounds import CEILING

Inputs = Mapping[str, Any]
Outputs = dict[str, Any]

SHAPES = {
    "asOF": SpendingShape.OBRIEN_FLEMING,
    "asKD": SpendingShape.KIM_DEMETS,
    "kd": SpendingShape.KIM_DEMETS,
    "asP": SpendingShape.POCOCK,
    "asHSD": SpendingShape.HWANG_SHIH_DECANI,
}


def normal_upper(z: float) -> float:
    return math.erfc(z / math.sqrt(2)) / 2


def reachable(bounds: Any) -> list[float]:
    """Write a bound that cannot be reached as the reference programs do: the end of their grid."""
    return [min(u, CEILING) for u in bounds]


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


def gst_bounds(inputs: Inputs) -> Outputs:
    design, alpha, parameter = inputs["design"], inputs["alpha"], inputs["gamma"]
    looks = inputs["kmax"]
    rates = inputs["information_rates"] or [(k + 1) / looks for k in range(looks)]
    if inputs["sides"] != 1:
        raise NotImplementedError("two-sided classic designs")
    if design in SHAPES:
        result = boundary(Spending(SHAPES[design], alpha, parameter=parameter), rates)
        return {"z": reachable(result.bounds), "cumulative_alpha": list(result.spent)}
    classic: dict[str, Callable[[], list[float]]] = {
        "OF": lambda: obrien_fleming_bounds(rates, alpha),
        "P": lambda: pocock_bounds(rates, alpha),
        "WT": lambda: wang_tsiatis_bounds(rates, alpha, parameter),
    }
    bounds = classic[design]()
    return {"z": bounds, "cumulative_alpha": crossing(bounds, rates)}


def crossing(bounds: list[float], times: list[float]) -> list[float]:
    correlations = [0.0, *(math.sqrt(a / b) for a, b in pairwise(times))]
    return crossing_probabilities(bounds, correlations)


def oeas_bounds(inputs: Inputs) -> Outputs:
    spending = Spending(
        SHAPES[inputs["spending"]], inputs["alpha"], inputs["epsilon"], inputs["phi"]
    )
    result = boundary(spending, inputs["information"])
    return {"z": reachable(result.bounds), "cumulative_alpha": list(result.spent)}


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


def trajectory(inputs: Inputs) -> Outputs:
    times, epsilon = inputs["information"], inputs["epsilon"]
    ship = Spending(SHAPES[inputs["success_spending"]], inputs["alpha_success"], epsilon)
    harm = Spending(
        SHAPES[inputs["harm_spending"]], inputs["alpha_harm"], epsilon, inputs["harm_phi"]
    )
    upper = boundary(ship, times).bounds
    lower = [-u for u in boundary(harm, times).bounds]
    first, at = "none", -1
    for k, (z, u, low) in enumerate(zip(inputs["z"], upper, lower, strict=True)):
        if z <= low or z >= u:
            first, at = ("harm" if z <= low else "success"), k
            break
    return {
        "upper": reachable(upper),
        "lower": [-u for u in reachable(-u for u in lower)],
        "first_decision": first,
        "look_index": at,
    }


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
        alpha_ship=inputs["alpha_success"],
        alpha_guardrail=inputs["alpha_noninferiority"],
        alpha_harm=total,
        beta_futility=inputs["alpha_futility"],
        epsilon=inputs["epsilon"],
        harm_weights={key: alpha / total for key, alpha in inputs["alpha_harm"].items()},
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
    plan, looks = scenario_plan(inputs), scenario_looks(inputs)
    decision, at = "continue", -1
    for k in range(len(looks)):
        verdict = decide(plan, looks[: k + 1]).verdict
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


TOPICS: dict[str, Callable[[Inputs], Outputs]] = {
    "welch": welch,
    "proportion": proportion,
    "srm": srm,
    "gst_bounds": gst_bounds,
    "oeas_bounds": oeas_bounds,
    "kill_stat": kill_stat,
    "noninferiority": noninferior,
    "trajectory": trajectory,
    "scenario": scenario,
    "fieller": fieller,
    "newcombe_pub": newcombe,
}


@dataclass(frozen=True)
class Mismatch:
    """One value outside its tolerance."""

    key: str
    got: object
    expected: object


def cases(folder: Path, topic: str) -> list[dict[str, Any]]:
    """Read the cases of one topic."""
    loaded: list[dict[str, Any]] = json.loads((folder / f"{topic}.json").read_text())["cases"]
    return loaded


def check(topic: str, case: Mapping[str, Any]) -> tuple[float, list[Mismatch]]:
    """Run one case: worst relative error, and what is outside the case's own tolerance."""
    outputs = TOPICS[topic](case["inputs"])
    worst, mismatches = 0.0, []
    for key, expected in case["expected"].items():
        if key.startswith("gbstats_"):
            continue  # A peer's variant, kept for information.
        got = outputs.get(key)
        pairs = list(_pairs(got, expected))
        if got is None or not pairs:
            mismatches.append(Mismatch(key, got, expected))
            continue
        for ours, theirs in pairs:
            error, passes = _compare(ours, theirs, case["tolerance"])
            worst = max(worst, error)
            if not passes:
                mismatches.append(Mismatch(key, ours, theirs))
    return worst, mismatches


def _pairs(got: Any, expected: Any) -> Iterator[tuple[Any, Any]]:
    if not isinstance(expected, list):
        yield got, expected
    elif isinstance(got, list) and len(got) == len(expected):
        yield from zip(got, expected, strict=True)


def _compare(got: Any, expected: Any, tolerance: Mapping[str, float]) -> tuple[float, bool]:
    if expected in ("inf", "-inf"):
        expected = float(expected)
        return 0.0, got == expected
    if isinstance(expected, bool | str) or not isinstance(expected, int | float):
        return 0.0, got == expected
    if not isinstance(got, int | float) or math.isnan(got):
        return math.inf, False
    gap = abs(got - expected)
    # Relative to a number within the absolute tolerance of zero, an error says nothing.
    relative = gap / abs(expected) if abs(expected) > tolerance["abs"] else 0.0
    return relative, gap <= tolerance["abs"] or relative <= tolerance["rel"]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare stats with other programs' numbers.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("topics", nargs="*", help="default: all files of the folder")
    options = parser.parse_args(arguments)
    present = sorted(path.stem for path in options.folder.glob("*.json"))
    unknown = [topic for topic in options.topics if topic not in present]
    if unknown or not present:
        parser.error(
            f"no such topic in {options.folder}: {', '.join(unknown) or 'the folder is empty'}"
        )
    failed, passed, total, missing = False, 0, 0, []
    for topic in options.topics or present:
        if topic not in TOPICS:
            missing.append(topic)
            continue
        results = [(case["id"], *check(topic, case)) for case in cases(options.folder, topic)]
        good = sum(not mismatches for _, _, mismatches in results)
        worst = max((error for _, error, _ in results), default=0.0)
        print(f"{topic:<20} {good:>3}/{len(results):<3} worst relative error {worst:.1e}")
        for name, _, mismatches in results:
            for wrong in mismatches[:5]:
                print(f"    {name} {wrong.key}: got {wrong.got}, expected {wrong.expected}")
        passed, total = passed + good, total + len(results)
        failed = failed or good < len(results)
    for topic in missing:
        print(f"{topic:<20} not built yet")
    print(f"{passed} of {total} cases pass; {len(missing)} topics are not built yet")
    return 1 if failed or (options.topics and missing) else 0


if __name__ == "__main__":
    sys.exit(main())
