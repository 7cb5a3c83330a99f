"""One numbered reading of the sums."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from stats.errors import LookError
from stats.sums.moments import Moments


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
    metrics : mapping of metric key to mapping of arm to Moments
        Sums over matured units. A missing metric or arm counts as no data.

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
    metrics: Mapping[str, Mapping[str, Moments]]

    def __post_init__(self) -> None:
        if not 0 <= self.spending_time < math.inf:
            raise LookError(f"look {self.number}: spending time {self.spending_time} is no time")
        for arm, count in self.counts.items():
            if not 0 <= count < math.inf:
                raise LookError(f"look {self.number}: {count} units in {arm}")
