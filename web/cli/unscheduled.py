"""``flagstone experiments look``: what the last look saw, and what may be said now."""

from __future__ import annotations

import textwrap
import time
from typing import Any

import click

from experiments.telling.card import WIDTH
from web.cli.context import Invocation, pass_invocation
from web.cli.options import which_environment_option
from web.cli.output import moment
from web.cli.remote import Remote

# The worker ticks every second; reading a great many events takes longer.
WAIT_SECONDS = 30.0
_EVERY_SECONDS = 0.25


@click.command()
@click.argument("experiment")
@click.option("--now", "ask", is_flag=True, help="read up to now: intervals that decide nothing")
@which_environment_option
@pass_invocation
def look(invocation: Invocation, experiment: str, environment: str | None, *, ask: bool) -> None:
    """Show the last scheduled look; with --now also intervals that hold however often you ask."""
    remote = invocation.remote
    path = remote.project_path("experiments", experiment, "looks", "now")
    if ask:
        remote.post(path, environment=environment)
    found = _wait(remote, path, environment, seconds=WAIT_SECONDS if ask else 0.0)
    card = remote.get_text(
        remote.project_path("experiments", experiment, "card.txt"), environment=environment
    )
    said = "\n".join([card.rstrip(), "", *_lines(found, asked=ask)])
    invocation.output.document({"card": card, "now": found}, said)


def _wait(remote: Remote, path: str, environment: str | None, *, seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        found: dict[str, Any] = remote.get(path, environment=environment)
        if found["status"] != "pending" or time.monotonic() >= deadline:
            return found
        time.sleep(_EVERY_SECONDS)


def _lines(found: dict[str, Any], *, asked: bool) -> list[str]:
    if found["status"] == "none":
        return ["Nobody has asked between looks. Ask: flagstone experiments look KEY --now"]
    if found["status"] == "pending" and asked:
        return ["NOW    No answer yet. Is a worker running? Ask again: … look KEY --now"]
    reading = found["reading"]
    if reading is None:
        return ["NOW    Asked, and not answered yet."]
    if reading["failed"] is not None:
        return [f"NOW    Asked by {found['asked_by']}, but {reading['failed']}."]
    notes = [reading["hidden_because"]] if reading["hidden_because"] else []
    if reading["alarm"]:
        notes.append(f"Not to be trusted as it is: {reading['alarm']}.")
    lines = [*reading["about"], *notes, *(row["text"] for row in reading["rows"])]
    by = f"(asked by {found['asked_by']} at {moment(str(found['asked_at']))})"
    return [
        wrapped
        for i, line in enumerate([*lines, by])
        for wrapped in textwrap.wrap(
            line,
            WIDTH,
            initial_indent=f"{'NOW' if i == 0 else '':<7}",
            subsequent_indent=" " * 7,
        )
    ]
