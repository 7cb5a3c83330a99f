"""How a command speaks: a table on a terminal, JSON in a pipe, an error with its hint, a code."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_CONFLICT = 3
EXIT_NEEDS_APPROVAL = 4
EXIT_NOT_CONVERGED = 5
EXIT_FALSE = 10

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class CommandError(click.ClickException):
    """A failure that the user can act on: one sentence, where it is, and what to do."""

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        hint: str | None = None,
        exit_code: int = EXIT_ERROR,
    ) -> None:
        super().__init__(message)
        self.field = field
        self.hint = hint
        # Click declares it on the class, and reads it from the instance.
        self.exit_code = exit_code  # type: ignore[misc]

    def format_message(self) -> str:
        """Join message, field and hint, a line each."""
        lines = [self.message]
        if self.field:
            lines.append(f"  at:   {self.field}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Output:
    """Where and in which form results go.

    Attributes
    ----------
    as_json : bool
        JSON instead of tables; the default when standard output is not a terminal.
    quiet : bool
        Print nothing but errors.
    asked : bool
        JSON was asked for by name: even what is plain text by nature comes as JSON.
    """

    as_json: bool
    quiet: bool
    asked: bool = False

    @classmethod
    def choose(cls, *, as_json: bool, quiet: bool) -> Output:
        """JSON when asked for, or when nobody is looking."""
        return cls(as_json=as_json or not sys.stdout.isatty(), quiet=quiet, asked=as_json)

    def text(self, text: str, document: Any) -> None:
        """Print plain text, in a pipe too; the document only when JSON was asked for."""
        if self.asked:
            self.document(document)
        elif not self.quiet:
            click.echo(text.rstrip("\n"))

    def document(self, document: Any, text: str | None = None) -> None:
        """Print one result: ``text`` for people (if given), the document for programs."""
        if self.quiet:
            return
        if self.as_json or text is None:
            click.echo(json.dumps(document, indent=2, ensure_ascii=False, sort_keys=False))
        else:
            click.echo(text)

    def table(
        self, rows: Sequence[Mapping[str, Any]], columns: Iterable[tuple[str, str]], *, empty: str
    ) -> None:
        """Print rows: ``columns`` are pairs of key and heading; ``empty`` says what to do next."""
        if self.quiet:
            return
        if self.as_json:
            click.echo(json.dumps(list(rows), indent=2, ensure_ascii=False))
            return
        if not rows:
            click.echo(empty)
            return
        # A third of the command's start, for this alone.
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        pairs = list(columns)
        for _key, heading in pairs:
            table.add_column(heading, overflow="fold", min_width=len(heading))
        for row in rows:
            # As Text: what looks like markup in somebody's comment is theirs, not ours.
            table.add_row(*(Text(_cell(row.get(key))) for key, _heading in pairs))
        Console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return printable(str(value))


def printable(text: str) -> str:
    """Give a text without what could steer the reader's terminal, such as escape sequences."""
    return _CONTROL.sub(" ", text)


def moment(text: str | None) -> str | None:
    """Give an instant of the API for a table: to the second, and in UTC as it came."""
    if text is None:
        return None
    return re.sub(r"(\.\d+)?(\+00:00|Z)$", "Z", text).replace("T", " ")
