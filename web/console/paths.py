"""Addresses: how a flag's key travels in one, and which ones a form may lead to."""

from __future__ import annotations

import re

from werkzeug.routing import BaseConverter

_DOTS = re.compile(r"~*\.{1,2}")


class FlagKeyConverter(BaseConverter):
    """Any flag key as a part of a path, slashes as they are.

    Browsers take ``.`` and ``..`` between slashes away before they ask, however one encodes them.
    Such a part travels with a ``~`` in front (and one that looks like it with one more).
    """

    regex = ".+?"
    part_isolating = False

    def to_url(self, value: str) -> str:
        """Write a key into an address."""
        parts = [f"~{part}" if _DOTS.fullmatch(part) else part for part in value.split("/")]
        return super().to_url("/".join(parts))

    def to_python(self, value: str) -> str:
        """Read a key from an address."""
        parts = value.split("/")
        escaped = [part.startswith("~") and _DOTS.fullmatch(part) for part in parts]
        return "/".join(
            part[1:] if mark else part for part, mark in zip(parts, escaped, strict=True)
        )


def own_path(text: str | None) -> str:
    """Give a path of this site, never an address elsewhere."""
    if not text or not text.startswith("/") or text.startswith(("//", "/\\")) or "\\" in text:
        return "/"
    return text if text.isprintable() else "/"
