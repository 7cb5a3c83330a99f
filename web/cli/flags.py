"""``flagstone flags …``: look at flags, and change them."""

from __future__ import annotations

import json
import math
from typing import Any

import click

from flags.ranges import read_split
from web.cli.context import Invocation, pass_invocation
from web.cli.files import parse_option
from web.cli.options import comment_option, environment_option, flag_key_argument
from web.cli.output import EXIT_USAGE, CommandError, moment
from web.cli.receipts import finish, wait_option
from web.cli.sending import Way, changing_options, send_change, tell_change

ROLLOUT_RULE = "rollout"


@click.group()
def flags() -> None:
    """Look at flags and change them."""


@flags.command(name="list")
@click.option("--filter", "text", help="words, or such as: owner:me state:killed changed:<1d")
@click.option("--archived", is_flag=True, help="those in the archive instead")
@environment_option
@pass_invocation
def list_flags(
    invocation: Invocation, text: str | None, environment: str, *, archived: bool
) -> None:
    """List the project's flags and how they stand in an environment."""
    remote = invocation.remote
    flags = remote.items(
        remote.project_path("flags"),
        filter=text,
        environment=environment,
        archived="true" if archived else None,
    )
    rows = flags if invocation.output.as_json else [_row(flag, environment) for flag in flags]
    invocation.output.table(
        rows,
        [
            ("key", "flag"),
            ("state", environment),
            ("type", "type"),
            ("description", "description"),
        ],
        empty="No such flag."
        if text or archived
        else "No flag yet. Make one: flagstone flags create my-flag",
    )


def _row(flag: dict[str, Any], environment: str) -> dict[str, Any]:
    here = flag["environments"].get(environment, {})
    return {**flag, "state": here.get("state_word")}


@flags.command()
@flag_key_argument
@environment_option
@pass_invocation
def show(invocation: Invocation, flag_key: str, environment: str) -> None:
    """Say in plain words what a flag does in an environment."""
    document = _state(invocation, flag_key, environment)
    invocation.output.document(document, document["sentence"])


@flags.command()
@flag_key_argument
@click.option(
    "--type",
    "flag_type",
    type=click.Choice(["boolean", "string", "integer", "float", "object"]),
    default="boolean",
    show_default=True,
    help="of its variants' values",
)
@click.option(
    "--variant", "variants", multiple=True, help='NAME=VALUE, value as JSON: --variant new="a"'
)
@click.option("--default", "default_variant", help="served when no rule matches [first variant]")
@click.option("--off", "off_variant", help="served when off or killed [first variant]")
@click.option("--description", default="", help="what it is for")
@click.option("--client", is_flag=True, help="visible to browsers and apps")
@comment_option
@wait_option
@pass_invocation
def create(
    invocation: Invocation,
    flag_key: str,
    flag_type: str,
    variants: tuple[str, ...],
    default_variant: str | None,
    off_variant: str | None,
    description: str,
    comment: str,
    wait_seconds: int | None,
    *,
    client: bool,
) -> None:
    """Create a flag; it is off everywhere until somebody turns it on."""
    named = _variants(flag_type, variants)
    first = next(iter(named))
    off = off_variant or first
    created = invocation.remote.post(
        invocation.remote.project_path("flags"),
        {
            "key": flag_key,
            "type": flag_type,
            "description": description,
            "client": client,
            "comment": comment,
            "variants": {
                # To be given the off variant is not to have the feature.
                name: {"value": value} | ({"on": False} if name == off else {})
                for name, value in named.items()
            },
            "default": default_variant or first,
            "off": off,
        },
        wait_seconds=wait_seconds,
    )
    said = f"Created {flag_key}; it is off everywhere. Turn it on: flagstone flags on {flag_key}"
    finish(invocation.output, created, said, wait_seconds)


def _variants(flag_type: str, given: tuple[str, ...]) -> dict[str, Any]:
    if not given:
        if flag_type != "boolean":
            raise CommandError(
                f"a {flag_type} flag needs its variants",
                hint="--variant control=… --variant new=…",
                exit_code=EXIT_USAGE,
            )
        return {"off": False, "on": True}
    named: dict[str, Any] = {}
    for item in given:
        name, separator, text = item.partition("=")
        if not separator or not name:
            raise CommandError(
                f"{item!r} is not NAME=VALUE", hint="--variant new=true", exit_code=EXIT_USAGE
            )
        if name in named:
            raise CommandError(f"--variant {name} is there twice", exit_code=EXIT_USAGE)
        named[name] = _value(text, flag_type)
    return named


