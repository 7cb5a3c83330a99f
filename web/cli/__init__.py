"""The ``flagstone`` command: noun, verb; a table on a terminal, JSON in a pipe.

Exit codes: 0 ok, 1 error, 2 usage, 3 conflict, 4 needs approval, 5 not converged,
10 flag is false or verdict not proven.
"""

from __future__ import annotations

import contextlib
import errno
import io
import sys

import click

from flags.errors import FlagstoneError
from web.cli import (
    audit,
    bench,
    calibrate,
    changes,
    compare,
    contexts,
    environments,
    evaluate,
    event_types,
    events,
    experiment_verbs,
    experiments,
    flags,
    holdout,
    imports,
    instances,
    kill_hooks,
    layers,
    ledger,
    lifecycle,
    local,
    members,
    metrics,
    notifications,
    past,
    plan,
    policies,
    profile,
    releases,
    requests,
    sources,
    tokens,
    trees,
    unscheduled,
    webhooks,
)
from web.cli.context import Invocation
from web.cli.output import CommandError, Output


class _Group(click.Group):
    """The root command: errors that a user can cause become a sentence and a hint."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except FlagstoneError as error:
            raise CommandError(error.message, field=error.field, hint=error.hint) from error
        except OSError as error:
            # The reader of our pipe (`head`) has seen enough: click ends quietly.
            if error.errno == errno.EPIPE:
                raise
            reason = error.strerror or str(error)
            place = f"{error.filename}: " if error.filename else ""
            raise CommandError(f"{place}{reason}") from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--url",
    envvar="FLAGSTONE_URL",
    default="http://127.0.0.1:8400",
    show_default=True,
    help="address of the service [env FLAGSTONE_URL]",
)
@click.option(
    "--token", envvar="FLAGSTONE_TOKEN", default="", help="key fs_usr_… [env FLAGSTONE_TOKEN]"
)
@click.option(
    "-p",
    "--project",
    envvar="FLAGSTONE_PROJECT",
    default="default",
    show_default=True,
    help="key of the project [env FLAGSTONE_PROJECT]",
)
@click.option("--json", "as_json", is_flag=True, help="JSON even on a terminal")
@click.option("-q", "--quiet", is_flag=True, help="errors only")
@click.version_option(package_name="flagstone")
@click.pass_context
def main(
    ctx: click.Context, url: str, token: str, project: str, *, as_json: bool, quiet: bool
) -> None:
    """Feature flags and small production experiments that end by themselves."""
    _tolerate_any_text()
    url, token, project = profile.settle(ctx, url, token, project)
    ctx.obj = Invocation(
        url=url, token=token, project=project, output=Output.choose(as_json=as_json, quiet=quiet)
    )


def _tolerate_any_text() -> None:
    """Let a terminal that knows no umlauts show escapes, instead of ending in an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError):
                stream.reconfigure(errors="backslashreplace")


main.add_command(profile.login)
main.add_command(profile.whoami)
main.add_command(profile.init)
main.add_command(profile.completion)
main.add_command(audit.audit)
main.add_command(bench.bench)
main.add_command(local.demo)
main.add_command(local.serve)
main.add_command(local.worker)
main.add_command(local.database)
main.add_command(local.replay)
main.add_command(calibrate.calibrate)
main.add_command(local.verify)
main.add_command(flags.flags)
flags.flags.add_command(environments.promote_flag)
flags.flags.add_command(past.diff)
flags.flags.add_command(past.revert)
flags.flags.add_command(lifecycle.stale)
flags.flags.add_command(lifecycle.archive)
flags.flags.add_command(lifecycle.restore)
flags.flags.add_command(lifecycle.describe_flag, "describe")
main.add_command(environments.environments)
main.add_command(changes.changes)
main.add_command(webhooks.webhooks)
main.add_command(kill_hooks.kill_hooks)
main.add_command(notifications.notifications)
main.add_command(evaluate.evaluate)
main.add_command(compare.compare)
main.add_command(imports.import_flags)
main.add_command(trees.export_files)
main.add_command(trees.apply_files)
main.add_command(trees.lint_files)
main.add_command(experiments.experiments)
experiment_verbs.add_to(experiments.experiments)
experiments.experiments.add_command(unscheduled.look)
main.add_command(releases.release)
main.add_command(releases.releases)
main.add_command(instances.instances)
main.add_command(events.events)
main.add_command(layers.layers)
main.add_command(members.members)
main.add_command(tokens.tokens)
main.add_command(holdout.holdout)
main.add_command(contexts.contexts)
main.add_command(sources.sources)
main.add_command(metrics.metrics)
main.add_command(policies.policies)
main.add_command(event_types.event_types)
main.add_command(plan.plan_command)
main.add_command(ledger.ledger)
main.add_command(ledger.outcomes)
main.add_command(requests.requests)
