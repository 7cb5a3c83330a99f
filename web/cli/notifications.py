"""``flagstone notifications``: what happened that you may want to know."""

from __future__ import annotations

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.output import moment


@click.command()
@click.option("--limit", type=int, default=20, show_default=True, help="at most so many")
@click.option("-k", "--kind", help="of one kind or group: flag, approval, experiment.verdict, …")
@click.option("--read", "mark", is_flag=True, help="mark everything as read")
@pass_invocation
def notifications(invocation: Invocation, limit: int, kind: str | None, *, mark: bool) -> None:
    """Tell of verdicts, alarms, approvals, schedules and kills, newest first."""
    remote = invocation.remote
    found = remote.items(remote.project_path("notifications"), limit=limit, kind=kind)
    if mark and found:
        remote.post(remote.project_path("notifications", "read"), {"up_to": found[0]["id"]})
    rows = [
        {**each, "at": moment(each["at"]), "new": "new" if each["unread"] else ""} for each in found
    ]
    invocation.output.table(
        found if invocation.output.as_json else rows,
        [(name, name) for name in ("at", "new", "kind", "sentence")],
        empty="Nothing has happened yet that you would want to know.",
    )
