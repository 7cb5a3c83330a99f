"""``flagstone metrics …``: the metric catalogue."""

from __future__ import annotations

from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.files import read_document


@click.group()
def metrics() -> None:
    """Say once for all plans what is measured."""


@metrics.command(name="list")
@click.option("--archived", is_flag=True, help="those that are out of use")
@pass_invocation
def list_metrics(invocation: Invocation, *, archived: bool) -> None:
    """List the catalogue: what each metric measures, and how small an effect it shows."""
    remote = invocation.remote
    found = remote.items(remote.project_path("metrics"), archived=str(archived).lower())
    invocation.output.table(
        found if invocation.output.as_json else [_row(each) for each in found],
        [
            ("key", "metric"),
            ("measures", "measures"),
            ("better", "better"),
            ("owner", "owner"),
            ("version", "version"),
            ("experiments", "experiments"),
            ("provable", "shows in 28 days"),
        ],
        empty="No metric yet. Write one: flagstone metrics set purchase purchase.toml",
    )


def _row(metric: dict[str, Any]) -> dict[str, Any]:
    return {
        **metric,
        "better": {"up": "higher", "down": "lower"}[metric["direction"]],
        "owner": metric["owner"] or ("built in" if metric["built_in"] else "–"),
        "provable": _provable(metric["sensitivity"]),
    }


def _provable(sensitivity: dict[str, Any] | None) -> str:
    effect = None if sensitivity is None else sensitivity["provable"]
    return "not enough data yet" if effect is None else f"{100 * effect:.2g} %"


@metrics.command()
@click.argument("metric")
@pass_invocation
def show(invocation: Invocation, metric: str) -> None:
    """Show a metric with its versions, the experiments that used it, and its sensitivity."""
    remote = invocation.remote
    found = remote.get(remote.project_path("metrics", metric))
    use = remote.get(remote.project_path("metrics", metric, "use"))
    document = {**found, **use}
    invocation.output.document(document, _said(document))


def _said(metric: dict[str, Any]) -> str:
    state = " (archived)" if metric["archived"] else ""
    lines = [f"{metric['key']}, version {metric['version']}{state}", metric["measures"]]
    lines += [metric["description"]] if metric["description"] else []
    lines.append(f"Better is {metric['direction']}. Owner: {metric['owner'] or '–'}.")
    sensitivity = metric["sensitivity"]
    lines.append(sensitivity["sentence"] if sensitivity else "Sensitivity: not enough data yet.")
    for use in metric["experiments"]:
        effects = "; ".join(f"{each['arm']} {each['text']}" for each in use["effects"])
        told = effects or use["hidden_because"] or "too few units"
        lines.append(f"  {use['experiment']} ({use['role']}, {use['verdict'] or '–'}): {told}")
    return "\n".join(lines)


@metrics.command(name="set")
@click.argument("metric")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@pass_invocation
def set_metric(invocation: Invocation, metric: str, file: str) -> None:
    """Add a metric from a document (TOML or JSON), or write its next version."""
    remote = invocation.remote
    answer = remote.put(remote.project_path("metrics", metric), read_document(file))
    invocation.output.document(
        answer,
        f"{metric} is at version {answer['version']}: {answer['measures']}\n"
        f'A plan takes it by: metric = "{metric}"',
    )


@metrics.command()
@click.argument("metric")
@click.option("--undo", is_flag=True, help="bring it back")
@pass_invocation
def archive(invocation: Invocation, metric: str, *, undo: bool) -> None:
    """Take a metric out of use for new plans; plans that have it keep it."""
    remote = invocation.remote
    verb = "unarchive" if undo else "archive"
    answer = remote.post(remote.project_path("metrics", metric, verb))
    said = "in use again" if undo else "archived: no new plan takes it"
    invocation.output.document(answer, f"{metric} is {said}.")
