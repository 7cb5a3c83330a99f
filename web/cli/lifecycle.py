"""``flagstone flags stale|archive|describe``: which had their time, and what they are."""

from __future__ import annotations

from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.flags import mode_of, send_change
from web.cli.options import (
    comment_option,
    environment_option,
    flag_key_argument,
    preview_option,
    waiting_options,
)
from web.cli.output import EXIT_USAGE, CommandError


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
@preview_option
@environment_option
@comment_option
@waiting_options
@pass_invocation
def archive(
    invocation: Invocation,
    flag_key: str,
    environment: str,
    comment: str,
    at: str | None,
    override: str,
    *,
    preview: bool,
    ask: bool,
) -> None:
    """Take a flag out of every environment; its history stays, and `restore` brings it back."""
    mode = mode_of(at, override, ask=ask, preview=preview)
    change = {"comment": comment, **mode, "instructions": [{"do": "archive", "flag": flag_key}]}
    send_change(invocation, flag_key, environment, change)


@click.command()
@flag_key_argument
@click.option("--name", help="as people read it")
@click.option("--description", help="what it is for")
@click.option("--owner", help="who decides about it; '' for nobody")
@click.option("--expires", metavar="TIME", help="until when it is wanted; '' for no end")
@click.option("--kind", type=click.Choice(["temporary", "permanent"]), help="is it meant to go?")
@preview_option
@environment_option
@comment_option
@waiting_options
@pass_invocation
def describe_flag(
    invocation: Invocation,
    flag_key: str,
    environment: str,
    comment: str,
    at: str | None,
    override: str,
    name: str | None,
    description: str | None,
    owner: str | None,
    expires: str | None,
    kind: str | None,
    *,
    preview: bool,
    ask: bool,
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
    mode = mode_of(at, override, ask=ask, preview=preview)
    instruction = {"do": "update_flag", "flag": flag_key, **named}
    change = {"comment": comment, **mode, "instructions": [instruction]}
    send_change(invocation, flag_key, environment, change)
