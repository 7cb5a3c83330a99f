"""Integers beyond 2**53, of which several have one double."""

from __future__ import annotations

import math
import sys
from typing import Final

EXACT: Final = 2**53
"""Up to here every integer has a double of its own."""


def rounding_to(number: float) -> tuple[int | float, int | float]:
    """Return the least and the greatest number whose double is ``number``, which is finite."""
    if abs(number) < EXACT:
        return number, number
    whole, largest = int(number), sys.float_info.max
    low = (int(max(math.nextafter(number, -math.inf), -largest)) + whole) // 2
    high = (int(min(math.nextafter(number, math.inf), largest)) + whole) // 2
    while float(low) != number:
        low += 1
    while float(high) != number:
        high -= 1
    return low, high
