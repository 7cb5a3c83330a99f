"""Counting attempts: how many in a while, and how long to wait after failures. Pure but for a lock.

Counts live in the memory of one process: with ``N`` workers, up to ``N`` times the limit passes.
The lock-out of an account is in the database and holds over all of them.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque

FREE_FAILURES = 4
FIRST_LOCK_SECONDS = 15
LONGEST_LOCK_SECONDS = 15 * 60
REMEMBERED_KEYS = 10_000


def lock_seconds(failures: int) -> int:
    """How long an account stays shut after so many failures in a row: doubling, to a ceiling."""
    if failures <= FREE_FAILURES:
        return 0
    doublings = min(failures - FREE_FAILURES - 1, 16)
    return min(LONGEST_LOCK_SECONDS, FIRST_LOCK_SECONDS << doublings)


class Throttle:
    """At most ``limit`` attempts of a key within ``window_seconds``."""

    def __init__(self, limit: int, window_seconds: float) -> None:
        self._limit = limit
        self._window = window_seconds
        self._attempts: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def attempt(self, key: str, now: float) -> int | None:
        """Count an attempt; None if it may pass, else the whole seconds until one may."""
        with self._lock:
            times = self._attempts.setdefault(key, deque())
            self._attempts.move_to_end(key)
            if len(self._attempts) > REMEMBERED_KEYS:
                self._attempts.popitem(last=False)
            while times and times[0] <= now - self._window:
                times.popleft()
            if len(times) >= self._limit:
                return max(1, math.ceil(times[0] + self._window - now))
            times.append(now)
            return None


class UnknownAccounts:
    """The same lock-out for addresses that no account has: a refusal must not tell which exist."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def attempt(self, email: str, now: float) -> int | None:
        """Count a failure; None if it was listened to, else the seconds until one will be."""
        with self._lock:
            failures, locked_until = self._failures.get(email, (0, 0.0))
            if locked_until > now:
                return max(1, math.ceil(locked_until - now))
            failures += 1
            self._failures[email] = (failures, now + lock_seconds(failures))
            self._failures.move_to_end(email)
            if len(self._failures) > REMEMBERED_KEYS:
                self._failures.popitem(last=False)
            return None
