"""Variants: what they are worth, and who gets which."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flagstone.importers.conditions import all_of, any_of
from flagstone.importers.result import CannotCarryError
from flagstone.importers.unleash.constraints import RANDOM, Case, attribute_of, is_one_of
from flagstone.importers.unleash.reading import Payload, Variant
from flagstone.importers.unleash.strategies import stickiness_chain
from flagstone.importers.values import type_of

_WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,15})\Z")
_SAFE: Final = 2**53 - 1
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Palette:
    """The variants of one flag, and the names of the two that Unleash has no names for.

    ``plain`` is served where the feature is on without a variant, ``off`` where it is off (``None``
    is the caller's default).
    """

    kind: str
    variants: dict[str, dict[str, Any]]
    plain: str
    off: str | None


def palette_of(variants: Sequence[Variant], *, has_plain: bool) -> Palette:
    """Name and type what a feature can serve.

    Raises
    ------
    CannotCarryError
        If two variants of one name differ.
    """
    values: dict[str, Any] = {}
    for variant in variants:
        value = _ABSENT if variant.payload is None else value_of(variant.payload)
        if variant.name in values and not _same(values[variant.name], value):
            message = f"two variants are called {variant.name!r} and carry different payloads"
            raise CannotCarryError(message)
        values[variant.name] = value
    plain, off = _free("enabled", values), _free("disabled", values)
    if all(value is _ABSENT for value in values.values()):
        documents: dict[str, dict[str, Any]] = {name: {"value": True} for name in values}
        if has_plain:
            documents[plain] = {"value": True}
        documents[off] = {"value": False, "on": False}
        return Palette("boolean", documents, plain, off)
    if has_plain:
        values[plain] = _ABSENT
    documents = {
        name: {"value": None if value is _ABSENT else value, "on": True}
        for name, value in values.items()
    }
    kind = type_of(document["value"] for document in documents.values())
    return Palette(kind, documents, plain, None)


def _same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and _canonical(one) == _canonical(other))


def _canonical(value: Any) -> str:
    return "" if value is _ABSENT else json.dumps(value, sort_keys=True)


def _free(name: str, taken: Container[str]) -> str:
    while name in taken:
        name = f"({name})"
    return name


def value_of(payload: Payload) -> Any:
    """Read a payload by its type; what cannot be read so stays the text that it is."""
    if payload.kind == "number":
        if _WHOLE.match(payload.text) and abs(int(payload.text)) <= _SAFE:
            return int(payload.text)
        try:
            number = float(payload.text)
        except ValueError:
            return payload.text
        return number if math.isfinite(number) else payload.text
    if payload.kind == "json":
        try:
            value = json.loads(payload.text, parse_constant=_no_number)
            return value if _is_plain(value) else payload.text
        except (ValueError, RecursionError):
            return payload.text
    return payload.text


def _no_number(name: str) -> float:
    raise ValueError(name)


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value read from JSON can be a variant's: finite, and not nested too deeply."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, (list, dict)):
        parts = value.values() if isinstance(value, dict) else value
        return depth < 60 and all(_is_plain(part, depth + 1) for part in parts)
    return True


def rules_of(
    name: str,
    case: Case,
    variants: Sequence[Variant],
    stickiness: str | None,
    group: str,
) -> Iterator[tuple[str, Case, Any]]:
    """Yield rules that give everybody in ``case`` one of ``variants``: id, who, and what."""
    for variant in variants:
        if variant.overrides:
            among = any_of(
                is_one_of(attribute_of(part.attribute), part.values) for part in variant.overrides
            )
            condition = all_of([case.condition, among])
            overridden = Case(condition, case.start, case.end)
            yield f"{name}:override:{variant.name}", overridden, variant.name
    total = sum(variant.weight for variant in variants)
    if total == 0:
        raise CannotCarryError("the variants have no weight at all, and Unleash fails on them")
    weighted = [variant for variant in variants if variant.weight]
    if len(weighted) == 1:
        yield name, case, weighted[0].name
        return
    # For variants "random" is an attribute like any other; chance comes in where it is missing.
    chain = ["random"] if stickiness == "random" else stickiness_chain(stickiness)[0]
    shares, reached = [], 0
    for variant in weighted:
        ranges = [[reached, reached + variant.weight]]
        shares.append({"variant": variant.name, "ranges": ranges})
        reached += variant.weight
    heaviest = max(weighted, key=lambda variant: variant.weight).name
    for position, attribute in enumerate([*chain, RANDOM]):
        split = {
            "by": attribute,
            "hash": "unleash-variant",
            "salt": group,
            "of": total,
            "missing": heaviest if attribute == RANDOM else "skip",
            "to": shares,
        }
        suffix = f":{attribute}" if position else ""
        yield f"{name}{suffix}", case, {"split": split}
