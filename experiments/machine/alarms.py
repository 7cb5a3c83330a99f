"""What can be wrong with the data, how loud each alarm is, and when an explained one rings again.

Loudness 1 is the threshold. An alarm that was explained is quiet until it is twice as loud as it
was then: that is something new, and is asked about again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

MOST_QUARANTINED = 0.01
LEAST_IMBALANCE_P = 1e-3
LEAST_ATTRITION_P = 1e-3
WORSE = 2.0
SILENCE_CHANCE = 1e-4
"""How often, per reading, chance alone may make a feed look stale that goes on as before."""

SEVERAL_ARMS = "several_arms"
IMBALANCE = "imbalance"
ATTRITION = "attrition"


def alarms_of(
    quarantined: int,
    counts: Mapping[str, int],
    imbalance_p: float | None,
    attrition_p: float | None = None,
) -> dict[str, float]:
    """Give every alarm that rings, each with its loudness.

    Parameters
    ----------
    quarantined : int
        Units that met several arms.
    counts : mapping of str to int
        Units that count, by arm.
    imbalance_p, attrition_p : float, optional
        Chance of a difference as large as the one seen: between the arms before the experiment, and
        between the shares of units that they lost.
    """
    found = {}
    share = quarantined / max(1, sum(counts.values()) + quarantined)
    if share > MOST_QUARANTINED:
        found[SEVERAL_ARMS] = share / MOST_QUARANTINED
    for name, p, least in (
        (IMBALANCE, imbalance_p, LEAST_IMBALANCE_P),
        (ATTRITION, attrition_p, LEAST_ATTRITION_P),
    ):
        if p is not None and p < least:
            found[name] = math.log(max(p, 1e-300)) / math.log(least)
    return found


def unexplained(alarms: Mapping[str, float], explained: Mapping[str, float]) -> list[str]:
    """Name the alarms that nobody has explained, or that got twice as loud since."""
    return [
        name
        for name, loud in alarms.items()
        if loud >= WORSE * explained.get(name, 0.0) or name not in explained
    ]


def longest_silence(stale_seconds: float, newcomers: int, span_seconds: float) -> float:
    """Give how long a feed may be silent, in seconds, before it is taken for stale.

    Parameters
    ----------
    stale_seconds : float
        What the policy takes for silence; never less than this.
    newcomers : int
        Units that came in within the span.
    span_seconds : float
        How long they took: up to the newest event.

    Notes
    -----
    Where units come in at random (Poisson) at any steady rate, n of them within a span T, a
    silence of more than s after it has the chance ``(1 + s / T) ** -n``, whatever the rate is:
    given n, their times are n uniform numbers. Solved for s at `SILENCE_CHANCE`; with many units
    that is 9.2 times the typical gap T / n. Events other than first exposures only make silences
    shorter, and are not counted: they come in bursts.

    Of a feed without any unit the policy's ``stale`` is taken for the gap.
    """
    gaps = -math.log(SILENCE_CHANCE)
    if newcomers < 1:
        return gaps * stale_seconds
    return max(stale_seconds, span_seconds * math.expm1(gaps / newcomers))
