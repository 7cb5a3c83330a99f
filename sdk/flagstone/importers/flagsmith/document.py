"""Flagsmith's two files, read into one form.

What the released SDK makes of an environment document before it evaluates locally is made here too:
keys of feature states, priorities of options, and identity overrides that carry no options.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flagstone.importers import reading
from flagstone.importers.result import CannotCarryError, ImportFileError, whole_file

FIRST: Final = -math.inf
LAST: Final = math.inf
_HINT: Final = "fetch /api/v1/environment-document/ with a server-side environment key"
_NAMELESS: Final = "segment"
_DATABASE_IDS: Final = "use_identity_composite_key_for_hashing"


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a multivariate feature; ``name`` is ``None`` where Flagsmith names none."""

    name: str | None
    value: Any
    weight: float


@dataclass(frozen=True, slots=True)
class State:
    """What a feature is in the environment, in a segment or for some identities."""

    enabled: bool
    value: Any
    salt: str | None = None
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class Override:
    """A state with its priority (the least wins), or why it cannot be read."""

    feature: str
    state: State | CannotCarryError
    priority: float | None = LAST


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment: ``key`` salts its percentages, ``rules`` are as they stand in the file."""

    key: str
    name: str
    rules: Any
    overrides: tuple[Override, ...]


@dataclass(frozen=True, slots=True)
class IdentityOverride:
    """A state of one feature for the identities that are named."""

    feature: str
    state: State | CannotCarryError
    identifiers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Environment:
    """A file. ``local`` says that the SDK leaves segments out where there is no identity."""

    constants: Mapping[str, Any]
    features: Mapping[str, State | CannotCarryError]
    segments: tuple[Segment, ...]
    identities: tuple[IdentityOverride, ...] = ()
    local: bool = False
    database_ids: bool = False
    unnamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def default_key_prefix(self) -> str:
        """What stands before the identifier in an identity's default key."""
        return f"{self.constants.get('key')}_"


def read_file(document: Any) -> Environment:
    """Read an environment document or an evaluation context.

    Raises
    ------
    ImportFileError
        If it is neither.
    """
    whole = whole_file(document)
    if "feature_states" in whole:
        return _environment_document(whole)
    if "features" in whole or "environment" in whole:
        return _evaluation_context(whole)
    raise ImportFileError("neither an environment document nor an evaluation context", "", _HINT)


# --- the evaluation context ---------------------------------------------------------------------


def _evaluation_context(whole: Mapping[str, Any]) -> Environment:
    features: dict[str, State | CannotCarryError] = {}
    for key, feature in _object(whole, "features", "features").items():
        features[str(key)] = _attempt(_filed_state, str(key), feature)
    segments = []
    for key, segment in _object(whole, "segments", "segments").items():
        path = f"segments.{key}"
        if not isinstance(segment, Mapping):
            raise ImportFileError("a segment must be an object", path)
        overrides = _list(segment, "overrides", f"{path}.overrides")
        segments.append(
            Segment(
                str(segment.get("key", "")),
                str(segment.get("name") or key or _NAMELESS),
                segment.get("rules"),
                tuple(_overrides(overrides, f"{path}.overrides")),
            )
        )
    constants = _object(whole, "environment", "environment")
    return Environment(constants, features, tuple(segments))


def _overrides(overrides: Sequence[Any], path: str) -> Iterator[Override]:
    for index, override in enumerate(overrides):
        if not isinstance(override, Mapping) or type(override.get("name")) is not str:
            raise ImportFileError("an override must name its feature", f"{path}[{index}]")
        priority = override.get("priority", LAST)
        yield Override(
            override["name"],
            _attempt(_context_state, override),
            priority if _is_number(priority) else None,
        )


def _filed_state(key: str, feature: Any) -> State:
    whole = reading.an_object(feature, "the feature")
    if whole.get("name") != key:
        raise CannotCarryError(f"it is filed as {key!r} and named {whole.get('name')!r}")
    return _context_state(whole)


def _context_state(whole: Mapping[str, Any]) -> State:
    options = []
    for option in reading.items(whole, "variants"):
        part = reading.an_object(option, "a variant")
        priority = _needed(part, "priority")
        options.append((priority, part.get("key"), _needed(part, "value"), _needed(part, "weight")))
    salt = str(_needed(whole, "key")) if options else None
    return _state(whole, "value", salt, options)


# --- the environment document -------------------------------------------------------------------


def _environment_document(whole: Mapping[str, Any]) -> Environment:
    unnamed: dict[str, str] = {}
    features: dict[str, State | CannotCarryError] = {}
    for index, state in enumerate(_list(whole, "feature_states", "feature_states")):
        name = _feature_name(state)
        if name is None:
            unnamed[f"feature_states[{index}]"] = "the feature state names no feature"
        else:
            features[name] = _attempt(_document_state, state)
    project = _object(whole, "project", "project")
    segments = []
    for index, segment in enumerate(_list(project, "segments", "project.segments")):
        path = f"project.segments[{index}]"
        if not isinstance(segment, Mapping) or "id" not in segment:
            raise ImportFileError("a segment must be an object with an id", path)
        states = _list(segment, "feature_states", f"{path}.feature_states")
        segments.append(
            Segment(
                str(segment["id"]),
                str(segment.get("name") or segment["id"] or _NAMELESS),
                _with_properties(segment.get("rules")),
                tuple(_document_overrides(states, f"{path}.feature_states")),
            )
        )
    key = whole.get("api_key")
    if type(key) is not str:
        raise ImportFileError("the environment's key must be a text", "api_key", _HINT)
    return Environment(
        {"key": key, "name": whole.get("name")},
        features,
        tuple(segments),
        tuple(_identities(_list(whole, "identity_overrides", "identity_overrides"))),
        local=True,
        database_ids=whole.get(_DATABASE_IDS) is False or project.get(_DATABASE_IDS) is False,
        unnamed=unnamed,
    )


