"""Golden topics of evidence that may be read at any moment."""

from __future__ import annotations

from benchmarks.methods.common import Inputs, Outputs, Topics
from stats import (
    sample_ratio,
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


TOPICS: Topics = {
    "srm": srm,
}
