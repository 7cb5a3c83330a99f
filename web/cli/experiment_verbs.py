"""``flagstone experiments``, when people step in: explain, extend, override, learn, close."""

from __future__ import annotations

from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.options import which_environment_option
from web.cli.receipts import finish, wait_option


def _post(
    invocation: Invocation,
    experiment: str,
    verb: str,
    body: dict[str, Any],
    environment: str | None,
    wait_seconds: int | None = None,
) -> None:
    answer = invocation.remote.act(
        "experiments", experiment, verb, environment, body, wait_seconds=wait_seconds
    )
    finish(invocation.output, answer, answer["sentence"], wait_seconds)


@click.command()
@click.argument("experiment")
@click.option("-m", "--text", required=True, help="what was wrong with the data; kept")
@which_environment_option
@pass_invocation
def explain(invocation: Invocation, experiment: str, text: str, environment: str | None) -> None:
    """Explain a quality alarm; the experiment goes on."""
    _post(invocation, experiment, "explain", {"text": text}, environment)


@click.command()
@click.argument("experiment")
@click.option("--by", required=True, help="how long, such as 7d")
@which_environment_option
@pass_invocation
def extend(invocation: Invocation, experiment: str, by: str, environment: str | None) -> None:
    """Give an experiment more time, once (for the customer)."""
    _post(invocation, experiment, "extend", {"by": by}, environment)


@click.command()
@click.argument("experiment")
@click.option("--arm", required=True, help="the variant that ships")
@click.option("--reason", required=True, help="a code: legal, security, contract, …")
@click.option("-m", "--text", required=True, help="why; kept in the record")
@click.option("--effect", type=float, required=True, help="predicted, relative: 0.05 for 5 %")
@click.option("--review", required=True, help="when to look again: 2026-06-01T09:00:00Z")
@which_environment_option
@wait_option
@pass_invocation
def override(
    invocation: Invocation,
    experiment: str,
    arm: str,
    reason: str,
    text: str,
    effect: float,
    review: str,
    environment: str | None,
    wait_seconds: int | None,
) -> None:
    """Ship an arm without proof; against a verdict somebody else approves."""
    body = {
        "arm": arm,
        "reason": reason,
        "text": text,
        "predicted_effect": effect,
        "review_at": review,
    }
    _post(invocation, experiment, "override", body, environment, wait_seconds)


@click.command()
@click.argument("experiment")
@which_environment_option
@wait_option
@pass_invocation
def approve(
    invocation: Invocation, experiment: str, environment: str | None, wait_seconds: int | None
) -> None:
    """Approve the override that another person asked for."""
    _post(invocation, experiment, "approve", {}, environment, wait_seconds)


@click.command()
@click.argument("experiment")
@click.option("-m", "--note", required=True, help="why; kept in the record")
@which_environment_option
@pass_invocation
def decline(invocation: Invocation, experiment: str, note: str, environment: str | None) -> None:
    """Turn down the override that somebody asked for."""
    _post(invocation, experiment, "decline", {"note": note}, environment)


@click.command()
@click.argument("experiment")
@click.option("-m", "--note", required=True, help="where the code went; kept in the record")
@which_environment_option
@pass_invocation
def close(invocation: Invocation, experiment: str, note: str, environment: str | None) -> None:
    """Declare that the code which read the flag is gone."""
    _post(invocation, experiment, "close", {"note": note}, environment)


@click.command()
@click.argument("experiment")
@click.option("-m", "--text", required=True, help="what was learned; found by its words later")
@which_environment_option
@pass_invocation
def learn(invocation: Invocation, experiment: str, text: str, environment: str | None) -> None:
    """Write down what was learned, once there is a verdict."""
    answer = invocation.remote.act("experiments", experiment, "learn", environment, {"text": text})
    finish(invocation.output, answer, f"Learned: {answer['learned']['text']}", None)


def add_to(group: click.Group) -> None:
    """Add these commands to the group of an experiment's verbs."""
    for command in (explain, extend, override, approve, decline, learn, close):
        group.add_command(command)
