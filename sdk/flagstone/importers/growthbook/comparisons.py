"""The operators that compare one value with constants, as the vendor's two kinds of SDK mean them.

The Python SDK 4 is strict: values of two types are never equal and have no order. The JavaScript
SDK, and the cases that the vendor publishes, compare as JavaScript does: ``"8" > 5``, and what is
missing counts as zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from flagstone.engine.operators import is_number
from flagstone.engine.regex import compile_regex
from flagstone.engine.semver import padded
from flagstone.engine.units import javascript_text
from flagstone.importers.conditions import NOBODY, all_of, any_of, negated
from flagstone.importers.growthbook.patterns import of_script
from flagstone.importers.growthbook.references import Condition, Length, Reference
from flagstone.importers.python_patterns import of_python
from flagstone.importers.result import CannotCarryError

ORDERS: Final[Mapping[str, str]] = {"$lt": "lt", "$lte": "lte", "$gt": "gt", "$gte": "gte"}
VERSIONS: Final[Mapping[str, str]] = {
    f"$v{name}": name for name in ("eq", "ne", "lt", "lte", "gt", "gte")
}
_LAST_ALIKE: Final = "\ud7ff"
"""Up to here texts have one order, by code points or by the units of UTF-16."""
_TESTS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": lambda one, other: one == other,
    "lt": lambda one, other: one < other,
    "lte": lambda one, other: one <= other,
    "gt": lambda one, other: one > other,
    "gte": lambda one, other: one >= other,
}
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")


def scalars(values: Iterable[Any]) -> list[Any]:
    """Return the constants that a value can equal: no list or object is ever the same one."""
    return [value for value in values if not isinstance(value, (list, dict))]


def text_of_number(value: float) -> str:
    """Write a number as JavaScript does, which has no other numbers than doubles."""
    text = javascript_text(value)
    return ("-Infinity" if value < 0 else "Infinity") if text is None else text


def _has_order(value: Any) -> bool:
    """Whether the value is or holds an object of several fields."""
    if isinstance(value, dict):
        return len(value) > 1 or any(map(_has_order, value.values()))
    return isinstance(value, list) and any(map(_has_order, value))


class StrictComparisons:
    """Comparisons of the Python SDK: nothing is converted."""

    def __init__(self) -> None:
        self.losses: set[str] = set()

    def equals(self, to: Reference, constant: Any, *, ci: bool = False) -> Condition:
        """Compare with a literal, as ``{"attribute": literal}`` does."""
        if constant is None:
            return to.is_a("null")
        if _has_order(constant):
            self.losses.add("an object is equal whatever the order of its fields")
        return to.leaf("in", [constant], **({"ci": True} if ci else {}))

    def identical(self, to: Reference, constant: Any) -> Condition:
        """Compare as ``$eq`` does: lists and objects are never the same one."""
        if constant is None:
            return to.is_a("null")
        return to.leaf("in", scalars([constant]))

    def among(self, to: Reference, constants: Iterable[Any], *, ci: bool = False) -> Condition:
        """Look for the value, or for an element of it, among constants."""
        found = scalars(constants)
        more: dict[str, Any] = {"ci": True} if ci else {}
        leaf = to.leaf("in", found, elements=True, **more)
        return any_of([leaf, to.is_a("null")]) if None in found else leaf

    def order(self, to: Reference, op: str, constant: Any) -> Condition:
        """Compare the order of two numbers or two texts."""
        if isinstance(constant, str):
            return to.leaf(op, [self._ordered(constant)])
        return to.leaf(op, [constant]) if is_number(constant) else NOBODY

    def _ordered(self, text: str) -> str:
        if any(letter > _LAST_ALIKE for letter in text):
            raise CannotCarryError(f"texts such as {text!r} are ordered by the units of UTF-16")
        return text

    def version(self, to: Reference, op: str, constant: Any) -> Condition:
        """Compare versions, both texts or both numbers."""
        if op == "ne":
            return negated(self.version(to, "eq", constant))
        if isinstance(constant, str):
            return all_of([to.is_a("string"), self._padded(to, op, constant or "0")])
        if is_number(constant):
            return all_of([to.is_a("number"), self._padded(to, op, text_of_number(constant))])
        return NOBODY

    def _padded(self, to: Reference, op: str, constant: str) -> Condition:
        """Compare padded versions; to the vendor the empty text is version 0."""
        compared = to.leaf(f"version_{op}", [constant])
        vendor, ours = (_TESTS[op](padded(text), padded(constant)) for text in ("0", ""))
        if vendor and not ours:
            return any_of([compared, to.leaf("in", [""])])
        if ours and not vendor:
            return all_of([compared, negated(to.leaf("in", [""]))])
        return compared

    def is_there(self, to: Reference, wanted: Any) -> Condition:
        """Ask whether the value is there and not null."""
        return negated(to.is_a("null")) if wanted else to.is_a("null")

    def pattern(self, to: Reference, constant: Any, *, ci: bool) -> Condition:
        """Search a pattern in a text."""
        written = self._pattern(constant)
        if written is None:
            return NOBODY
        return to.leaf("regex", [written], **({"ci": True} if ci else {}))

    def _pattern(self, constant: Any) -> str | None:
        found = of_python(constant, exact=False) if isinstance(constant, str) else None
        if found is None:
            return None
        if found[1]:
            self.losses.add(r"\d, \w and \b in patterns know ASCII only")
        return found[0]


class LooseComparisons(StrictComparisons):
    """Comparisons of the JavaScript SDK, which converts.

    It also makes texts of lists and objects; those equal no text and no number here.
    """

    def equals(self, to: Reference, constant: Any, *, ci: bool = False) -> Condition:
        """Compare a text with the value's text, a number with its number, a bool with its truth."""
        if isinstance(constant, bool):
            untrue = to.leaf("in", [False, 0, ""])
            return negated(any_of([to.is_a("null"), untrue])) if constant else untrue
        if is_number(constant):
            return self._as_number(to, "in", constant)
        if not isinstance(constant, str):
            return super().equals(to, constant)
        spelled: list[Any] = [constant]
        if _DECIMAL.match(constant) and text_of_number(float(constant)) == constant:
            spelled.append(float(constant))
        wanted = constant.lower() if ci else constant
        spelled.extend(
            truth for text, truth in (("true", True), ("false", False)) if text == wanted
        )
        leaf = to.leaf("in", spelled, **({"ci": True} if ci else {}))
        return any_of([leaf, to.is_a("null")]) if wanted == "null" else leaf

    def order(self, to: Reference, op: str, constant: Any) -> Condition:
        """Compare two texts as texts, and anything else as numbers."""
        if isinstance(constant, (list, dict)):
            raise CannotCarryError(f"a list or an object has no order (${op})")
        if not isinstance(constant, str):
            return self._as_number(to, op, 0 if constant is None else constant)
        texts = to.leaf(op, [self._ordered(constant)])
        stripped = constant.strip()
        if stripped and not _DECIMAL.match(stripped):
            return all_of([to.is_a("string"), texts])
        counted = self._as_number(to, op, float(stripped or 0))
        of_text = to.is_a("string")
        return any_of([all_of([of_text, texts]), all_of([negated(of_text), counted])])

    def _as_number(self, to: Reference, op: str, constant: float) -> Condition:
        """Compare what JavaScript makes a number of: null and nothing are 0, true is 1."""
        if isinstance(constant, bool):
            constant = int(constant)
        if not math.isfinite(constant):
            raise CannotCarryError("a number must be finite")
        if isinstance(to, Length):
            return to.leaf(op, [constant])
        test = _TESTS["eq" if op == "in" else op]
        parts = [to.leaf(op, [constant], **{"as": "number"})]
        if test(0, constant):
            parts += [to.leaf("in", ["", False]), to.is_a("null")]
        if test(1, constant):
            parts.append(to.leaf("in", [True]))
        return any_of(parts)

    def version(self, to: Reference, op: str, constant: Any) -> Condition:
        """Compare versions; whatever is neither a text nor a number is version 0."""
        if op == "ne":
            return negated(self.version(to, "eq", constant))
        if is_number(constant):
            constant = text_of_number(constant)
        if not isinstance(constant, str):
            constant = ""
        compared = self._padded(to, op, constant or "0")
        if not _TESTS[op](padded("0"), padded(constant or "0")):
            return all_of([to.is_a("string", "number"), compared])
        return any_of([compared, negated(to.is_a("string", "number"))])

    def is_there(self, to: Reference, wanted: Any) -> Condition:
        """Ask whether the value is there; an empty list wants it as well."""
        return super().is_there(to, wanted or isinstance(wanted, (list, dict)))

    def pattern(self, to: Reference, constant: Any, *, ci: bool) -> Condition:
        """Search a pattern in the value's text; that of null, or of nothing, is ``null``."""
        written = self._pattern(constant)
        if written is None:
            return NOBODY
        found = to.leaf("regex", [written], **{"as": "string"}, **({"ci": True} if ci else {}))
        if compile_regex(written, ci=ci)("null"):
            return any_of([found, to.is_a("null")])
        return found

    def _pattern(self, constant: Any) -> str | None:
        return of_script(constant) if isinstance(constant, str) else None
