"""``flagstone ledger`` and ``flagstone outcomes``: what experiments have brought."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.output import EXIT_FALSE, moment


def _money(amount: int | None, currency: str) -> str | None:
    return None if amount is None else f"{amount / 100:,.2f} {currency}"


@click.command()
@click.option("--experiment", help="only the entries of one experiment")
@click.option("--csv", "csv_file", type=click.Path(dir_okay=False, writable=True), help="a file")
@click.option("--check", is_flag=True, help="recompute every hash and amount; 10 if one differs")
@pass_invocation
def ledger(
    invocation: Invocation, experiment: str | None, csv_file: str | None, *, check: bool
) -> None:
    """List the money that experiments brought and cost, newest entry first."""
    remote = invocation.remote
    if csv_file is not None:
        text = remote.get_text(remote.project_path("ledger.csv"))
        Path(csv_file).write_text(text, encoding="utf-8", newline="")
        invocation.output.document({"file": csv_file}, f"Wrote {csv_file}.")
        return
    path = remote.project_path("ledger")
    if check:
        # Here and not above: who only lists needs no database library.
        from experiments.value.ledger import first_fault

        found = remote.items(path)[::-1]
        fault = first_fault(found)
        said = fault or f"Identical: {len(found)} entries computed again."
        invocation.output.document({"entries": len(found), "fault": fault}, said)
        if fault is not None:
            raise click.exceptions.Exit(EXIT_FALSE)
        return
    found = remote.items(path, experiment=experiment)
    if not invocation.output.as_json:
        found = [_row(each) for each in found]
    names = ("number", "at", "experiment", "kind", "amount", "adds")
    invocation.output.table(
        found,
        [(name, name) for name in names],
        empty="Nothing entered yet: give a plan a [value] table, and seal it.",
    )


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    amount = _money(entry["amount"], entry["currency"])
    return {**entry, "at": moment(entry["at"]), "amount": amount}


@click.command()
@pass_invocation
def outcomes(invocation: Invocation) -> None:
    """Say what was achieved: times, rates, money, each with its cases."""
    remote = invocation.remote
    found = remote.items(remote.project_path("outcomes"))
    columns = [("name", "outcome"), ("text", "value"), ("n", "n"), ("definition", "what it is")]
    invocation.output.table(found, columns, empty="Nothing yet.")
