"""How long a proof takes, roughly and at once: while a plan is being written.

A textbook size for one comparison of two rates, in closed form, with nothing but the standard
library. The worker's forecast, which simulates the plan's own looks, replaces it once the plan is
drafted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

POWER = 0.8
_ALPHA = 0.05
# Looking many times costs that many more units than looking once; a common group-sequential price.
_LOOKS = 1.15


@dataclass(frozen=True, slots=True)
class Rough:
    """What a plan could prove: ``units`` in all groups, ``days`` to meet them and to wait.

    ``provable`` is the smallest relative effect that the deadline allows.
    """

    units: int
    days: float
    provable: float


def rough(
    *,
    baseline: float,
    effect: float,
    units_per_day: float,
    prove_by_days: float,
    window_days: float,
    arms: int = 2,
) -> Rough | None:
    """Give the size of a test of two rates; None where the numbers allow none.

    Parameters
    ----------
    baseline : float
        Share of units that do it today, between 0 and 1.
    effect : float
        Smallest relative difference worth having.
    units_per_day : float
        New units in all groups together.
    prove_by_days, window_days : float
        The deadline, and how long each unit is watched before it counts.
    """
    moved = baseline * (1 + effect)
    if not (0 < baseline < 1 and 0 < moved < 1 and effect != 0 and units_per_day > 0):
        return None
    reach = NormalDist().inv_cdf(1 - _ALPHA / 2) + NormalDist().inv_cdf(POWER)
    spread = baseline * (1 - baseline) + moved * (1 - moved)
    units = math.ceil(_LOOKS * spread * (reach / (baseline * effect)) ** 2) * arms
    days = units / units_per_day + window_days
    met = max(prove_by_days - window_days, 0.0) * units_per_day / arms
    provable = math.inf
    if met >= 1:
        even = 2 * baseline * (1 - baseline)
        provable = reach * math.sqrt(_LOOKS * even / met) / baseline
    return Rough(units, days, provable)
