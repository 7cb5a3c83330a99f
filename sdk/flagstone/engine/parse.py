"""The one door: from a document to a :class:`FlagSet`. Past it nothing is checked twice.

Strictly, the first fault is raised: for saving. Leniently, a flag that cannot be read stays in as a
flag that answers ``PARSE_ERROR``, and what is unknown is passed over: for SDKs, which may be older
than the service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from flagstone.engine import reading
from flagstone.engine.errors import FlagSetError
from flagstone.engine.model import (
    TARGETING_KEY,
    Condition,
    Fault,
    Flag,
    FlagSet,
    Json,
    Prerequisite,
    Rule,
    Share,
    Split,
    Target,
    Variant,
)
from flagstone.engine.parse_conditions import (
    ConditionReader,
    read_bucketing,
    read_path,
    read_ranges,
    texts,
)
from flagstone.engine.references import check_references, references_within

T = TypeVar("T")
_Body = tuple[tuple[Prerequisite, ...], tuple[Target, ...], tuple[Rule, ...], str | None]

SCHEMA = 1
TYPES = frozenset({"boolean", "string", "integer", "float", "object"})
_SET_FIELDS = frozenset({"schema", "environment", "version", "flags", "segments"})
_FLAG_FIELDS = frozenset(
    {
        "key", "type", "version", "client", "variants", "enabled", "killed", "off",
        "prerequisites", "targets", "rules", "default", "metadata",
    }
)  # fmt: skip
_VARIANT_FIELDS = frozenset({"value", "on"})
_PREREQUISITE_FIELDS = frozenset({"flag", "variants"})
_TARGET_FIELDS = frozenset({"variant", "by", "keys", "until"})
_RULE_FIELDS = frozenset({"id", "when", "serve", "start", "end", "track"})
_SPLIT_FIELDS = frozenset({"by", "hash", "salt", "of", "missing", "to"})
_SHARE_FIELDS = frozenset({"variant", "ranges"})


def parse_flag_set(document: Mapping[str, Any] | str | bytes, *, strict: bool = True) -> FlagSet:
    """Read a flag set from a document or its JSON text.

    Parameters
    ----------
    document : mapping, str or bytes
        The flag set; the result shares nothing with it.
    strict : bool, default True
        Whether the first fault is raised. Otherwise a broken flag answers ``PARSE_ERROR`` while
        it is enabled, fields that are not known are ignored, and only an unusable whole raises.

    Raises
    ------
    FlagSetError
        With the path of what is wrong, a message, and a hint.
    """
    if isinstance(document, (str, bytes)):
        document = reading.load_json(document, strict=strict)
    try:
        return _flag_set(reading.an_object(document), strict=strict)
    except RecursionError as error:
        raise _too_deep() from error


def parse_flag(document: Mapping[str, Any], path: str = "") -> Flag:
    """Read one flag strictly; references to other flags and to segments are not followed."""
    try:
        whole = reading.an_object(document)
        flag = _FlagReader(strict=True).flag(reading.text(whole, "key"), whole)
        references_within(flag)
    except (FlagSetError, RecursionError) as error:
        raise _under(path, _told(error)) from None
    return flag


def parse_condition(document: Json, path: str = "") -> Condition:
    """Read one condition strictly; references are not followed."""
    try:
        return ConditionReader(strict=True).condition(document)
    except (FlagSetError, RecursionError) as error:
        raise _under(path, _told(error)) from None


def _too_deep() -> FlagSetError:
    return FlagSetError("", "the document is nested too deeply")


def _told(error: FlagSetError | RecursionError) -> FlagSetError:
    return error if isinstance(error, FlagSetError) else _too_deep()


def _under(path: str, error: FlagSetError) -> FlagSetError:
    if path:
        separator = "" if not error.path or error.path.startswith("[") else "."
        error.path = f"{path}{separator}{error.path}"
    return error


def _flag_set(document: Mapping[str, Any], *, strict: bool) -> FlagSet:
    schema = document.get("schema", SCHEMA)
    if type(schema) is not int or schema != SCHEMA:
        raise FlagSetError("schema", f"must be {SCHEMA}", "the SDK may be older than the service")
    if strict:
        reading.known_fields(document, _SET_FIELDS)
    environment = document.get("environment", "")
    if type(environment) is not str:
        raise FlagSetError("environment", "must be a text")
    version = reading.integer(document, "version", 0)
    segments = _segments(reading.mapping(document, "segments", {}), strict=strict)
    flags = _flags(reading.mapping(document, "flags", {}), strict=strict)
    return FlagSet(check_references(flags, segments, strict=strict), segments, environment, version)


def _segments(documents: Mapping[str, Any], *, strict: bool) -> dict[str, Condition | Fault]:
    reader = ConditionReader(strict=strict)
    segments: dict[str, Condition | Fault] = {}
    for key, document in documents.items():
        try:
            reading.a_text(key)
            segments[key] = reader.condition(document)
        except (FlagSetError, RecursionError) as error:
            name = reading.name_of(key)
            told = _told(error).within("segments", name)
            if strict:
                raise told from None
            segments[name] = fault_of(told, document)
    return segments


def _flags(documents: Mapping[str, Any], *, strict: bool) -> dict[str, Flag]:
    reader = _FlagReader(strict=strict)
    flags: dict[str, Flag] = {}
    for key, document in documents.items():
        try:
            reading.a_text(key)
            flags[key] = reader.flag(key, reading.an_object(document))
        except (FlagSetError, RecursionError) as error:
            name = reading.name_of(key)
            told = _told(error).within("flags", name)
            if strict:
                raise told from None
            flags[name] = Flag(name, "object", {}, fault=fault_of(told, document))
    return flags


def fault_of(error: FlagSetError, document: Json = None) -> Fault:
    """Keep an error beside what could not be read."""
    try:
        copied = reading.copy_of(document)
    except RecursionError:
        copied = None  # too deep to be kept; null is as wrong
    return Fault(error.path, error.message, error.hint, copied, has_document=True)


class _FlagReader:
    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.conditions = ConditionReader(strict=strict)

    def flag(self, key: str, document: Mapping[str, Any]) -> Flag:
        if self.strict:
            reading.known_fields(document, _FLAG_FIELDS)
        if document.get("key", key) != key:
            raise FlagSetError("key", f"must be {key!r}, as the flag is filed")
        flag_type = reading.text(document, "type")
        if flag_type not in TYPES:
            raise FlagSetError("type", f"one of {', '.join(sorted(TYPES))}")
        variants = self._variants(document, flag_type)
        off = reading.text(document, "off", None)
        if off is not None and off not in variants:
            raise _unknown_variant("off", off, variants)
        fault = None
        body: _Body = ((), (), (), None)
        # Read first what kills a flag and serves its off variant: nothing survives ``killed``.
        enabled = reading.boolean(document, "enabled", True)
        killed = reading.boolean(document, "killed", False)
        version = reading.integer(document, "version", 1)
        client = reading.boolean(document, "client", False)
        metadata = self._metadata(document)
        try:
            body = self._body(document, variants)
        except FlagSetError as error:
            if self.strict:
                raise
            fault = fault_of(error.within("flags", key), document)
        return Flag(
            key,
            flag_type,
            variants,
            enabled,
            killed,
            off,
            *body,
            version=version,
            client=client,
            metadata=metadata,
            fault=fault,
        )

    def _metadata(self, document: Mapping[str, Any]) -> dict[str, Any]:
        try:
            value: dict[str, Any] = reading.json_value(reading.mapping(document, "metadata", {}))
        except FlagSetError as error:
            raise error.within("metadata") if error.path != "metadata" else error from None
        return value

    def _body(self, document: Mapping[str, Any], variants: Mapping[str, Variant]) -> _Body:
        default = reading.text(document, "default", None)
        if default is not None and default not in variants:
            raise _unknown_variant("default", default, variants)
        prerequisites = self._each(document, "prerequisites", self._prerequisite)
        targets = self._each(document, "targets", lambda part: self._target(part, variants))
        rules = self._each(document, "rules", lambda part: self._rule(part, variants))
        if len({rule.id for rule in rules}) < len(rules):
            seen: set[str] = set()
            for index, rule in enumerate(rules):
                if rule.id in seen:
                    message = f"two rules are called {rule.id!r}"
                    raise FlagSetError("id", message).within("rules", index)
                seen.add(rule.id)
        return prerequisites, targets, rules, default

    def _each(
        self, document: Mapping[str, Any], name: str, read: Callable[[Mapping[str, Any]], T]
    ) -> tuple[T, ...]:
        parts = reading.sequence(document, name)
        if not parts:
            return ()
        found = []
        for index, part in enumerate(parts):
            try:
                found.append(read(reading.an_object(part)))
            except FlagSetError as error:
                raise error.within(name, index) from None
        return tuple(found)

    def _variants(self, document: Mapping[str, Any], flag_type: str) -> dict[str, Variant]:
        variants: dict[str, Variant] = {}
        for key, part in reading.mapping(document, "variants").items():
            try:
                reading.a_text(key)
                part = reading.an_object(part)
                if self.strict:
                    reading.known_fields(part, _VARIANT_FIELDS)
                if "value" not in part:
                    raise FlagSetError("value", "is missing")
                value = typed_value(part["value"], flag_type)
                variants[key] = Variant(key, value, reading.boolean(part, "on", value is not False))
            except FlagSetError as error:
                raise error.within("variants", reading.name_of(key)) from None
        if self.strict and not variants:
            raise FlagSetError("variants", "a flag needs at least one variant")
        return variants

    def _prerequisite(self, document: Mapping[str, Any]) -> Prerequisite:
        if self.strict:
            reading.known_fields(document, _PREREQUISITE_FIELDS)
        return Prerequisite(
            reading.text(document, "flag"), texts(document, "variants", strict=self.strict)
        )

    def _target(self, document: Mapping[str, Any], variants: Mapping[str, Variant]) -> Target:
        if self.strict:
            reading.known_fields(document, _TARGET_FIELDS)
        keys = reading.sequence(document, "keys", None)
        if set(map(type, keys)) <= {str}:
            names = tuple(keys)
        else:
            for index, key in enumerate(keys):
                if type(key) is not str and type(key) is not int:
                    message = f"a unit is a text or an integer, not {reading.kind_of(key)}"
                    raise FlagSetError("", message).within("keys", index)
                if type(key) is int and not -(2**64) <= key <= 2**64:
                    raise FlagSetError("", "is too large an integer").within("keys", index)
            names = tuple(str(key) for key in keys)
        return Target(
            _variant(document, "variant", variants),
            names,
            read_path(document, "by", TARGETING_KEY),
            reading.time(document, "until"),
        )

    def _rule(self, document: Mapping[str, Any], variants: Mapping[str, Variant]) -> Rule:
        if self.strict:
            reading.known_fields(document, _RULE_FIELDS)
        if "when" not in document:
            raise FlagSetError("when", "is missing", 'for everybody write "when": true')
        try:
            when = self.conditions.condition(document["when"])
        except FlagSetError as error:
            raise error.within("when") from None
        rule = Rule(
            reading.text(document, "id"),
            when,
            self._serve(document, variants),
            reading.time(document, "start"),
            reading.time(document, "end"),
            reading.boolean(document, "track", False),
        )
        ends = rule.start is not None and rule.end is not None
        if self.strict and ends and rule.end <= rule.start:  # type: ignore[operator]
            raise FlagSetError("end", "must come after start")
        return rule

    def _serve(self, document: Mapping[str, Any], variants: Mapping[str, Variant]) -> str | Split:
        serve = document.get("serve")
        if type(serve) is str:
            return _variant(document, "serve", variants)
        wrapper = reading.mapping(document, "serve")
        try:
            if self.strict:
                reading.known_fields(wrapper, frozenset({"split"}))
            split = reading.mapping(wrapper, "split")
            try:
                return self._split(split, variants)
            except FlagSetError as error:
                raise error.within("split") from None
        except FlagSetError as error:
            raise error.within("serve") from None

    def _split(self, document: Mapping[str, Any], variants: Mapping[str, Variant]) -> Split:
        if self.strict:
            reading.known_fields(document, _SPLIT_FIELDS)
        bucketing = read_bucketing(document)
        missing = reading.text(document, "missing", "skip")
        if missing != "skip":
            missing = _variant(document, "missing", variants)
        shares = []
        taken: list[tuple[int, int, str]] = []
        for index, part in enumerate(reading.sequence(document, "to", None)):
            try:
                part = reading.an_object(part)
                if self.strict:
                    reading.known_fields(part, _SHARE_FIELDS)
                variant = _variant(part, "variant", variants)
                ranges = read_ranges(part, bucketing.of)
            except FlagSetError as error:
                raise error.within("to", index) from None
            shares.append(Share(variant, ranges))
            taken.extend((low, high, variant) for low, high in ranges if low < high)
        if self.strict and not shares:
            raise FlagSetError("to", "a split to nothing matches nobody")
        _refuse_overlap(taken)
        return Split(bucketing, tuple(shares), None if missing == "skip" else missing)


def _refuse_overlap(taken: list[tuple[int, int, str]]) -> None:
    taken.sort()
    reached, owner = 0, ""
    for low, high, variant in taken:
        if low < reached and variant != owner:
            message = f"the ranges of {owner!r} and {variant!r} overlap at bucket {low}"
            raise FlagSetError("to", message)
        if high > reached:
            reached, owner = high, variant


def _variant(document: Mapping[str, Any], key: str, variants: Mapping[str, Variant]) -> str:
    name: str = reading.text(document, key)
    if name not in variants:
        raise _unknown_variant(key, name, variants)
    return name


def _unknown_variant(path: str, name: str, variants: Mapping[str, Variant]) -> FlagSetError:
    return FlagSetError(path, f"there is no variant {name!r}", f"one of {', '.join(variants)}")


def typed_value(value: Json, flag_type: str) -> Json:
    """Return a variant's value in the type of its flag; numbers without loss change their type.

    Raises
    ------
    FlagSetError
        If the value is not of that type.
    """
    kind = type(value)
    if flag_type == "boolean" and kind is bool:
        return value
    if flag_type == "string" and kind is str:
        return value
    # Whoever says "object" may mean any JSON: other products' JSON flags hold numbers and texts,
    # and null where a variant is but a name.
    if flag_type == "object":
        try:
            return reading.json_value(value)
        except FlagSetError as error:
            raise error.within("value") from None
    if flag_type == "integer" and (kind is int or (kind is float and value.is_integer())):
        if abs(value) <= reading.MAX_INTEGER:
            return int(value)
        raise FlagSetError("value", f"an integer lies within ±{reading.MAX_INTEGER}")
    if flag_type == "float" and (kind is int or kind is float):
        return _finite(value)
    raise FlagSetError("value", f"is {reading.kind_of(value)}, but the flag's type is {flag_type}")


def _finite(value: int | float) -> float:
    try:
        number = float(value)
    except OverflowError as error:
        raise FlagSetError("value", "is too large a number") from error
    reading.json_value(number)
    return number
