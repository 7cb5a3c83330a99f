"""One numbered reading of the sums."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from stats.errors import LookError
from stats.sums.consecutive import ConsecutiveSums
from stats.sums.moments import Moments
from stats.sums.ratio import RatioCovariateMoments, RatioMoments

Sums = Moments | RatioMoments | RatioCovariateMoments
"""What a metric of one arm is read from: a mean (with or without a covariate), or a ratio."""


@dataclass(frozen=True)
class LookData:
    """One numbered reading of the sums.

    Parameters
    ----------
    number : int
        Number of the look, growing.
    spending_time : float
        Argument of the spending function: planned share of the experiment that is over (1 at the
        horizon, more after an extension). It must come from the schedule, not from the data.
    may_ship, may_be_futile : bool
        Whether this look may prove value, or futility (whole weeks, from day 7). Harm always may.
    is_final : bool
        Whether the deadline is here: what is not proven now is not proven in time.
    counts : mapping of arm to int
        Exposed units, for the sample ratio.
    metrics : mapping of metric key to mapping of arm to sums
        Sums over matured units: `Moments`, `CovariateMoments` (adjusted by CUPED), `RatioMoments`
        or `RatioCovariateMoments`. A missing metric or arm counts as no data.
    consecutive : mapping of metric key to mapping of arm to ConsecutiveSums, optional
        For metrics whose values go on growing after a unit entered: sums over this look and the
        one before it. They set the metric's correlation clock; without them units are taken to be
        matured, and the clock follows their number.

    Raises
    ------
    LookError
        If the spending time is negative, NaN or infinite, or a count is negative.
    """

    number: int
    spending_time: float
    may_ship: bool
    may_be_futile: bool
    is_final: bool
    counts: Mapping[str, int]
    metrics: Mapping[str, Mapping[str, Sums]]
    consecutive: Mapping[str, Mapping[str, ConsecutiveSums]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.spending_time < math.inf:
            raise LookError(f"look {self.number}: spending time {self.spending_time} is no time")
        for arm, count in self.counts.items():
            if not 0 <= count < math.inf:
                raise LookError(f"look {self.number}: {count} units in {arm}")
