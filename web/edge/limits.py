"""So many requests per second and key, and how long to wait for the next one.

Per process and in memory, as the other limits of this service are: with N web processes up to N
times the limit passes. It is there against a page that asks in a loop, not against an attack.
"""

from __future__ import annotations

import math


class RateLimit:
    """A bucket for each key that holds one second's requests.

    Parameters
    ----------
    per_second : float
        How many requests a key may make; 0 for any number.
    """

    def __init__(self, per_second: float) -> None:
        self._interval = 1 / per_second if per_second > 0 else 0.0
        self._burst = max(1.0, per_second) * self._interval
        # When each key's bucket will be full again: one number says it all.
        self._full_at: dict[str, float] = {}

    def wait_seconds(self, key_hash: str, now: float) -> int:
        """Count one request; 0 if it may pass, else the whole seconds after which one will."""
        if not self._interval:
            return 0
        # Never later than an empty bucket needs, also when the clock was set back.
        full_at = min(max(self._full_at.get(key_hash, now), now), now + self._burst)
        late = full_at + self._interval - now - self._burst
        # A hair's breadth, because the sums of fractions are not exact.
        passes = late <= 1e-9
        self._full_at[key_hash] = full_at + self._interval if passes else full_at
        return 0 if passes else math.ceil(late)
