"""``flagstone export|apply|lint``: flags and segments as files."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.files import parse_json, read_text
from web.cli.options import comment_option
from web.cli.output import EXIT_USAGE, CommandError
from web.cli.receipts import finish, wait_option
from web.cli.sending import preview_token_option, token_words

KINDS = ("flags", "segments")


@click.command(name="export")
@click.option("-o", "--out", default="flags", show_default=True, help="directory to write to")
@pass_invocation
def export_files(invocation: Invocation, out: str) -> None:
    """Write every flag and segment to a file of its own; files of what is gone are removed."""
    remote = invocation.remote
    tree = remote.get(remote.project_path("files"))
    folder = Path(out)
    for kind in KINDS:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        wanted = {f"{_name(key)}.json": document for key, document in tree[kind].items()}
        for name, document in wanted.items():
            _write(folder / kind / name, document)
        for path in (folder / kind).glob("*.json"):
            if path.name not in wanted:
                path.unlink()
    base = ",".join(f"{key}={number}" for key, number in tree["base"].items())
    counts = {kind: len(tree[kind]) for kind in KINDS}
    words = f"Wrote {counts['flags']} flags and {counts['segments']} segments to {out}."
    invocation.output.document(
        {"directory": out, **counts, "base": base}, f"{words}\nTo guard edits: --base {base}"
    )


def _name(key: str) -> str:
    quoted = quote(key, safe=" +,=@~")
    return quoted.replace(".", "%2E") if quoted.startswith(".") else quoted


def _write(path: Path, document: Any) -> None:
    data = (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
    if path.exists() and path.read_bytes() == data:
        return
    # Beside it and then in its place: nobody ever reads half a file.
    partial = path.with_name(f".{uuid.uuid4().hex[:12]}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@click.command(name="apply")
@click.option("-f", "--from", "folder", required=True, help="directory that `export` wrote")
@click.option("--dry-run", is_flag=True, help="say what would change, change nothing")
@click.option("--prune", is_flag=True, help="archive flags and remove segments without a file")
@click.option("-e", "--environment", "only", multiple=True, help="only in this one (repeatable)")
@click.option("--base", help="revisions that nobody may have moved: production=17,staging=9")
@click.option("--override", default="", metavar="REASON", help="though not on elsewhere first")
@click.option("--request", "ask", is_flag=True, help="ask others to approve each change first")
@preview_token_option
@comment_option
@wait_option
@pass_invocation
def apply_files(
    invocation: Invocation,
    folder: str,
    only: tuple[str, ...],
    base: str | None,
    override: str,
    preview_token: str | None,
    comment: str,
    wait_seconds: int | None,
    *,
    dry_run: bool,
    prune: bool,
    ask: bool,
) -> None:
    """Make the project like the files: one change for each environment, all of it or nothing.

    Exit codes: 0 done or nothing to do, 1 a file is wrong, 3 somebody moved it, 4 needs approval,
    5 not every SDK serves it yet.
    """
    remote = invocation.remote
    body: dict[str, Any] = {
        **_tree(Path(folder)),
        "mode": "preview" if dry_run else "request" if ask else "apply",
        "prune": prune,
        "comment": comment,
        "override": override,
        "base": _base(base),
        **({"environments": list(only)} if only else {}),
        **({"preview_token": preview_token} if preview_token else {}),
    }
    path = remote.project_path("files", "import")
    answer = remote.post(path, body, wait_seconds=wait_seconds)
    finish(invocation.output, answer, "\n".join(_words(answer)), wait_seconds)


def _base(text: str | None) -> dict[str, int]:
    found = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        key, _, number = part.partition("=")
        if not (number.strip().isascii() and number.strip().isdigit()):
            raise CommandError(
                f"{part!r} is not ENVIRONMENT=REVISION",
                hint="--base production=17,staging=9",
                exit_code=EXIT_USAGE,
            )
        found[key.strip()] = int(number)
    return found


def _words(answer: dict[str, Any]) -> list[str]:
    lines = ["Preview; nothing is written."] if answer["mode"] == "preview" else []
    lines += [f"new {key}: off until its state says otherwise" for key in answer["created"]]
    for key, here in answer["environments"].items():
        touched = [*here["flags"], *(f"segment {each}" for each in here["segments"])]
        lines.append(f"{key}: {', '.join(touched[:8])}{', …' if len(touched) > 8 else ''}")
        lines.append(f"  {here['sentence']}")
        lines.append(f"  {here['verdict_sentence']}")
        if here["approvals"]["needed"]:
            lines.append(f"  Must be approved by {here['approvals']['needed']} other people.")
        lines += [f"  Not yet: {each['sentence']}." for each in here["blocked_by"]]
    lines += [
        f"Change {each['id']} of {each['environment']} waits for approval: "
        f"flagstone changes show {each['id']}"
        for each in answer.get("changes", ())
    ]
    if not answer["changed"]:
        lines.append("Nothing changes.")
    return [*lines, *token_words(answer)]


def _tree(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for kind, path in tree_files(folder):
        found[kind][unquote(path.stem)] = parse_json(read_text(str(path)), str(path))
    return found


def tree_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give the files of a directory with their kinds; a directory that is none is refused."""
    if not any((folder / kind).is_dir() for kind in KINDS):
        raise CommandError(
            f"{folder} holds neither flags/ nor segments/",
            hint="flagstone export -o DIR writes them",
        )
    for kind in KINDS:
        for path in sorted((folder / kind).glob("*.json")):
            yield kind, path


@click.command(name="lint")
@click.argument("place", metavar="DIR|FILE")
@click.option("--strict", is_flag=True, help="let warnings fail too")
@pass_invocation
def lint_files(invocation: Invocation, place: str, *, strict: bool) -> None:
    """Look at files without a service: what is wrong (exit code 1), and what is odd."""
    import datetime as dt

    from flags.lint import lint

    path = Path(place)
    if path.is_file():
        kind = "segments" if path.parent.name == "segments" else "flags"
        given = {kind: {unquote(path.stem): parse_json(read_text(place), place)}}
        files, alone = {(kind, unquote(path.stem)): place}, True
    else:
        given, alone = _tree(path), False
        files = {(kind, unquote(each.stem)): str(each) for kind, each in tree_files(path)}
    found = lint(
        given.get("flags", {}), given.get("segments", {}), now=dt.datetime.now(dt.UTC), alone=alone
    )
    rows = [
        {
            "file": files.get((each.kind, each.key), place),
            "field": each.field,
            "severity": each.severity,
            "problem": each.message,
            "hint": each.hint,
        }
        for each in found
    ]
    errors = sum(each.severity == "error" for each in found)
    invocation.output.table(
        rows,
        [(name, name) for name in ("file", "field", "severity", "problem", "hint")],
        empty="Nothing to complain about.",
    )
    if errors or (strict and found):
        raise SystemExit(1)
