"""Adding flags: what one is refused for, and how one that its vendor cannot evaluate is carried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flagstone.engine.errors import FlagSetError
from flagstone.engine.parse import parse_flag, parse_flag_set
from flagstone.importers.result import CannotCarryError, ImportResult, Note

FAULTS: Final = (CannotCarryError, FlagSetError, RecursionError, ArithmeticError, ValueError)
"""All that a malformed part can raise on the way; each refuses its flag, and no other."""


def reason_of(fault: Exception) -> str:
    """Return what the report says of a flag that is refused for one of :data:`FAULTS`."""
    if isinstance(fault, CannotCarryError):
        return str(fault)
    if isinstance(fault, FlagSetError):
        return f"is malformed: {fault}"
    if isinstance(fault, RecursionError):
        return "is nested too deeply"
    return f"a number is out of bounds: {fault}"


@dataclass(frozen=True, slots=True)
class Carried:
    """A flag's document, and what the report says of it.

    ``broken`` says why the vendor's own SDK answers every evaluation with an error.
    """

    document: dict[str, Any]
    losses: Iterable[str] = ()
    broken: str | None = None


def add(result: ImportResult, key: str, carry: Callable[[], Carried]) -> None:
    """Add what ``carry`` gives if the engine takes it; else refuse the flag by name."""
    try:
        carried = carry()
        parse_flag(carried.document)
    except FAULTS as fault:
        result.refused.append(Note(key, reason_of(fault)))
        return
    result.flags[key] = carried.document
    if carried.broken is not None:
        result.flags[key] = broken_flag(carried.document, carried.broken)
        result.lossy.append(Note(key, broken_note(carried.broken)))
    result.lossy.extend(Note(key, loss) for loss in dict.fromkeys(carried.losses))


def broken_flag(document: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """Return the flag with a part that no reader takes, so that it answers ``PARSE_ERROR``.

    While it is off it serves what it serves then, as with every vendor.
    """
    variant = next(iter(document["variants"]), "0")
    fault = {"id": "malformed", "when": {"malformed": reason}, "serve": variant}
    return {**document, "prerequisites": [], "targets": [], "rules": [fault], "default": None}


def broken_note(reason: str) -> str:
    """Return what the report says of a flag that answers ``PARSE_ERROR``."""
    return f"malformed, answers PARSE_ERROR: {reason}"


def faults_in(flag_set: Mapping[str, Any]) -> dict[str, str]:
    """Return the flags that the engine takes alone, but not beside the others, with the reason."""
    flags = parse_flag_set(flag_set, strict=False).flags
    return {key: str(flag.fault) for key, flag in flags.items() if flag.fault is not None}
