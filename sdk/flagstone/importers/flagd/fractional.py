"""flagd's operators of its own: ``fractional``, ``sem_ver``, ``starts_with`` and ``ends_with``.

On bad input each gives null, which is the default variant; never false.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from flagstone.engine.bucketing import bucket
from flagstone.engine.semver import sort_key
from flagstone.importers.conditions import NOBODY, negated, written
from flagstone.importers.flagd.terms import (
    NULL,
    Attribute,
    Case,
    Condition,
    Const,
    Failure,
    Items,
    Path,
    Text,
    Value,
    both,
    in_turn,
    tested,
    yes_or_no,
)
from flagstone.importers.result import CannotCarryError

TARGETING_KEY: Final[Path] = ("targetingKey",)
_MOST_WEIGHT: Final = 2**31 - 1

_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_BUILD = r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
VERSION: Final = (
    r"^[vV]?(?:0|[1-9][0-9]{0,17})(?:\.(?:0|[1-9][0-9]{0,17})){0,2}"
    rf"(?:-{_IDENTIFIER}(?:\.{_IDENTIFIER})*)?{_BUILD}$"
)
"""What flagd takes for a version: parts may be missing, but no number begins with a zero."""
_VERSION = re.compile(VERSION[:-1] + r"\Z")
_COMPARISONS: Final = {
    "=": "semver_eq", "<": "semver_lt", "<=": "semver_lte", ">": "semver_gt", ">=": "semver_gte",
}  # fmt: skip
_TURNED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


KEY_IS_NO_TEXT: Final = both(
    tested(TARGETING_KEY, "type", ["array", "boolean", "number", "object"]),
    negated(tested(TARGETING_KEY, "in", [0, False, [], {}])),
)
"""The targeting key counts as true and is no text: v2 fails when it appends it to one."""
_FAILED: Final = Failure("")
_HAS_KEY: Final = both(
    tested(TARGETING_KEY, "type", ["string"]), negated(tested(TARGETING_KEY, "in", [""]))
)


class Fractional:
    """Divides units into the variants' shares, by weight.

    With v2 the answer depends on whether :data:`KEY_IS_NO_TEXT`: ``key_is_no_text`` says which of
    the two is looked at, and ``depends`` becomes true when it mattered.
    """

    def __init__(self, flag_key: str, hash_version: str, *, key_is_no_text: bool) -> None:
        self.flag_key = flag_key
        self.hash_version = hash_version
        self.key_is_no_text = key_is_no_text
        self.depends = False

    def cases(self, values: Sequence[Value]) -> list[Case]:
        """Return which share a unit gets."""
        if not values:
            return [(True, NULL)]
        if self.hash_version == "v2":
            return self._of_texts(values)
        return self._of_values(values)

    def _of_values(self, values: Sequence[Value]) -> list[Case]:
        by, shares = values[0], values[1:]
        if _is_list(by):
            return [*_among(_HAS_KEY, values, _Units("flagd-cbor-pair", self.flag_key)), _REST]
        match by:
            case Const(None):
                return [_REST]
            case Const(constant):
                return _constant_unit(shares, "flagd-cbor", constant)
            case Attribute(path):
                # A list is a share, not a unit, and makes the whole one of another form.
                scalars = tested(path, "type", ["boolean", "number", "object", "string"])
                return [*_among(scalars, shares, _Units("flagd-cbor", "", path)), _REST]
            case Text(before, path, "") if before:
                return _among(True, shares, _Units("flagd-cbor", before, path))
        raise CannotCarryError('"fractional" buckets by something that is not one attribute')

    def _of_texts(self, values: Sequence[Value]) -> list[Case]:
        by, shares = values[0], values[1:]
        match by:
            case Const(str(text)):
                return _constant_unit(shares, "flagd", text) if text else [_REST]
            case Text(before, path, "") if before:
                return _among(True, shares, _Units("flagd", before, path))
            case Text("", path, ""):
                filled = negated(tested(path, "in", [""], **{"as": "joined"}))
                return [*_among(filled, shares, _Units("flagd", "", path)), _REST]
            case Text():
                raise CannotCarryError('"fractional" buckets by a text that does not end there')
            case Attribute(path):
                empty = tested(path, "in", [""])
                text = both(tested(path, "type", ["string"]), negated(empty))
                shared = _among(text, shares, _Units("flagd", "", path))
                return [*shared, (empty, NULL), *self._without_text()]
        # All else is read as the short form, of which it is a malformed share.
        if _is_list(by):
            return [
                *_among(_HAS_KEY, values, _Units("flagd", self.flag_key)),
                *self._without_text(),
            ]
        return self._without_text()

    def _without_text(self) -> list[Case]:
        self.depends = True
        return [(True, _FAILED if self.key_is_no_text else NULL)]


_REST: Final[Case] = (True, NULL)


class _Units:
    """By what, and with which hash and salt, units become buckets."""

    def __init__(self, name: str, salt: str, path: Path = TARGETING_KEY) -> None:
        self.name = name
        self.salt = salt
        self.path = path

    def bucket(self, of: int, low: int, high: int) -> Condition:
        """Return the condition that the unit's bucket lies within the range."""
        inside = {"by": written(self.path), "hash": self.name, "salt": self.salt, "of": of}
        return {"bucket": {**inside, "ranges": [[low, high]]}}


