"""``flagstone flags …`` and ``flagstone eval``."""

from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import click

from flags.sentence import describe
from web.cli.context import Invocation, pass_invocation
from web.cli.output import EXIT_ERROR, EXIT_FALSE, EXIT_USAGE, CommandError

ROLLOUT_RULE = "rollout"

environment_option = click.option(
    "-e", "--environment", envvar="FLAGSTONE_ENVIRONMENT", default="production", show_default=True
)
comment_option = click.option("-m", "--comment", default="", help="why; kept in the audit log")


@click.group()
def flags() -> None:
    """Look at flags and change them."""


@flags.command(name="list")
@click.option("--filter", "text", help="only flags that mention this")
@environment_option
@pass_invocation
def list_flags(invocation: Invocation, text: str | None, environment: str) -> None:
    """List the project's flags and how they stand in an environment."""
    remote = invocation.remote
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = remote.get(
            remote.project_path("flags"), filter=text, environment=environment, cursor=cursor
        )
        rows.extend(page["items"])
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    if not invocation.output.as_json:
        rows = [_row(item) for item in rows]
    invocation.output.table(
        rows,
        [("key", "flag"), ("type", "type"), ("state", "state"), ("description", "description")],
        empty="No flag yet. Make one: flagstone flags create my-flag",
    )


def _row(item: dict[str, Any]) -> dict[str, Any]:
    state = item.get("environments", {})
    return {
        "key": item["key"],
        "type": item["type"],
        "state": ", ".join(f"{name} {_standing(value)}" for name, value in sorted(state.items())),
        "description": item.get("description", ""),
    }


def _standing(state: dict[str, Any]) -> str:
    if state.get("killed"):
        return "killed"
    return "on" if state.get("enabled") else "off"


@flags.command()
@click.argument("flag_key")
@environment_option
@pass_invocation
def show(invocation: Invocation, flag_key: str, environment: str) -> None:
    """Say in plain words what a flag does in an environment."""
    document = _state(invocation, flag_key, environment)
    invocation.output.document(document, _sentence(document, environment))


@flags.command()
@click.argument("flag_key")
@click.option(
    "--type",
    "flag_type",
    type=click.Choice(["boolean", "string", "integer", "float", "object"]),
    default="boolean",
    show_default=True,
)
@click.option(
    "--variant", "variants", multiple=True, help='NAME=VALUE, value as JSON: --variant new="a"'
)
@click.option("--default", "default_variant", help="served when no rule matches [first variant]")
@click.option("--off", "off_variant", help="served when off or killed [first variant]")
@click.option("--description", default="")
@click.option("--client", is_flag=True, help="visible to browsers and apps")
@pass_invocation
def create(
    invocation: Invocation,
    flag_key: str,
    flag_type: str,
    variants: tuple[str, ...],
    default_variant: str | None,
    off_variant: str | None,
    description: str,
    *,
    client: bool,
) -> None:
    """Create a flag; it is off everywhere until somebody turns it on."""
    named = dict(_named_value(item) for item in variants)
    if not named:
        if flag_type != "boolean":
            raise CommandError(
                f"a {flag_type} flag needs its variants",
                hint="--variant control=… --variant new=…",
                exit_code=EXIT_USAGE,
            )
        named = {"off": False, "on": True}
    first = next(iter(named))
    created = invocation.remote.post(
        invocation.remote.project_path("flags"),
        {
            "key": flag_key,
            "type": flag_type,
            "description": description,
            "client": client,
            "variants": {
                name: {"value": value} | ({"on": False} if name == "off" else {})
                for name, value in named.items()
            },
            "default": default_variant or first,
            "off": off_variant or first,
        },
    )
    invocation.output.document(created, f"Created {flag_key}; it is off everywhere.")


def _named_value(item: str) -> tuple[str, Any]:
    name, separator, text = item.partition("=")
    if not separator or not name:
        raise CommandError(
            f"{item!r} is not NAME=VALUE", hint="--variant new=true", exit_code=EXIT_USAGE
        )
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


def _sugar(verb: str, text: str) -> click.Command:
    @flags.command(name=verb, help=text)
    @click.argument("flag_key")
    @environment_option
    @comment_option
    @pass_invocation
    def command(invocation: Invocation, flag_key: str, environment: str, comment: str) -> None:
        remote = invocation.remote
        answer = remote.post(
            remote.project_path("flags", flag_key, "environments", environment, verb),
            {"comment": comment},
        )
        invocation.output.document(
            answer, _sentence(_state(invocation, flag_key, environment), environment)
        )

    return command


_sugar("on", "Turn a flag on: its rules decide.")
_sugar("off", "Turn a flag off: everybody gets the off variant.")
_sugar("kill", "Emergency off: nothing survives it until `unkill`.")
_sugar("unkill", "Lift a kill; the flag is as it was before.")


@flags.command(name="set")
@click.argument("flag_key")
@click.option("--default", "default_variant", help="served when no rule matches")
@click.option("--off", "off_variant", help="served when off or killed")
@click.option("--rollout", help="VARIANT=SHARE for everybody, such as new=25%")
@click.option("--coverage", help="RULE=SHARE of an existing rule, such as beta=50%")
@click.option("--instruction", "raw", multiple=True, help="any instruction of the API, as JSON")
@click.option("--preview", is_flag=True, help="say what would change, change nothing")
@environment_option
@comment_option
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
    comment: str,
    *,
    preview: bool,
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
    if rollout is not None:
        instructions.append(_rollout(invocation, flag_key, environment, rollout))
    instructions.extend(_parse_instruction(text, flag_key) for text in raw)
    if not instructions:
        raise CommandError(
            "nothing to set", hint="see flagstone flags set --help", exit_code=EXIT_USAGE
        )
    remote = invocation.remote
    answer = remote.post(
        remote.project_path("changes"),
        {
            "environment": environment,
            "comment": comment,
            "mode": "preview" if preview else "apply",
            "instructions": instructions,
        },
    )
    invocation.output.document(answer, answer.get("sentence", ""))


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


