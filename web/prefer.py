"""``Prefer: wait=N`` (RFC 7240): how long a caller would wait for what it changed to be served."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_WAIT_SECONDS = 30
# Says inside the process which revisions of which environments an answer made; never leaves it.
MADE = "Flagstone-Made"

# token [= token or quoted string] [; parameters], in a list: a comma in quotes divides nothing.
_ITEM = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_WAIT = re.compile(r'\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;.*)?', re.IGNORECASE | re.DOTALL)


def wait_seconds(headers: Iterable[str]) -> int | None:
    """Give for how many seconds ``Prefer`` asks to wait, at most ``MAX_WAIT_SECONDS``.

    None where it does not ask. What cannot be read is no preference, as the standard wants it; of
    several the first counts.
    """
    for header in headers:
        for item in _ITEM.findall(header):
            found = _WAIT.fullmatch(item)
            if found is not None:
                return min(int(found[1]), MAX_WAIT_SECONDS)
    return None


def made(revisions: Iterable[tuple[int, int]]) -> str:
    """Write which revisions an answer is about: pairs of an environment's id and its revision."""
    return ",".join(f"{environment_id} {revision}" for environment_id, revision in revisions)


def read_made(text: str) -> list[tuple[int, int]]:
    """Read what :func:`made` wrote."""
    pairs = (each.split() for each in text.split(","))
    return [(int(environment_id), int(revision)) for environment_id, revision in pairs]
