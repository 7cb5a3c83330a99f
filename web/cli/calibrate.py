"""``flagstone calibrate``: how often the machine errs on one's own data, and what it would see."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.files import read_text
from web.cli.history import history_files, named_if_no_csv
from web.cli.output import EXIT_FALSE, Output

LEAST_TIMES = 2000


@click.command()
@history_files
@click.option(
    "--times",
    "--runs",
    type=click.IntRange(LEAST_TIMES, 1_000_000),
    default=LEAST_TIMES,
    show_default=True,
    help="how often the units are dealt to the arms anew",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="of the coin")
@click.option("--test", "as_test", is_flag=True, help="exit with 10 if a promise is not kept")
@pass_invocation
def calibrate(
    invocation: Invocation,
    exposures: str,
    outcomes: str,
    plan: str,
    times: int,
    seed: int,
    *,
    as_test: bool,
) -> None:
    """Count false verdicts, and the power, on recorded data.

    Takes what `flagstone replay` takes. Deals the recorded units to the arms anew, by the plan's
    coin, so that nothing is different; and again with a known effect in the treatment. Each deal is
    judged by the very machine that decides experiments. Needs no service.
    """
    from experiments.replays.calibrate import calibrate as run
    from web.cli.calibrate_words import words

    text = read_text(plan)
    with named_if_no_csv(exposures, outcomes), _bar(invocation.output) as progress:
        found = run(
            Path(exposures), Path(outcomes), text, times=times, seed=seed, progress=progress
        )
    invocation.output.document(found.to_document(), words(found))
    if as_test and not found.kept:
        raise click.exceptions.Exit(EXIT_FALSE)


@contextlib.contextmanager
def _bar(output: Output) -> Iterator[Callable[[int, int], None]]:
    """Show how far it is, to whoever looks at a terminal; it is gone at the end."""
    if output.as_json or output.quiet or not sys.stdout.isatty():
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("Reading", total=None)
        yield lambda done, total: bar.update(
            task, description="Dealing anew", completed=done, total=total
        )
