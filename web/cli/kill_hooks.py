"""``flagstone kill-hooks …``: what an alert may kill."""

from __future__ import annotations

from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.options import filter_option
from web.cli.output import moment

_IN = click.option("-e", "--environment", default="production", show_default=True, help="of which")


@click.group(name="kill-hooks")
def kill_hooks() -> None:
    """Let an alert kill flags, and nothing else."""


@kill_hooks.command(name="list")
@_IN
@filter_option("kills:checkout -is:revoked")
@pass_invocation
def list_hooks(invocation: Invocation, environment: str, filter_: str | None) -> None:
    """List an environment's kill hooks."""
    found = invocation.remote.items(_path(invocation, environment), filter=filter_)
    invocation.output.table(
        found if invocation.output.as_json else [_row(each) for each in found],
        [(name, name) for name in ("id", "name", "kills", "state", "used")],
        empty="No kill hook yet. Make one: flagstone kill-hooks create alerts --flag checkout",
    )


def _row(hook: dict[str, Any]) -> dict[str, Any]:
    state = "good" if hook["revoked_at"] is None else "revoked"
    kills = f"{hook['scope']}: {', '.join(hook['names'])}"
    return {**hook, "kills": kills, "state": state, "used": moment(hook["used_at"])}


@kill_hooks.command()
@click.argument("name")
@_IN
@click.option("--flag", "flags", multiple=True, help="it may kill this flag; may be repeated")
@click.option("--owner", "owners", multiple=True, help="every flag of this owner; repeated")
@click.option("--tag", "tags", multiple=True, help="every flag with this tag; repeated")
@pass_invocation
def create(
    invocation: Invocation,
    name: str,
    environment: str,
    flags: tuple[str, ...],
    owners: tuple[str, ...],
    tags: tuple[str, ...],
) -> None:
    """Make a kill hook and print its secret, this once."""
    given = {"flags": flags, "owner": owners, "tag": tags}
    chosen = [(scope, list(names)) for scope, names in given.items() if names]
    if len(chosen) != 1:
        raise click.UsageError("say one of --flag, --owner and --tag")
    ((scope, names),) = chosen
    body = {"name": name, "scope": scope, "names": names}
    answer = invocation.remote.post(_path(invocation, environment), body)
    url = f"{invocation.url.rstrip('/')}/hooks/kill"
    invocation.output.document(
        answer,
        f"Kill hook {answer['id']} is made. Its secret, shown this once:\n{answer['secret']}\n"
        f"Let alerts go to {url} with the header Authorization: Bearer and the secret.",
    )


@kill_hooks.command()
@click.argument("hook_id", type=int)
@_IN
@pass_invocation
def revoke(invocation: Invocation, hook_id: int, environment: str) -> None:
    """Shut a kill hook for ever."""
    path = f"{_path(invocation, environment)}/{hook_id}/revoke"
    invocation.output.document(
        invocation.remote.post(path), f"Kill hook {hook_id} opens nothing any more."
    )


def _path(invocation: Invocation, environment: str) -> str:
    return invocation.remote.project_path("environments", environment, "kill-hooks")
