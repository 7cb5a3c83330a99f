"""What can be wrong with the data, how loud each alarm is, and when an explained one rings again.

Loudness 1 is the threshold. An alarm that was explained is quiet until it is twice as loud as it
was then: that is something new, and is asked about again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

MOST_QUARANTINED = 0.01
LEAST_IMBALANCE_P = 1e-3
WORSE = 2.0

SEVERAL_ARMS = "several_arms"
IMBALANCE = "imbalance"


def alarms_of(
    quarantined: int, counts: Mapping[str, int], imbalance_p: float | None
) -> dict[str, float]:
    """Give every alarm that rings, each with its loudness.

    Parameters
    ----------
    quarantined : int
        Units that met several arms.
    counts : mapping of str to int
        Units that count, by arm.
    imbalance_p : float, optional
        Chance of a difference before the experiment as large as the one seen.
    """
    found = {}
    share = quarantined / max(1, sum(counts.values()) + quarantined)
    if share > MOST_QUARANTINED:
        found[SEVERAL_ARMS] = share / MOST_QUARANTINED
    if imbalance_p is not None and imbalance_p < LEAST_IMBALANCE_P:
        found[IMBALANCE] = math.log(max(imbalance_p, 1e-300)) / math.log(LEAST_IMBALANCE_P)
    return found


def unexplained(alarms: Mapping[str, float], explained: Mapping[str, float]) -> list[str]:
    """Name the alarms that nobody has explained, or that got twice as loud since."""
    return [
        name
        for name, loud in alarms.items()
        if loud >= WORSE * explained.get(name, 0.0) or name not in explained
    ]
