"""Commands that need no running service: the service itself, its database, replay and verify.

Heavy imports stand inside the commands: ``flagstone --help`` must not load SciPy.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.files import parse_json, read_text
from web.cli.history import history_files, named_if_no_csv
from web.cli.output import EXIT_ERROR, EXIT_FALSE, CommandError

if TYPE_CHECKING:
    from web.settings import Settings


def _log_to_terminal() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")


@contextlib.contextmanager
def installation() -> Iterator[Settings]:
    """Give the settings; what is wrong with the installation becomes a sentence."""
    import sqlalchemy as sa

    from web.migrate import MigrationError
    from web.settings import Settings

    try:
        yield Settings.from_environment()
    except MigrationError as error:
        raise CommandError(str(error)) from error
    except sa.exc.SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        first, *_rest = str(cause).strip().splitlines() or [type(cause).__name__]
        raise CommandError(
            f"the database cannot be used: {first}",
            hint="see FLAGSTONE_DATABASE_URL and FLAGSTONE_DATA_DIR",
        ) from error
    except ModuleNotFoundError as error:
        if error.name not in {"psycopg", "psycopg2"}:
            raise
        raise CommandError(
            "PostgreSQL needs a driver that is not installed",
            hint="install flagstone[postgresql]",
        ) from error


@click.command()
@click.option("--seconds", type=click.FloatRange(min=20), help="end after so many seconds")
@click.option("--no-browser", is_flag=True, help="do not open the console")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0: any free port")
@click.option("--seed", type=int, default=None, help="other visitors")
def demo(*, seconds: float | None, no_browser: bool, port: int, seed: int | None) -> None:
    """Show the whole path on a small shop, live, in about a minute."""
    from web.demo import run

    run.demo(seconds=seconds, open_browser=not no_browser, port=port, seed=seed)


@click.command()
@click.option("--host", help="address to listen on [env FLAGSTONE_HOST, else 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="[env FLAGSTONE_PORT, else 8400]")
@click.option("--workers", type=click.IntRange(1, 64), help="web processes [env FLAGSTONE_WORKERS]")
def serve(*, host: str | None, port: int | None, workers: int | None) -> None:
    """Run the service: data plane, console, REST and the decision worker."""
    from web.serve import serve as run_service

    _log_to_terminal()
    with installation() as settings:
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
    """Run a further decision worker; one of them acts, the others stand by."""
    from web.worker import run

    _log_to_terminal()
    with installation() as settings:
        # A worker that finds no tables, or a newer version's, would only fail once a second.
        _upgrade(settings)
        run(settings)


@click.group(name="db")
def database() -> None:
    """Look after the database."""


@database.command()
@pass_invocation
def upgrade(invocation: Invocation) -> None:
    """Bring the tables to this version (a copy of an SQLite file is kept)."""
    with installation() as settings:
        revision = _upgrade(settings)
    invocation.output.document(
        {"upgraded": True, "revision": revision}, f"The database is up to date ({revision})."
    )


@database.command()
@click.argument("folder", type=click.Path(path_type=Path))
@pass_invocation
def backup(invocation: Invocation, folder: Path) -> None:
    """Copy database and events into a new FOLDER while the service runs.

    The folder can serve as FLAGSTONE_DATA_DIR. What is in PostgreSQL is left to pg_dump.
    """
    from web.backup import back_up

    with installation() as settings:
        done = back_up(settings, folder.expanduser().absolute())
    document = {
        "folder": str(done.folder),
        "database": None if done.database is None else str(done.database),
        "event_files": done.event_files,
        "left": done.left,
    }
    invocation.output.document(document, done.sentence)


def _upgrade(settings: Settings) -> str:
    from web.migrate import upgrade as run_upgrade

    if settings.database_url.startswith("sqlite"):
        settings.data_directory.mkdir(parents=True, exist_ok=True)
    return run_upgrade(settings.database_url)


@click.command()
@history_files
@pass_invocation
def replay(invocation: Invocation, exposures: str, outcomes: str, plan: str) -> None:
    """Run the machine day by day over recorded data, and print the verdict card."""
    from experiments.replays.replay import replay as run_replay

    text = read_text(plan)
    with named_if_no_csv(exposures, outcomes):
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
        "card": result.text,
    }
    invocation.output.document(document, result.text.rstrip("\n"))
    if not result.proven:
        raise click.exceptions.Exit(EXIT_FALSE)


@click.command()
@click.argument("record", type=click.Path(exists=True, dir_okay=False))
@pass_invocation
def verify(invocation: Invocation, record: str) -> None:
    """Recompute a decision record offline; say identical, or where it differs."""
    from experiments.judging.record import verify as run_verify

    hint = "export it with `flagstone experiments record`"
    exported = parse_json(read_text(record), record, hint=hint)
    try:
        result = run_verify(exported)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
        # Whoever damaged the file may have left any shape behind.
        raise CommandError(
            f"{record} is not a whole record: {type(error).__name__}: {error}", hint=hint
        ) from error
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
