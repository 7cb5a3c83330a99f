"""``flagstone import``: another product's flags become a flag set, in a file or in a service."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.files import parse_json, read_text
from web.cli.options import comment_option
from web.cli.output import EXIT_USAGE, CommandError
from web.cli.receipts import finish, wait_option

if TYPE_CHECKING:
    from flagstone.importers import ImportResult

# From an option of the command to the vendor that it is for, and its importer's name of it.
_MEANT_FOR = {
    "flagd_hash": ("flagd", "hash_version"),
    "growthbook_edge": ("growthbook", "edge"),
    "flagsmith_values": ("flagsmith", "toggles"),
}
VENDORS = ("launchdarkly", "unleash", "growthbook", "flagd", "flagsmith", "eppo")


@click.command(name="import")
@click.argument("vendor", type=click.Choice(VENDORS))
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--out", metavar="FLAGSET", help="write the flag set to this file, - for the screen")
@click.option("--into", metavar="PROJECT/ENV", help="load it into an environment of the service")
@click.option(
    "-e", "--environment", default="production", show_default=True, help="name in the flag set"
)
@click.option(
    "--flagd-hash",
    type=click.Choice(["v2", "v3"]),
    help="how the flagd that served until now divides users [v2]",
)
@click.option(
    "--growthbook-edge",
    type=click.Choice(["inclusive", "exclusive"]),
    help="coverage of forced rules: JavaScript SDK, or Python SDK from 4 on [inclusive]",
)
@click.option(
    "--flagsmith-values",
    type=click.Choice(["toggles", "null"]),
    help="features without a value: booleans that say whether they are enabled, or null [toggles]",
)
@click.option("--yes", is_flag=True, help="with --into: apply without asking")
@click.option("--preview", is_flag=True, help="with --into: say whom it moves, change nothing")
@comment_option
@wait_option
@pass_invocation
def import_flags(
    invocation: Invocation,
    vendor: str,
    file: str,
    out: str | None,
    into: str | None,
    environment: str,
    flagd_hash: str | None,
    growthbook_edge: str | None,
    flagsmith_values: str | None,
    comment: str,
    wait_seconds: int | None,
    *,
    yes: bool,
    preview: bool,
) -> None:
    """Import another product's flags; what cannot be carried exactly is named and left out.

    FILE is what the product's SDK reads (see the documentation), - for standard input. The report
    goes to standard error as JSON: how many flags came over, which did not, and why.
    """
    if (out is None) == (into is None):
        raise CommandError(
            "say where to: --out flagset.json, or --into PROJECT/ENV", exit_code=EXIT_USAGE
        )
    options = _options(
        vendor,
        flagd_hash=flagd_hash,
        growthbook_edge=growthbook_edge,
        flagsmith_values=flagsmith_values,
    )
    target = None if into is None else _target(into)
    result = _convert(vendor, _read(file), file, options)
    if not invocation.output.quiet:
        click.echo(json.dumps(result.report(), indent=2, ensure_ascii=False), err=True)
    if out is not None:
        _write(out, result.flag_set(environment))
    elif target is not None:
        comment = comment or f"import from {vendor}"
        _load(
            invocation,
            *target,
            result.flag_set(target[1]),
            comment,
            wait_seconds,
            yes=yes,
            only_preview=preview,
        )


def _options(vendor: str, **given: str | None) -> dict[str, str | bool]:
    """Give the importer's options; one that is meant for another vendor is a mistake."""
    options: dict[str, str | bool] = {}
    for name, value in given.items():
        meant_for, option = _MEANT_FOR[name]
        if value is None:
            continue
        if meant_for != vendor:
            raise CommandError(
                f"--{name.replace('_', '-')} is for {meant_for}, not for {vendor}",
                exit_code=EXIT_USAGE,
            )
        options[option] = value == "toggles" if option == "toggles" else value
    return options


def _target(text: str) -> tuple[str, str]:
    project, separator, environment = text.partition("/")
    if not separator or not project or not environment or "/" in environment:
        raise CommandError(
            f"{text!r} is not PROJECT/ENV", hint="--into shop/production", exit_code=EXIT_USAGE
        )
    return project, environment


def _read(file: str) -> Any:
    if file == "-":
        try:
            with click.open_file("-", "rb") as stream:
                text = stream.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise CommandError(f"standard input is not UTF-8 text: byte {error.start}") from error
        return parse_json(text, "standard input")
    return parse_json(read_text(file), file)


