"""``flagstone events``: what comes in, how good it is, and what the store holds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.local import installation
from web.cli.options import environment_option
from web.cli.output import CommandError, moment

KINDS = ("received", "duplicate", "late", "ahead", "too_old", "too_far_ahead")


@click.group()
def events() -> None:
    """Look at exposures and tracking events."""


@events.command()
@click.option(
    "--hours", type=click.IntRange(1, 720), default=24, show_default=True, help="of arrival"
)
@environment_option
@pass_invocation
def quality(invocation: Invocation, environment: str, hours: int) -> None:
    """Show, by hour of arrival, how many events were late, repeated or of a wrong time."""
    path = invocation.remote.project_path("environments", environment, "events")
    found = invocation.remote.get(path, hours=hours)["quality"]
    if not invocation.output.as_json:
        found = [{**hour, "hour": moment(hour["hour"])} for hour in found]
    invocation.output.table(
        found,
        [("hour", "hour"), *((kind, kind.replace("_", " ")) for kind in KINDS)],
        empty="No event came in. Give the application a server key of this environment.",
    )


@events.command()
@pass_invocation
def status(invocation: Invocation) -> None:
    """Show what this machine's event store holds (reads its settings, not the service)."""
    from experiments.store.inbox import inbox_path
    from experiments.store.opening import open_front

    with installation() as settings:
        place = settings.events_place
        if isinstance(place, Path) and not inbox_path(place).exists():
            # Opening it would make it, and perhaps belong to whoever only wanted to look.
            raise CommandError(
                f"there is no event store in {place}",
                hint="see FLAGSTONE_DATA_DIR and FLAGSTONE_EVENTS_URL",
            )
        front = open_front(place)
        held = front.status()
        front.close()
    where = "PostgreSQL" if settings.events_url else str(settings.events_directory)
    kept = f"{settings.events_keep_days} days" if settings.events_keep_days else "for ever"
    document = {"store": where, "kept": kept, **asdict(held)}
    document |= {"oldest": str(held.oldest or "–"), "newest": str(held.newest or "–")}
    about = "" if held.exact else "about "
    invocation.output.document(
        document,
        f"{about}{held.events:,} events of {held.days:,} days ({document['oldest']} to "
        f"{document['newest']}, UTC), {held.bytes / 1e6:,.1f} MB in {where}; "
        f"{held.waiting:,} wait to be moved into files. Kept {kept}.",
    )
