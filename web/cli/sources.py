"""``flagstone sources …``: the engines on which experiments may be analysed."""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path
from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.files import read_document


@click.group()
def sources() -> None:
    """Declare where rows are: DuckDB, Parquet, PostgreSQL, Spark, or a warehouse."""


@sources.command(name="list")
@pass_invocation
def list_sources(invocation: Invocation) -> None:
    """List the project's sources."""
    remote = invocation.remote
    found = remote.items(remote.project_path("sources"))
    invocation.output.table(
        found if invocation.output.as_json else [_row(each) for each in found],
        [
            ("key", "source"),
            ("kind", "kind"),
            ("url_env", "address in"),
            ("exposures", "exposures"),
            ("tracks", "tracks"),
        ],
        empty="No source yet. Declare one: flagstone sources set warehouse source.toml",
    )


def _row(source: dict[str, Any]) -> dict[str, Any]:
    def where(relation: dict[str, Any] | None, without: str) -> str:
        return without if relation is None else relation.get("table", "SQL")

    return {
        **source,
        "exposures": where(source.get("exposures"), "our SDKs"),
        "tracks": where(source.get("tracks"), "SQL of metrics"),
    }


@sources.command()
@click.argument("source")
@pass_invocation
def show(invocation: Invocation, source: str) -> None:
    """Print a source's document."""
    remote = invocation.remote
    invocation.output.document(remote.get(remote.project_path("sources", source)))


@sources.command(name="set")
@click.argument("source")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@pass_invocation
def set_source(invocation: Invocation, source: str, file: str) -> None:
    """Declare a source from a document (TOML or JSON), or write it anew."""
    remote = invocation.remote
    answer = remote.put(remote.project_path("sources", source), read_document(file))
    invocation.output.document(
        answer, f"{source} is declared. See whether it will do: flagstone sources check {source}"
    )


@sources.command()
@click.argument("source")
@pass_invocation
def delete(invocation: Invocation, source: str) -> None:
    """Forget a source that no sealed experiment needs."""
    remote = invocation.remote
    remote.delete(remote.project_path("sources", source))
    invocation.output.document({"deleted": source}, f"{source} is forgotten.")


@sources.command()
@click.argument("source")
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(exists=True, dir_okay=False),
    help="also find the rows of every metric of this plan (TOML or JSON)",
)
@pass_invocation
def check(invocation: Invocation, source: str, plan_file: str | None) -> None:
    """Open a source from here and look into it: a key, or a document (.toml, .json)."""
    from experiments.contract.parsing import parse_plan
    from experiments.contract.source import parse_source
    from experiments.measuring.check import check_source

    if source.endswith((".toml", ".json")) and Path(source).is_file():
        document = read_document(source)
        document.setdefault("key", Path(source).stem)
    else:
        remote = invocation.remote
        document = remote.get(remote.project_path("sources", source))
        for stamp in ("version", "created_at", "updated_at"):
            document.pop(stamp, None)
    plan = None if plan_file is None else parse_plan(read_document(plan_file))
    report = check_source(parse_source(document), now=time.time(), plan=plan).to_document()
    invocation.output.document(report, _said(document["key"], report))


def _said(key: str, report: dict[str, Any]) -> str:
    lines = [f"{key} can be read."]
    for name in ("exposures", "tracks"):
        found = report[name]
        if found is None:
            continue
        newest = "none" if found["newest"] is None else _moment(found["newest"])
        lines.append(
            f"{name}: {found['rows']:,} rows of {found['units']:,} units, the newest: {newest}"
        )
    if report["shared_units"] is not None:
        lines.append(f"units of the tracks that have an exposure: {report['shared_units']:,}")
    if report["metrics"]:
        lines.append(f"metrics whose rows are there: {', '.join(report['metrics'])}")
    return "\n".join(lines + [f"Warning: {warning}" for warning in report["warnings"]])


def _moment(seconds: float) -> str:
    try:
        moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (OverflowError, ValueError, OSError):
        return json.dumps(seconds)
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"
