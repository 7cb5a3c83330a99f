"""How a winner reaches everybody: the steps of its share, and the alpha that watches each of them.

Every step is compared with the holdback by looks of its own, so that a step's newcomers and the
units of the step before do not mix. The last step, all but the holdback, is the verification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from experiments.contract.document import Reader, format_duration

HELD_BACK = 0.05
SHARE_OF_STEPS = 0.1
"""Share of the harm alpha that the steps before the verification have together."""


@dataclass(frozen=True)
class ShipStep:
    """Serve the winner to ``share`` (0 to 1) of the audience for ``hold_seconds``."""

    share: float
    hold_seconds: float


DEFAULT_RAMP = (ShipStep(0.75, 86400.0),)


def read_ship_ramp(reader: Reader) -> tuple[ShipStep, ...]:
    """Read the steps before the last one; none means that the winner ships in one.

    Raises
    ------
    PlanError
        If a share does not grow, or leaves no room for the holdback.
    """
    if not reader.has("ship_ramp"):
        return DEFAULT_RAMP
    steps: list[ShipStep] = []
    for item in reader.tables("ship_ramp"):
        step = ShipStep(item.number("share", above=0, below=1 - HELD_BACK), item.duration("hold"))
        item.finish()
        if steps and step.share <= steps[-1].share:
            raise item.fault("share", "does not grow", "nobody who has the winner loses it")
        if step.hold_seconds <= 0:
            raise item.fault("hold", "must be longer than nothing", "or leave the step out")
        steps.append(step)
    return tuple(steps)


def ship_ramp_document(steps: tuple[ShipStep, ...]) -> list[dict[str, Any]]:
    """Give the steps as plain data; :func:`read_ship_ramp` reads them back."""
    return [{"share": step.share, "hold": format_duration(step.hold_seconds)} for step in steps]


def harm_share(step: int, last: int) -> float:
    """Tell which share of the harm alpha watches a step; over all steps they sum to one."""
    if last == 0:
        return 1.0
    return 1.0 - SHARE_OF_STEPS if step == last else SHARE_OF_STEPS / last
