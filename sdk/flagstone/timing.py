"""How long the client waits, and for what: every number of seconds in one place."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds for unusual networks and for tests; the defaults suit everybody else.

    Parameters
    ----------
    connect_seconds, answer_seconds : float
        Limit for a connection to come up, and for one whole answer to arrive.
    silence_seconds : float
        A stream without a single byte for so long is dead (the service sends one every 15 s).
    backoff_seconds, backoff_limit_seconds : float
        First and largest upper bound of the random wait after a failure ("full jitter").
    refused_seconds : float
        Longest wait after 401, 403 and other answers that will not change soon; the first waits
        are shorter, for a key made a moment ago may not be known to every process yet.
    retry_after_limit_seconds : float
        The longest ``Retry-After`` that is honoured.
    exposure_window_seconds : float
        An exposure seen again within this window is not recorded again.
    heartbeat_seconds : float
        How often (± 20 %) the service is told which revision is served here; 0 for never.
    exit_seconds : float
        How long the end of the process may wait for events to be sent.
    """

    connect_seconds: float = 5.0
    answer_seconds: float = 15.0
    silence_seconds: float = 45.0
    backoff_seconds: float = 0.5
    backoff_limit_seconds: float = 30.0
    refused_seconds: float = 60.0
    retry_after_limit_seconds: float = 600.0
    exposure_window_seconds: float = 300.0
    heartbeat_seconds: float = 30.0
    exit_seconds: float = 2.0

    def backoff(self, failures: int) -> float:
        """Return a random wait whose upper bound doubles with every failure in a row."""
        # The exponent is bounded: 2.0 ** 2000 would overflow after a long outage.
        doubled = self.backoff_seconds * 2.0 ** min(max(failures - 1, 0), 30)
        return random.uniform(0.0, min(self.backoff_limit_seconds, doubled))

    def refused(self, refusals: int) -> float:
        """Return the wait after refusals in a row: a second, doubled each time, then slowly."""
        return spread(min(self.refused_seconds, 2.0 ** min(max(refusals - 1, 0), 30)))


def spread(seconds: float) -> float:
    """Return ``seconds`` ± 20 %, so that a thousand clients do not ask in step."""
    return random.uniform(0.8, 1.2) * seconds