def _document_overrides(states: Sequence[Any], path: str) -> Iterator[Override]:
    for index, state in enumerate(states):
        name = _feature_name(state)
        if name is None:
            raise ImportFileError("an override must name its feature", f"{path}[{index}]")
        priority: Any = LAST
        if state.get("feature_segment"):
            of_segment = state["feature_segment"]
            priority = of_segment.get("priority") if isinstance(of_segment, Mapping) else None
        yield Override(
            name, _attempt(_document_state, state), priority if _is_number(priority) else None
        )


def _document_state(whole: Mapping[str, Any]) -> State:
    options = []
    for option in reading.items(whole, "multivariate_feature_state_values"):
        part = reading.an_object(option, "a multivariate value")
        shown = reading.an_object(_needed(part, "multivariate_feature_option"), "an option")
        weight = _needed(part, "percentage_allocation")
        options.append((_priority_of(part), shown.get("key"), _needed(shown, "value"), weight))
    salt = whole.get("django_id") or whole.get("featurestate_uuid")
    if salt is None:
        raise CannotCarryError("the feature state has no featurestate_uuid")
    return _state(whole, "feature_state_value", str(salt), options)


def _priority_of(part: Mapping[str, Any]) -> Any:
    if part.get("id"):
        return part["id"]
    try:
        return uuid.UUID(_needed(part, "mv_fs_value_uuid")).int
    except (ValueError, TypeError, AttributeError) as error:
        raise CannotCarryError("a multivariate value has neither an id nor a UUID") from error


def _feature_name(state: Any) -> str | None:
    feature = state.get("feature") if isinstance(state, Mapping) else None
    name = feature.get("name") if isinstance(feature, Mapping) else None
    return name if type(name) is str else None


def _identities(identities: Sequence[Any]) -> Iterator[IdentityOverride]:
    """Yield the overrides of identities; those with equal ones are together, as in the SDK."""
    groups: dict[tuple[Any, ...], list[tuple[str, State | CannotCarryError]]] = {}
    members: dict[tuple[Any, ...], list[str]] = {}
    for index, identity in enumerate(identities):
        path = f"identity_overrides[{index}]"
        if not isinstance(identity, Mapping) or type(identity.get("identifier")) is not str:
            raise ImportFileError("an identity override must have an identifier", path)
        states = _list(identity, "identity_features", f"{path}.identity_features")
        named = []
        for state in states:
            name = _feature_name(state)
            if name is None:
                raise ImportFileError("an identity's feature must have a name", path)
            named.append((name, _attempt(_identity_state, state)))
        if not named:
            continue
        named.sort(key=lambda pair: pair[0])
        group = tuple((name, _group_of(state)) for name, state in named)
        groups.setdefault(group, named)
        members.setdefault(group, []).append(identity["identifier"])
    for group, named in groups.items():
        for name, state in named:
            yield IdentityOverride(name, state, tuple(members[group]))


def _identity_state(whole: Mapping[str, Any]) -> State:
    return _state(whole, "feature_state_value", None, [])


def _group_of(state: State | CannotCarryError) -> Any:
    """Return what the SDK groups by; equal values of other types (``1``, ``True``) stay apart."""
    if isinstance(state, CannotCarryError):
        return str(state)
    return state.enabled, type(state.value).__name__, repr(state.value)


def _with_properties(rules: Any) -> Any:
    """Call ``property_`` of a condition ``property``, as the evaluation context does."""
    if not isinstance(rules, list):
        return rules
    renamed = []
    for rule in rules:
        if not isinstance(rule, Mapping):
            renamed.append(rule)
            continue
        part = dict(rule)
        conditions = part.get("conditions")
        if isinstance(conditions, list):
            part["conditions"] = [
                {**one, "property": one.get("property_") or ""} if isinstance(one, Mapping) else one
                for one in conditions
            ]
        part["rules"] = _with_properties(part.get("rules"))
        renamed.append(part)
    return renamed


# --- what both have -----------------------------------------------------------------------------


def _state(
    whole: Mapping[str, Any],
    value_name: str,
    salt: str | None,
    options: list[tuple[Any, Any, Any, Any]],
) -> State:
    enabled = _needed(whole, "enabled")
    if type(enabled) is not bool:
        raise CannotCarryError("enabled must be true or false")
    for priority, name, _value, weight in options:
        if not _is_number(priority) or not _is_number(weight) or weight < 0:
            raise CannotCarryError("a variant's priority and weight must be numbers from 0")
        if name is not None and type(name) is not str:
            raise CannotCarryError("a variant's key must be a text")
    ordered = sorted(options, key=lambda option: option[0])
    return State(
        enabled,
        _needed(whole, value_name),
        salt,
        tuple(Option(name, value, weight) for _, name, value, weight in ordered),
    )


def _attempt(read: Any, *arguments: Any) -> State | CannotCarryError:
    try:
        state: State = read(*arguments)
    except CannotCarryError as error:
        return error
    return state


def _object(whole: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    value = whole.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ImportFileError("must be an object", path)
    return value


def _list(whole: Mapping[str, Any], name: str, path: str) -> Sequence[Any]:
    value = whole.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ImportFileError("must be a list", path)
    return value


def _needed(whole: Mapping[str, Any], name: str) -> Any:
    if name not in whole:
        raise CannotCarryError(f"{name} is missing")
    return whole[name]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and value == value
