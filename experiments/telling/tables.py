"""Rows as CSV: numbers to the last bit, and no text that a spreadsheet would compute."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence

Cell = str | float | bool | None

# What makes a spreadsheet compute, also after blanks and in its wide form.
_FORMULA = frozenset("=+-@|%")


def write_csv(names: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Write rows as RFC 4180 text: a head, an empty cell for ``None``, ``true`` and ``false``.

    Numbers are written as Python reads them back, to the last bit. A text that would be taken for
    a formula gets an apostrophe before it, as spreadsheets write texts themselves.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([_written(name) for name in names])
    writer.writerows([_written(cell) for cell in row] for row in rows)
    return text.getvalue()


def _written(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int | float):
        return repr(cell)
    return f"'{cell}" if _computes(cell) else cell


def _computes(text: str) -> bool:
    begin = unicodedata.normalize("NFKC", text.lstrip()[:1])[:1]
    return text[:1] in {"\t", "\r", "\n"} or begin in _FORMULA
