"""``flagstone experiments …``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.files import parse_json, read_data
from web.cli.forecasts import forecast_text, wait_for_forecast
from web.cli.options import which_environment_option
from web.cli.output import EXIT_FALSE, moment
from web.cli.receipts import finish, wait_option

_PROVEN = {"VALUE_PROVEN", "NO_HARM_PROVEN", "CONFIRMED"}


@click.group()
def experiments() -> None:
    """Run experiments: a claim, a seal, a verdict."""


@experiments.command(name="list")
@click.option("--state", help="such as RUNNING")
@click.option("--flag", help="only those of one flag")
@click.option("-e", "--environment", help="only those of one environment")
@click.option("--waiting", "group", flag_value="waiting", help="only those that need a person")
@click.option("--running", "group", flag_value="running", help="only those that run by themselves")
@click.option("--planned", "group", flag_value="planned", help="only drafts and sealed plans")
@click.option("--ended", "group", flag_value="ended", help="only those that are over")
@click.option("--filter", "filter_", help="words of key, flag, hypothesis, customer or sentence")
@click.option("--limit", type=click.IntRange(min=1), help="so many at most")
@pass_invocation
def list_experiments(
    invocation: Invocation, /, limit: int | None, filter_: str | None, **which: str | None
) -> None:
    """List experiments and their verdicts, newest first."""
    remote = invocation.remote
    path = remote.project_path("experiments")
    found = remote.items(path, limit=limit, filter=filter_, **which)
    reviews = any(each["review"] for each in found)
    if not invocation.output.as_json:
        found = [
            {**each, "next_look_at": moment(each["next_look_at"]), "review": _review(each)}
            for each in found
        ]
    invocation.output.table(
        found,
        [
            ("key", "experiment"),
            ("flag", "flag"),
            ("environment", "environment"),
            ("state", "state"),
            ("verdict", "verdict"),
            ("looks", "looks"),
            ("next_look_at", "next look"),
            # What was shipped by hand; mostly nothing was.
            *([("review", "review")] if reviews else []),
        ],
        empty="No experiment yet. Write a plan and run: flagstone experiments create plan.toml",
    )


def _review(document: dict[str, Any]) -> str:
    review = document["review"]
    if review is None:
        return ""
    at = moment(review["due_at"])
    return f"overdue since {at}, {review['by']}" if review["overdue"] else f"due on {at}"


@experiments.command()
@click.argument("plan", type=click.Path(exists=True, dir_okay=False))
@pass_invocation
def create(invocation: Invocation, plan: str) -> None:
    """Create an experiment from a plan (TOML or JSON); it starts as a draft."""
    document = read_data(plan)
    remote = invocation.remote
    answer = remote.post(remote.project_path("experiments"), document)
    invocation.output.document(
        answer,
        f"Drafted {answer['key']}. Freeze it with: flagstone experiments seal {answer['key']}",
    )


@experiments.command()
@click.argument("experiment")
@which_environment_option
@wait_option
@pass_invocation
def confirm(
    invocation: Invocation, experiment: str, environment: str | None, wait_seconds: int | None
) -> None:
    """Ship what was proven (for the customer)."""
    answer = invocation.remote.act(
        "experiments", experiment, "confirm", environment, wait_seconds=wait_seconds
    )
    text = f"{answer['key']} ships {answer['winner']}."
    finish(invocation.output, answer, text, wait_seconds)


@experiments.command()
@click.argument("experiment")
@which_environment_option
@pass_invocation
def seal(invocation: Invocation, experiment: str, environment: str | None) -> None:
    """Freeze the plan with its hash, and say what it can prove."""
    remote = invocation.remote
    answer = remote.act("experiments", experiment, "seal", environment)
    found = wait_for_forecast(remote, experiment, environment)
    said = f"{answer['key']} is sealed as {answer['plan_hash']}.\n{forecast_text(found)}"
    invocation.output.document({**answer, "forecast": found}, said)


@experiments.command()
@click.argument("experiment")
@which_environment_option
@wait_option
@pass_invocation
def start(
    invocation: Invocation, experiment: str, environment: str | None, wait_seconds: int | None
) -> None:
    """Start: the ramp begins, looks are scheduled."""
    remote = invocation.remote
    wait_for_forecast(remote, experiment, environment)
    answer = remote.act("experiments", experiment, "start", environment, wait_seconds=wait_seconds)
    finish(invocation.output, answer, f"{answer['key']} has started.", wait_seconds)


@experiments.command()
@click.argument("experiment")
@which_environment_option
@pass_invocation
def forecast(invocation: Invocation, experiment: str, environment: str | None) -> None:
    """Say what the plan can prove by when, how often it errs, and what keeps it from starting."""
    found = wait_for_forecast(invocation.remote, experiment, environment)
    invocation.output.document(found, forecast_text(found))


@experiments.command()
@click.argument("experiment")
@click.option("-r", "--risk", "risks", multiple=True, required=True, help="mde, no_traffic, …")
@which_environment_option
@pass_invocation
def accept(
    invocation: Invocation, experiment: str, risks: tuple[str, ...], environment: str | None
) -> None:
    """Sign for a risk of the sealed plan (for the customer, signed in)."""
    body = {"risks": list(risks)}
    answer = invocation.remote.act("experiments", experiment, "accept", environment, body)
    invocation.output.document(
        answer, f"{answer['key']} may start in spite of: {', '.join(risks)}."
    )


@experiments.command()
@click.argument("experiment")
@click.option("-m", "--reason", required=True, help="why; kept in the record")
@which_environment_option
@wait_option
@pass_invocation
def stop(
    invocation: Invocation,
    experiment: str,
    reason: str,
    environment: str | None,
    wait_seconds: int | None,
) -> None:
    """Stop an experiment now; everybody gets the control variant."""
    body = {"reason": reason}
    answer = invocation.remote.act(
        "experiments", experiment, "stop", environment, body, wait_seconds=wait_seconds
    )
    finish(invocation.output, answer, f"{experiment} is stopped and rolled back.", wait_seconds)


@experiments.command()
@click.argument("experiment")
@click.option("--test", "as_test", is_flag=True, help="exit with 10 unless value is proven")
@which_environment_option
@pass_invocation
def status(
    invocation: Invocation, experiment: str, environment: str | None, *, as_test: bool
) -> None:
    """Say where an experiment stands."""
    remote = invocation.remote
    document = remote.get(remote.project_path("experiments", experiment), environment=environment)
    invocation.output.document(document, _standing(document))
    if as_test and document["verdict"] not in _PROVEN:
        raise click.exceptions.Exit(EXIT_FALSE)


def _standing(document: dict[str, Any]) -> str:
    verdict = document["verdict"] or "no verdict yet"
    lines = [f"{document['key']}: {document['state']}, {verdict}, {document['looks']} looks."]
    if document["sentence"]:
        lines.append(document["sentence"])
    if document["next_look_at"]:
        lines.append(f"Next look: {moment(document['next_look_at'])}")
    if document["review"]:
        lines.append(f"Review: {_review(document)}")
    for newer in document["newer_metrics"]:
        now = "archived" if newer["archived"] else f"at version {newer['newest']}"
        lines.append(
            f"{newer['metric']}: the plan has version {newer['version']}; the catalogue's is {now}."
        )
    policy = document["newer_policy"]
    if policy is not None:
        now = "archived" if policy["archived"] else f"at version {policy['newest']}"
        lines.append(
            f"Policy {policy['policy']}: the plan has version {policy['version']}; "
            f"the project's is {now}."
        )
    return "\n".join(lines)


@experiments.command()
@click.argument("experiment")
@which_environment_option
@pass_invocation
def card(invocation: Invocation, experiment: str, environment: str | None) -> None:
    """Print the verdict card: plain text, in a pipe too."""
    remote = invocation.remote
    text = remote.get_text(
        remote.project_path("experiments", experiment, "card.txt"), environment=environment
    )
    invocation.output.text(text, {"experiment": experiment, "card": text})


@experiments.command()
@click.argument("experiment")
@click.option("--csv", "as_csv", is_flag=True, help="one row per look, metric and treatment")
@click.option(
    "--by-segment", "by", flag_value="segment", help="CSV: one row per segment too; exploratory"
)
@click.option(
    "--by-holdback", "by", flag_value="holdback", help="CSV: what those held back told instead"
)
@click.option("--out", type=click.Path(dir_okay=False, writable=True), help="a file")
@which_environment_option
@pass_invocation
def results(
    invocation: Invocation,
    experiment: str,
    out: str | None,
    environment: str | None,
    by: str | None,
    *,
    as_csv: bool,
) -> None:
    """Give everything that was found: JSON for a notebook, or CSV; a table of the newest look."""
    remote = invocation.remote
    as_csv = as_csv or by is not None
    name = "results.csv" if as_csv else "results.json"
    path = remote.project_path("experiments", experiment, name)
    text = remote.get_text(path, environment=environment, by=by)
    if out is not None:
        Path(out).write_text(text, encoding="utf-8", newline="")
        invocation.output.document({"file": out}, f"Wrote {out}.")
    elif as_csv:
        click.echo(text, nl=False)
    elif invocation.output.as_json:
        invocation.output.document(parse_json(text, name))
    else:
        _show_newest_look(invocation, parse_json(text, name))


def _show_newest_look(invocation: Invocation, document: dict[str, Any]) -> None:
    rows = document["results"]
    newest = [row for row in rows if row["look"] == rows[-1]["look"]]
    columns = [(name, name) for name in ("metric", "arm", "estimate", "low", "high", "relative")]
    head = [("look", "look"), *columns]
    if document["hidden_because"] is not None:
        head = [("look", "look"), *columns[:2], ("hidden_because", "not shown")]
    invocation.output.table(newest, head, empty="No look yet.")


@experiments.command()
@click.argument("experiment")
@click.option("--out", type=click.Path(dir_okay=False, writable=True), help="a file")
@which_environment_option
@pass_invocation
def record(
    invocation: Invocation, experiment: str, out: str | None, environment: str | None
) -> None:
    """Export the decision records, for `flagstone verify`."""
    remote = invocation.remote
    document = remote.get(
        remote.project_path("experiments", experiment, "record"), environment=environment
    )
    if out is None:
        invocation.output.document(document)
        return
    Path(out).write_text(
        json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    count = len(document["records"])
    invocation.output.document(
        {"file": out, "records": count},
        f"Wrote {count} records to {out}. Check them with: flagstone verify {out}",
    )
