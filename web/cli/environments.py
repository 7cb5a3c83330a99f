"""``flagstone environments …``: compared, promoted from, made and protected."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.options import environment_option, filter_option, flag_key_argument
from web.cli.output import EXIT_USAGE, CommandError
from web.cli.sending import Way, changing_options, send_change

_LONGEST_VALUE = 60
_carried = (
    click.option("--targets", is_flag=True, help="carry units by name too"),
    click.option("--segments", is_flag=True, help="bring segments that differ along too"),
)


def _carrying(command: Any) -> Any:
    for option in _carried:
        command = option(command)
    return command


@click.group()
def environments() -> None:
    """Look at environments, compare them, and promote from one to another."""


@environments.command(name="list")
@filter_option("is:production")
@pass_invocation
def list_environments(invocation: Invocation, filter_: str | None) -> None:
    """List the project's environments and how careful each is."""
    remote = invocation.remote
    found = remote.items(remote.project_path("environments"), filter=filter_)
    invocation.output.table(
        found,
        [
            ("key", "environment"),
            ("production", "production"),
            ("approvals_needed", "approvals"),
            ("after", "after"),
            ("after_hours", "hours"),
            ("revision", "revision"),
        ],
        empty="No environment.",
    )


@environments.command()
@click.argument("key")
@click.option("--name", default="", help="as people read it")
@click.option("--production", is_flag=True, help="mark it as production")
@pass_invocation
def create(invocation: Invocation, key: str, name: str, *, production: bool) -> None:
    """Make an environment; every flag is off in it."""
    remote = invocation.remote
    body = {"key": key, "name": name, "production": production}
    made = remote.post(remote.project_path("environments"), body)
    invocation.output.document(made, f"Created {key}; every flag is off in it.")


@environments.command(name="set")
@click.argument("key")
@click.option("--production/--no-production", default=None, help="whether it is production")
@click.option("--approvals", type=int, help="how many others must approve a change, 0 to 5")
@click.option("--after", help="what serves more must be on there first; '' for nowhere")
@click.option("--hours", type=int, help="and for so many hours")
@pass_invocation
def set_environment(
    invocation: Invocation,
    key: str,
    approvals: int | None,
    after: str | None,
    hours: int | None,
    *,
    production: bool | None,
) -> None:
    """Say how careful an environment is."""
    body: dict[str, Any] = {
        "production": production,
        "approvals_needed": approvals,
        "after_hours": hours,
    }
    body = {name: value for name, value in body.items() if value is not None}
    if after is not None:
        body["after"] = after or None
    if not body:
        raise CommandError(
            "nothing to set", hint="see flagstone environments set --help", exit_code=EXIT_USAGE
        )
    remote = invocation.remote
    made = remote.patch(remote.project_path("environments", key), body)
    invocation.output.document(made, _standing(made))


def _standing(environment: dict[str, Any]) -> str:
    kind = "production" if environment["production"] else "not production"
    needed = environment["approvals_needed"]
    words = f"{environment['key']} is {kind}; changes need {needed} approvals"
    if environment["after"] is not None:
        words += f", and what serves more must be on in {environment['after']} first"
        if environment["after_hours"]:
            words += f", for {environment['after_hours']} hours"
    return f"{words}."


@environments.command()
@click.argument("source")
@click.argument("target")
@click.option("--flag", help="only this flag, and the segments that it rests upon")
@click.option("--fields", is_flag=True, help="field by field, with the value after a promotion")
@_carrying
@pass_invocation
def diff(
    invocation: Invocation,
    source: str,
    target: str,
    flag: str | None,
    *,
    fields: bool,
    targets: bool,
    segments: bool,
) -> None:
    """Say what differs between SOURCE and TARGET, and what a promotion would make of TARGET."""
    remote = invocation.remote
    found = remote.items(
        remote.project_path("environments", source, "diff"),
        to=target,
        flag=flag,
        targets="true" if targets else None,
        segments="true" if segments else None,
    )
    lines = [line for each in found for line in _difference(each, source, target, fields=fields)]
    invocation.output.document(
        {"items": found}, "\n".join(lines) or f"{source} and {target} do not differ."
    )


def _difference(each: dict[str, Any], source: str, target: str, *, fields: bool) -> list[str]:
    title = each["key"] if each["kind"] == "flag" else f"segment {each['key']}"
    states = f"{source}: {each['state_source']}, {target}: {each['state_target']}"
    lines = [f"{title}  ({states}; promoted: {each['state_after']})"]
    told = each["sentence_after"] if each["promotable"] else "A promotion would change nothing."
    lines.append(f"  {told}")
    lines += [f"  {words}" for words in each["stays"]]
    if fields:
        lines += [
            f"    {field['field']}: {source} {_value(field['source'])}, "
            f"{target} {_value(field['target'])}"
            + (f" → {_value(field['after'])}" if field["carried"] else " (stays)")
            for field in each["fields"]
        ]
    return lines


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


@environments.command()
@click.argument("source")
@click.argument("target")
@click.option("--flag", "flags", multiple=True, help="only this flag (may be repeated)")
@_carrying
@changing_options
@pass_invocation
def promote(
    invocation: Invocation,
    source: str,
    target: str,
    flags: tuple[str, ...],
    way: Way,
    *,
    targets: bool,
    segments: bool,
) -> None:
    """Bring TARGET to how SOURCE is: everything, or some flags; one change."""
    carried = {"source": source, "targets": targets, "segments": segments}
    send_change(invocation, "", target, _promotion(flags, carried), way, comment=_from(source))


def _promotion(flags: Sequence[str], carried: dict[str, Any]) -> list[dict[str, Any]]:
    """Write the instructions that promote these flags; none: everything."""
    whole = {"do": "promote", **carried}
    return [{**whole, "flag": key} for key in flags] or [whole]


def _from(source: str) -> str:
    return f"Promoted from {source}"


@click.command(name="promote")
@flag_key_argument
@click.option("--from", "source", required=True, help="the environment that has it as it should be")
@_carrying
@environment_option
@changing_options
@pass_invocation
def promote_flag(
    invocation: Invocation,
    flag_key: str,
    source: str,
    environment: str,
    way: Way,
    *,
    targets: bool,
    segments: bool,
) -> None:
    """Bring a flag to how another environment has it: rules, on or off, default, prerequisites."""
    carried = {"source": source, "targets": targets, "segments": segments}
    instructions = _promotion([flag_key], carried)
    send_change(invocation, flag_key, environment, instructions, way, comment=_from(source))
