"""What the usual rules make of the same visitors: significance every day, or nothing lost.

Both get the very split and the same ramp, so that they differ from the machine in the rule only.
A test is the one that everybody runs: two-sided, p < .05, of a difference of two means.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from benchmarks.trials.worlds import DAY, MEASURES, Array, Design, Visitors

Rule = Literal["daily", "end"]

_FEWEST = 30
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Ending:
    """How a rule ended one experiment.

    Parameters
    ----------
    ships : bool
        Whether everybody gets the change.
    days : float
        When it was decided.
    """

    ships: bool
    days: float


def judge(rule: Rule, design: Design, visitors: Visitors, dealt: NDArray[np.int64]) -> Ending:
    """Judge one experiment as the usual rules do.

    Parameters
    ----------
    rule : {"daily", "end"}
        ``daily``: look at the success metric each day; ship at its first significant gain, stop at
        its first significant loss, and do as ``end`` does at the deadline. ``end``: look once, at
        the deadline; ship unless some metric, success or guardrail, has lost significantly.
    dealt : ndarray
        Arm of each visitor: 0 control, 1 treatment, -1 neither.
    """
    (success,) = (measure for measure in MEASURES if measure.role == "success")
    if rule == "daily":
        for day in range(1, design.days):
            sign = _significant(design, visitors, dealt, success.key, success.sign, day)
            if sign:
                return Ending(sign > 0, float(day))
    lost = any(
        _significant(design, visitors, dealt, measure.key, measure.sign, design.days) < 0
        for measure in MEASURES
    )
    return Ending(not lost, float(design.days))


def _significant(
    design: Design, visitors: Visitors, dealt: NDArray[np.int64], key: str, good: int, day: int
) -> int:
    """Tell 1 for a significant gain, -1 for a significant loss, else 0."""
    mature = visitors.times + design.window_seconds <= day * DAY
    arms: list[Array] = [visitors.outcomes[key][arm][mature & (dealt == arm)] for arm in (0, 1)]
    if min(values.size for values in arms) < _FEWEST:
        return 0
    error = math.sqrt(sum(float(values.var(ddof=1)) / values.size for values in arms))
    if error == 0:
        return 0
    z = good * float(arms[1].mean() - arms[0].mean()) / error
    if 2 * float(special.ndtr(-abs(z))) >= _SIGNIFICANT:
        return 0
    return 1 if z > 0 else -1
