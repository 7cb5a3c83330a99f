"""The features of an Unleash server, read once into values.

What Unleash's engine would not read is refused here: it checks types as strictly. There a fault of
one feature loses the whole file; here it loses the feature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

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
    whole = _object(document, "the feature")
    return Feature(
        _text(whole, "name"),
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
    whole = _object(document, "the segment")
    if whole.get("constraints") is None:
        raise CannotCarryError("is malformed: constraints must be a list")
    return segment_number(whole.get("id")), _several(whole, "constraints", _constraint)


def segment_number(value: object) -> int:
    """Return the number of a segment."""
    if type(value) is int and abs(value) < 2**31:
        return value
    raise CannotCarryError("is malformed: a segment has a whole number")


def _strategy(document: object) -> Strategy:
    whole = _object(document, "a strategy")
    parameters = whole.get("parameters")
    if parameters is None:
        parameters = {}
    for name, value in _object(parameters, "parameters").items():
        if type(value) is not str:
            raise CannotCarryError(f"is malformed: the parameter {name!r} must be a text")
    return Strategy(
        _text(whole, "name"),
        dict(parameters),
        _several(whole, "constraints", _constraint),
        _several(whole, "segments", segment_number),
        _several(whole, "variants", _strategy_variant),
    )


def _constraint(document: object) -> Constraint:
    whole = _object(document, "a constraint")
    return Constraint(
        _text(whole, "contextName"),
        _text(whole, "operator"),
        _several(whole, "values", _a_text),
        _optional(whole, "value"),
        _flag(whole, "inverted", default=False),
        _flag(whole, "caseInsensitive", default=False),
    )


def _variant(document: object) -> Variant:
    whole = _object(document, "a variant")
    return Variant(
        _text(whole, "name"),
        _weight(whole),
        _payload(whole),
        _optional(whole, "stickiness"),
        _several(whole, "overrides", _override),
    )


def _strategy_variant(document: object) -> Variant:
    whole = _object(document, "a variant")
    _optional(whole, "stickiness")
    return Variant(_text(whole, "name"), _weight(whole), _payload(whole))


def _weight(whole: Mapping[str, Any]) -> int:
    weight = whole.get("weight")
    if type(weight) is int and 0 <= weight < 2**31:
        return weight
    raise CannotCarryError("is malformed: a weight is a whole number, and not negative")


def _payload(whole: Mapping[str, Any]) -> Payload | None:
    payload = whole.get("payload")
    if payload is None:
        return None
    inside = _object(payload, "a payload")
    return Payload(_text(inside, "type"), _text(inside, "value"))


def _override(document: object) -> Override:
    whole = _object(document, "an override")
    if whole.get("values") is None:
        raise CannotCarryError("is malformed: an override needs values")
    return Override(_text(whole, "contextName"), _several(whole, "values", _a_text))


def _dependency(document: object) -> Dependency:
    whole = _object(document, "a dependency")
    enabled = _flag(whole, "enabled", default=True, nullable=True)
    return Dependency(_text(whole, "feature"), enabled, _several(whole, "variants", _a_text))


def _object(value: object, what: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping) and all(type(name) is str for name in value):
        return value
    raise CannotCarryError(f"is malformed: {what} must be an object")


def _several(whole: Mapping[str, Any], name: str, read: Callable[[object], T]) -> tuple[T, ...]:
    value = whole.get(name)
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise CannotCarryError(f"is malformed: {name} must be a list")
    return tuple(read(part) for part in value)


def _a_text(value: object) -> str:
    if type(value) is str:
        return value
    raise CannotCarryError("is malformed: values are texts")


def _text(whole: Mapping[str, Any], name: str) -> str:
    value = whole.get(name)
    if type(value) is str:
        return value
    raise CannotCarryError(f"is malformed: {name} must be a text")


def _optional(whole: Mapping[str, Any], name: str) -> str | None:
    return None if whole.get(name) is None else _text(whole, name)


def _flag(
    whole: Mapping[str, Any], name: str, *, default: bool | None = None, nullable: bool = False
) -> bool:
    value = whole.get(name, default)
    if value is None and nullable:
        value = default
    if type(value) is bool:
        return value
    raise CannotCarryError(f"is malformed: {name} must be true or false")
