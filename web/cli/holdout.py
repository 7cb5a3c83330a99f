"""``flagstone holdout …``: units that get control of everything."""

from __future__ import annotations

from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.options import environment_option
from web.cli.receipts import finish, wait_option


@click.group()
def holdout() -> None:
    """Hold a share of all units out of everything, to see what all changes together bring."""


@holdout.command()
@environment_option
@pass_invocation
def show(invocation: Invocation, environment: str) -> None:
    """Show the holdout, and what all that shipped has brought."""
    found = invocation.remote.get(_path(invocation, environment))
    invocation.output.document(found, _said(found))


@holdout.command(name="set")
@click.argument("share", type=click.FloatRange(0, 0.1, min_open=True))
@environment_option
@wait_option
@pass_invocation
def set_share(
    invocation: Invocation, share: float, environment: str, wait_seconds: int | None
) -> None:
    """Hold SHARE of all units (0.05 is 5 %) out of everything; while it is on it only grows."""
    path = _path(invocation, environment)
    found = invocation.remote.put(path, {"share": share}, wait_seconds=wait_seconds)
    said = f"{100 * found['share']:g} % of all units get control of everything. Evaluate "
    finish(invocation.output, found, f"{said}{found['flag']} once for every unit.", wait_seconds)


@holdout.command()
@environment_option
@wait_option
@pass_invocation
def end(invocation: Invocation, environment: str, wait_seconds: int | None) -> None:
    """Let everybody in again, in one revision."""
    found = invocation.remote.end(_path(invocation, environment), wait_seconds=wait_seconds)
    finish(invocation.output, found, "Nobody is held out any more.", wait_seconds)


def _path(invocation: Invocation, environment: str) -> str:
    return invocation.remote.project_path("environments", environment, "holdout")


def _said(found: dict[str, Any]) -> str:
    if not found["on"]:
        return "Nobody is held out. Begin: flagstone holdout set 0.05"
    lines = [f"{100 * found['share']:g} % of all units get control of everything."]
    if not found["intact"]:
        lines.append(f"Flag {found['flag']} was edited by hand: set the share again.")
    effect = found["effect"]
    if effect is None:
        lines.append("Nothing has shipped since, or nobody has been compared yet.")
        return "\n".join(lines)
    lines.append(f"Shipped since and kept from them: {', '.join(effect['experiments'])}.")
    for each in effect["metrics"]:
        if each["estimate"] is None:
            lines.append(f"{each['metric']}: {each['reason']}")
            continue
        expected = each["shrunk"]
        beside = (
            "" if expected is None else f"; expected by their experiments {expected['total']:+.4g}"
        )
        lines.append(
            f"{each['metric']}: {each['estimate']:+.4g} {each['unit']} "
            f"({each['low']:+.4g} to {each['high']:+.4g}, 95 %, one reading){beside}"
        )
    return "\n".join(lines)
