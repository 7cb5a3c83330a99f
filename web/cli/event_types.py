"""``flagstone event-types …``: what kind of demand each event is."""

from __future__ import annotations

from typing import Any

import click

from web.cli.context import Invocation, pass_invocation


@click.group(name="event-types")
def event_types() -> None:
    """Say which events are value, and which are failure."""


@event_types.command(name="list")
@pass_invocation
def list_event_types(invocation: Invocation) -> None:
    """List demand classes by event, and what came in without one."""
    remote = invocation.remote
    found = remote.get(remote.project_path("event-types"))
    if invocation.output.as_json:
        invocation.output.document(found)
        return
    rows: list[dict[str, Any]] = list(found["items"])
    rows += [
        {
            "name": each["name"],
            "demand": "neutral (nobody said)",
            "description": f"{each['events']:,} in two days",
        }
        for each in found["unclassified"] or ()
    ]
    invocation.output.table(
        rows,
        [("name", "event"), ("demand", "demand"), ("description", "description")],
        empty="No event yet. Classify one: flagstone event-types set refund failure",
    )


@event_types.command(name="set")
@click.argument("event")
@click.argument("demand", type=click.Choice(["value", "failure", "neutral"]))
@click.option("-d", "--description", help="what it is, for people; kept if not given")
@pass_invocation
def set_event_type(
    invocation: Invocation, event: str, demand: str, description: str | None
) -> None:
    """Say what kind of demand an event is: value, failure or neutral."""
    remote = invocation.remote
    body = {"name": event, "demand": demand}
    if description is not None:
        body["description"] = description
    answer = remote.put(remote.project_path("event-types"), body)
    invocation.output.document(answer, f"{event} is {demand} demand.")
