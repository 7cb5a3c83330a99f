"""Semantic versions as sort keys: one lenient parser with a strict switch, and padded versions."""

from __future__ import annotations

import re

_LENIENT = re.compile(
    r"[vV]?([0-9]{1,18})(?:\.([0-9]{1,18}))?(?:\.([0-9]{1,18}))?"
    r"(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]*)?\Z"
)
_STRICT = re.compile(
    r"(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})"
    r"(?:-((?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
    r"(?:\.(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?\Z"
)

Identifier = tuple[int, int, str]
SortKey = tuple[int, int, int, int, tuple[Identifier, ...]]


def sort_key(text: str, *, strict: bool = False) -> SortKey:
    """Return a key that orders versions by precedence; build metadata is ignored.

    Leniently, parts may be missing (``2.1`` is ``2.1.0``) and a ``v`` may stand before.

    Raises
    ------
    ValueError
        If ``text`` is no version.
    """
    found = (_STRICT if strict else _LENIENT).match(text)
    if found is None:
        raise ValueError("not a semantic version")
    major, minor, patch, pre_release = found.groups()
    key = (int(major), int(minor or 0), int(patch or 0))
    if pre_release is None:
        return (*key, 1, ())
    identifiers = []
    for identifier in pre_release.split("."):
        if not identifier:
            raise ValueError("not a semantic version")
        if identifier.isdigit():
            # A number too long for ``int`` is compared by its length first, then as text.
            digits = identifier.lstrip("0")
            identifiers.append((0, len(digits), digits))
        else:
            identifiers.append((1, 0, identifier))
    return (*key, 0, tuple(identifiers))


def padded(text: str) -> str:
    """Return a version whose numbers are padded, so that texts compare as versions do.

    Parts are divided at dots and hyphens, a leading ``v`` and build metadata are dropped, numbers
    are padded with spaces to five places, and ``~`` after three parts sorts releases behind their
    pre-releases.
    """
    parts = re.split(r"[-.]", re.sub(r"^v|\+.*$", "", text))
    if len(parts) == 3:
        parts.append("~")
    return "-".join(part.rjust(5) if re.match(r"[0-9]+\Z", part) else part for part in parts)
