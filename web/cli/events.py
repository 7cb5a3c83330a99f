"""``flagstone events``: what comes in, how good it is, and what the store holds."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.local import installation
from web.cli.options import environment_option
from web.cli.output import CommandError, Output, moment, printable

PAUSE_SECONDS = 1.0
OVERLAP = dt.timedelta(seconds=10)
PAGE = 500
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
@click.option("--flag", help="only exposures of this flag")
@click.option(
    "--type", "kind", type=click.Choice(["exposure", "event"]), help="exposures, or what people did"
)
@click.option("--limit", type=click.IntRange(min=1), help="end after so many")
@environment_option
@pass_invocation
def tail(
    invocation: Invocation, flag: str | None, kind: str | None, limit: int | None, environment: str
) -> None:
    """Follow what comes in: of the last minute, and then as it comes; Ctrl-C ends it.

    One line each, JSON lines in a pipe. Whom an event is of is never shown.
    """
    path = invocation.remote.project_path("environments", environment, "events", "latest")
    following = Following(
        lambda **query: invocation.remote.get(path, flag=flag, type=kind, **query)
    )
    left, warned = limit, False
    try:
        while True:
            for event in following.fresh()[:left]:
                _print_event(invocation.output, event)
                left = None if left is None else left - 1
            if left == 0:
                return
            if following.too_many and not warned:
                click.echo("more comes in than can be followed; some is left out", err=True)
            warned = following.too_many
            time.sleep(PAUSE_SECONDS)
    except KeyboardInterrupt:
        return


class Following:
    """What is new since the last look; it remembers some seconds of what was shown, and no more.

    Parameters
    ----------
    ask : callable
        Gives ``items`` (newest first) and ``more`` of the events since an instant.
    """

    def __init__(self, ask: Callable[..., dict[str, Any]]) -> None:
        self._ask = ask
        self._since: str | None = None
        self._seen: dict[str, str] = {}
        self.too_many = False

    def fresh(self) -> list[dict[str, Any]]:
        """Give what was not given before, oldest first."""
        answer = self._ask(since=self._since, limit=PAGE)
        self.too_many = answer["more"]
        items: list[dict[str, Any]] = answer["items"][::-1]
        found = [each for each in items if each["id"] not in self._seen]
        if items:
            # Events come in a little out of order, and from clocks that run ahead.
            newest = min(dt.datetime.now(dt.UTC), _instant(items[-1]["time"]))
            self._since = (newest - OVERLAP).isoformat()
            self._seen = {
                each["id"]: each["time"]
                for each in items
                if _instant(each["time"]) >= newest - OVERLAP
            }
        return found


def _instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _print_event(output: Output, event: dict[str, Any]) -> None:
    if output.quiet:
        return
    if output.as_json:
        line = json.dumps(event, ensure_ascii=False)
    else:
        what = (
            [event["flag"], event["variant"], event["rule"]]
            if event["type"] == "exposure"
            else [event["name"], "" if event["value"] is None else f"{event['value']:g}"]
        )
        at = moment(event["time"]) or ""
        line = printable(f"{at}  {event['type']:<8}  {'  '.join(each or '–' for each in what)}")
    click.echo(line)


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
