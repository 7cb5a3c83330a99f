"""Conditions as documents, written without their brackets where they need none.

``True`` matches everybody and :data:`NOBODY` nobody; the functions fold them away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

Attr = str | Sequence[str]

# An empty "any" would be refused: a condition that can never hold must be meant.
NOBODY: Final[dict[str, Any]] = {"not": True}


def leaf(attr: Attr, op: str, values: Iterable[Any] = (), **more: Any) -> dict[str, Any]:
    """Compare an attribute with constants; ``more`` is ``as``, ``ci``, ``elements``, ``strict``."""
    document: dict[str, Any] = {"attr": attr if isinstance(attr, str) else list(attr), "op": op}
    if op != "exists":
        document["values"] = list(values)
    return {**document, **more}


def exists(attr: Attr) -> dict[str, Any]:
    """Ask whether an attribute is there."""
    return leaf(attr, "exists")


def all_of(parts: Iterable[Any]) -> Any:
    """Join parts that must all hold; of none, everybody matches (as vendors have it)."""
    kept: list[Any] = []
    for part in parts:
        if part is True:
            continue
        if part == NOBODY:
            return NOBODY
        kept.extend(part["all"] if set(part) == {"all"} else [part])
    if not kept:
        return True
    return kept[0] if len(kept) == 1 else {"all": kept}


def any_of(parts: Iterable[Any]) -> Any:
    """Join parts of which one must hold; of none, nobody matches."""
    kept: list[Any] = []
    for part in parts:
        if part is True:
            return True
        if part == NOBODY:
            continue
        kept.extend(part["any"] if set(part) == {"any"} else [part])
    if not kept:
        return NOBODY
    return kept[0] if len(kept) == 1 else {"any": kept}


def negated(part: Any) -> Any:
    """Negate a part."""
    if part is True:
        return NOBODY
    if set(part) == {"not"}:
        return part["not"]
    return {"not": part}
