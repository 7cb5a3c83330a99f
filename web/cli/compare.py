"""``flagstone compare``: whom an edit moves, proved flag by flag, and counted over contexts."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.evaluate import _instant
from web.cli.files import parse_json, read_text
from web.cli.output import CommandError

if TYPE_CHECKING:
    from flagstone.engine import Classification, Comparison, FlagSet

_COLUMNS = (
    ("flag", "flag"),
    ("count", "contexts"),
    ("before", "before"),
    ("after", "after"),
    ("example", "for example"),
)


@click.command(name="compare")
@click.argument("before", type=click.Path(exists=True, dir_okay=False))
@click.argument("after", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--contexts",
    "contexts_path",
    type=click.Path(exists=True, dir_okay=False),
    help="contexts to count over: a JSON array, or one object a line",
)
@click.option("--flag", "flag_keys", multiple=True, help="only this flag; may be given again")
@click.option("--at", "at_text", help="an instant, 2026-12-01T09:00:00Z [proofs: all; counts: now]")
@pass_invocation
def compare(
    invocation: Invocation,
    before: str,
    after: str,
    contexts_path: str | None,
    flag_keys: tuple[str, ...],
    at_text: str | None,
) -> None:
    """Say whom an edit moves: BEFORE and AFTER are flag sets in files.

    Of each flag it is proved that the edit is a no-op, only widens or only narrows, or a context
    is shown that denies it. With --contexts it is also counted who moves from what to what.
    """
    from flagstone.engine import classify
    from flagstone.engine import compare as compare_over

    at = None if at_text is None else _instant(at_text)
    old, new = _flag_set(before), _flag_set(after)
    keys = _known(flag_keys, old, new)
    found = classify(old, new, now=at, flag_keys=keys)
    document: dict[str, Any] = found.to_document()
    comparison = None
    if contexts_path is not None:
        moment = dt.datetime.now(dt.UTC) if at is None else at
        comparison = compare_over(old, new, _contexts(contexts_path), moment, flag_keys=keys)
        document["comparison"] = comparison.to_document()
    output = invocation.output
    output.document(document, _words(found))
    if comparison is not None and not output.as_json:
        empty = f"nobody moves, of {comparison.contexts} contexts"
        output.table(_rows(comparison), _COLUMNS, empty=empty)


def _known(flag_keys: tuple[str, ...], before: FlagSet, after: FlagSet) -> tuple[str, ...] | None:
    """Return the flags asked for, ``None`` for all; each must be in one of the files."""
    for key in flag_keys:
        if key not in before.flags and key not in after.flags:
            raise CommandError(f"neither file has a flag {key!r}")
    return flag_keys or None


def _flag_set(path: str) -> FlagSet:
    from flagstone.engine import FlagSetError, parse_flag_set

    try:
        return parse_flag_set(read_text(path))
    except FlagSetError as error:
        place = f"{path}: {error.path}" if error.path else path
        raise CommandError(error.message, field=place, hint=error.hint) from error


def _contexts(path: str) -> list[dict[str, Any]]:
    """Read contexts: an array of objects, or an object on each line."""
    text = read_text(path)
    if text.lstrip().startswith("["):
        parsed = parse_json(text, path)
    else:
        lines = enumerate(text.splitlines(), 1)
        parsed = [
            parse_json(line, f"{path}, line {number}") for number, line in lines if line.strip()
        ]
    for number, context in enumerate(parsed, 1):
        if not isinstance(context, dict):
            raise CommandError(f"context {number} of {path} is not a JSON object")
    return list(parsed)


def _words(found: Classification) -> str:
    """Write a line for each flag that the edit may touch, and how many it does not."""
    from flagstone.engine import Verdict

    touched = [flag.to_text() for flag in found if flag.verdict is not Verdict.NO_OP]
    rest = len(found) - len(touched)
    unchanged = f"{rest} {'flag' if rest == 1 else 'flags'} unchanged for everybody"
    return "\n".join([*touched, unchanged] if rest or not touched else touched)


def _rows(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "flag": move.flag,
            "count": move.count,
            "before": _served(move.before.to_document()),
            "after": _served(move.after.to_document()),
            "example": json.dumps(move.examples[0], ensure_ascii=False),
        }
        for move in comparison.moves
    ]


def _served(answer: dict[str, Any]) -> str:
    if answer["variant"] is None:
        return "the caller's default"
    return f"{answer['variant']} = {json.dumps(answer['value'], ensure_ascii=False)}"
