"""Golden topics of tests at scheduled looks."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.methods.common import SHAPES, Inputs, Outputs, Topics, crossing, reachable
from stats import (
    Spending,
    boundary,
    obrien_fleming_bounds,
    pocock_bounds,
    wang_tsiatis_bounds,
)


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


TOPICS: Topics = {
    "gst_bounds": gst_bounds,
    "oeas_bounds": oeas_bounds,
    "trajectory": trajectory,
}
