"""The version that a row carries: nobody writes over what moved since they read it."""

from __future__ import annotations

from typing import Protocol

from flags.errors import VersionConflictError


class Versioned(Protocol):
    """A row that counts its changes."""

    version: int | None


def expect_version(row: Versioned | None, expected: int | None, what: str) -> None:
    """Go on if nothing is expected, or the row is there at just that version.

    Parameters
    ----------
    what : str
        What somebody else has changed, in words: ``metric 'purchase'``.

    Raises
    ------
    VersionConflictError
        If it moved since the caller read it.
    """
    if expected is not None and (row is None or row.version != expected):
        raise VersionConflictError(f"somebody changed {what} first", hint="read it again")
