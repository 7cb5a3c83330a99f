"""Where the service is and who asks: options, then variables, then files.

``flagstone login`` keeps address and key in the person's own file, which nobody else may read.
``flagstone init`` writes address and project, and never a key, into a file for the directory. A key
is sent only to the address that it was kept for: a directory cannot send it elsewhere.
"""

from __future__ import annotations

import json
import os
import stat
import uuid
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from web.cli.budgets import left_words
from web.cli.context import Invocation, pass_invocation
from web.cli.files import parse_json, read_text
from web.cli.output import EXIT_USAGE, CommandError
from web.cli.remote import Remote

DIRECTORY_FILE = ".flagstone.json"
_UNSAID = {ParameterSource.DEFAULT}


def own_file() -> Path:
    """Give the person's own file."""
    named = os.environ.get("FLAGSTONE_CONFIG")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "flagstone" / "config.json"


def settle(ctx: click.Context, url: str, token: str, project: str) -> tuple[str, str, str]:
    """Fill in what neither an option nor a variable says."""
    own, here = _read(own_file()), _read(Path(DIRECTORY_FILE))

    def said(name: str) -> bool:
        return ctx.get_parameter_source(name) not in _UNSAID

    if not said("url"):
        url = here.get("url") or own.get("url") or url
    if not said("project"):
        project = here.get("project") or own.get("project") or project
    if not said("token") and _same_address(own.get("url", ""), url):
        token = own.get("token") or token
    return url, token, project


def _same_address(one: str, other: str) -> bool:
    return bool(one) and one.rstrip("/") == other.rstrip("/")


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    found = parse_json(read_text(str(path)), str(path))
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise CommandError(f"{path} is not a table of texts", hint="remove it, and log in again")
    return found


def _write(path: Path, document: dict[str, Any], mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Made with its mode, and put in its place whole: at no time may anybody else read the key.
    partial = path.with_name(f".{uuid.uuid4().hex[:12]}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(document, indent=2) + "\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@click.command()
@click.pass_context
def login(ctx: click.Context) -> None:
    """Keep the address and a personal key, after trying them; asks for what is not given.

    Give them as `flagstone --url … --token … login`.
    """
    invocation: Invocation = ctx.obj
    token = invocation.token or click.prompt("Personal key (fs_usr_…)", hide_input=True)
    if not token.startswith("fs_usr_"):
        raise CommandError(
            "that is no personal key", hint="they begin with fs_usr_", exit_code=EXIT_USAGE
        )
    who = Remote(invocation.url, token, invocation.project).get("/api/v1/whoami")
    path = own_file()
    kept = {"url": invocation.url, "token": token}
    if invocation.project != "default":
        kept["project"] = invocation.project
    _write(path, kept, stat.S_IRUSR | stat.S_IWUSR)
    said = {"name": who["name"], "role": who["role"], "url": invocation.url, "file": str(path)}
    words = f"You are {who['name']} ({who['role']}) at {invocation.url}; kept in {path}."
    invocation.output.document(said, words)


@click.command()
@pass_invocation
def whoami(invocation: Invocation) -> None:
    """Say who the key is, what it may do, and where."""
    who = invocation.remote.get("/api/v1/whoami")
    where = f", project {who['project']}" if who["project"] else ""
    words = f"{who['name']} ({who['role']}{where}) at {invocation.url}"
    for project, left in who["allowances"].items():
        words += "".join(f"\n{project}/{said}" for said in left_words(left))
    invocation.output.document({**who, "csrf_token": None, "url": invocation.url}, words)


@click.command()
@pass_invocation
def init(invocation: Invocation) -> None:
    """Write the service's address and the project into this directory, for all who work in it."""
    path = Path(DIRECTORY_FILE)
    kept = {"url": invocation.url, "project": invocation.project}
    _write(path, kept, 0o644)
    words = f"Wrote {path}: {invocation.project} at {invocation.url}. It holds no key."
    invocation.output.document({**kept, "file": str(path)}, words)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what a shell must read to complete commands, options and flags' keys.

    For bash: eval "$(flagstone completion bash)"
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    root = ctx.find_root().command
    click.echo(kind(root, {}, "flagstone", "_FLAGSTONE_COMPLETE").source())