def _value(text: str, flag_type: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    # A string need not be quoted: --variant a=12 of a string flag is "12".
    return text if flag_type == "string" and not isinstance(value, str) else value


def _switch(verb: str, instruction: str, text: str) -> None:
    @flags.command(name=verb, help=text)
    @flag_key_argument
    @environment_option
    @changing_options
    @pass_invocation
    def command(invocation: Invocation, flag_key: str, environment: str, way: Way) -> None:
        instructions = [{"do": instruction, "flag": flag_key}]
        send_change(invocation, flag_key, environment, instructions, way)


_switch("on", "turn_on", "Turn a flag on: its rules decide.")
_switch("off", "turn_off", "Turn a flag off: everybody gets the off variant.")
_switch("kill", "kill", "Emergency off: nothing survives it until `unkill`.")
_switch("unkill", "unkill", "Lift a kill; the flag is as it was before.")


@flags.command(name="set")
@flag_key_argument
@click.option("--default", "default_variant", help="served when no rule matches")
@click.option("--off", "off_variant", help="served when off or killed")
@click.option("--rollout", help="VARIANT=SHARE for everybody, such as new=25%")
@click.option("--coverage", help="RULE=SHARE of an existing rule, such as beta=50%")
@click.option("--instruction", "raw", multiple=True, help="any instruction of the API, as JSON")
@environment_option
@changing_options
@pass_invocation
def set_flag(
    invocation: Invocation,
    flag_key: str,
    default_variant: str | None,
    off_variant: str | None,
    rollout: str | None,
    coverage: str | None,
    raw: tuple[str, ...],
    environment: str,
    way: Way,
) -> None:
    """Change what a flag serves, in one change (all of it or nothing)."""
    instructions: list[dict[str, Any]] = []
    if default_variant is not None:
        instructions.append({"do": "set_default", "flag": flag_key, "variant": default_variant})
    if off_variant is not None:
        instructions.append({"do": "set_off_variant", "flag": flag_key, "variant": off_variant})
    if coverage is not None:
        rule, share = _share(coverage)
        instructions.append({"do": "set_coverage", "flag": flag_key, "rule": rule, "value": share})
    if_match = None
    if rollout is not None:
        document = _state(invocation, flag_key, environment)
        instructions.append(_rollout(flag_key, document, rollout))
        # What to do was read from this version; a preview writes nothing and needs no guard.
        if_match = None if way.preview else f'"v{document["version"]}"'
    instructions.extend(_instruction(text, flag_key) for text in raw)
    if not instructions:
        raise CommandError(
            "nothing to set", hint="see flagstone flags set --help", exit_code=EXIT_USAGE
        )
    if any(each.get("flag") != flag_key for each in instructions):
        if_match = None
    send_change(invocation, flag_key, environment, instructions, way, if_match=if_match)


def _share(text: str) -> tuple[str, float]:
    name, separator, number = text.rpartition("=")
    try:
        share = float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError:
        share = math.nan
    if not separator or not name or not 0 <= share <= 1:
        raise CommandError(
            f"{text!r} is not NAME=SHARE", hint="such as new=25%", exit_code=EXIT_USAGE
        )
    return name, share


def _rollout(flag_key: str, document: dict[str, Any], text: str) -> dict[str, Any]:
    """Widen the rollout rule if there is one (nobody who was in falls out), else add it."""
    variant, share = _share(text)
    for rule in document["rules"]:
        if rule["id"] != ROLLOUT_RULE:
            continue
        at_rule = {"flag": flag_key, "rule": ROLLOUT_RULE}
        split = rule["serve"]["split"] if isinstance(rule["serve"], dict) else {}
        found = read_split(split)
        if found is not None and set(found[0]) == {variant}:
            return {"do": "set_coverage", **at_rule, "value": share}
        raise CommandError(
            f"the rule {ROLLOUT_RULE!r} of {flag_key} serves something else than {variant}",
            hint='change it by name: --instruction \'{"do": "set_weights", "rule": "rollout", …}\'',
        )
    return {
        "do": "add_rule",
        "flag": flag_key,
        "rule": {
            "id": ROLLOUT_RULE,
            "serve": {"split": {"weights": {variant: 100}, "coverage": share}},
        },
    }


def _instruction(text: str, flag_key: str) -> dict[str, Any]:
    instruction = parse_option(text, "--instruction", hint="""'{"do": "turn_on"}'""")
    return {"flag": flag_key, **instruction}


@flags.command()
@flag_key_argument
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="as many of the newest entries",
)
@environment_option
@pass_invocation
def history(invocation: Invocation, flag_key: str, limit: int, environment: str) -> None:
    """Say who changed a flag, when and why; the newest first."""
    remote = invocation.remote
    entries = remote.items(
        remote.project_path("flags", flag_key, "history"), limit=limit, environment=environment
    )
    if not invocation.output.as_json:
        entries = [{**entry, "at": moment(entry["at"])} for entry in entries]
    invocation.output.table(
        entries,
        [
            ("id", "entry"),
            ("at", "when"),
            ("actor", "who"),
            ("action", "what"),
            ("revision", "revision"),
            ("comment", "why"),
        ],
        empty=f"Nothing has happened to {flag_key} in {environment} yet.",
    )


@flags.command()
@click.argument("entry", type=click.IntRange(1, 2**31 - 1))
@click.option("--together", is_flag=True, help="with all that the same change did")
@changing_options
@pass_invocation
def undo(invocation: Invocation, entry: int, way: Way, *, together: bool) -> None:
    """Take back what an ENTRY of the history says, field by field; what came later stays."""
    path = invocation.remote.project_path("audit", str(entry), "undo")
    answer = invocation.remote.post(
        path, {**way.document(), "together": together}, wait_seconds=way.wait_seconds
    )
    tell_change(invocation, answer, way)


def _state(invocation: Invocation, flag_key: str, environment: str) -> dict[str, Any]:
    remote = invocation.remote
    return remote.get(remote.project_path("flags", flag_key, "environments", environment))
