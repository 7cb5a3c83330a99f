"""``flagstone experiments …``."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.output import EXIT_FALSE, EXIT_USAGE, CommandError

_PROVEN = {"VALUE_PROVEN", "NO_HARM_PROVEN", "OVERRIDE_SHIP", "CONFIRMED"}


@click.group()
def experiments() -> None:
    """Run experiments: a claim, a seal, a verdict."""


@experiments.command(name="list")
@pass_invocation
def list_experiments(invocation: Invocation) -> None:
    """List experiments and their verdicts."""
    remote = invocation.remote
    page = remote.get(remote.project_path("experiments"))
    invocation.output.table(
        page["items"],
        [
            ("key", "experiment"),
            ("flag", "flag"),
            ("environment", "environment"),
            ("state", "state"),
            ("verdict", "verdict"),
            ("looks", "looks"),
            ("next_look_at", "next look"),
        ],
        empty="No experiment yet. Write a plan and run: flagstone experiments create plan.toml",
    )


@experiments.command()
@click.argument("plan", type=click.Path(exists=True, dir_okay=False))
@pass_invocation
def create(invocation: Invocation, plan: str) -> None:
    """Create an experiment from a plan (TOML or JSON); it starts as a draft."""
    answer = invocation.remote.post(
        invocation.remote.project_path("experiments"), _read_plan(Path(plan))
    )
    invocation.output.document(
        answer,
        f"Drafted {answer['key']}. Freeze it with: flagstone experiments seal {answer['key']}",
    )


def _read_plan(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    try:
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise CommandError(f"{path} cannot be read: {error}", exit_code=EXIT_USAGE) from error


def _step(verb: str, text: str, said: str) -> click.Command:
    @experiments.command(name=verb, help=text)
    @click.argument("experiment")
    @pass_invocation
    def command(invocation: Invocation, experiment: str) -> None:
        remote = invocation.remote
        answer = remote.post(remote.project_path("experiments", experiment, verb))
        invocation.output.document(answer, said.format(experiment))

    return command


_step("seal", "Freeze the plan with its hash.", "{} is sealed.")
_step("start", "Start: the ramp begins, looks are scheduled.", "{} has started.")
_step("confirm", "Ship what was proven (for the customer).", "{} is being shipped.")


@experiments.command()
@click.argument("experiment")
@click.option("-m", "--reason", required=True, help="why; kept in the record")
@pass_invocation
def stop(invocation: Invocation, experiment: str, reason: str) -> None:
    """Stop an experiment now; everybody gets the control variant."""
    remote = invocation.remote
    answer = remote.post(remote.project_path("experiments", experiment, "stop"), {"reason": reason})
    invocation.output.document(answer, f"{experiment} is stopped and rolled back.")


@experiments.command()
@click.argument("experiment")
@click.option("--test", "as_test", is_flag=True, help="exit with 10 unless value is proven")
@pass_invocation
def status(invocation: Invocation, experiment: str, *, as_test: bool) -> None:
    """Say where an experiment stands."""
    remote = invocation.remote
    document = remote.get(remote.project_path("experiments", experiment))
    verdict = document.get("verdict") or "no verdict yet"
    text = f"{experiment}: {document['state']}, {verdict}. {document.get('sentence') or ''}"
    invocation.output.document(document, text.rstrip())
    if as_test and document.get("verdict") not in _PROVEN:
        raise click.exceptions.Exit(EXIT_FALSE)


@experiments.command()
@click.argument("experiment")
@pass_invocation
def card(invocation: Invocation, experiment: str) -> None:
    """Print the verdict card."""
    remote = invocation.remote
    text = remote.get(remote.project_path("experiments", experiment, "card.txt"))
    if not invocation.output.quiet:
        click.echo(text)


@experiments.command()
@click.argument("experiment")
@click.option("--out", type=click.Path(dir_okay=False, writable=True), help="a file")
@pass_invocation
def record(invocation: Invocation, experiment: str, out: str | None) -> None:
    """Export the decision records, for `flagstone verify`."""
    remote = invocation.remote
    document = remote.get(remote.project_path("experiments", experiment, "record"))
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if out is None:
        click.echo(text)
    else:
        Path(out).write_text(text + "\n", encoding="utf-8")
