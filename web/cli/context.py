"""What every command is given: the service it speaks to and how it speaks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import click

from web.cli.output import EXIT_USAGE, CommandError, Output
from web.cli.remote import Remote


@dataclass(frozen=True)
class Invocation:
    """Options of the root command."""

    url: str
    token: str
    project: str
    output: Output

    @cached_property
    def remote(self) -> Remote:
        """The service; a command that needs it without a token is a usage error."""
        if not self.token:
            raise CommandError(
                "this command talks to a service and needs a personal key (fs_usr_…)",
                hint="make one in the console under Keys, then set FLAGSTONE_TOKEN",
                exit_code=EXIT_USAGE,
            )
        return Remote(self.url, self.token, self.project)


pass_invocation = click.make_pass_decorator(Invocation)
