"""``flagstone eval``: what somebody gets, and why; from the service or from a file."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.files import parse_option, read_text
from web.cli.options import environment_option
from web.cli.output import EXIT_ERROR, EXIT_FALSE, EXIT_USAGE, CommandError, moment


@click.command(name="eval")
@click.argument("flag_key")
@click.option(
    "--context",
    "context_text",
    default="{}",
    help='who asks, as JSON: {"targetingKey": "u1", "country": "DE"}',
)
@click.option(
    "--flagset",
    type=click.Path(exists=True, dir_okay=False),
    help="a flag set in a file; no service is needed",
)
@click.option("--at", "at_text", help="an instant with a zone, 2026-12-01T09:00:00Z [now]")
@click.option("--explain", "explained", is_flag=True, help="why, rule by rule")
@click.option("--everywhere", is_flag=True, help="in every environment, side by side")
@click.option("--test", "as_test", is_flag=True, help="exit with 10 when the flag is false")
@environment_option
@pass_invocation
def evaluate(
    invocation: Invocation,
    flag_key: str,
    context_text: str,
    flagset: str | None,
    at_text: str | None,
    environment: str,
    *,
    explained: bool,
    everywhere: bool,
    as_test: bool,
) -> None:
    """Say what somebody gets, and why; now or at a past instant."""
    if everywhere and (flagset is not None or as_test):
        raise CommandError(
            "--everywhere goes with neither --flagset nor --test", exit_code=EXIT_USAGE
        )
    context = parse_option(context_text, "--context", hint="""--context '{"targetingKey": "u1"}'""")
    at = None if at_text is None else _instant(at_text)
    if flagset is None:
        remote = invocation.remote
        body: dict[str, Any] = {"flag": flag_key, "context": context, "explain": explained}
        if at is not None:
            body["at"] = at.isoformat()
        if everywhere:
            _show_everywhere(invocation, remote.post(remote.project_path("evaluate"), body))
            return
        answer = remote.post(remote.project_path("environments", environment, "evaluate"), body)
    else:
        then = dt.datetime.now(dt.UTC) if at is None else at
        answer = _evaluate_file(flagset, flag_key, context, then, explained=explained)
    invocation.output.document(answer, _words(answer, explained=explained))
    if answer["error_code"]:
        raise click.exceptions.Exit(EXIT_ERROR)
    if as_test and (answer["value"] is False or not answer["on"]):
        raise click.exceptions.Exit(EXIT_FALSE)


def _show_everywhere(invocation: Invocation, answer: dict[str, Any]) -> None:
    if invocation.output.as_json:
        invocation.output.document(answer)
        return
    rows = []
    for here in answer["environments"]:
        item = here["items"][0] if here["items"] else None
        said = here["problem"] if item is None else _words(item, explained="explanation" in item)
        rows.append({**here, "published_at": moment(here["published_at"]), "said": said})
    columns = [("environment", "environment"), ("revision", "revision")]
    columns += [("published_at", "in force since"), ("said", "gets")]
    invocation.output.table(rows, columns, empty="No environment yet.")


def _words(answer: dict[str, Any], *, explained: bool) -> str:
    if answer["variant"] is None:
        lines = [f"the caller's default  ({answer['reason']})"]
    else:
        value = json.dumps(answer["value"], ensure_ascii=False)
        lines = [f"{value}  ({answer['reason']}, variant {answer['variant']})"]
    if answer["error_code"]:
        lines.append(f"{answer['error_code']}: {answer['error_message']}")
    if explained:
        lines.append(answer["explanation"]["text"])
    return "\n".join(lines)


def _instant(text: str) -> dt.datetime:
    try:
        instant = dt.datetime.fromisoformat(text)
        if instant.tzinfo is not None:
            return instant.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        pass
    raise CommandError(
        f"{text!r} is not an instant with a time zone",
        hint="--at 2026-12-01T09:00:00Z",
        exit_code=EXIT_USAGE,
    )


def _evaluate_file(
    path: str, flag_key: str, context: dict[str, Any], at: dt.datetime, *, explained: bool
) -> dict[str, Any]:
    """Evaluate as the service does, and answer in its shape."""
    from flagstone.engine import FlagSetError, explain, parse_flag_set

    try:
        flag_set = parse_flag_set(read_text(path))
    except FlagSetError as error:
        place = f"{path}: {error.path}" if error.path else path
        raise CommandError(error.message, field=place, hint=error.hint) from error
    explanation = explain(flag_set, flag_key, context, at.timestamp())
    answer = explanation.details.to_document()
    if explained:
        answer["explanation"] = {**explanation.to_document(), "text": explanation.to_text()}
    head = {"revision": flag_set.version, "published_at": None}
    return {**answer, **head, "at": at.isoformat().replace("+00:00", "Z")}
