"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from web.cli.completing import flag_keys

environment_option = click.option(
    "-e",
    "--environment",
    envvar="FLAGSTONE_ENVIRONMENT",
    default="production",
    show_default=True,
    help="[env FLAGSTONE_ENVIRONMENT]",
)
flag_key_argument = click.argument("flag_key", shell_complete=flag_keys)
which_environment_option = click.option(
    "-e",
    "--environment",
    envvar="FLAGSTONE_ENVIRONMENT",
    help="needed where two environments have the same key [env FLAGSTONE_ENVIRONMENT]",
)
comment_option = click.option("-m", "--comment", default="", help="why; kept in the audit log")


def filter_option(such_as: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a list be narrowed in the filter language; ``such_as`` is an example."""
    return click.option("--filter", "filter_", help=f"words, or such as: {such_as}")


def waiting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a change wait: for others who approve it or for a time of its own; or let it not wait."""
    ask = click.option("--request", "ask", is_flag=True, help="ask others to approve it first")
    when = "apply it at this time, such as 2026-12-01T09:00:00Z"
    why = "apply it though it was not on elsewhere first, and say why (administrators)"
    overriding = click.option("--override", default="", metavar="REASON", help=why)
    return ask(click.option("--at", metavar="TIME", help=when)(overriding(command)))
