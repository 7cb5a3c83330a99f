"""``/healthz``, ``/readyz`` and ``/metrics``: is it alive, may it get traffic, what has it done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import orjson

from web.edge.metrics import CONTENT_TYPE, Metrics
from web.edge.problems import JSON, NO_STORE, Answer
from web.edge.state import State

logger = logging.getLogger("flagstone.edge")

CHECK_SECONDS = 3.0


def alive() -> Answer:
    """Answer as long as the event loop turns."""
    return Answer(200, (JSON, NO_STORE), b'{"status":"ok"}')


async def ready(
    state: Callable[[], State],
    check_database: Callable[[], Awaitable[None]],
    check_inbox: Callable[[], None],
) -> Answer:
    """Answer 200 if every request could be served, else 503 with the reasons."""
    reasons = []
    try:
        await asyncio.wait_for(check_database(), CHECK_SECONDS)
    except Exception as error:  # noqa: BLE001  whatever it is, it is the answer
        reasons.append(f"database: cannot be read ({_name(error)})")
    known = state()
    if not known.loaded:
        reasons.append("flag sets: not loaded yet")
    reasons.extend(f"flag set: {failure}" for failure in known.failures.values())
    try:
        check = asyncio.get_running_loop().run_in_executor(None, check_inbox)
        await asyncio.wait_for(check, CHECK_SECONDS)
    except Exception as error:  # noqa: BLE001  as above
        reasons.append(f"event inbox: cannot be written ({_name(error)})")
    document = {"status": "unavailable" if reasons else "ready", "reasons": reasons}
    return Answer(503 if reasons else 200, (JSON, NO_STORE), orjson.dumps(document))


def metrics(counters: Metrics) -> Answer:
    """Answer in Prometheus' text format."""
    return Answer(200, (CONTENT_TYPE, NO_STORE), counters.render())


def _name(error: Exception) -> str:
    # The log has the message; anybody may read this page, and drivers put addresses into it.
    logger.warning("not ready", exc_info=error)
    return type(error).__name__
