"""What the adapters of golden methods share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from stats import SpendingShape
from stats.sequential.bounds import CEILING

Inputs = Mapping[str, Any]
Outputs = dict[str, Any]
Topics = dict[str, Callable[[Inputs], Outputs]]

SHAPES = {
    "asOF": SpendingShape.OBRIEN_FLEMING,
    "asKD": SpendingShape.KIM_DEMETS,
    "kd": SpendingShape.KIM_DEMETS,
    "asP": SpendingShape.POCOCK,
    "asHSD": SpendingShape.HWANG_SHIH_DECANI,
}


def normal_upper(z: float) -> float:
    return math.erfc(z / math.sqrt(2)) / 2


def reachable(bounds: Any) -> list[float]:
    """Write a bound that cannot be reached as the reference programs do: the end of their grid."""
    return [min(u, CEILING) for u in bounds]