def _among(when: Condition, values: Sequence[Value], units: _Units) -> list[Case]:
    """Return a case for every share, with what must hold for there to be a unit."""
    shares = _shares(values)
    total = shares[-1][2] if shares else 0
    cases: list[Case] = [
        (both(when, units.bucket(total, low, high)), value)
        for value, low, high in shares
        if low < high
    ]
    return cases if cases else [(when, NULL)]


def _constant_unit(values: Sequence[Value], name: str, unit: Any) -> list[Case]:
    """Everybody has the same bucket."""
    shares = _shares(values)
    if not shares:
        return [(True, NULL)]
    if isinstance(unit, (dict, list)) or (isinstance(unit, int) and not -(2**64) <= unit < 2**64):
        raise CannotCarryError('"fractional" buckets by a constant object')
    place = bucket(name, "", unit, shares[-1][2])
    return [(True, next(value for value, low, high in shares if low <= place < high))]


def _shares(values: Sequence[Value]) -> list[tuple[Value, int, int]]:
    """Lay the shares one after the other; none if one is malformed or all are empty."""
    shares: list[tuple[Value, int, int]] = []
    end = 0
    for value in values:
        parts = _parts(value)
        if parts is None or not 1 <= len(parts) <= 2:
            return []
        weight = parts[1] if len(parts) == 2 else Const(1)
        if not isinstance(weight, Const):
            raise CannotCarryError("a weight is not a constant")
        if type(weight.value) is not int:
            return []
        start, end = end, end + max(0, weight.value)
        shares.append((parts[0], start, end))
    if end == 0 or end > _MOST_WEIGHT:
        return []
    return [share for share in _joined(shares) if share[1] < share[2]]


def _joined(shares: list[tuple[Value, int, int]]) -> list[tuple[Value, int, int]]:
    """Make one of neighbours that give the same."""
    joined = shares[:1]
    for (before, _, _), (value, low, high) in pairwise(shares):
        if repr(before) == repr(value):
            joined[-1] = (value, joined[-1][1], high)
        else:
            joined.append((value, low, high))
    return joined


def _parts(value: Value) -> Sequence[Value] | None:
    match value:
        case Const(list(parts)):
            return [Const(part) for part in parts]
        case Items(items):
            return items
        case Attribute():
            raise CannotCarryError('an attribute is a share of "fractional"')
    return None


def _is_list(value: Value) -> bool:
    return isinstance(value, Items) or (isinstance(value, Const) and isinstance(value.value, list))


