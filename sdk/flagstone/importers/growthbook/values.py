"""The values of one feature: what type they have, and what their variants are called.

The vendor names the variations of experiments only, and those within one experiment. Their names
stay; a value that is forced or the default is called by its text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from flagstone.engine.operators import is_number
from flagstone.engine.reading import MAX_INTEGER
from flagstone.importers.growthbook.comparisons import text_of_number
from flagstone.importers.naming import numbered
from flagstone.importers.values import type_of

MAX_NAME: Final = 64


class Variants:
    """Collects variants, by name; equal values of one name are one variant."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def named(self, value: Any, names: Iterable[str]) -> str:
        """Return the variant of a value: by the first name that no other value has."""
        wanted = [name for name in names if name]
        found = next((name for name in wanted if not self._is_taken(name, value)), None)
        if found is None:
            found = numbered(wanted[-1], lambda name: self._is_taken(name, value), ":{}")
        self._values[found] = value
        return found

    def _is_taken(self, name: str, value: Any) -> bool:
        return name in self._values and not _same(self._values[name], value)

    def type(self) -> str:
        """Return the type that all values have; numbers are integers where all are whole."""
        values = self._values.values()
        if values and all(map(_is_whole, values)):
            return "integer"
        return type_of(values)

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


def _is_whole(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer() and abs(value) <= MAX_INTEGER
    # An integer too large for us stays one, and is refused as such.
    return is_number(value)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are written alike: typed, and with their fields in order."""
    return one is other or json.dumps(one) == json.dumps(other)
