"""Conditions as documents, written without their brackets where they need none.

``True`` matches everybody and :data:`NOBODY` nobody; the functions fold them away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from flagstone.engine import evaluate

Attr = str | Sequence[str]

# An empty "any" would be refused: a condition that can never hold must be meant.
NOBODY: Final[dict[str, Any]] = {"not": True}


def written(path: Sequence[str]) -> str | list[str]:
    """Write a path as documents do: a name where there is only one."""
    return path[0] if len(path) == 1 else list(path)


def leaf(attr: Attr, op: str, values: Iterable[Any] = (), **more: Any) -> dict[str, Any]:
    """Compare an attribute with constants; ``more`` is ``as``, ``ci``, ``elements``, ``strict``."""
    document: dict[str, Any] = {"attr": attr if isinstance(attr, str) else written(attr), "op": op}
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


def holds(condition: Any, context: Mapping[str, Any]) -> bool:
    """Whether a condition that asks no flag and no segment holds, found out by evaluating it."""
    rule = {"id": "it", "when": condition, "serve": "on"}
    flag = {"type": "boolean", "variants": {"on": {"value": True}}, "rules": [rule]}
    return evaluate({"flags": {"it": flag}}, "it", context, 0.0).variant is not None
