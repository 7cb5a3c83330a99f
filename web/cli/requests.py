"""``flagstone requests …``: what people ask for or complain about."""

from __future__ import annotations

from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.output import moment

_CLASSES = click.Choice(["value", "failure"])


@click.group()
def requests() -> None:
    """Keep the inbox: requests of class value or failure, linked to flags."""


@requests.command(name="list")
@click.option(
    "--state",
    type=click.Choice(["open", "linked", "resolved", "declined"]),
    help="only those in this state",
)
@click.option("--class", "demand", type=_CLASSES, help="only those of this class")
@click.option("--flag", help="only those linked to one flag")
@pass_invocation
def list_requests(
    invocation: Invocation, state: str | None, demand: str | None, flag: str | None
) -> None:
    """List requests, newest first."""
    remote = invocation.remote
    query: dict[str, Any] = {"state": state, "class": demand, "flag": flag}
    found = remote.items(remote.project_path("requests"), **query)
    if not invocation.output.as_json:
        found = [{**each, "created_at": moment(each["created_at"])} for each in found]
    names = ("id", "class", "state", "title", "flag", "relation", "asker", "created_at")
    invocation.output.table(
        found,
        [(name, name.replace("_at", "")) for name in names],
        empty='No request. File one with: flagstone requests add "What is wanted"',
    )


@requests.command()
@click.argument("title")
@click.option("--class", "demand", type=_CLASSES, default="value", help="what is asked for")
@click.option("--text", default="", help="the whole story")
@click.option("--asker", default="", help="who asks, if it is not you")
@pass_invocation
def add(invocation: Invocation, title: str, demand: str, text: str, asker: str) -> None:
    """File a request."""
    remote = invocation.remote
    body = {"title": title, "class": demand, "text": text, "asker": asker}
    made = remote.post(remote.project_path("requests"), body)
    invocation.output.document(made, f"Filed as request {made['id']}.")


@requests.command()
@click.argument("request", type=int)
@click.argument("flag")
@click.option("--causes", "relation", flag_value="causes", help="the flag causes what is wrong")
@click.option(
    "--resolves", "relation", flag_value="resolves", default=True, help="the flag will bring it"
)
@pass_invocation
def link(invocation: Invocation, request: int, flag: str, relation: str) -> None:
    """Link a request to the flag that resolves (or causes) it."""
    remote = invocation.remote
    answer = remote.post(
        remote.project_path("requests", str(request), "link"),
        {"flag": flag, "relation": relation},
    )
    invocation.output.document(answer, f"Flag {flag} {relation} request {request}.")


@requests.command()
@click.argument("request", type=int)
@click.option("--declined", is_flag=True, help="it will not be done; say why with -m")
@click.option("-m", "--note", default="", help="what came of it")
@pass_invocation
def resolve(invocation: Invocation, request: int, note: str, *, declined: bool) -> None:
    """Close a request."""
    remote = invocation.remote
    state = "declined" if declined else "resolved"
    answer = remote.post(
        remote.project_path("requests", str(request), "resolve"), {"state": state, "note": note}
    )
    invocation.output.document(answer, f"Request {request} is {state}.")
