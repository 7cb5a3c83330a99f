"""``flagstone tokens …``: keys of the project, made, rotated and shut."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import click

from web.cli.budgets import budget_options, budget_words, left_words, read_budget
from web.cli.context import Invocation, pass_invocation
from web.cli.options import filter_option
from web.cli.output import EXIT_USAGE, CommandError, moment

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.group()
def tokens() -> None:
    """Make keys for services and scripts, rotate them, shut them."""


@tokens.command(name="list")
@click.option("--all", "every", is_flag=True, help="those that are shut or over too")
@filter_option("kind:usr is:unused,revoked ends:<2026-12-31; of all")
@pass_invocation
def list_tokens(invocation: Invocation, filter_: str | None, *, every: bool) -> None:
    """List the project's keys."""
    remote = invocation.remote
    found = remote.items(remote.project_path("tokens"), filter=filter_)
    # A filter speaks of all keys: it may ask for those that are shut.
    found = [each for each in found if every or filter_ is not None or each["live"]]
    invocation.output.table(
        found if invocation.output.as_json else [_row(each) for each in found],
        [
            ("id", "number"),
            ("name", "name"),
            ("kind", "kind"),
            ("where", "where"),
            ("role", "role"),
            ("limits", "limits"),
            ("left", "left"),
            ("last_used_at", "last used"),
            ("expires_at", "over at"),
            ("state", "state"),
        ],
        empty="No key yet. Make one: flagstone tokens create ci --role editor",
    )


@tokens.command()
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["usr", "srv", "cli"]),
    default="usr",
    show_default=True,
    help="usr for scripts, srv for services, cli for browsers and apps",
)
@click.option(
    "-e",
    "--environment",
    "environments",
    multiple=True,
    help="where it is good: one for srv and cli; for usr any number, or none for all",
)
@click.option(
    "--role",
    type=click.Choice(["viewer", "editor", "approver", "admin"]),
    help="what a usr key may do; editor without it",
)
@click.option("--expires", metavar="TIME", help="when it ends, such as 2027-01-01T00:00:00Z or 90d")
@budget_options
@pass_invocation
def create(
    invocation: Invocation,
    /,
    name: str,
    kind: str,
    environments: tuple[str, ...],
    role: str | None,
    expires: str | None,
    **said: Any,
) -> None:
    """Make a key; its text is printed once, and nobody can read it again."""
    body: dict[str, Any] = {"kind": kind, "name": name}
    budget = read_budget(said)
    if budget is not None:
        body["budget"] = budget
    if kind == "usr":
        body["role"] = role or "editor"
        if environments:
            body["environments"] = list(environments)
    else:
        if role is not None or len(environments) != 1:
            message = f"a {kind} key belongs to one environment, and has no role"
            raise CommandError(message, hint="-e production", exit_code=EXIT_USAGE)
        body["environment"] = environments[0]
    if expires is not None:
        body["expires_at"] = _instant(expires)
    remote = invocation.remote
    made = remote.post(remote.project_path("tokens"), body)
    invocation.output.document(made, f"Key {made['id']}, shown this once:\n{made['token']}")


@tokens.command(name="set")
@click.argument("number", type=int)
@click.option("--name", help="who will use it")
@click.option("--expires", metavar="TIME", help="when it ends: 2027-01-01T00:00:00Z, 90d, never")
@click.option("--unlimited", is_flag=True, help="take its limits away")
@budget_options
@pass_invocation
def set_token(
    invocation: Invocation,
    /,
    number: int,
    name: str | None,
    expires: str | None,
    *,
    unlimited: bool,
    **said: Any,
) -> None:
    """Change a key's name, end or limits; the limits that are given are all that it has then."""
    budget = read_budget(said)
    if unlimited and budget is not None:
        message = "--unlimited takes every limit away"
        raise CommandError(message, hint="give limits, or --unlimited", exit_code=EXIT_USAGE)
    body: dict[str, Any] = {} if name is None else {"name": name}
    if budget is not None or unlimited:
        body["budget"] = budget
    if expires is not None:
        body["expires_at"] = None if expires == "never" else _instant(expires)
    if not body:
        raise CommandError(
            "nothing to set", hint="see flagstone tokens set --help", exit_code=EXIT_USAGE
        )
    remote = invocation.remote
    made = remote.patch(remote.project_path("tokens", str(number)), body)
    limits = budget_words(made["budget"]) or "nothing limits it"
    invocation.output.document(made, f"Key {number} ({made['name']}): {limits}.")


@tokens.command()
@click.argument("number", type=int)
@click.option(
    "--overlap", default="1h", show_default=True, help="how long the old secret stays good: 10m, 2d"
)
@pass_invocation
def rotate(invocation: Invocation, number: int, overlap: str) -> None:
    """Give a key a new secret; the old one stays good for a while."""
    remote = invocation.remote
    path = remote.project_path("tokens", str(number), "rotate")
    made = remote.post(path, {"overlap_seconds": _seconds(overlap)})
    until = moment(made["old_secret_until"])
    old = f"The old secret is good until {until}." if until else "The old secret is good no more."
    text = f"New secret of key {number}, shown this once:\n{made['token']}\n{old}"
    invocation.output.document(made, text)


@tokens.command()
@click.argument("number", type=int)
@pass_invocation
def revoke(invocation: Invocation, number: int) -> None:
    """Shut a key for ever, old secret and new."""
    remote = invocation.remote
    done = remote.post(remote.project_path("tokens", str(number), "revoke"))
    invocation.output.document(done, f"Key {number} ({done['name']}) is shut.")


def _row(token: dict[str, Any]) -> dict[str, Any]:
    environments = token["environments"]
    where = token["environment"] or (", ".join(environments) if environments else None)
    state = "good" if token["live"] else "revoked" if token["revoked_at"] else "over"
    if token["live"] and token["old_secret_until"]:
        state = f"rotated, old until {moment(token['old_secret_until'])}"
    return {
        **token,
        "where": where or "all",
        "limits": budget_words(token["budget"]),
        "left": "\n".join(left_words(token["allowances"])) or None,
        "state": state,
        "last_used_at": moment(token["last_used_at"]),
        "expires_at": moment(token["expires_at"]),
    }


def _instant(text: str) -> str:
    if re.fullmatch(r"[0-9]+[smhd]", text):
        return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=_seconds(text))).isoformat()
    return text


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if found is None:
        message = f"{text!r} is no length of time"
        raise CommandError(message, hint="write 0s, 90s, 10m, 2h or 7d", exit_code=EXIT_USAGE)
    return int(found[1]) * _UNITS[found[2]]
