"""One flag of Eppo's: variations become variants, allocations become rules.

An allocation becomes one rule with a split where its splits differ in one salt only, as Eppo's own
screens make them, and else a rule for each split. What Eppo cannot evaluate (a variation that is
not there, or not of the flag's type) gives the caller's default at once: whoever comes to it, while
it is in force, is kept out of all later rules.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flagstone.engine import FlagSetError, reading
from flagstone.engine.parse import typed_value
from flagstone.importers.conditions import NOBODY, all_of, any_of, negated
from flagstone.importers.eppo.conditions import condition
from flagstone.importers.naming import numbered
from flagstone.importers.result import CannotCarryError

TYPES: Final[Mapping[str, str]] = {
    "STRING": "string",
    "INTEGER": "integer",
    "NUMERIC": "float",
    "BOOLEAN": "boolean",
    "JSON": "object",
}
MAX_SHARD: Final = 2**32 - 1
_STAND_IN: Final = "none"
_EMPTY: Final[Mapping[str, Any]] = {
    "STRING": "",
    "INTEGER": 0,
    "NUMERIC": 0.0,
    "BOOLEAN": False,
    "JSON": {},
}
_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})\Z"
)
_INSTANT: Final = dt.timedelta(microseconds=1)

Ranges = tuple[tuple[int, int], ...]
Window = tuple["dt.datetime | None", "dt.datetime | None"]
"""From when, and until just before when; ``None`` is for ever."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Subjects whose hash with a salt lies in one of the ranges."""

    salt: str
    ranges: Ranges

    def condition(self, shards: int) -> Any:
        """Write it as a condition."""
        if not self.ranges:
            return NOBODY
        ranges = [list(pair) for pair in self.ranges]
        return {"bucket": {"hash": "eppo", "salt": self.salt, "of": shards, "ranges": ranges}}


@dataclass(frozen=True, slots=True)
class Split:
    """A variation, and the shards that must all hold."""

    variation: str
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True)
class Allocation:
    """Who comes into question, when, and how they are split."""

    key: str
    when: Any
    window: Window
    splits: tuple[Split, ...]
    track: bool


def flag_document(key: str, document: object) -> tuple[dict[str, Any], list[str]]:
    """Return the flag as a document of ours, and what is lost in it.

    Raises
    ------
    CannotCarryError
        If it cannot be carried exactly.
    FlagSetError
        If it is malformed.
    """
    flag = reading.an_object(document)
    kind = flag.get("variationType")
    if not isinstance(kind, str) or kind not in TYPES:
        raise FlagSetError("variationType", f"must be one of {', '.join(TYPES)}")
    reading.text(flag, "key")
    shards = reading.integer(flag, "totalShards", reading.REQUIRED)
    if shards > MAX_SHARD:
        raise FlagSetError("totalShards", f"must not be more than {MAX_SHARD}")
    variants = _variants(reading.mapping(flag, "variations"), kind)
    losses: list[str] = []
    allocations = [
        _allocation(part, f"allocations[{index}]", shards, losses)
        for index, part in enumerate(reading.sequence(flag, "allocations", None))
    ]
    rules = _rules(allocations, frozenset(variants), shards)
    if not variants:
        variants = {_STAND_IN: {"value": _EMPTY[kind], "on": False}}
        losses.append(f"it has no variation of its type; {_STAND_IN!r}, which nobody gets, is ours")
    carried = {
        "key": key,
        "type": TYPES[kind],
        "variants": variants,
        "enabled": reading.boolean(flag, "enabled", reading.REQUIRED),
        "off": None,
        "rules": _named(rules),
        "default": None,
    }
    return carried, list(dict.fromkeys(losses))


