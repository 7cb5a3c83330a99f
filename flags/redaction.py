"""What may be shown of somebody's context."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flags.affected import Path

MASK = "•••"
_MAX_SHOWN = 60
_TARGETING_KEY = "targetingKey"


def redacted(context: Mapping[str, Any], shown: Iterable[Path]) -> dict[str, Any]:
    """Give what may be shown of somebody's context: what the rules ask about, and no more.

    The targeting key is always masked, an address of electronic mail but for its domain, and so is
    what is long or not a plain value. Attributes that no rule asks about are left out.
    """
    example: dict[str, Any] = {}
    for path in sorted(shown):
        value: Any = context
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is None or not path:
            continue
        place = example
        for name in path[:-1]:
            inner = place.setdefault(name, {})
            if not isinstance(inner, dict):
                break
            place = inner
        else:
            place[path[-1]] = _shown_value(value)
    if _TARGETING_KEY in context:
        example[_TARGETING_KEY] = MASK
    return example


def redacted_attributes(attributes: Mapping[str, str]) -> dict[str, Any]:
    """Give what may be shown of what a sender says of a unit, by the same rules."""
    return {name: _shown_value(value) for name, value in sorted(attributes.items())}


def _shown_value(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if not isinstance(value, str) or len(value) > _MAX_SHOWN:
        return MASK
    _, at, domain = value.rpartition("@")
    return f"{MASK}@{domain}" if at else value
