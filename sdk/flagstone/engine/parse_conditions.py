"""Conditions, from JSON to the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flagstone.engine import reading
from flagstone.engine.bucketing import HASHES
from flagstone.engine.errors import FlagSetError
from flagstone.engine.model import (
    BUCKETS,
    NATIVE_HASH,
    TARGETING_KEY,
    AllOf,
    Always,
    AnyOf,
    AttributeIs,
    Bucketing,
    Clock,
    Condition,
    Each,
    FlagServes,
    InBucket,
    InSegment,
    Not,
    Path,
    Range,
)
from flagstone.engine.operators import (
    IGNORES_CASE,
    OPERATORS,
    READ_AS,
    SEMANTIC_VERSIONS,
    check_constants,
)

MAX_DEPTH = 50
MAX_PATH = 20
_LEAF_FIELDS = frozenset({"attr", "op", "values", "values_from", "as", "ci", "elements", "strict"})
_FLAG_FIELDS = frozenset({"flag", "variants", "on", "value"})
_BUCKET_FIELDS = frozenset({"by", "hash", "salt", "of", "ranges"})
_GRAMMAR = 'true, or one of {"all"}, {"any"}, {"not"}, {"segment"}, {"flag"}, {"bucket"}, {"attr"}'

_KINDS = frozenset({"attr", "op", "all", "any", "not", "segment", "flag", "bucket"})
_OTHER_KINDS = {
    **{name: _KINDS - {name} for name in _KINDS},
    "attr": _KINDS - {"attr", "op"},
    "op": _KINDS - {"attr", "op"},
}


class _Place(NamedTuple):
    """How deep a condition stands; ``inner`` ones are seen from an element or a flag's value."""

    depth: int
    inner: bool


_TOP = _Place(0, False)


