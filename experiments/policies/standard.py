"""The case in which every policy is tried, so that two of them can be compared; no statistics here.

One success metric, two guardrails and a safety metric, each a conversion of 10 %, correlated by 0.3
over units; MDE and margins of 5 %; two equal arms. As many units come within one horizon, however
long that is, as ``proof-28d`` needs to prove the MDE four times in five: else a short policy would
seem safe for want of data. What is truly to be expected of a plan, its forecast says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Raised when equal rules would be tried otherwise: all are then tried again.
METHOD = 1
#: Experiments in each world: the error of a share is at most 0.008, near 0.02 it is 0.002.
RUNS = 4000
#: Units that come within one horizon; the ramp lets in a part of the first of them.
UNITS = 200_000
BASELINE, CORRELATION, EFFECT = 0.1, 0.3, 0.05

STANDARD_CASE = (
    "one success metric, two guardrails and a safety metric, each a conversion of 10 %, "
    "correlated by 0.3; MDE and margins of 5 %; two equal arms; 200,000 units come within one "
    "horizon, however long it is"
)

PROOF_28D_TRIAL: Mapping[str, Any] = {
    "runs": 4000,
    "looks": 74,
    "thinned": False,
    "units": 177_643,
    "horizon_days": 28.0,
    "ship_if_worthless": {"value": 0.01875, "se": 0.00214467},
    "ship_if_breached": {"value": 0.026, "se": 0.00251615},
    "stop_if_breached": {"value": 0.6345, "se": 0.00761429},
    "false_harm_stop": {"value": 0.01125, "se": 0.00166759},
    "proof_at_mde": {"value": 0.81075, "se": 0.00619343},
    "end_if_worthless": {"value": 0.536141, "se": 0.00295621},
    "end_at_mde": {"value": 0.842658, "se": 0.00267093},
}
"""What `experiments.policies.trying` finds of ``proof-28d``: beside it every other is shown."""
