"""What all shipped experiments brought together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stats.effects.means import checked_level
from stats.effects.proportions import normal_quantile
from stats.errors import ParameterError


@dataclass(frozen=True)
class Impact:
    """Sum of effects over everybody who met them, in the metric's unit; a credible interval."""

    total: float
    sd: float
    low: float
    high: float


def cumulative_impact(
    effects: Sequence[float],
    sds: Sequence[float],
    exposed: Sequence[float],
    *,
    shared_sds: Sequence[float] | None = None,
    confidence_level: float = 0.95,
) -> Impact:
    """Add up shrunk effects times the population that met them (STATISTICS.md 1.12).

    Parameters
    ----------
    effects, sds : sequence of float
        Shrunk effect of each shipped experiment per exposed unit, and its standard deviation:
        from `shrink`, or ``shrunk`` and ``shrunk_sd`` of `random_effects`. Never raw estimates:
        a sum of winners adds up their luck.
    exposed : sequence of float
        Units that met each change, not negative; for lifts, times control's mean.
    shared_sds : sequence of float, optional
        Part of each ``sd`` that all effects have in common (``shared_sd`` of `random_effects`).
        Default: none, their variances add.
    confidence_level : float, default 0.95
        Probability inside the interval, strictly between 0 and 1.

    Returns
    -------
    Impact
        In the metric's unit.

    Raises
    ------
    ParameterError
        If there are no effects, the sequences differ in length, a number is not finite, a ``sd``
        or a population is negative, or a shared part is larger than its whole.

    Notes
    -----
    Effects are taken to add up and to last. Neither is certain: a long-running holdout measures
    the total itself, and calibrates this one.

    Examples
    --------
    >>> year = cumulative_impact([0.04, 0.01], [0.01, 0.02], [50_000, 80_000])
    >>> round(year.total), round(year.sd)
    (2800, 1676)
    """
    margin = normal_quantile(checked_level(confidence_level))
    shared = [0.0] * len(effects) if shared_sds is None else shared_sds
    if not 0 < len(effects) == len(sds) == len(exposed) == len(shared):
        raise ParameterError("effects, sds, populations: as many of each, and at least one")
    rows = list(zip(effects, sds, exposed, shared, strict=True))
    for effect, sd, units, common in rows:
        if not (math.isfinite(effect) and 0 <= common <= sd < math.inf and 0 <= units < math.inf):
            raise ParameterError(
                f"effect {effect}, sd {sd} (shared {common}), population {units}: finite, the "
                "latter not negative, the shared part within its whole"
            )
    total = math.fsum(effect * units for effect, _, units, _ in rows)
    own = math.fsum((sd * sd - common * common) * units * units for _, sd, units, common in rows)
    together = math.fsum(units * common for _, _, units, common in rows)
    sd = math.hypot(math.sqrt(max(0.0, own)), together)
    return Impact(total, sd, total - margin * sd, total + margin * sd)
