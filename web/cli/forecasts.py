"""The forecast as commands see it: waited for a little, then in words."""

from __future__ import annotations

import time
from typing import Any

from experiments.planning.forecast_words import forecast_lines
from web.cli.remote import Remote

# The worker ticks every second, and takes about one for a forecast.
WAIT_SECONDS = 10.0
_EVERY_SECONDS = 0.25


def wait_for_forecast(
    remote: Remote,
    experiment: str,
    environment: str | None = None,
    *,
    seconds: float = WAIT_SECONDS,
) -> dict[str, Any]:
    """Read a forecast, and wait a little for the worker that makes it."""
    path = remote.project_path("experiments", experiment, "forecast")
    deadline = time.monotonic() + seconds
    while True:
        found = remote.get(path, environment=environment)
        if found["status"] == "ready" or time.monotonic() > deadline:
            return found
        time.sleep(_EVERY_SECONDS)


def forecast_text(found: dict[str, Any]) -> str:
    """Say a forecast, and what the customer signed for."""
    if found["status"] != "ready":
        return "No forecast yet. Is a worker running? Ask again: flagstone experiments forecast"
    signed = [f"{each['by']} accepts the risk {each['risk']}." for each in found["accepted"]]
    return "\n".join([*forecast_lines(found), *signed])