def text_test(op: str, values: Sequence[Value]) -> list[Case]:
    """Ask whether a text starts or ends with another."""
    if len(values) != 2:
        return [(True, NULL)]
    match values[0], values[1]:
        case Const(str(text)), Const(str(part)):
            fits = text.startswith(part) if op == "starts_with" else text.endswith(part)
            return [(True, Const(fits))]
        case Attribute(path), Const(str(part)):
            fits = tested(path, op, [part])
            return _decided(fits, tested(path, "type", ["string"]))
        case Const(str(text)), Attribute(path):
            ends = range(len(text) + 1)
            parts = [text[:end] if op == "starts_with" else text[end:] for end in ends]
            return _decided(tested(path, "in", parts), tested(path, "type", ["string"]))
        case Attribute(path), Attribute(other):
            texts = both(tested(path, "type", ["string"]), tested(other, "type", ["string"]))
            against = {"attr": written(path), "op": op, "values_from": {"attr": written(other)}}
            return _decided(both(texts, against), texts)
        case (Text(), _) | (_, Text()):
            raise CannotCarryError(f'"{op}" of a text that is put together')
    return [(True, NULL)]


def _decided(fits: Condition, valid: Condition) -> list[Case]:
    """Return the cases of a test that is true, false on valid input only, and else null."""
    return in_turn([(fits, Const(True)), (valid, Const(False)), (True, NULL)])


def version_test(values: Sequence[Value]) -> list[Case]:
    """Compare versions as ``sem_ver`` does."""
    if len(values) != 3:
        return [(True, NULL)]
    one, comparison, other = values
    if not isinstance(comparison, Const):
        raise CannotCarryError('the comparison of "sem_ver" is not a constant')
    op = comparison.value if isinstance(comparison.value, str) else ""
    match one, other:
        case Const(mine), Const(constant):
            return _constant_versions(mine, op, constant)
        case Attribute(path), Const(constant):
            return _version_cases(path, op, constant)
        case Const(constant), Attribute(path):
            return _version_cases(path, _TURNED.get(op, op), constant)
        case (Attribute() | Const() | Text(), Attribute() | Const() | Text()):
            raise CannotCarryError('"sem_ver" of two values that are not constants')
    return [(True, NULL)]


def _constant_versions(one: Any, op: str, other: Any) -> list[Case]:
    if op not in (*_COMPARISONS, "!=", "^", "~") or None in (_version(one), _version(other)):
        return [(True, NULL)]
    mine, constant = sort_key(str(one)), sort_key(str(other))
    answers = {
        "=": mine == constant, "!=": mine != constant, "<": mine < constant,
        "<=": mine <= constant, ">": mine > constant, ">=": mine >= constant,
        "^": mine[0] == constant[0], "~": mine[:2] == constant[:2],
    }  # fmt: skip
    return yes_or_no(True if answers[op] else NOBODY)


def _version_cases(path: Path, op: str, constant: Any) -> list[Case]:
    version = _version(constant)
    if version is None or op not in (*_COMPARISONS, "!=", "^", "~"):
        return [(True, NULL)]
    # Joined, a number is spelled as flagd spells it: with an exponent it is no version.
    valid = both(
        tested(path, "type", ["number", "string"]),
        tested(path, "regex", [VERSION], **{"as": "joined"}),
    )
    if op == "!=":
        fits = negated(_version_leaf(path, "semver_eq", version))
    elif op in ("^", "~"):
        major, minor = sort_key(version)[:2]
        # The least version of all with these numbers is the pre-release "0".
        low = f"{major}.0.0-0" if op == "^" else f"{major}.{minor}.0-0"
        high = f"{major + 1}.0.0-0" if op == "^" else f"{major}.{minor + 1}.0-0"
        fits = both(
            _version_leaf(path, "semver_gte", low),
            _version_leaf(path, "semver_lt", high),
        )
    else:
        fits = _version_leaf(path, _COMPARISONS[op], version)
    return _decided(both(valid, fits), valid)


def _version_leaf(path: Path, op: str, version: str) -> Condition:
    return tested(path, op, [version], **{"as": "string"})


def _version(value: Any) -> str | None:
    """Return the text of a version, or ``None`` if flagd would not read it."""
    text = str(value)
    return text if _VERSION.match(text) else None
