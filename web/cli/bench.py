"""``flagstone bench``: how fast this is on your machine, held against what is promised."""

from __future__ import annotations

from collections.abc import Callable

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.output import EXIT_FALSE, CommandError


@click.group()
def bench() -> None:
    """Measure evaluation and service on this machine, each beside a peer or a limit.

    Exits with 10 if a goal is missed: another program on the machine may be the reason.
    """


@bench.command(name="eval")
@click.option(
    "--seconds", type=click.FloatRange(0.2, 600), default=10, show_default=True, help="per setting"
)
@click.option("--peer", "peers", multiple=True, help="only this peer (all that are installed)")
@click.option("--full", is_flag=True, help="also two threads, exposures, 1,000 and 10,000 flags")
@pass_invocation
@click.pass_context
def evaluation(
    ctx: click.Context,
    invocation: Invocation,
    seconds: float,
    peers: tuple[str, ...],
    *,
    full: bool,
) -> None:
    """Measure evaluations, beside every peer's SDK that is installed here."""
    from web.bench.evaluation import bench as run
    from web.bench.peers import NAMES

    for peer in peers:
        if peer not in NAMES:
            raise CommandError(f"no peer is called {peer!r}", hint=f"one of {', '.join(NAMES)}")
    _report(ctx, invocation, run(seconds, list(peers), full=full, say=_saying(invocation)))


@bench.command(name="serve")
@click.option("--database-url", help="an empty PostgreSQL database (default: SQLite of its own)")
@click.option(
    "--requests",
    "count",
    type=click.IntRange(100),
    default=20_000,
    show_default=True,
    help="bulk requests in each round",
)
@click.option(
    "--clients",
    type=click.IntRange(1, 20_000),
    default=1_000,
    show_default=True,
    help="event streams, and as many SDKs",
)
@click.option(
    "--commits",
    type=click.IntRange(2),
    default=60,
    show_default=True,
    help="revisions that are published to them",
)
@pass_invocation
@click.pass_context
def service(
    ctx: click.Context,
    invocation: Invocation,
    database_url: str | None,
    count: int,
    clients: int,
    commits: int,
) -> None:
    """Measure a service of its own: bulk answers, event streams, SDKs, the time to stop."""
    try:
        from web.bench.service.control import BenchError
        from web.bench.service.run import bench as run
    except ModuleNotFoundError as error:
        if error.name != "psutil":
            raise
        raise CommandError(
            "psutil is needed to read a process's own CPU time",
            hint="pip install 'flagstone[bench]'",
        ) from error
    try:
        report = run(
            database_url=database_url,
            count=count,
            clients=clients,
            commits=commits,
            say=_saying(invocation),
        )
    except BenchError as error:
        raise CommandError(str(error)) from error
    _report(ctx, invocation, report)


def _saying(invocation: Invocation) -> Callable[[str], object]:
    """Return what prints lines for people; nothing where JSON is wanted."""
    output = invocation.output
    silent = output.asked or output.quiet
    return (lambda _line: None) if silent else click.echo


def _report(ctx: click.Context, invocation: Invocation, report: dict[str, object]) -> None:
    if invocation.output.asked:
        invocation.output.document(report)
    goals = report["goals"]
    assert isinstance(goals, list)
    if not all(goal["met"] for goal in goals):
        ctx.exit(EXIT_FALSE)
