"""``flagstone members …``: who may do what in the project and its environments."""

from __future__ import annotations

from typing import Any

import click

from web.cli.budgets import budget_options, budget_words, read_budget
from web.cli.context import Invocation, pass_invocation
from web.cli.options import filter_option

_ROLES = ("none", "viewer", "editor", "approver", "admin")
_only_here = click.option(
    "-e", "--environment", help="in this environment only; without it, in the whole project"
)


@click.group()
def members() -> None:
    """Say who may do what, per project and environment."""


@members.command(name="list")
@filter_option("may:admin -is:disabled")
@pass_invocation
def list_members(invocation: Invocation, filter_: str | None) -> None:
    """List everybody who has a role in the project."""
    remote = invocation.remote
    found = remote.items(remote.project_path("members"), filter=filter_)
    environments = list(found[0]["may"]) if found else []
    invocation.output.table(
        found if invocation.output.as_json else [_row(each) for each in found],
        [
            ("email", "person"),
            *((key, f"in {key}") for key in environments),
            ("role", "for the project"),
            ("limits", "limits"),
            ("everywhere", "for everything"),
        ],
        empty="Nobody has a role here yet. Give one: flagstone members set ada@example.org editor",
    )


@members.command(name="set")
@click.argument("email")
@click.argument("role", type=click.Choice(_ROLES))
@_only_here
@budget_options
@pass_invocation
def set_role(
    invocation: Invocation, /, email: str, role: str, environment: str | None, **said: Any
) -> None:
    """Say what a person may do: in the project, or in one environment of it."""
    body = {"role": role, "budget": read_budget(said)}
    made = invocation.remote.put(_path(invocation, email, environment), body)
    where = environment or "the project"
    may = ", ".join(f"{key} {value}" for key, value in made["may"].items())
    invocation.output.document(made, f"{email} is {role} in {where}. Now: {may}.")


@members.command()
@click.argument("email")
@_only_here
@pass_invocation
def remove(invocation: Invocation, email: str, environment: str | None) -> None:
    """Take back what was said of a person; what is said for everything holds again."""
    invocation.remote.delete(_path(invocation, email, environment))
    said: dict[str, Any] = {"email": email, "environment": environment, "removed": True}
    where = environment or "the project"
    invocation.output.document(said, f"Nothing is said any more of {email} in {where}.")


def _row(member: dict[str, Any]) -> dict[str, Any]:
    said = {"": member["budget"], **member["budgets"]}
    limits = [
        f"{place}: {words}" if place else words
        for place, budget in said.items()
        if (words := budget_words(budget)) is not None
    ]
    return {**member, **member["may"], "limits": "; ".join(limits) or None}


def _path(invocation: Invocation, email: str, environment: str | None) -> str:
    where = () if environment is None else ("environments", environment)
    return invocation.remote.project_path(*where, "members", email)