def _convert(
    vendor: str, document: Any, file: str, options: Mapping[str, str | bool]
) -> ImportResult:
    import importlib

    from flagstone.importers import ImportFileError

    try:
        importer = importlib.import_module(f"flagstone.importers.{vendor}")
        result: ImportResult = importer.convert(document, **options)
    except ImportFileError as error:
        place = "standard input" if file == "-" else file
        raise CommandError(
            error.message,
            field=f"{place}: {error.path}" if error.path else place,
            hint=error.hint,
        ) from error
    return result


def _write(out: str, flag_set: dict[str, Any]) -> None:
    text = json.dumps(flag_set, indent=2, ensure_ascii=False) + "\n"
    try:
        data = text.encode()
    except UnicodeEncodeError:
        # JSON can hold half a surrogate pair, and UTF-8 cannot.
        data = (json.dumps(flag_set, indent=2) + "\n").encode()
    if out == "-":
        with click.open_file("-", "wb") as stream:
            stream.write(data)
        return
    path = Path(out)
    if path.exists() and not path.is_file():
        path.write_bytes(data)  # a pipe or a device; a folder says what it is
        return
    # Beside it and then in its place: nobody ever reads half a file.
    path = Path(os.path.realpath(path))
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise CommandError(f"{out}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _load(
    invocation: Invocation,
    project: str,
    environment: str,
    flag_set: dict[str, Any],
    comment: str,
    wait_seconds: int | None,
    *,
    yes: bool,
    only_preview: bool,
) -> None:
    """Preview, ask, and apply what was previewed: a move in between is a conflict."""
    from web.cli.remote import segment

    remote = invocation.remote
    unsent = _take_out_unsendable(flag_set)
    path = f"/api/v1/projects/{segment(project)}/environments/{segment(environment)}/import"
    preview = remote.post(path, flag_set, preview="true")
    preview["refused"] = [*unsent, *preview["refused"]]
    if only_preview or not preview["changed"] or not (yes or _can_ask(invocation)):
        invocation.output.document(preview, _words(preview))
        return
    if not yes:
        click.echo(_words(preview))
        if not click.confirm("Apply this?", default=False):
            click.echo("Nothing is written.")
            return
    answer = remote.post(
        path,
        flag_set,
        if_match=f'"{preview["revision"]}"',
        wait_seconds=wait_seconds,
        comment=comment,
        # Exactly what was previewed, for whom may do nothing else.
        preview_token=preview["preview_token"],
    )
    answer["refused"] = [*unsent, *answer["refused"]]
    finish(invocation.output, answer, _words(answer), wait_seconds)


def _take_out_unsendable(flag_set: dict[str, Any]) -> list[dict[str, str]]:
    """Take out what would have the service refuse the whole body; say which, and why."""
    from flags.errors import InvalidInputError
    from flags.plain import check_plain

    unsent = []
    for word, part in (("", flag_set["flags"]), ("segment ", flag_set["segments"])):
        for key, document in list(part.items()):
            try:
                check_plain({key: document}, "")
            except InvalidInputError as error:
                del part[key]
                unsent.append({"name": f"{word}{key}", "reason": f"{error.field}: {error.message}"})
    return unsent


def _can_ask(invocation: Invocation) -> bool:
    return not (invocation.output.as_json or invocation.output.quiet) and sys.stdin.isatty()


def _words(answer: dict[str, Any]) -> str:
    lines = [] if answer["mode"] == "apply" else ["Preview; nothing is written."]
    created = set(answer["created"])
    for key, sentence in answer["sentences"].items():
        lines.append(f"{'new' if key in created else 'changes'} {key}: {sentence}")
    for key, before in answer["segments_before"].items():
        lines.append(f"{'new' if before is None else 'changes'} segment {key}")
    lines.extend(f"refused {each['name']}: {each['reason']}" for each in answer["refused"])
    if "verdict_sentence" in answer:
        lines += [answer["verdict_sentence"], answer["blast_radius"]["sentence"]]
    if answer["unchanged"]:
        lines.append(f"Already so: {', '.join(answer['unchanged'])}.")
    if not answer["changed"]:
        lines.append("Nothing changes.")
    elif answer["mode"] == "apply":
        lines.append(f"{answer['environment']} is at revision {answer['revision']}.")
    return "\n".join(lines)
