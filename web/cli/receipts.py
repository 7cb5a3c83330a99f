"""``--wait``: is what a command changed served everywhere by now, and who is not there yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from web.cli.output import EXIT_NOT_CONVERGED, CommandError, Output, moment
from web.prefer import MAX_WAIT_SECONDS

wait_option = click.option(
    "--wait",
    "wait_seconds",
    type=click.IntRange(0, MAX_WAIT_SECONDS),
    metavar="SECONDS",
    help="wait until every SDK serves it; exit code 5 if some do not by then "
    f"[0 to {MAX_WAIT_SECONDS}]",
)


def finish(output: Output, answer: dict[str, Any], text: str, wait_seconds: int | None) -> None:
    """Print what was done and, if it was waited for, who serves it.

    Raises
    ------
    CommandError
        With exit code 5 if somebody does not.
    """
    receipts = answer.get("receipts") or [answer.get("receipt")]
    if receipts == [None]:
        output.document(answer, text)
        if wait_seconds is not None and _did_something(answer):
            raise CommandError(
                "it is done, but the service did not say who serves it: too many wait already",
                hint="flagstone instances --wait 5",
                exit_code=EXIT_NOT_CONVERGED,
            )
        return
    output.document(answer, "\n".join([text, *map(_sentence_of(receipts), receipts)]))
    named = [
        {**each, "environment": receipt["environment"], "seen_at": moment(each["seen_at"])}
        for receipt in receipts
        for each in (*receipt["stragglers"], *receipt["silent"])
    ]
    if named and not output.as_json:
        where = [("environment", "environment")] if len(receipts) > 1 else []
        output.table(
            named,
            [
                *where,
                ("instance", "instance"),
                ("host", "host"),
                ("state", "state"),
                ("revision", "revision"),
                ("seen_at", "last heard"),
                ("sdk", "sdk"),
            ],
            empty="",
        )
    for receipt in receipts:
        if not receipt["converged"]:
            counts = receipt["instances"]
            waiting = counts["behind"] + counts["without_flags"]
            here = f" in {receipt['environment']}" if len(receipts) > 1 else ""
            raise CommandError(
                f"it is done, but {waiting} of {waiting + counts['applied']} SDK instances{here} "
                f"do not serve revision {receipt['revision']} yet",
                hint=f"flagstone instances --stale -e {receipt['environment']}",
                exit_code=EXIT_NOT_CONVERGED,
            )


def _did_something(answer: dict[str, Any]) -> bool:
    """Tell whether somebody could serve what was done; a preview or a request changes nothing."""
    return bool(answer.get("mode", "apply") == "apply" and answer.get("changed", True))


def _sentence_of(receipts: list[dict[str, Any]]) -> Callable[[dict[str, Any]], str]:
    if len(receipts) == 1:
        return receipt_sentence
    return lambda receipt: f"{receipt['environment']}: {receipt_sentence(receipt)}"


def receipt_sentence(receipt: dict[str, Any]) -> str:
    """Say how many instances serve a revision."""
    counts, revision = receipt["instances"], receipt["revision"]
    living = counts["applied"] + counts["behind"] + counts["without_flags"]
    if not living:
        said = f"No SDK is connected to {receipt['environment']}: nobody serves revision {revision}"
    else:
        said = (
            f"Revision {revision} is served by {counts['applied']} of {living} "
            f"instance{'' if living == 1 else 's'} after {receipt['seconds']:.1f} s"
        )
    if counts["silent"]:
        said += f"; {counts['silent']} not heard of for 90 s may still serve what they had"
    return f"{said}."
