"""``flagstone changes …``: changes that wait for approval or for their time."""

from __future__ import annotations

from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.files import read_data
from web.cli.options import filter_option
from web.cli.output import moment
from web.cli.receipts import finish, wait_option

_STATES = click.Choice(
    ["open", "approved", "applied", "declined", "withdrawn", "stale", "failed", "missed"]
)
_HASH_SHOWN = 12


@click.group()
def changes() -> None:
    """Edit, approve, decline, withdraw and apply changes that wait."""


@changes.command(name="list")
@click.option("--state", type=_STATES, help="only those in this state")
@click.option("-e", "--environment", help="only those of one environment")
@click.option("--flag", help="only those that touch one flag")
@filter_option("by:me is:waiting created:<7d")
@pass_invocation
def list_changes(
    invocation: Invocation,
    state: str | None,
    environment: str | None,
    flag: str | None,
    filter_: str | None,
) -> None:
    """List changes that wait, or did, newest first."""
    remote = invocation.remote
    query: dict[str, Any] = {"state": state, "environment": environment, "flag": flag}
    found = remote.items(remote.project_path("changes"), filter=filter_, **query)
    columns = ("id", "state", "environment", "at", "author", "approvals", "what")
    rows = found if invocation.output.as_json else [_row(each) for each in found]
    invocation.output.table(
        rows,
        [(name, name) for name in columns],
        empty="No change waits. Ask for one: flagstone flags on my-flag --request",
    )


def _row(change: dict[str, Any]) -> dict[str, Any]:
    approvals = f"{len(change['approvals'])} of {change['approvals_needed']}"
    what = change["preview"]["sentence"]
    return {**change, "at": moment(change["at"]), "approvals": approvals, "what": what}


@changes.command()
@click.argument("change_id", type=int)
@pass_invocation
def show(invocation: Invocation, change_id: int) -> None:
    """Say what a change would do, who asks for it and who has approved it."""
    document = _read(invocation, change_id)
    invocation.output.document(document, waiting_words(document))


@changes.command()
@click.argument("change_id", type=int)
@click.argument("file", required=False)
@click.option("--at", metavar="TIME", help="carry it out at this time (2026-12-01T09:00:00Z)")
@click.option("-m", "--comment", help="why")
@pass_invocation
def edit(
    invocation: Invocation, change_id: int, file: str | None, at: str | None, comment: str | None
) -> None:
    """Write a change anew: the instructions in FILE (JSON, - for the input), its time, its reason.

    Every approval is void. With nothing to change it is renewed as things stand now.
    """
    edits: dict[str, Any] = {"at": at, "comment": comment}
    if file is not None:
        edits["instructions"] = read_data(file)
    remote = invocation.remote
    given = {name: value for name, value in edits.items() if value is not None}
    answer = remote.patch(remote.project_path("changes", str(change_id)), given)
    invocation.output.document(answer, waiting_words(answer))


@changes.command()
@click.argument("change_id", type=int)
@click.option("--hash", "content_hash", help="approve only the content whose hash begins so")
@click.option("-m", "--comment", default="", help="why")
@pass_invocation
def approve(invocation: Invocation, change_id: int, content_hash: str | None, comment: str) -> None:
    """Approve a change exactly as it is now."""
    document = _read(invocation, change_id)
    found = document["content_hash"]
    wanted = found if content_hash is None or found.startswith(content_hash) else content_hash
    _do(invocation, change_id, "approve", {"content_hash": wanted, "comment": comment})


@changes.command()
@click.argument("change_id", type=int)
@click.option("-m", "--comment", required=True, help="why not")
@pass_invocation
def decline(invocation: Invocation, change_id: int, comment: str) -> None:
    """Say no to a change; that ends it."""
    _do(invocation, change_id, "decline", {"comment": comment})


@changes.command()
@click.argument("change_id", type=int)
@click.option("-m", "--comment", default="", help="why")
@pass_invocation
def withdraw(invocation: Invocation, change_id: int, comment: str) -> None:
    """Take back a change of your own."""
    _do(invocation, change_id, "withdraw", {"comment": comment})


@changes.command()
@click.argument("change_id", type=int)
@wait_option
@pass_invocation
def apply(invocation: Invocation, change_id: int, wait_seconds: int | None) -> None:
    """Apply a change that was approved (exit code 4 while it is not, 3 if it is stale)."""
    _do(invocation, change_id, "apply", {}, wait_seconds)


def _read(invocation: Invocation, change_id: int) -> dict[str, Any]:
    remote = invocation.remote
    return remote.get(remote.project_path("changes", str(change_id)))


def _do(
    invocation: Invocation,
    change_id: int,
    verb: str,
    body: dict[str, Any],
    wait_seconds: int | None = None,
) -> None:
    remote = invocation.remote
    path = remote.project_path("changes", str(change_id), verb)
    answer = remote.post(path, body, wait_seconds=wait_seconds)
    finish(invocation.output, answer, waiting_words(answer), wait_seconds)


def waiting_words(change: dict[str, Any]) -> str:
    """Tell a change that waits, or did, in a few lines."""
    at = "" if change["at"] is None else f", for {moment(change['at'])}"
    lines = [
        f"Change {change['id']} of {change['environment']} is {change['state']}{at}.",
        change["preview"]["sentence"],
        f"Asked for by {change['author']}"
        + (f": {change['comment']}" if change["comment"] else ""),
    ]
    if change["approvals_needed"] or change["approvals"]:
        names = ", ".join(each["by"] for each in change["approvals"]) or "nobody"
        needed = change["approvals_needed"]
        lines.append(f"Approved by {names} ({len(change['approvals'])} of {needed})")
    if change["outcome"] is not None and change["outcome"]["reason"]:
        lines.append(f"Because: {change['outcome']['reason']}")
    prediction = change.get("prediction")
    if prediction is not None and prediction["looks"]:
        lines.append(("Alarm: " if prediction["alarm"] else "") + prediction["sentence"])
    lines.append(f"Content {change['content_hash'][:_HASH_SHOWN]}")
    return "\n".join(lines)
