"""Markdown as the reference pages need it: tables, anchors, and a page's head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_HEAD = "<!-- Written by `make docs` from {source}. Edit that, not this. -->"


def page(title: str, source: str, *parts: str) -> str:
    """Join the parts of a page under its title; ``source`` says which code it was written from."""
    return "\n\n".join([_HEAD.format(source=source), f"# {title}", *parts]).rstrip() + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; a bar inside a cell does not end it."""
    lines = [_row(head), "|" + "---|" * len(head)]
    return "\n".join([*lines, *(_row(each) for each in rows)])


def code(text: object) -> str:
    """Show text as code."""
    return f"`{text}`"


def link(name: str, page_name: str = "") -> str:
    """Link to the heading of that name, on this page or on another."""
    return f"[{name}]({page_name}#{name.lower().replace(' ', '-')})"


def sentence(docstring: str | None) -> str:
    """Give the first paragraph of a docstring on one line, without a full stop at its end."""
    first = (docstring or "").strip().partition("\n\n")[0]
    return " ".join(first.split()).replace("``", "`").rstrip(".")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(each.replace("\n", " ").replace("|", "\\|") for each in cells) + " |"
