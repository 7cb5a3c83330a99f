"""Whether the arms lost units unequally: who is gone has no outcome, and is not gone by chance.

Who was lost is told by an event that every unit still there sends, whatever it was given (the
plan's ``attrition``); of recorded files with a row per unit, by the row that is missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

Lost = Mapping[str, Mapping[str, int]]
"""By arm ``units``, those watched long enough, and ``lost`` of them."""

_LEAST_UNITS = 100
_MOST_COUNTED = 1000


def attrition_p(lost: Lost, control: str) -> float | None:
    """Give the chance of the largest difference between control and another arm, in what they lost.

    The smallest two-sided p-value over the treatments, times their number (Bonferroni); ``None``
    with fewer than 100 units in either arm of every pair.

    Notes
    -----
    Given how many both arms lost together, the treatment's part is hypergeometric if it makes no
    difference. Up to 1000 lost (or kept) that is summed up, twice the smaller tail: with few losses
    and uneven arms the normal curve would ring ten times too often. Beyond, that curve is exact
    enough.
    """
    base = lost.get(control)
    found = [
        _two_sided(base["lost"], base["units"], other["lost"], other["units"])
        for arm, other in lost.items()
        if base is not None
        and arm != control
        and min(base["units"], other["units"]) >= _LEAST_UNITS
    ]
    return min(1.0, min(found) * len(found)) if found else None


def _two_sided(lost: int, units: int, other_lost: int, other_units: int) -> float:
    gone, everybody = lost + other_lost, units + other_units
    if 2 * gone > everybody:
        # Few were kept: it is the same question about those.
        other_lost, gone = other_units - other_lost, everybody - gone
    if gone == 0:
        return 1.0
    if gone > _MOST_COUNTED:
        share = gone / everybody
        expected = other_units * share
        spread = expected * (1 - share) * units / (everybody - 1)
        z = (other_lost - expected) / math.sqrt(spread)
        return math.erfc(abs(z) / math.sqrt(2))
    chances = [_chance(k, gone, other_units, units) for k in range(gone + 1)]
    low, high = math.fsum(chances[: other_lost + 1]), math.fsum(chances[other_lost:])
    return min(1.0, 2 * min(low, high))


def _chance(k: int, gone: int, other_units: int, units: int) -> float:
    """Give the chance that ``k`` of those gone are the other arm's."""
    if k > other_units or gone - k > units:
        return 0.0
    return math.exp(
        _log_choose(other_units, k)
        + _log_choose(units, gone - k)
        - _log_choose(other_units + units, gone)
    )


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
