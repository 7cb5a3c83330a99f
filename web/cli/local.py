"""Commands that need no running service: the service itself, its database, replay and verify.

Heavy imports stand inside the commands: ``flagstone --help`` must not load SciPy.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.output import EXIT_ERROR, EXIT_FALSE, CommandError


def _log_to_terminal() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")


@click.command()
@click.option("--seconds", type=click.FloatRange(min=20), help="end after so many seconds")
@click.option("--no-browser", is_flag=True, help="do not open the console")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0: any free port")
@click.option("--seed", type=int, default=None, help="other visitors")
def demo(*, seconds: float | None, no_browser: bool, port: int, seed: int | None) -> None:
    """Show the whole path on a small shop, live, in about two minutes."""
    from web.demo import run

    run.demo(seconds=seconds, open_browser=not no_browser, port=port, seed=seed)


@click.command()
@click.option("--host", help="address to listen on [env FLAGSTONE_HOST, else 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="[env FLAGSTONE_PORT, else 8400]")
@click.option("--workers", type=click.IntRange(1, 64), help="web processes")
def serve(*, host: str | None, port: int | None, workers: int | None) -> None:
    """Run the service: data plane, console, REST and the decision worker."""
    from web.serve import serve as run_service
    from web.settings import Settings

    _log_to_terminal()
    settings = Settings.from_environment()
    run_service(
        replace(
            settings,
            host=settings.host if host is None else host,
            port=settings.port if port is None else port,
            workers=settings.workers if workers is None else workers,
        )
    )


@click.command()
def worker() -> None:
    """Run the decision worker alone (looks, ramps, compaction)."""
    from web.settings import Settings
    from web.worker import run

    _log_to_terminal()
    run(Settings.from_environment())


@click.group(name="db")
def database() -> None:
    """Look after the database."""


@database.command()
@pass_invocation
def upgrade(invocation: Invocation) -> None:
    """Bring the tables to this version (a copy of an SQLite file is kept)."""
    from web.migrate import upgrade as run_upgrade
    from web.settings import Settings

    settings = Settings.from_environment()
    run_upgrade(settings.database_url)
    invocation.output.document({"upgraded": True}, "The database is up to date.")


@click.command()
@click.option("--exposures", type=click.Path(exists=True, dir_okay=False), required=True)
@click.option("--outcomes", type=click.Path(exists=True, dir_okay=False), required=True)
@click.option("--plan", type=click.Path(exists=True, dir_okay=False), required=True)
@pass_invocation
def replay(invocation: Invocation, exposures: str, outcomes: str, plan: str) -> None:
    """Run the machine day by day over recorded data, and print the verdict card."""
    from experiments.replay import replay as run_replay

    try:
        text = Path(plan).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(f"{plan} is not UTF-8 text: {error}") from error
    result = run_replay(Path(exposures), Path(outcomes), text)
    document = {
        "verdict": result.verdict,
        "winner": result.winner,
        "dropped": list(result.dropped),
        "exposures": result.exposures,
        "quarantined": result.quarantined,
        "looks": [asdict(look) for look in result.looks],
        "evidence": [asdict(row) for row in result.evidence],
        "split": asdict(result.split),
    }
    invocation.output.document(document, result.text)
    if not result.proven:
        raise click.exceptions.Exit(EXIT_FALSE)


@click.command()
@click.argument("record", type=click.Path(exists=True, dir_okay=False))
@pass_invocation
def verify(invocation: Invocation, record: str) -> None:
    """Recompute a decision record offline; say identical, or where it differs."""
    from experiments.record import verify as run_verify

    text = Path(record).read_text(encoding="utf-8")
    try:
        exported = json.loads(text)
    except ValueError as error:
        raise CommandError(
            f"{record} is not JSON: {error}", hint="export it with `experiments record`"
        ) from error
    result = run_verify(exported)
    document = {
        "identical": result.identical,
        "records": result.records,
        "looks": result.looks,
        "complete": result.complete,
        "differences": [str(difference) for difference in result.differences],
    }
    invocation.output.document(document, result.sentence)
    if not result.identical:
        raise click.exceptions.Exit(EXIT_ERROR)
