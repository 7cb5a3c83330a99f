"""Golden topics of tests at scheduled looks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

from benchmarks.methods.common import SHAPES, Inputs, Outputs, Topics, reachable
from stats import (
    Spending,
    SpendingPoints,
    boundary,
    crossings,
    futility_bounds,
    inflation_factor,
    obrien_fleming_bounds,
    pocock_bounds,
    required_drift,
    wang_tsiatis_bounds,
)


def gst_bounds(inputs: Inputs) -> Outputs:
    design, alpha, parameter = inputs["design"], inputs["alpha"], inputs["gamma"]
    looks, two_sided = inputs["kmax"], inputs["sides"] == 2
    rates = inputs["information_rates"] or [(k + 1) / looks for k in range(looks)]
    if design in SHAPES:
        spending = Spending(SHAPES[design], alpha, parameter=parameter)
        result = boundary(spending, rates, two_sided=two_sided)
        return {"z": reachable(result.bounds), "cumulative_alpha": list(result.spent)}
    classic: dict[str, Callable[[], list[float]]] = {
        "OF": lambda: obrien_fleming_bounds(rates, alpha, two_sided=two_sided),
        "P": lambda: pocock_bounds(rates, alpha, two_sided=two_sided),
        "WT": lambda: wang_tsiatis_bounds(rates, alpha, parameter, two_sided=two_sided),
    }
    bounds = classic[design]()
    ends = crossings(rates, bounds, [-u for u in bounds] if two_sided else None)
    crossed = accumulate(a + b for a, b in zip(ends.upper, ends.lower, strict=True))
    return {"z": bounds, "cumulative_alpha": list(crossed)}


def gst_futility(inputs: Inputs) -> Outputs:
    looks = inputs["kmax"]
    times = [(k + 1) / looks for k in range(looks)]
    alpha = Spending(SHAPES[inputs["design"]], inputs["alpha"], parameter=inputs["gamma"])
    shape = SHAPES[inputs["beta_design"].replace("bs", "as")]
    beta = Spending(shape, inputs["beta"], parameter=inputs["gamma_b"])
    upper = boundary(alpha, times).bounds
    lower = futility_bounds(upper, times, beta)
    return {"z": list(upper), "futility": list(lower.bounds[:-1]), "drift": lower.drift}


def corr_clock(inputs: Inputs) -> Outputs:
    spent = inputs["cumulative_alpha"]
    times = range(1, len(spent) + 1)
    points = SpendingPoints(tuple(zip(map(float, times), spent, strict=True)))
    return {"z": reachable(boundary(points, times, inputs["lag1_corr"]).bounds)}


def oeas_bounds(inputs: Inputs) -> Outputs:
    spending = Spending(
        SHAPES[inputs["spending"]], inputs["alpha"], inputs["epsilon"], inputs["phi"]
    )
    result = boundary(spending, inputs["information"])
    return {"z": reachable(result.bounds), "cumulative_alpha": list(result.spent)}


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


def oeas_oc(inputs: Inputs) -> Outputs:
    epsilon = inputs["epsilon"]
    times = [look / inputs["looks_per_horizon"] for look in range(1, inputs["total_looks"] + 1)]
    ship = Spending(SHAPES[inputs["success_spending"]], inputs["alpha_success"], epsilon)
    harm = Spending(
        SHAPES[inputs["harm_spending"]], inputs["alpha_harm"], epsilon, inputs["harm_phi"]
    )
    upper = boundary(ship, times).bounds
    lower = [-u for u in boundary(harm, times).bounds]
    result = crossings(times, upper, lower, drift=inputs["drift"])
    return {
        "upper": reachable(upper),
        "lower": [-u for u in reachable(-u for u in lower)],
        "p_success_by_horizon": result.upper_by(1.0),
        "p_success_total": result.upper_by(),
        "p_harm_by_horizon": result.lower_by(1.0),
        "p_harm_total": result.lower_by(),
        "mean_stop": result.mean_information,
    }


def gst_oc(inputs: Inputs) -> Outputs:
    alpha, power, looks = inputs["alpha"], 1 - inputs["beta"], inputs["kmax"]
    times = [(k + 1) / looks for k in range(looks)]
    bounds = gst_bounds({**inputs, "information_rates": times})["z"]
    drift = required_drift(times, bounds, power)
    result = crossings(times, bounds, drift=drift)
    return {
        "drift": drift,
        "inflation_factor": inflation_factor(times, bounds, alpha=alpha, power=power),
        "power": result.upper_by(),
        "average_sample_fraction_h1": result.mean_information,
        "stage_reject": list(result.upper),
    }


TOPICS: Topics = {
    "corr_clock": corr_clock,
    "gst_futility": gst_futility,
    "gst_oc": gst_oc,
    "oeas_oc": oeas_oc,
    "gst_bounds": gst_bounds,
    "oeas_bounds": oeas_bounds,
    "trajectory": trajectory,
}
