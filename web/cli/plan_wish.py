"""What somebody asks of ``flagstone plan``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stats import DecisionPlan, World


@dataclass(frozen=True)
class Wish:
    """What was asked for, in the terms of ``stats``."""

    plan: DecisionPlan
    world: World
    traffic: tuple[float, ...]
    days: int
    share: float
    window_days: int
    power: float
    has_covariate: bool = False
