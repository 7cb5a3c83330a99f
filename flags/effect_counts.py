"""Counts of a sample: who got one value and would get another, and how sure its share is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from flagstone.engine import Served

# The two-sided 95 % quantile of the normal distribution.
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Share:
    """A count of a sample, its share, and the 95 % interval of the share (Wilson)."""

    count: int
    share: float
    low: float
    high: float
    size: int = 0

    def document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        return {"count": self.count, "share": self.share, "low": self.low, "high": self.high}


@dataclass(slots=True)
class Cell:
    """Contexts of the sample that got ``before`` and would get ``after``."""

    before: Served
    after: Served
    moves: bool
    count: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    def share(self, size: int) -> Share:
        """Give the share that these are of a sample."""
        return share_of(self.count, size)


def share_of(count: int, size: int) -> Share:
    """Give a share with Wilson's 95 % interval [1]_.

    References
    ----------
    .. [1] E. B. Wilson, J. Am. Stat. Assoc. 22, 209-212 (1927).
       :doi:`10.1080/01621459.1927.10502953`
    """
    share = count / size
    spread = _Z * _Z / size
    middle = (share + spread / 2) / (1 + spread)
    margin = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    low = 0.0 if count == 0 else max(0.0, middle - margin)
    high = 1.0 if count == size else min(1.0, middle + margin)
    return Share(count, share, low, high, size)
