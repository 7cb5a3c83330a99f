"""``flagstone audit …``: take the audit with you, and recompute what its hashes promise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.output import EXIT_ERROR, EXIT_USAGE, CommandError

if TYPE_CHECKING:
    from flags.chains import ChainCheck

_SHORTEST = 16
_SAMPLE = "take at least the first 16 characters of a hash that `audit verify` printed"


@click.group()
def audit() -> None:
    """Export the audit, and see whether anybody touched it."""


@audit.command(name="export")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, writable=True))
@pass_invocation
def export_audit(invocation: Invocation, file: str) -> None:
    """Write every entry of the project to FILE as JSON lines (`-`: standard output)."""
    from flags.chains import check_export, export_lines

    lines = export_lines(_remote(invocation))
    if file == "-":
        for line in lines:
            click.echo(line, nl=False)
        return
    part = Path(f"{file}.part")
    with part.open("wb") as kept:
        written = _written(lines, kept)
        check = check_export(written)
        # What comes after a bad entry is exported too.
        for _line in written:
            pass
    # Nobody finds half an export under its name.
    part.replace(file)
    document = {"file": file, **_document(check)}
    text = f"Wrote {_counted(check)} to {file}."
    if check.broken is not None:
        text = f"Wrote {file}, but the audit does not hold: {check.broken}."
    invocation.output.document(document, text)


@audit.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--database", help="read this database itself (sqlite:///…, postgresql://…)")
@click.option(
    "--expect",
    multiple=True,
    help="a hash that was written down; an entry must still have it (again for more)",
)
@pass_invocation
def verify(
    invocation: Invocation, file: str | None, database: str | None, expect: tuple[str, ...]
) -> None:
    """Recompute every hash, and name the first entry that does not hold.

    Reads FILE (an export, offline), else the database named, else the service. In a database it is
    also checked that every flag set is stored as it was published.
    """
    from flags.chains import check_export, export_lines

    if file is not None and database is not None:
        raise CommandError("name a file or a database", exit_code=EXIT_USAGE)
    if any(len(each) < _SHORTEST for each in expect):
        raise CommandError("this is too short for a hash", hint=_SAMPLE, exit_code=EXIT_USAGE)
    if file is not None:
        with Path(file).open("rb") as lines:
            check = check_export(lines, expected=expect)
    elif database is not None:
        check = _check_database(database, invocation.project, expect)
    else:
        check = check_export(export_lines(_remote(invocation)), expected=expect)
    invocation.output.document(_document(check), _said(check))
    if check.broken is not None or check.missing:
        raise click.exceptions.Exit(EXIT_ERROR)


def _remote(invocation: Invocation) -> Iterator[dict[str, Any]]:
    remote = invocation.remote
    return remote.each(remote.project_path("audit", "export"))


def _check_database(url: str, project_key: str, expect: tuple[str, ...]) -> ChainCheck:
    """Check the chains, and that what is stored is what they say was published."""
    import sqlalchemy as sa

    from flags.anchors import find_altered
    from flags.audit import export_entries
    from flags.chains import check_export, export_lines
    from flags.database import Database
    from flags.services import get_project

    try:
        database = Database(url)
        try:
            with database.read() as session:
                project_id = get_project(session, project_key).id
            assert project_id is not None
            entries = export_entries(project_id, database.read)
            check = check_export(export_lines(entries), expected=expect)
            if check.broken is None:
                check.broken = find_altered(project_id, database.read)
            return check
        finally:
            database.dispose()
    except (sa.exc.SQLAlchemyError, ModuleNotFoundError) as error:
        cause = getattr(error, "orig", None) or error
        first, *_rest = str(cause).strip().splitlines() or [type(cause).__name__]
        raise CommandError(f"the database cannot be read: {first}") from error


def _written(lines: Iterable[bytes], out: Any) -> Iterator[bytes]:
    for line in lines:
        out.write(line)
        yield line


def _document(check: ChainCheck) -> dict[str, Any]:
    broken = check.broken
    return {
        "ok": broken is None and not check.missing,
        "entries": sum(head.entries for head in check.heads.values()),
        "chains": [
            {"chain": chain, "entries": head.entries, "newest_hash": head.hash}
            for chain, head in check.heads.items()
        ],
        "first_bad": None
        if broken is None
        else {
            "chain": broken.chain,
            "number": broken.number,
            "line": broken.line,
            "reason": broken.reason,
        },
        "missing": check.missing,
    }


def _said(check: ChainCheck) -> str:
    if check.broken is not None:
        return f"The audit does not hold: {check.broken}."
    if check.missing:
        gone = ", ".join(check.missing)
        return f"No entry has the hash {gone}: its chain was cut before it, or written anew."
    lines = [f"The audit holds: {_counted(check)}. Write these down; --expect finds a cut chain."]
    lines += [
        f"  chain {chain}: {head.entries:,} entries, newest {head.hash}"
        for chain, head in check.heads.items()
    ]
    return "\n".join(lines)


def _counted(check: ChainCheck) -> str:
    entries, chains = sum(head.entries for head in check.heads.values()), len(check.heads)
    return f"{entries:,} entries in {chains} chain{'' if chains == 1 else 's'}"
