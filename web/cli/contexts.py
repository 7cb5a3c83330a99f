"""``flagstone contexts …``: the sample that previews count over."""

from __future__ import annotations

from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.options import comment_option, environment_option
from web.cli.output import moment


@click.group()
def contexts() -> None:
    """See and switch the sample of contexts seen lately, over which previews count who moves."""


@contexts.command()
@environment_option
@pass_invocation
def show(invocation: Invocation, environment: str) -> None:
    """Say how large and how old the sample is; what is in it is never shown."""
    _say(invocation, invocation.remote.get(_path(invocation, environment)))


@contexts.command()
@environment_option
@comment_option
@pass_invocation
def on(invocation: Invocation, environment: str, comment: str) -> None:
    """Keep a sample from now on."""
    _switch(invocation, environment, comment, on=True)


@contexts.command()
@environment_option
@comment_option
@pass_invocation
def off(invocation: Invocation, environment: str, comment: str) -> None:
    """Keep no sample, and forget the one that there is."""
    _switch(invocation, environment, comment, on=False)


def _switch(invocation: Invocation, environment: str, comment: str, *, on: bool) -> None:
    wanted = {"on": on, "comment": comment}
    _say(invocation, invocation.remote.put(_path(invocation, environment), wanted))


def _path(invocation: Invocation, environment: str) -> str:
    return invocation.remote.project_path("environments", environment, "context-sample")


def _say(invocation: Invocation, found: dict[str, Any]) -> None:
    days = found["keep_days"]
    if not found["on"]:
        said = "No contexts are kept. Begin: flagstone contexts on"
    elif not found["size"]:
        said = f"No context was seen in the last {days} days; evaluations fill it."
    else:
        units = "all" if found["complete"] else f"of about {found['units']:,}"
        noun = "context" if found["size"] == 1 else "contexts"
        said = (
            f"{found['size']:,} {noun}, {units} seen in the last {days} days "
            f"(from {moment(found['oldest'])} to {moment(found['newest'])}; "
            f"at most {found['limit']:,} are kept)."
        )
    invocation.output.document(found, said)
