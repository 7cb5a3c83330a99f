"""How often one key or person may call the API, published on every answer and in the document.

A bucket for each caller: it holds a minute's requests and fills evenly, so that a script may burst
and no caller may hold the service. Answers carry ``RateLimit-Policy`` and ``RateLimit`` as
structured fields [1]_; who has none left gets 429 with ``Retry-After``, and nothing is done.

Buckets live in one web process, as the other limits of this service do: with N web processes a
caller gets up to N times the quota, never less than it. What must hold over all processes (lock-out
after wrong passwords, budgets of keys) is in the database and does not rest on this.

References
----------
.. [1] R. Polli, A. Martinez, D. Miller, RateLimit header fields for HTTP,
   draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import cast

from flask import Flask, Response, current_app, g

from web.auth.guard import find_caller
from web.errors import TooManyRequestsError
from web.transactions import now

POLICY = "caller"
WINDOW_SECONDS = 60
REMEMBERED_CALLERS = 10_000
_LIMIT = "flagstone.api_limit"


@dataclass(frozen=True)
class Standing:
    """What a caller has left: ``remaining`` requests, all of them again in ``reset_seconds``."""

    passed: bool
    remaining: int
    reset_seconds: int
    retry_after_seconds: int


class Quota:
    """Buckets that hold ``per_minute`` requests each and fill evenly.

    Parameters
    ----------
    per_minute : int
        Requests that a caller may make in a minute; at least one.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._interval = WINDOW_SECONDS / per_minute
        # When each bucket will be full again: one number says it all.
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, caller: str, at: float) -> Standing:
        """Count a request of a caller at ``at`` (POSIX seconds) unless there is none left."""
        with self._lock:
            # Never later than an empty bucket needs, also when the clock was set back.
            full_at = min(max(self._full_at.get(caller, at), at), at + WINDOW_SECONDS)
            late = full_at + self._interval - at - WINDOW_SECONDS
            # A hair's breadth, because the sums of fractions are not exact.
            passed = late <= 1e-6
            if passed:
                full_at += self._interval
            self._full_at[caller] = full_at
            self._full_at.move_to_end(caller)
            if len(self._full_at) > REMEMBERED_CALLERS:
                self._full_at.popitem(last=False)
        missing = full_at - at
        remaining = math.floor((WINDOW_SECONDS - missing) / self._interval + 1e-6)
        wait = 0 if passed else max(1, math.ceil(late))
        return Standing(passed, max(0, remaining), math.ceil(missing), wait)


def register(app: Flask, per_minute: int) -> None:
    """Give an application its quota; 0 for none."""
    app.extensions[_LIMIT] = Quota(per_minute) if per_minute > 0 else None


def quota() -> Quota | None:
    """Return the quota of the running application, None if callers may call as they like."""
    return cast("Quota | None", current_app.extensions.get(_LIMIT))


def count_request() -> None:
    """Count the request for its caller, or refuse it (a ``before_request`` function).

    Raises
    ------
    TooManyRequestsError
        The caller has none left.
    """
    limit = quota()
    caller = find_caller() if limit is not None and "caller" in g else None
    if limit is None or caller is None:
        return
    g.standing = limit.take(caller.principal, now().timestamp())
    if not g.standing.passed:
        message = f"more than {limit.per_minute} requests in a minute"
        raise TooManyRequestsError(message, retry_after_seconds=g.standing.retry_after_seconds)


def add_headers(response: Response) -> Response:
    """Say on an answer how much is left (an ``after_request`` function)."""
    limit, standing = quota(), cast("Standing | None", g.get("standing"))
    if limit is not None and standing is not None:
        response.headers["RateLimit-Policy"] = f'"{POLICY}";q={limit.per_minute};w={WINDOW_SECONDS}'
        response.headers["RateLimit"] = (
            f'"{POLICY}";r={standing.remaining};t={standing.reset_seconds}'
        )
    return response
