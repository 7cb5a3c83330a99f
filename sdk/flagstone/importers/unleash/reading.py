"""The features of an Unleash server, read once into values.

What Unleash's engine would not read is refused here: it checks types as strictly. There a fault of
one feature loses the whole file; here it loses the feature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from flagstone.importers import reading
from flagstone.importers.result import CannotCarryError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Constraint:
    """A condition on one field of Unleash's context."""

    attribute: str
    operator: str
    values: tuple[str, ...]
    value: str | None
    inverted: bool
    ignores_case: bool


@dataclass(frozen=True, slots=True)
class Payload:
    """What a variant carries: always a text, and what it is to be read as."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Override:
    """Values of an attribute that get the variant whatever their bucket."""

    attribute: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant of a feature or of a strategy (which has neither stickiness nor overrides)."""

    name: str
    weight: int
    payload: Payload | None
    stickiness: str | None = None
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way in: its own test, constraints that must all hold, and variants of its own."""

    name: str
    parameters: Mapping[str, str]
    constraints: tuple[Constraint, ...]
    segments: tuple[int, ...]
    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True)
class Dependency:
    """A parent, and how it must be."""

    feature: str
    enabled: bool
    variants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature in one environment."""

    name: str
    enabled: bool
    strategies: tuple[Strategy, ...]
    variants: tuple[Variant, ...]
    dependencies: tuple[Dependency, ...]
    records_impressions: bool
    metadata: Mapping[str, str]


def read_feature(document: object) -> Feature:
    """Read a feature.

    Raises
    ------
    CannotCarryError
        If it is malformed.
    """
    whole = reading.an_object(document, "the feature")
    return Feature(
        reading.text(whole, "name"),
        _flag(whole, "enabled"),
        _several(whole, "strategies", _strategy),
        _several(whole, "variants", _variant),
        _several(whole, "dependencies", _dependency),
        _flag(whole, "impressionData", default=False, nullable=True),
        {name: text for name in ("project", "type") if type(text := whole.get(name)) is str},
    )


def read_segment(document: object) -> tuple[int, tuple[Constraint, ...]]:
    """Read a segment: its number and its constraints.

    Raises
    ------
    CannotCarryError
        If it is malformed.
    """
    whole = reading.an_object(document, "the segment")
    constraints = map(_constraint, reading.items(whole, "constraints", required=True))
    return segment_number(whole.get("id")), tuple(constraints)


def segment_number(value: object) -> int:
    """Return the number of a segment."""
    if type(value) is int and abs(value) < 2**31:
        return value
    raise CannotCarryError("is malformed: a segment has a whole number")


def _strategy(document: object) -> Strategy:
    whole = reading.an_object(document, "a strategy")
    parameters = reading.optional_object(whole, "parameters") or {}
    return Strategy(
        reading.text(whole, "name"),
        {name: reading.text(parameters, name) for name in parameters},
        _several(whole, "constraints", _constraint),
        _several(whole, "segments", segment_number),
        _several(whole, "variants", _strategy_variant),
    )


def _constraint(document: object) -> Constraint:
    whole = reading.an_object(document, "a constraint")
    return Constraint(
        reading.text(whole, "contextName"),
        reading.text(whole, "operator"),
        tuple(reading.texts(whole, "values")),
        reading.text_or_none(whole, "value"),
        _flag(whole, "inverted", default=False),
        _flag(whole, "caseInsensitive", default=False),
    )


def _variant(document: object) -> Variant:
    whole = reading.an_object(document, "a variant")
    return Variant(
        reading.text(whole, "name"),
        _weight(whole),
        _payload(whole),
        reading.text_or_none(whole, "stickiness"),
        _several(whole, "overrides", _override),
    )


def _strategy_variant(document: object) -> Variant:
    whole = reading.an_object(document, "a variant")
    reading.text_or_none(whole, "stickiness")
    return Variant(reading.text(whole, "name"), _weight(whole), _payload(whole))


def _weight(whole: reading.Data) -> int:
    weight = whole.get("weight")
    if type(weight) is int and 0 <= weight < 2**31:
        return weight
    raise CannotCarryError("is malformed: a weight is a whole number, and not negative")


def _payload(whole: reading.Data) -> Payload | None:
    payload = reading.optional_object(whole, "payload")
    if payload is None:
        return None
    return Payload(reading.text(payload, "type"), reading.text(payload, "value"))


def _override(document: object) -> Override:
    whole = reading.an_object(document, "an override")
    values = reading.texts(whole, "values", required=True)
    return Override(reading.text(whole, "contextName"), tuple(values))


def _dependency(document: object) -> Dependency:
    whole = reading.an_object(document, "a dependency")
    enabled = _flag(whole, "enabled", default=True, nullable=True)
    return Dependency(
        reading.text(whole, "feature"), enabled, tuple(reading.texts(whole, "variants"))
    )


def _several(whole: reading.Data, name: str, read: Callable[[object], T]) -> tuple[T, ...]:
    return tuple(map(read, reading.items(whole, name)))


def _flag(
    whole: reading.Data, name: str, *, default: bool | None = None, nullable: bool = False
) -> bool:
    value = whole.get(name, default)
    if value is None and nullable:
        value = default
    if type(value) is bool:
        return value
    raise CannotCarryError(f"is malformed: {name} must be true or false")
