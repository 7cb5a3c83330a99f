"""A flag definition file, read flag by flag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from flagstone.engine import FlagSetError
from flagstone.engine.parse import parse_flag
from flagstone.importers.flagd.rules import idle_rules, outcomes_over_time, rules_of
from flagstone.importers.result import (
    CannotCarryError,
    ImportFileError,
    ImportResult,
    Note,
    whole_file,
)

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
        Flags in the order of the file. Those that cannot be carried are refused by name.

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
    result = ImportResult()
    named = list(_flags(whole.get("flags", {}), result))
    keys = [key for key, _ in named]
    twice = {key for key in keys if keys.count(key) > 1} if len(set(keys)) < len(keys) else set()
    for key in dict.fromkeys(keys):
        if key in twice:
            result.refused.append(Note(key, "several flags have this key"))
    for key, flag in named:
        if key not in twice:
            _add(result, key, flag, _Surroundings(evaluators, common, hash_version))
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


class _Surroundings:
    """What a file has beside the flag."""

    def __init__(
        self, evaluators: Mapping[str, Any], metadata: dict[str, Any], hash_version: str
    ) -> None:
        self.evaluators = evaluators
        self.metadata = metadata
        self.hash_version = hash_version


def _add(result: ImportResult, key: str, flag: object, around: _Surroundings) -> None:
    remarks: list[str] = []
    try:
        converted = _flag(key, flag, around, remarks)
        parse_flag(converted)
    except CannotCarryError as error:
        result.refused.append(Note(key, str(error)))
    except FlagSetError as error:
        result.refused.append(Note(key, f"as a flag of ours: {error}"))
    except RecursionError:
        result.refused.append(Note(key, "the targeting is nested too deeply"))
    except (ArithmeticError, ValueError) as error:
        result.refused.append(Note(key, f"a number is out of bounds: {error}"))
    else:
        result.flags[key] = converted
        result.lossy.extend(Note(key, remark) for remark in dict.fromkeys(remarks))


def _flag(key: str, raw: object, around: _Surroundings, remarks: list[str]) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        raise CannotCarryError("the flag is not an object")
    flag = _with_evaluators(raw, around.evaluators)
    if flag.get("state") not in ("ENABLED", "DISABLED"):
        raise CannotCarryError('"state" is neither ENABLED nor DISABLED')
    flag_type, variants = _variants(flag.get("variants"))
    default = _default(flag.get("defaultVariant"))
    if default is not None and default not in variants:
        remarks.append(f"there is no default variant {default!r}: the caller's default is served")
        default = None
    own = _metadata(flag.get("metadata"))
    if isinstance(own, str):
        raise CannotCarryError(f'"metadata" {own}')
    unknown = [str(name)[:100] for name in flag if name not in _FIELDS]
    remarks.extend(f"the field {name!r} is left behind" for name in unknown)
    rules: list[dict[str, Any]] = []
    targeting = flag.get("targeting")
    if targeting:
        if not isinstance(targeting, dict):
            raise CannotCarryError('"targeting" is not an object')
        stretches = outcomes_over_time(
            targeting, key, around.hash_version, variants, remarks.append
        )
        rules, default = rules_of(stretches, default, variants)
    elif default is None:
        rules = idle_rules(variants)
    return {
        "key": key,
        "type": flag_type,
        "variants": {name: {"value": value} for name, value in variants.items()},
        "enabled": flag["state"] == "ENABLED",
        "off": None,
        "rules": rules,
        "default": default,
        "metadata": {**around.metadata, **own},
    }


def _variants(raw: object) -> tuple[str, dict[str, Any]]:
    """Return the type of a flag and those of its variants that can be served."""
    if not isinstance(raw, Mapping) or not raw:
        raise CannotCarryError("there are no variants")
    # flagd serves neither a variant without a name nor one whose value is null.
    variants = {str(name): value for name, value in raw.items() if name and value is not None}
    kinds = {_kind(value) for value in variants.values()}
    if kinds == {"integer", "float"}:
        return "float", variants
    if len(kinds) != 1:
        found = ", ".join(sorted(kinds)) or "none"
        raise CannotCarryError(f"the values of the variants have not one type but {found}")
    return kinds.pop(), variants


def _kind(value: object) -> str:
    for kind, name in ((bool, "boolean"), (str, "string"), (int, "integer"), (float, "float")):
        if isinstance(value, kind):
            return name
    return "object"


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
