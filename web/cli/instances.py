"""``flagstone instances``: which SDK clients are out there, and what they serve."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from flags.effect_words import percent
from web.cli.context import Invocation, pass_invocation
from web.cli.options import environment_option
from web.cli.output import EXIT_NOT_CONVERGED, CommandError, moment
from web.cli.remote import Remote

POLL_SECONDS = 0.2
_NAMED = 5


@click.command()
@click.option("--stale", is_flag=True, help="only those that are not on the newest revision")
@click.option("--defaults", is_flag=True, help="what callers would get without the service")
@click.option("--ofrep", is_flag=True, help="which keys asked over OFREP in a day")
@click.option("--if-gone", is_flag=True, help="who would notice if the service were gone now")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(min=0),
    help="seconds to wait until all are on the newest revision; exit code 5 if they are not",
)
@environment_option
@pass_invocation
def instances(
    invocation: Invocation,
    environment: str,
    wait_seconds: float | None,
    *,
    stale: bool,
    defaults: bool,
    ofrep: bool,
    if_gone: bool,
) -> None:
    """List the SDK clients of an environment, and the revision that each serves."""
    path = invocation.remote.project_path("environments", environment, "instances")
    if wait_seconds is not None:
        _wait(invocation.remote, path, wait_seconds)
    if if_gone:
        _show_outage(invocation, environment)
        return
    if defaults:
        _show_defaults(invocation, invocation.remote.get(path, limit=1)["fallbacks"])
        return
    if ofrep:
        _show_ofrep(invocation, invocation.remote.get(path, limit=1)["ofrep"])
        return
    found = invocation.remote.items(path, stale="true" if stale else None)
    rows = found if invocation.output.as_json else [_row(each) for each in found]
    invocation.output.table(
        rows,
        [
            ("id", "instance"),
            ("state", "state"),
            ("revision", "revision"),
            ("source", "by"),
            ("seen_at", "last seen"),
            ("sdk", "sdk"),
            ("runtime", "runtime"),
            ("host", "host"),
        ],
        empty="All are on the newest revision." if stale else "No SDK has been heard of here.",
    )


def _row(instance: dict[str, Any]) -> dict[str, Any]:
    return {**instance, "seen_at": moment(instance["seen_at"])}


def _wait(remote: Remote, path: str, seconds: float) -> None:
    """Wait until no living client is behind; who is silent is waited for by nobody."""
    deadline = time.monotonic() + seconds
    while True:
        document = remote.get(path, state="behind", limit=_NAMED)
        behind = document["counts"]["behind"] + document["counts"]["without_flags"]
        if not behind:
            return
        if time.monotonic() >= deadline:
            names = [each["host"] or each["id"] for each in document["items"]]
            listed = f": {', '.join(names)}{', …' if behind > len(names) else ''}" if names else ""
            raise CommandError(
                f"{behind} not on revision {document['revision']} yet{listed}",
                hint="flagstone instances --stale",
                exit_code=EXIT_NOT_CONVERGED,
            )
        time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))


def _show_defaults(invocation: Invocation, fallbacks: list[dict[str, Any]]) -> None:
    rows = fallbacks if invocation.output.as_json else [_fallback_row(each) for each in fallbacks]
    invocation.output.table(
        rows,
        [("flag", "flag"), ("flag_type", "type"), ("defaults", "without us"), ("note", "note")],
        empty="No SDK has told its defaults yet.",
    )


def _show_ofrep(invocation: Invocation, callers: list[dict[str, Any]]) -> None:
    shown = [{**each, "seen_at": moment(each["seen_at"])} for each in callers]
    invocation.output.table(
        callers if invocation.output.as_json else shown,
        [("key", "key"), ("kind", "kind"), ("seen_at", "last asked")],
        empty="Nobody has asked over OFREP in a day.",
    )


def _show_outage(invocation: Invocation, environment: str) -> None:
    remote, output = invocation.remote, invocation.output
    found = remote.get(remote.project_path("environments", environment, "outage-preview"))
    if output.as_json:
        output.document(found)
        return
    output.document(found, found["sentence"])
    if found["flags"]:
        output.table(
            [_outage_row(each) for each in found["flags"]],
            [
                ("flag", "flag"),
                ("served", "served now"),
                ("defaults", "without us"),
                ("flips", "would notice"),
                ("note", "note"),
            ],
            empty="",
        )


def _outage_row(each: dict[str, Any]) -> dict[str, Any]:
    flips, row = each["flips"], _fallback_row(each)
    if each["asked_as_another_type"]:
        row["note"] = ", ".join(filter(None, ["asked as another type", row["note"]]))
    served = [f"{_value(part)} ({percent(part['share'])})" for part in each["served"]]
    shown = (
        flips and f"{percent(flips['share'])} ({percent(flips['low'])}–{percent(flips['high'])})"
    )
    return {**row, "served": ", ".join(served) or None, "flips": shown}


def _value(served: dict[str, Any]) -> str:
    value = served["value"]
    return "caller's default" if value is None else json.dumps(value, ensure_ascii=False)


def _fallback_row(fallback: dict[str, Any]) -> dict[str, Any]:
    shown, notes = [], []
    for default in fallback["defaults"]:
        text = json.dumps(default["value"], ensure_ascii=False) if "value" in default else "…"
        shown.append(f"{text} ({default['instances']})")
    if fallback["flag_type"] is None:
        notes.append("no such flag")
    elif "asked_as_another_type" not in fallback and any(
        default["type"] != fallback["flag_type"] for default in fallback["defaults"]
    ):
        notes.append("asked as another type")
    if fallback["disagree"]:
        notes.append("callers disagree")
    return {**fallback, "defaults": ", ".join(shown), "note": ", ".join(notes) or None}