def _variants(variations: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the variations that Eppo can serve; the others are left out, as it does."""
    variants: dict[str, Any] = {}
    for name, part in variations.items():
        path = f"variations.{name}"
        variation = _object(part, path)
        if variation.get("key") != name:
            raise FlagSetError(f"{path}.key", f"must be {name!r}, as the variation is filed")
        value = variation.get("value")
        if type(value) not in (str, bool, int, float):
            raise FlagSetError(f"{path}.value", "must be a text, a number, true or false")
        if kind == "JSON" and isinstance(value, str):
            try:
                value = json.loads(value, parse_constant=_no_number)
            except ValueError:
                continue
        elif kind == "JSON" or not _is_of(kind, value):
            continue
        try:
            typed_value(value, TYPES[kind])
        except FlagSetError as error:
            raise CannotCarryError(f"the variation {name!r}: {error.message}") from None
        variants[name] = {"value": value}
    return variants


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _is_of(kind: str, value: Any) -> bool:
    if isinstance(value, (bool, str)):
        return kind == ("BOOLEAN" if isinstance(value, bool) else "STRING")
    return kind == "NUMERIC" or (kind == "INTEGER" and value == value // 1)


def _object(part: object, path: str) -> Mapping[str, Any]:
    if not isinstance(part, Mapping):
        raise FlagSetError(path, f"must be an object, not {reading.kind_of(part)}")
    return part


def _allocation(part: object, path: str, shards: int, losses: list[str]) -> Allocation:
    document = _object(part, path)
    try:
        key = document.get("key")
        if not isinstance(key, str):
            raise FlagSetError("key", "must be a text")
        rules = reading.sequence(document, "rules")
        splits = tuple(
            _split(split, f"splits[{index}]", shards, losses)
            for index, split in enumerate(reading.sequence(document, "splits", None))
        )
        return Allocation(
            key,
            any_of([_rule(rule, f"rules[{n}]", losses) for n, rule in enumerate(rules)] or [True]),
            _window(document),
            splits,
            reading.boolean(document, "doLog", True),
        )
    except FlagSetError as error:
        raise FlagSetError(f"{path}.{error.path}", error.message, error.hint) from None


def _rule(part: object, path: str, losses: list[str]) -> Any:
    rule = _object(part, path)
    return all_of(
        condition(each, f"{path}.conditions[{index}]", losses)
        for index, each in enumerate(reading.sequence(rule, "conditions", None))
    )


def _window(document: Mapping[str, Any]) -> Window:
    start, end = _moment(document, "startAt"), _moment(document, "endAt")
    if end is not None:
        # Eppo serves at the very instant of the end too; ours is the first without.
        end = (
            None if end > dt.datetime.max.replace(tzinfo=end.tzinfo) - _INSTANT else end + _INSTANT
        )
    return start, end


def _moment(document: Mapping[str, Any], name: str) -> dt.datetime | None:
    moment = document.get(name)
    if moment is None:
        return None
    found = _MOMENT.match(moment) if isinstance(moment, str) else None
    try:
        if found is not None:
            day, fraction, zone = found.groups()
            zone = "+00:00" if zone == "Z" else zone
            read = dt.datetime.fromisoformat(f"{day}.{(fraction or '')[:6]:0<6}{zone}")
            return read.astimezone(dt.timezone.utc)  # noqa: UP017  dt.UTC is younger than Python 3.10
    except (ValueError, OverflowError):
        pass
    raise FlagSetError(name, f"{moment!r} is not a time", "such as 2026-12-01T09:00:00Z")


def _split(part: object, path: str, shards: int, losses: list[str]) -> Split:
    split = _object(part, path)
    variation = split.get("variationKey")
    if not isinstance(variation, str):
        raise FlagSetError(f"{path}.variationKey", "must be a text")
    if split.get("extraLogging"):
        losses.append("what a split logs beside the variation (extraLogging) is left behind")
    found = []
    for index, each in enumerate(reading.sequence(split, "shards", None)):
        shard = _shard(each, f"{path}.shards[{index}]", shards)
        if shard is not None:
            found.append(shard)
    return Split(variation, tuple(found))


def _shard(part: object, path: str, shards: int) -> Shard | None:
    """Read a shard; one that holds for everybody is none."""
    document = _object(part, path)
    salt = document.get("salt")
    if not isinstance(salt, str):
        raise FlagSetError(f"{path}.salt", "must be a text")
    ranges = []
    for index, each in enumerate(reading.sequence(document, "ranges", None)):
        pair = _object(each, f"{path}.ranges[{index}]")
        start = reading.integer(pair, "start", reading.REQUIRED)
        end = reading.integer(pair, "end", reading.REQUIRED)
        if (start, end) == (0, shards):
            return None
        if max(start, end) > MAX_SHARD:
            raise FlagSetError(f"{path}.ranges[{index}]", f"ends past {MAX_SHARD}")
        if start < min(end, shards):
            ranges.append((start, min(end, shards)))
    if shards == 0:
        raise CannotCarryError("it divides subjects into no shards at all")
    return Shard(salt, tuple(ranges))


def _rules(
    allocations: Iterable[Allocation], variants: frozenset[str], shards: int
) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = []
    # When, and who gets the caller's default then.
    defaulted: list[tuple[Window, Any]] = []
    for allocation in allocations:
        joined = None
        if all(split.variation in variants for split in allocation.splits):
            joined = _joined(allocation.splits, shards)
        if joined is not None:
            rules.extend(_written(allocation, defaulted, *joined))
            continue
        for split in allocation.splits:
            who = [shard.condition(shards) for shard in split.shards]
            if split.variation in variants:
                rules.extend(_written(allocation, defaulted, who, split.variation))
            else:
                defaulted.append((allocation.window, all_of([allocation.when, *who])))
    return rules


def _written(
    allocation: Allocation, defaulted: Iterable[tuple[Window, Any]], who: Iterable[Any], serve: Any
) -> Iterator[dict[str, Any]]:
    """Yield the rule; it is in pieces where some get the caller's default for a time only."""
    pieces = [(allocation.window, [allocation.when, *who])]
    for window, default in defaulted:
        pieces = [part for piece in pieces for part in _apart(*piece, window, default)]
        pieces = [piece for piece in pieces if _ever(*piece)]
    for (start, end), conditions in pieces:
        if not _ever((start, end), conditions):
            continue
        yield {
            "id": allocation.key,
            **({"start": start.isoformat()} if start else {}),
            **({"end": end.isoformat()} if end else {}),
            **({"track": True} if allocation.track else {}),
            "when": all_of(conditions),
            "serve": serve,
        }


def _ever(window: Window, conditions: list[Any]) -> bool:
    start, end = window
    return (start is None or end is None or start < end) and all_of(conditions) != NOBODY


def _apart(
    window: Window, conditions: list[Any], without: Window, default: Any
) -> Iterator[tuple[Window, list[Any]]]:
    """Yield a piece before, one within and one after the time in which some are left out."""
    (start, end), (since, until) = window, without
    if since is not None:
        yield (start, min(filter(None, (end, since)))), conditions
    within = max(filter(None, (start, since)), default=None)
    yield (within, min(filter(None, (end, until)), default=None)), [*conditions, negated(default)]
    if until is not None:
        yield (max(filter(None, (start, until))), end), conditions


def _joined(splits: Sequence[Split], shards: int) -> tuple[list[Any], Any] | None:
    """Return what splits have in common, and what to serve; ``None`` if they cannot be one rule."""
    if not splits:
        return [NOBODY], ""
    if len(splits) == 1 and not splits[0].shards:
        return [], splits[0].variation
    for salt in reversed([shard.salt for shard in splits[0].shards]):
        others = {tuple(s for s in split.shards if s.salt != salt) for split in splits}
        mine = [[s for s in split.shards if s.salt == salt] for split in splits]
        if len(others) > 1 or any(len(own) != 1 for own in mine):
            continue
        ranges: dict[str, list[tuple[int, int]]] = {}
        for split, (own,) in zip(splits, mine, strict=True):
            ranges.setdefault(split.variation, []).extend(own.ranges)
        if _overlap(ranges):
            continue
        to = [
            {"variant": variation, "ranges": [list(pair) for pair in pairs]}
            for variation, pairs in ranges.items()
            if pairs
        ]
        common = [shard.condition(shards) for shard in others.pop()]
        if not to:
            return [NOBODY], ""
        return common, {"split": {"hash": "eppo", "salt": salt, "of": shards, "to": to}}
    return None


def _overlap(ranges: Mapping[str, Iterable[tuple[int, int]]]) -> bool:
    taken = sorted((*pair, name) for name, pairs in ranges.items() for pair in pairs)
    reached, owner = 0, ""
    for low, high, name in taken:
        if low < reached and name != owner:
            return True
        if high > reached:
            reached, owner = high, name
    return False


def _named(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give every rule a name of its own: numbered, where allocations share one."""
    names = {rule["id"] for rule in rules}
    seen: set[str] = set()
    for rule in rules:
        name = rule["id"] or "allocation"
        if name in seen:
            name = numbered(name, (names | seen).__contains__, " {}")
        seen.add(name)
        rule["id"] = name
    return rules
