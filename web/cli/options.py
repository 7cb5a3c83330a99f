"""Options that several commands share."""

from __future__ import annotations

import click

environment_option = click.option(
    "-e",
    "--environment",
    envvar="FLAGSTONE_ENVIRONMENT",
    default="production",
    show_default=True,
    help="[env FLAGSTONE_ENVIRONMENT]",
)
which_environment_option = click.option(
    "-e",
    "--environment",
    envvar="FLAGSTONE_ENVIRONMENT",
    help="needed where two environments have the same key [env FLAGSTONE_ENVIRONMENT]",
)
comment_option = click.option("-m", "--comment", default="", help="why; kept in the audit log")
preview_option = click.option(
    "--preview", is_flag=True, help="say whom it would move, change nothing"
)
