"""Who was lost from recorded files with a row per unit: whoever met an arm and has no row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.contract.plan import Plan
from experiments.judging.quality import Quality, quality_of
from experiments.replays.replay_files import Exposures, LongOutcome, WideOutcome


def recorded_quality(
    plan: Plan,
    exposures: Exposures,
    outcomes: Mapping[str, WideOutcome | LongOutcome],
    offset: float,
) -> Quality:
    """Say what is known about recorded data at a look."""
    lost = lost_units(plan, exposures, outcomes, offset)
    return quality_of(plan, quarantined=exposures.quarantined, lost=lost)


def lost_units(
    plan: Plan,
    exposures: Exposures,
    outcomes: Mapping[str, WideOutcome | LongOutcome],
    offset: float,
) -> dict[str, dict[str, int]] | None:
    """Count by arm the units whose longest window has passed, and those of them without a row.

    ``None`` where every unit has one, and where outcomes are events: there no event is a zero.
    """
    wide = next((each for each in outcomes.values() if isinstance(each, WideOutcome)), None)
    if wide is None or wide.present is None:
        return None
    longest = max(metric.window_seconds for metric in plan.metrics)
    watched = np.ones(len(exposures.arm), dtype=bool)
    if exposures.first is not None:
        watched = exposures.first + longest <= float(exposures.first.min()) + offset
    return {
        arm: {
            "units": int((watched & (exposures.arm == place)).sum()),
            "lost": int((watched & (exposures.arm == place) & ~wide.present).sum()),
        }
        for place, arm in enumerate(plan.arms)
    }
