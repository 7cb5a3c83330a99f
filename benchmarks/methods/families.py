"""Golden topics of many tests at once."""

from __future__ import annotations

import numpy as np

from benchmarks.methods.common import Inputs, Outputs, Topics
from stats import (
    Moments,
    average_evidence,
    benjamini_hochberg,
    benjamini_yekutieli,
    bonferroni,
    closed_evidence,
    dunnett,
    dunnett_critical,
    e_bh,
    hochberg,
    holm,
    hommel,
)


def multiplicity(inputs: Inputs) -> Outputs:
    p = inputs["p"]
    return {
        "bonferroni": bonferroni(p).tolist(),
        "holm": holm(p).tolist(),
        "hochberg": hochberg(p).tolist(),
        "hommel": hommel(p).tolist(),
        "bh": benjamini_hochberg(p).tolist(),
        "by": benjamini_yekutieli(p).tolist(),
    }


def e_multiplicity(inputs: Inputs) -> Outputs:
    log_e, alpha = np.log(inputs["e"]), inputs["alpha"]
    closed = closed_evidence(log_e)
    return {
        "ebh_rejected": np.flatnonzero(e_bh(log_e, alpha)).tolist(),
        "closed_average_e": np.exp(closed).tolist(),
        "fwer_rejected": np.flatnonzero(closed >= -np.log(alpha)).tolist(),
        "global_average_e": float(np.exp(average_evidence(log_e))),
    }


def dunnett_test(inputs: Inputs) -> Outputs:
    result = dunnett(Moments.of(inputs["control"]), [Moments.of(y) for y in inputs["treatments"]])
    return {
        "statistic": [c.statistic for c in result.comparisons],
        "p": [c.p_value for c in result.comparisons],
    }


def dunnett_quantile(inputs: Inputs) -> Outputs:
    equal = [1.0] * inputs["k"]
    critical = dunnett_critical(inputs["df"], 1.0, equal, confidence_level=1 - inputs["alpha"])
    return {"critical": critical}


TOPICS: Topics = {
    "multiplicity": multiplicity,
    "e_multiplicity": e_multiplicity,
    "dunnett": dunnett_test,
    "dunnett_q": dunnett_quantile,
}
