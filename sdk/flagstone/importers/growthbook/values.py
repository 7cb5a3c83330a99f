"""The values of one feature: what type they have, and what their variants are called.

The vendor names the variations of experiments only, and those within one experiment. Their names
stay; a value that is forced or the default is called by its text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from flagstone.engine.reading import MAX_INTEGER
from flagstone.importers.growthbook.comparisons import is_number, text_of_number
from flagstone.importers.result import CannotCarryError

MAX_NAME: Final = 64


class Variants:
    """Collects variants, by name; equal values of one name are one variant."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def named(self, value: Any, names: Iterable[str]) -> str:
        """Return the variant of a value: by the first name that no other value has."""
        last = ""
        for name in names:
            if name and _same(self._values.setdefault(name, value), value):
                return name
            last = name or last
        count = 2
        while not _same(self._values.setdefault(f"{last}:{count}", value), value):
            count += 1
        return f"{last}:{count}"

    def type(self) -> str:
        """Return the type that all values have."""
        kinds = {_kind(value) for value in self._values.values()}
        if len(kinds) > 1:
            return "object"
        kind = kinds.pop() if kinds else "boolean"
        if kind != "number":
            return kind
        whole = all(_is_whole(value) for value in self._values.values())
        return "integer" if whole else "float"

    def mixture(self) -> str | None:
        """Say which types there are, if there is more than one."""
        kinds = sorted({_kind(value) for value in self._values.values()})
        return ", ".join(kinds) if len(kinds) > 1 else None

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return the variants as documents."""
        if not self._values:
            # A flag has a variant, be it never served.
            return {"off": {"value": False}}
        return {name: _document(value) for name, value in self._values.items()}


def name_of(value: Any) -> str:
    """Return the text of a value, if it is short; else nothing."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value):
        return text_of_number(value)
    if isinstance(value, str) and len(value) <= MAX_NAME and value.isprintable():
        return value
    return ""


def _document(value: Any) -> dict[str, Any]:
    """Write a variant; to the vendor zero and the empty text are off."""
    is_off = value == "" or (is_number(value) and value == 0)
    return {"value": value, "on": False} if is_off else {"value": value}


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if is_number(value):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (list, dict)):
        return "object"
    raise CannotCarryError(f"{type(value).__name__} is not a type of JSON")


def _is_whole(value: Any) -> bool:
    # An integer too large for us stays one, and is refused as such.
    return isinstance(value, int) or (value.is_integer() and abs(value) <= MAX_INTEGER)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are written alike: typed, and with their fields in order."""
    return one is other or json.dumps(one) == json.dumps(other)
