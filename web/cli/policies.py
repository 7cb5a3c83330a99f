"""``flagstone policies …``: with which error rates is decided, tried before any plan takes it."""

from __future__ import annotations

import time
from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.files import read_document
from web.cli.forecasts import WAIT_SECONDS
from web.cli.output import EXIT_USAGE, CommandError
from web.cli.remote import Remote

_EVERY_SECONDS = 0.25
_file_option = click.option(
    "-f",
    "--file",
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    help="the policy, as TOML or JSON",
)


@click.group()
def policies() -> None:
    """Say once with which looks and error rates is decided, and see how often that errs."""


@policies.command(name="list")
@click.option("--archived", is_flag=True, help="those that are out of use")
@pass_invocation
def list_policies(invocation: Invocation, *, archived: bool) -> None:
    """List policies: what each ships, stops and proves of 1,000 changes."""
    remote = invocation.remote
    found = remote.items(remote.project_path("policies"), archived=str(archived).lower())
    invocation.output.table(
        found if invocation.output.as_json else [_row(each) for each in found],
        [
            ("name", "policy"),
            ("state", "state"),
            ("published_version", "version"),
            ("ship_if_worthless", "nothing: ships"),
            ("false_harm_stop", "nothing: stopped"),
            ("proof_at_mde", "MDE: proven"),
            ("stop_if_breached", "breach: stopped"),
        ],
        empty="None is archived." if archived else "No policy.",
    )


def _row(policy: dict[str, Any]) -> dict[str, Any]:
    from experiments.policies.words import COUNTS, per_thousand

    found = policy["characteristics"] or {}
    counts = {each.key: found[each.key] for each in COUNTS if each.key in found}
    return {
        **policy,
        "state": policy["state"].replace("_", " "),
        **{key: per_thousand(chance["value"]) for key, chance in counts.items()},
    }


@policies.command()
@click.argument("policy")
@pass_invocation
def show(invocation: Invocation, policy: str) -> None:
    """Show a policy with its versions: what it does beside proof-28d, in plain words."""
    remote = invocation.remote
    found = remote.get(remote.project_path("policies", policy))
    invocation.output.document(found, _said(found))


def _said(policy: dict[str, Any]) -> str:
    from experiments.policies.words import trial_lines

    version = "" if policy["version"] is None else f", version {policy['version']}"
    lines = [f"{policy['name']}{version}: {policy['state'].replace('_', ' ')}"]
    lines += [policy["description"]] if policy["description"] else []
    if policy["built_in"] and policy["characteristics"] is None:
        return "\n".join(lines)
    lines += trial_lines(policy["name"], policy["characteristics"])
    lines += [
        f"  version {each['version']}: {each['state']}, by {each['actor']}"
        for each in policy.get("history", [])
    ]
    return "\n".join(lines)


@policies.command()
@_file_option
@click.option("--name", help="unless the file says it: name = …")
@pass_invocation
def create(invocation: Invocation, file: str, name: str | None) -> None:
    """Store a policy, or its next version, as a draft, and say how often it errs."""
    document = read_document(file)
    name = name or document.get("name")
    if not isinstance(name, str):
        raise CommandError(
            f"{file} says no name", field="name", hint="--name ours-14d", exit_code=EXIT_USAGE
        )
    remote = invocation.remote
    remote.put(remote.project_path("policies", name), document)
    found = _wait(remote, name)
    said = _said(found)
    if found["state"] == "checked":
        said += f"\nLet plans take it: flagstone policies publish {name}"
    invocation.output.document(found, said)


@policies.command()
@click.argument("policy")
@pass_invocation
def publish(invocation: Invocation, policy: str) -> None:
    """Let plans take the newest version, once it was checked."""
    remote = invocation.remote
    _wait(remote, policy)
    answer = remote.post(remote.project_path("policies", policy, "publish"))
    version = answer["published_version"]
    invocation.output.document(
        answer, f'{policy} is at version {version}. A plan takes it by: policy = "{policy}"'
    )


@policies.command()
@click.argument("policy")
@click.option("--undo", is_flag=True, help="bring it back")
@pass_invocation
def archive(invocation: Invocation, policy: str, *, undo: bool) -> None:
    """Take a policy out of use for new plans; plans that have it keep it."""
    remote = invocation.remote
    verb = "unarchive" if undo else "archive"
    answer = remote.post(remote.project_path("policies", policy, verb))
    said = "in use again" if undo else "archived: no new plan takes it"
    invocation.output.document(answer, f"{policy} is {said}.")


@policies.command(name="try")
@_file_option
@pass_invocation
def try_file(invocation: Invocation, file: str) -> None:
    """Say how often a policy would err, computed here: needs no service."""
    from experiments.policies.definition import parse_stored
    from experiments.policies.trying import try_policy
    from experiments.policies.views import characteristics
    from experiments.policies.words import trial_lines

    document = read_document(file)
    name = document.get("name", "this-policy")
    found = try_policy(parse_stored(name, document).policy)
    invocation.output.document(
        {"name": name, "characteristics": characteristics(found)},
        "\n".join(trial_lines(name, found)),
    )


def _wait(remote: Remote, name: str) -> dict[str, Any]:
    """Read a policy, and wait a little for the worker that checks it."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found = remote.get(remote.project_path("policies", name))
        if found["state"] != "checking" or time.monotonic() > deadline:
            return found
        time.sleep(_EVERY_SECONDS)
