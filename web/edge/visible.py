"""What the holder of a key can notice of a flag set, and so when it must ask again.

A client key sees the flags that are marked for clients, and through them whatever these depend on.
A change of anything else is none of its business, and no event is sent for it.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from flagstone.engine import FlagSet

_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Visible:
    """A flag set, or a part of it, by what tells one state from another.

    Parameters
    ----------
    etag : str
        Equal for equal definitions.
    turns : tuple of float
        When a schedule in it begins or ends (POSIX seconds, ascending): answers change then,
        without a revision.
    """

    etag: str
    turns: tuple[float, ...] = ()

    def mark(self, now: float) -> str:
        """Name the state at one moment; another name means that answers may differ."""
        passed = bisect.bisect_right(self.turns, now)
        return f"{self.etag}-{passed}" if passed else self.etag

    def last_turn(self, now: float) -> float | None:
        """Give the latest moment at which a schedule began or ended, if there is one."""
        passed = bisect.bisect_right(self.turns, now)
        return self.turns[passed - 1] if passed else None


def everything(flag_set: FlagSet, etag: str) -> Visible:
    """Describe what a server key sees: all of it."""
    return Visible(etag, _turns(flag_set, flag_set.flags))


def for_clients(flag_set: FlagSet, document: Mapping[str, Any], keys: Iterable[str]) -> Visible:
    """Describe what a client key sees: ``keys``, and what their answers depend on."""
    flags, segments = _mapping(document, "flags"), _mapping(document, "segments")
    wanted = [("flag", key) for key in keys]
    seen = set(wanted)
    while wanted:
        kind, key = wanted.pop()
        definition = (flags if kind == "flag" else segments).get(key)
        new = set(_references(definition)) - seen
        seen |= new
        wanted.extend(new)
    parts = [
        [kind, key, (flags if kind == "flag" else segments).get(key)] for kind, key in sorted(seen)
    ]
    content = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
    etag = hashlib.blake2b(content, digest_size=16).hexdigest()
    return Visible(etag, _turns(flag_set, (key for kind, key in seen if kind == "flag")))


def _references(node: Any) -> Iterator[tuple[str, str]]:
    """Yield every flag and segment that is named in a definition; one too many does no harm."""
    if isinstance(node, dict):
        for name in ("flag", "segment"):
            if isinstance(node.get(name), str):
                yield name, node[name]
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)


def _turns(flag_set: FlagSet, keys: Iterable[str]) -> tuple[float, ...]:
    moments: set[float | None] = set()
    for key in keys:
        flag = flag_set.flags.get(key)
        if flag is not None:
            moments.update(target.until for target in flag.targets)
            for rule in flag.rules:
                moments.update((rule.start, rule.end))
    return tuple(sorted(moment for moment in moments if moment is not None))


def _mapping(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else _NOTHING