def _rollout(invocation: Invocation, flag_key: str, environment: str, text: str) -> dict[str, Any]:
    """Widen the rollout rule if there is one (nobody who was in falls out), else add it."""
    variant, share = _share(text)
    rules = _state(invocation, flag_key, environment).get("rules", [])
    if any(rule.get("id") == ROLLOUT_RULE for rule in rules):
        return {"do": "set_coverage", "flag": flag_key, "rule": ROLLOUT_RULE, "value": share}
    return {
        "do": "add_rule",
        "flag": flag_key,
        "rule": {
            "id": ROLLOUT_RULE,
            "serve": {"split": {"weights": {variant: 100}, "coverage": share}},
        },
    }


def _parse_instruction(text: str, flag_key: str) -> dict[str, Any]:
    try:
        instruction = json.loads(text)
    except ValueError as error:
        raise CommandError(f"--instruction is not JSON: {error}", exit_code=EXIT_USAGE) from error
    if not isinstance(instruction, dict):
        raise CommandError("--instruction must be a JSON object", exit_code=EXIT_USAGE)
    return {"flag": flag_key, **instruction}


@flags.command()
@click.argument("flag_key")
@environment_option
@pass_invocation
def history(invocation: Invocation, flag_key: str, environment: str) -> None:
    """Say who changed a flag, when and why."""
    remote = invocation.remote
    page = remote.get(remote.project_path("flags", flag_key, "history"), environment=environment)
    invocation.output.table(
        page["items"],
        [
            ("at", "when"),
            ("actor", "who"),
            ("action", "what"),
            ("revision", "revision"),
            ("comment", "why"),
        ],
        empty=f"Nothing has happened to {flag_key} yet.",
    )


@click.command(name="eval")
@click.argument("flag_key")
@click.option("--context", "context_text", default="{}", help='JSON, {"targetingKey": "u1"}')
@click.option("--flagset", type=click.Path(exists=True, dir_okay=False), help="a file, no service")
@click.option("--at", help="RFC 3339 time instead of now")
@click.option("--explain", "explained", is_flag=True, help="why, rule by rule")
@click.option("--test", "as_test", is_flag=True, help="exit with 10 when the value is false")
@environment_option
@pass_invocation
def evaluate(
    invocation: Invocation,
    flag_key: str,
    context_text: str,
    flagset: str | None,
    at: str | None,
    environment: str,
    *,
    explained: bool,
    as_test: bool,
) -> None:
    """Say what somebody gets, and why."""
    context = _context(context_text)
    if flagset is None:
        remote = invocation.remote
        body: dict[str, Any] = {"flag": flag_key, "context": context, "explain": explained}
        if at is not None:
            body["at"] = at
        answer = remote.post(remote.project_path("environments", environment, "evaluate"), body)
    else:
        answer = _evaluate_file(Path(flagset), flag_key, context, at)
    lines = [f"{answer.get('value')!r}  ({answer['reason']}, variant {answer.get('variant')})"]
    if answer.get("error_code"):
        lines.append(f"{answer['error_code']}: {answer.get('error_message')}")
    if explained:
        lines.append(answer["explanation"]["text"])
    else:
        answer.pop("explanation", None)
    invocation.output.document(answer, "\n".join(lines))
    if answer.get("error_code"):
        raise click.exceptions.Exit(EXIT_ERROR)
    if as_test and answer.get("value") is False:
        raise click.exceptions.Exit(EXIT_FALSE)


def _context(text: str) -> dict[str, Any]:
    try:
        context = json.loads(text)
    except ValueError as error:
        raise CommandError(f"--context is not JSON: {error}", exit_code=EXIT_USAGE) from error
    if not isinstance(context, dict):
        raise CommandError("--context must be a JSON object", exit_code=EXIT_USAGE)
    return context


def _evaluate_file(
    path: Path, flag_key: str, context: dict[str, Any], at: str | None
) -> dict[str, Any]:
    from flagstone.engine import FlagSetError, explain, parse_flag_set

    try:
        flag_set = parse_flag_set(path.read_text(encoding="utf-8"))
    except FlagSetError as error:
        raise CommandError(error.message, field=error.path or None, hint=error.hint) from error
    moment = dt.datetime.now(dt.UTC)
    if at is not None:
        try:
            moment = dt.datetime.fromisoformat(at)
        except ValueError as error:
            raise CommandError(
                f"{at!r} is not a time", hint="2026-12-01T09:00:00Z", exit_code=EXIT_USAGE
            ) from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
    explanation = explain(flag_set, flag_key, context, moment.timestamp())
    details = explanation.details
    return {
        "flag": flag_key,
        "value": details.value,
        "variant": details.variant,
        "reason": str(details.reason.value),
        "rule": details.rule_id,
        "error_code": details.error_code.value if details.error_code else None,
        "error_message": details.error_message,
        "explanation": {**explanation.to_document(), "text": explanation.to_text()},
    }


def _state(invocation: Invocation, flag_key: str, environment: str) -> dict[str, Any]:
    remote = invocation.remote
    answer: dict[str, Any] = remote.get(
        remote.project_path("flags", flag_key, "environments", environment)
    )
    return answer


def _sentence(document: dict[str, Any], environment: str) -> str:
    sentence = document.get("sentence")
    return sentence if isinstance(sentence, str) else describe(document, environment=environment)
