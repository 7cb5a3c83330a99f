"""What an import gives: flags and segments of a flag set, and a report of what is not in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flagstone.engine.parse import SCHEMA


class ImportFileError(ValueError):
    """The file as a whole cannot be imported; nothing of it was.

    Parameters
    ----------
    message : str
        What is wrong.
    path : str
        Where in the file, as in ``flags.checkout.rules[0]``; empty for the whole.
    hint : str, optional
        What to do about it.
    """

    def __init__(self, message: str, path: str = "", hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class CannotCarryError(Exception):
    """One flag cannot be carried exactly; the message is the reason that the report gives."""


EVERYWHERE: Final = "*"
"""The flag of a note about the whole file: what would be said of nearly every flag is said once."""


@dataclass(frozen=True, slots=True)
class Note:
    """A flag and what the report says of it, in one sentence."""

    flag: str
    reason: str

    def to_document(self) -> dict[str, str]:
        """Write it as plain JSON."""
        return {"flag": self.flag, "reason": self.reason}


@dataclass(slots=True)
class ImportResult:
    """Documents of flags and segments by key, ready for a flag set.

    ``refused`` flags are not in it; ``lossy`` ones are, but something beside their variants was
    left behind, or depends on chance.
    """

    flags: dict[str, dict[str, Any]] = field(default_factory=dict)
    segments: dict[str, Any] = field(default_factory=dict)
    refused: list[Note] = field(default_factory=list)
    lossy: list[Note] = field(default_factory=list)

    def flag_set(self, environment: str = "", version: int = 1) -> dict[str, Any]:
        """Return the flag set as a document."""
        return {
            "schema": SCHEMA,
            "environment": environment,
            "version": version,
            "flags": self.flags,
            "segments": self.segments,
        }

    def report(self) -> dict[str, Any]:
        """Return the report: how many flags came over, which did not or not wholly, and why."""
        return {
            "imported": len(self.flags),
            "refused": [note.to_document() for note in self.refused],
            "lossy": [note.to_document() for note in self.lossy],
        }


def whole_file(document: object) -> Mapping[str, Any]:
    """Return the document if it is an object, as every vendor's file is.

    Raises
    ------
    ImportFileError
        If it is none.
    """
    if not isinstance(document, Mapping):
        raise ImportFileError("the file must hold a JSON object")
    return document
