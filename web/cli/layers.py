"""``flagstone layers …``: experiments that share units exclusively."""

from __future__ import annotations

from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.options import environment_option


@click.group()
def layers() -> None:
    """Keep experiments apart: those of one layer never meet the same unit."""


@layers.command(name="list")
@environment_option
@pass_invocation
def list_layers(invocation: Invocation, environment: str) -> None:
    """List layers: who has which share, and what is free."""
    path = invocation.remote.project_path("environments", environment, "layers")
    found = invocation.remote.items(path)
    if not invocation.output.as_json:
        found = [_row(each) for each in found]
    invocation.output.table(
        found,
        [("key", "layer"), ("held", "held by"), ("free", "free"), ("description", "for")],
        empty="No layer yet. Create one: flagstone layers create checkout",
    )


@layers.command()
@click.argument("layer")
@click.option("-d", "--description", default="", help="what its experiments have in common")
@environment_option
@pass_invocation
def create(invocation: Invocation, layer: str, description: str, environment: str) -> None:
    """Create a layer, or describe it anew."""
    path = invocation.remote.project_path("environments", environment, "layers", layer)
    answer = invocation.remote.put(path, {"description": description})
    invocation.output.document(
        answer,
        f'{layer} has {_percent(answer["free_share"])} free. In a plan: layer = "{layer}" and '
        "layer_share = 0.25",
    )


@layers.command()
@click.argument("layer")
@environment_option
@pass_invocation
def delete(invocation: Invocation, layer: str, environment: str) -> None:
    """Forget a layer that no sealed experiment needs."""
    path = invocation.remote.project_path("environments", environment, "layers", layer)
    invocation.remote.delete(path)
    invocation.output.document({"deleted": layer}, f"{layer} is forgotten.")


def _row(layer: dict[str, Any]) -> dict[str, Any]:
    held = ", ".join(f"{each['key']} {_percent(each['share'])}" for each in layer["experiments"])
    return {**layer, "held": held or "nobody", "free": _percent(layer["free_share"])}


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
