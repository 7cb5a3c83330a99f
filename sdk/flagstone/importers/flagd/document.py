"""A flag definition file, read flag by flag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from flagstone.importers.adding import Carried, add
from flagstone.importers.flagd.rules import (
    AlwaysFailsError,
    idle_rules,
    outcomes_over_time,
    rules_of,
)
from flagstone.importers.result import (
    CannotCarryError,
    ImportFileError,
    ImportResult,
    Note,
    whole_file,
)
from flagstone.importers.values import type_of

HASH_VERSIONS: Final = ("v2", "v3")
"""How ``fractional`` hashes: v2 the text itself, v3 its CBOR."""
_FIELDS: Final = frozenset(
    {"key", "state", "variants", "defaultVariant", "targeting", "metadata", "source", "selector"}
)
_MOST_NODES: Final = 100_000


def convert(document: object, *, hash_version: str = "v2") -> ImportResult:
    """Convert a flag definition file.

    Parameters
    ----------
    document : object
        The file as JSON: ``flags`` (an object, or a list of flags with their keys),
        ``$evaluators`` and ``metadata``.
    hash_version : {"v2", "v3"}
        How ``fractional`` hashes: v2 hashes the text of the bucketing value, v3 its CBOR.

    Returns
    -------
    ImportResult
        Flags in the order of the file. Those that cannot be carried are refused by name. One whose
        targeting always fails answers ``PARSE_ERROR``, as in flagd, when read leniently; it is
        among the lossy ones, and strict reading refuses it.

    Raises
    ------
    ImportFileError
        If the file as a whole is none of flagd's.
    """
    if hash_version not in HASH_VERSIONS:
        raise ImportFileError(
            f"there is no hash {hash_version!r}", hint=f"one of {', '.join(HASH_VERSIONS)}"
        )
    whole = whole_file(document)
    common = _metadata(whole.get("metadata"))
    if isinstance(common, str):
        raise ImportFileError(common, "metadata")
    evaluators = whole.get("$evaluators") or {}
    if not isinstance(evaluators, Mapping):
        raise ImportFileError("must be an object", "$evaluators")
    around = _Surroundings(evaluators, common, hash_version)
    result = ImportResult()
    named = list(_flags(whole.get("flags", {}), result))
    keys = [key for key, _ in named]
    twice = {key for key in keys if keys.count(key) > 1} if len(set(keys)) < len(keys) else set()
    for key in dict.fromkeys(keys):
        if key in twice:
            result.refused.append(Note(key, "several flags have this key"))
    for key, flag in named:
        if key not in twice:
            add(result, key, partial(_carried, key, flag, around))
    return result


def _flags(flags: object, result: ImportResult) -> Iterator[tuple[str, object]]:
    if isinstance(flags, Mapping):
        for key, flag in flags.items():
            yield str(key), flag
        return
    if not isinstance(flags, Sequence) or isinstance(flags, (str, bytes)):
        raise ImportFileError("must be an object or a list", "flags")
    for index, flag in enumerate(flags):
        key = flag.get("key") if isinstance(flag, Mapping) else None
        if isinstance(key, str):
            yield key, flag
        else:
            result.refused.append(Note(f"[{index}]", "the flag has no key"))


class _Surroundings(NamedTuple):
    """What a file has beside the flag."""

    evaluators: Mapping[str, Any]
    metadata: dict[str, Any]
    hash_version: str


def _carried(key: str, raw: object, around: _Surroundings) -> Carried:
    if not isinstance(raw, Mapping):
        raise CannotCarryError("the flag is not an object")
    flag = _with_evaluators(raw, around.evaluators)
    if flag.get("state") not in ("ENABLED", "DISABLED"):
        raise CannotCarryError('"state" is neither ENABLED nor DISABLED')
    variants, served = _variants(flag.get("variants"))
    remarks: list[str] = []
    default = _default(flag.get("defaultVariant"))
    if default is not None and default not in served:
        remarks.append(f"there is no default variant {default!r}: the caller's default is served")
        default = None
    own = _metadata(flag.get("metadata"))
    if isinstance(own, str):
        raise CannotCarryError(f'"metadata" {own}')
    unknown = [str(name)[:100] for name in flag if name not in _FIELDS]
    remarks.extend(f"the field {name!r} is left behind" for name in unknown)
    rules: list[dict[str, Any]] = []
    broken = None
    targeting = flag.get("targeting")
    if targeting:
        if not isinstance(targeting, dict):
            raise CannotCarryError('"targeting" is not an object')
        said: list[str] = []
        try:
            stretches = outcomes_over_time(targeting, key, around.hash_version, served, said.append)
            rules, default = rules_of(stretches, default, variants)
            remarks += said
        except AlwaysFailsError as failure:
            broken = str(failure)
    elif default is None:
        rules = idle_rules(variants)
    document = {
        "key": key,
        "type": type_of(variants.values()),
        "variants": {name: {"value": value} for name, value in variants.items()},
        "enabled": flag["state"] == "ENABLED",
        "off": None,
        "rules": rules,
        "default": default,
        "metadata": {**around.metadata, **own},
    }
    return Carried(document, remarks, broken)


def _variants(raw: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a flag's variants, and those of them that can be served."""
    filed = raw if isinstance(raw, Mapping) else {}
    named = {str(name): value for name, value in filed.items() if name}
    if not named:
        raise CannotCarryError("there are no variants")
    # flagd serves neither a variant without a name nor one whose value is null.
    served = {name: value for name, value in named.items() if value is not None}
    return served or named, served


def _default(raw: object) -> str | None:
    if not raw and raw is not False:
        return None
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, str):
        return raw
    raise CannotCarryError('"defaultVariant" is not the name of a variant')


def _metadata(raw: object) -> dict[str, Any] | str:
    """Return metadata, or what is wrong with them."""
    if raw is None or raw == {}:
        return {}
    if not isinstance(raw, Mapping):
        return "must be an object"
    for name, value in raw.items():
        if not isinstance(name, str) or not name:
            return "has a value without a name"
        if not isinstance(value, (str, bool, int, float)):
            return "may hold texts, numbers and booleans only"
    return dict(raw)


def _with_evaluators(flag: Mapping[str, Any], evaluators: Mapping[str, Any]) -> Any:
    """Put shared evaluators in the place of their names.

    flagd does it on the text of the file, one evaluator after the other: an evaluator may hold
    only those that come after it.
    """
    names = list(evaluators)
    count = 0

    def put(value: Any, first: int) -> Any:
        nonlocal count
        count += 1
        if count > _MOST_NODES:
            raise CannotCarryError("the targeting is too large")
        if isinstance(value, Mapping):
            name = value.get("$ref") if len(value) == 1 else None
            if isinstance(name, str) and name in names[first:]:
                return put(evaluators[name], names.index(name) + 1)
            return {key: put(inner, first) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [put(inner, first) for inner in value]
        return value

    return put(flag, 0)