class ConditionReader:
    """Reads conditions; strictly, what nobody can match or mean is refused."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self._kinds: dict[str, Callable[[Mapping[str, Any], _Place], Condition]] = {
            "attr": self._attribute,
            "op": self._attribute,
            "all": self._all,
            "any": self._any,
            "not": self._not,
            "segment": self._segment,
            "flag": self._flag,
            "bucket": self._bucket,
        }

    def condition(self, document: object, place: _Place = _TOP) -> Condition:
        """Read a condition."""
        if document is True:
            return Always()
        if place.depth >= MAX_DEPTH:
            raise FlagSetError("", f"conditions are nested deeper than {MAX_DEPTH} levels")
        if type(document) is not dict:
            document = reading.an_object(document)
        for name in self._kinds:
            if name in document:
                if not _OTHER_KINDS[name].isdisjoint(document):
                    raise FlagSetError("", "this is more than one condition", _GRAMMAR)
                return self._kinds[name](document, place)
        if not document and not self.strict:
            return AnyOf(())
        raise FlagSetError("", "this is no condition", _GRAMMAR)

    def _only(self, document: Mapping[str, Any], *names: str) -> None:
        if self.strict and len(document) > 1:
            reading.known_fields(document, frozenset(names))

    def _several(
        self, document: Mapping[str, Any], name: str, place: _Place
    ) -> tuple[Condition, ...]:
        self._only(document, name)
        conditions, below = [], _Place(place.depth + 1, place.inner)
        for index, part in enumerate(reading.sequence(document, name)):
            try:
                conditions.append(self.condition(part, below))
            except FlagSetError as error:
                raise error.within(name, index) from None
        if self.strict and not conditions:
            raise FlagSetError(name, "an empty list matches nobody")
        return tuple(conditions)

    def _all(self, document: Mapping[str, Any], place: _Place) -> Condition:
        return AllOf(self._several(document, "all", place))

    def _any(self, document: Mapping[str, Any], place: _Place) -> Condition:
        return AnyOf(self._several(document, "any", place))

    def _not(self, document: Mapping[str, Any], place: _Place) -> Condition:
        self._only(document, "not")
        try:
            return Not(self.condition(document["not"], _Place(place.depth + 1, place.inner)))
        except FlagSetError as error:
            raise error.within("not") from None

    def _segment(self, document: Mapping[str, Any], place: _Place) -> Condition:
        self._only(document, "segment")
        if place.inner:
            raise FlagSetError("segment", "a segment is about the whole context")
        return InSegment(reading.text(document, "segment"))

    def _flag(self, document: Mapping[str, Any], place: _Place) -> Condition:
        self._only(document, *_FLAG_FIELDS)
        if place.inner:
            raise FlagSetError("flag", "a flag is about the whole context")
        variants: tuple[str, ...] | None = None
        if document.get("variants") is not None:
            variants = texts(document, "variants", strict=self.strict)
        on = reading.boolean(document, "on", False) if "on" in document else None
        value = None
        if "value" in document:
            try:
                value = self.condition(document["value"], _Place(place.depth + 1, True))
            except FlagSetError as error:
                raise error.within("value") from None
        if self.strict and variants is None and on is None and value is None:
            raise FlagSetError("", 'says nothing of the flag; add "variants", "on" or "value"')
        return FlagServes(reading.text(document, "flag"), variants, on, value)

    def _bucket(self, document: Mapping[str, Any], place: _Place) -> Condition:
        self._only(document, "bucket")
        if place.inner:
            raise FlagSetError("bucket", "a bucket is about the whole context")
        try:
            inside = reading.mapping(document, "bucket")
            if self.strict:
                reading.known_fields(inside, _BUCKET_FIELDS)
            bucketing = read_bucketing(inside)
            ranges = read_ranges(inside, bucketing.of)
            if self.strict and not ranges:
                raise FlagSetError("ranges", "no range matches nobody")
        except FlagSetError as error:
            raise error.within("bucket") if error.path != "bucket" else error from None
        return InBucket(bucketing, ranges)

    def _attribute(self, document: Mapping[str, Any], place: _Place) -> Condition:
        # Inside ``each`` and ``value`` the thing itself may be left unnamed.
        path: Path = () if place.inner and "attr" not in document else read_path(document, "attr")
        if "each" in document:
            if "op" in document:
                raise FlagSetError("op", "each takes a condition, no operator")
            self._only(document, "attr", "each")
            try:
                return Each(path, self.condition(document["each"], _Place(place.depth + 1, True)))
            except FlagSetError as error:
                raise error.within("each") from None
        return self._leaf(document, path)

    def _leaf(self, document: Mapping[str, Any], path: Path) -> AttributeIs:
        if self.strict:
            reading.known_fields(document, _LEAF_FIELDS)
        op = reading.text(document, "op")
        if op not in OPERATORS:
            raise FlagSetError("op", f"unknown operator {op!r}", f"one of {', '.join(OPERATORS)}")
        read_as = document.get("as")
        if read_as is not None and (type(read_as) is not str or read_as not in READ_AS):
            raise FlagSetError("as", f"one of {', '.join(sorted(READ_AS))}")
        values = document.get("values")
        leaf = AttributeIs(
            path,
            op,
            self._values(document) if values is not None else (),
            _read_values_from(document),
            read_as,
            reading.boolean(document, "ci", False),
            reading.boolean(document, "elements", False),
            reading.boolean(document, "strict", False),
        )
        if self.strict:
            _refuse_senseless(leaf, has_values=values is not None)
        if leaf.values:
            try:
                check_constants(leaf)
            except ValueError as error:
                raise FlagSetError("values", f"{op}: {error}") from error
        return leaf

    def _values(self, document: Mapping[str, Any]) -> tuple[Any, ...]:
        values = reading.sequence(document, "values")
        # Most constants are texts: they need no copy and no check.
        if set(map(type, values)) <= {str}:
            return tuple(values)
        constants = []
        for index, value in enumerate(values):
            try:
                constants.append(reading.json_value(value))
            except FlagSetError as error:
                raise error.within("values", index) from None
        return tuple(constants)


def _refuse_senseless(leaf: AttributeIs, *, has_values: bool) -> None:
    if leaf.op == "exists":
        if has_values or leaf.values_from is not None:
            raise FlagSetError("values", "exists takes no values")
    elif has_values and leaf.values_from is not None:
        raise FlagSetError("values_from", "there are values already")
    elif not leaf.values and leaf.values_from is None:
        raise FlagSetError("values", "an empty list matches nobody" if has_values else "is missing")
    if leaf.ci and leaf.op not in IGNORES_CASE:
        raise FlagSetError("ci", f"{leaf.op} has no case to ignore")
    if leaf.strict and leaf.op not in SEMANTIC_VERSIONS:
        raise FlagSetError("strict", "is for semantic versions only")


def _read_values_from(document: Mapping[str, Any]) -> Path | Clock | None:
    if document.get("values_from") is None:
        return None
    if document["op"] in ("regex", "exists", "type"):
        raise FlagSetError("values_from", f"{document['op']} compares with constants only")
    try:
        source = reading.mapping(document, "values_from")
        if len(source) == 1 and source.get("clock") == "now":
            return Clock.NOW
        if len(source) == 1 and "attr" in source:
            return read_path(source, "attr")
    except FlagSetError as error:
        raise error.within("values_from") if error.path != "values_from" else error from None
    raise FlagSetError("values_from", 'must be {"attr": …} or {"clock": "now"}')


def read_path(document: Mapping[str, Any], key: str, default: Path | None = None) -> Path:
    """Read an attribute: a name, or a list of names."""
    value = document.get(key)
    if type(value) is str:
        return (value,)
    if value is None and default is not None:
        return default
    if key not in document:
        raise FlagSetError(key, "is missing")
    if not isinstance(value, (list, tuple)) or not all(type(name) is str for name in value):
        raise FlagSetError(key, "must be a name, or a list of names")
    if len(value) > MAX_PATH:
        raise FlagSetError(key, f"has more than {MAX_PATH} names")
    return tuple(value)


def read_bucketing(document: Mapping[str, Any]) -> Bucketing:
    """Read by what, with which hash and salt, and into how many buckets."""
    hash_name = document.get("hash", NATIVE_HASH)
    if type(hash_name) is not str:
        raise FlagSetError("hash", f"must be a text, not {reading.kind_of(hash_name)}")
    if hash_name not in HASHES:
        raise FlagSetError("hash", f"unknown hash {hash_name!r}", f"one of {', '.join(HASHES)}")
    # Salts of other products may be empty; one of ours keeps experiments apart.
    salt = document.get("salt")
    return Bucketing(
        "" if salt == "" and hash_name != NATIVE_HASH else reading.text(document, "salt"),
        read_path(document, "by", TARGETING_KEY),
        hash_name,
        reading.integer(document, "of", BUCKETS, least=1),
    )


def read_ranges(document: Mapping[str, Any], of: int) -> tuple[Range, ...]:
    """Read half-open ranges within ``[0, of]``."""
    ranges = []
    for index, pair in enumerate(reading.sequence(document, "ranges", None)):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise FlagSetError("", "a range is [first, end]").within("ranges", index)
        low, high = pair
        if type(low) is not int or type(high) is not int:
            raise FlagSetError("", "the ends of a range are integers").within("ranges", index)
        if not 0 <= low <= high <= of:
            raise FlagSetError("", f"does not lie within [0, {of}]").within("ranges", index)
        ranges.append((low, high))
    return tuple(ranges)


def texts(document: Mapping[str, Any], key: str, *, strict: bool) -> tuple[str, ...]:
    """Read a list of names."""
    names = reading.sequence(document, key, None)
    for index, name in enumerate(names):
        if type(name) is not str:
            raise FlagSetError("", f"must be a text, not {reading.kind_of(name)}").within(
                key, index
            )
    if strict and not names:
        raise FlagSetError(key, "an empty list matches nobody")
    return tuple(names)
