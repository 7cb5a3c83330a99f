"""``flagstone flags stale|archive|restore|describe``: which had their time, and what they are."""

from __future__ import annotations

from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.options import environment_option, flag_key_argument
from web.cli.output import EXIT_USAGE, CommandError
from web.cli.sending import Way, changing_options, send_change


@click.command()
@click.option("--owner", help="only those of one owner")
@click.option("--all", "everything", is_flag=True, help="every flag with its verdict")
@pass_invocation
def stale(invocation: Invocation, owner: str | None, *, everything: bool) -> None:
    """List flags that ask somebody to do something: expired, stale, safe to remove."""
    remote = invocation.remote
    found = remote.items(
        remote.project_path("lifecycle"), owner=owner, all="true" if everything else None
    )
    invocation.output.table(
        found,
        [("flag", "flag"), ("verdict", "verdict"), ("owner", "owner"), ("sentence", "why")],
        empty="No flag asks for anything.",
    )


@click.command()
@flag_key_argument
@environment_option
@changing_options
@pass_invocation
def archive(invocation: Invocation, flag_key: str, environment: str, way: Way) -> None:
    """Take a flag out of every environment; its history stays, and `restore` brings it back."""
    send_change(invocation, flag_key, environment, [{"do": "archive", "flag": flag_key}], way)


@click.command()
@flag_key_argument
@environment_option
@changing_options
@pass_invocation
def restore(invocation: Invocation, flag_key: str, environment: str, way: Way) -> None:
    """Bring a flag back from the archive."""
    send_change(invocation, flag_key, environment, [{"do": "restore", "flag": flag_key}], way)


@click.command()
@flag_key_argument
@click.option("--name", help="as people read it")
@click.option("--description", help="what it is for")
@click.option("--owner", help="who decides about it; '' for nobody")
@click.option("--expires", metavar="TIME", help="until when it is wanted; '' for no end")
@click.option("--kind", type=click.Choice(["temporary", "permanent"]), help="is it meant to go?")
@environment_option
@changing_options
@pass_invocation
def describe_flag(
    invocation: Invocation,
    flag_key: str,
    environment: str,
    way: Way,
    name: str | None,
    description: str | None,
    owner: str | None,
    expires: str | None,
    kind: str | None,
) -> None:
    """Say what a flag is: its name, its owner, until when it is wanted; in every environment."""
    said = {
        "name": name,
        "description": description,
        "owner": owner,
        "expires": expires,
        "kind": kind,
    }
    named: dict[str, Any] = {field: value for field, value in said.items() if value is not None}
    if not named:
        raise CommandError(
            "nothing to say", hint="see flagstone flags describe --help", exit_code=EXIT_USAGE
        )
    if "expires" in named:
        named["expires"] = named["expires"] or None
    instruction = {"do": "update_flag", "flag": flag_key, **named}
    send_change(invocation, flag_key, environment, [instruction], way)
