"""Golden topics of planning."""

from __future__ import annotations

from benchmarks.methods.common import Inputs, Outputs, Topics
from stats import Signal, conversion_sample_size, sample_size


def power_mean(inputs: Inputs) -> Outputs:
    """Alpha is two-sided there, one-sided here."""
    signal = Signal(inputs["delta"], inputs["sd"] ** 2, inputs["sd"] ** 2)
    asked = {"ratio": inputs["n_t_over_n_c"], "power": inputs["power"]}
    alpha = inputs["alpha"] / 2
    return {
        "n_c_t": sample_size(signal, **asked, alpha=alpha, method="t").control,
        "n_c_z": sample_size(signal, **asked, alpha=alpha, method="normal").control,
    }


def power_prop(inputs: Inputs) -> Outputs:
    """``n_c_unpooled_z`` halved alpha twice: it is the pooled size at a quarter of alpha."""
    rates = (inputs["p_c"], inputs["p_c"] * (1 + inputs["rel_mde"]))
    asked = {"ratio": inputs["n_t_over_n_c"], "power": inputs["power"]}
    alpha = inputs["alpha"] / 2
    sizes = {
        "n_c_unpooled_wald": conversion_sample_size(
            *rates, **asked, alpha=alpha, variance="unpooled"
        ),
        "n_c_pooled": conversion_sample_size(*rates, **asked, alpha=alpha),
        "n_c_cohen_h": conversion_sample_size(*rates, **asked, alpha=alpha, variance="arcsine"),
        "n_c_unpooled_z": conversion_sample_size(*rates, **asked, alpha=alpha / 2),
    }
    return {key: size.control for key, size in sizes.items()}


TOPICS: Topics = {"power_mean": power_mean, "power_prop": power_prop}
