"""A handful of the contexts that evaluations met lately, for previews of changes.

Nothing is taken unless the service asks for it (its environment keeps a sample) and the client may
share it. Then a getter is armed once a second: its next few questions go the long way round, where
a copy of their context is kept; all others cost what they cost before. The thread that sends looks
at the copies later, and keeps of them only what the flags ask about.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from flagstone.engine.mentions import Path, mentioned_attributes
from flagstone.engine.model import FlagSet

LOOK_SECONDS = 1.0
# In one look: at most so many questions, and of one unit in a row only the first.
_QUESTIONS = 64
_MET = 32
_TOLD_AT_ONCE = 20
_TOLD_BYTES = 12_000
_MAX_CONTEXT_BYTES = 2_048
_MAX_PATHS = 200
_MAX_TEXT = 512
_MAX_ITEMS = 50
# A unit is told again after so long.
_FRESH_SECONDS = 600.0
_MAX_REMEMBERED = 5_000
_SALT = b"flagstone-sample"
_UNIT: Path = ("targetingKey",)


class Armed(Protocol):
    """Getters whose next questions are looked at."""

    def arm(self, questions: int) -> None:
        """Let so many questions go the long way round; 0 for none."""


class Sightings:
    """What one client has met, and how much of it the service wants to hear.

    Parameters
    ----------
    allowed : bool
        Whether contexts may leave the process at all.
    clock : callable
        POSIX seconds.
    """

    def __init__(self, *, allowed: bool = True, clock: Callable[[], float] = time.time) -> None:
        # Units whose hash is smaller are wanted; 0 while nobody wants any.
        self.below = 0
        self._allowed = allowed
        self._clock = clock
        self._getters: Callable[[], Armed | None] = lambda: None
        self._met: deque[tuple[float, Mapping[str, Any]]] = deque(maxlen=_MET)
        self._last: object = None
        self._kept: dict[int, tuple[float, dict[str, Any]]] = {}
        self._told: dict[int, float] = {}
        self._asked: tuple[FlagSet | None, list[Path]] = (None, [])

    def watch(self, getters: Armed) -> None:
        """Arm these getters, as long as somebody holds them."""
        self._getters = weakref.ref(getters)

    def wanted(self, below: str | None) -> None:
        """Take what the service said: up to which hash it wants units; None for nothing."""
        try:
            self.below = int(below) if self._allowed and below is not None else 0
        except ValueError:
            self.below = 0
        if not self.below:
            self._arm(0)
            for store in (self._met, self._kept, self._told):
                store.clear()

    def meet(self, context: Mapping[str, Any]) -> None:
        """Remember a context; called by getters, in the application's threads."""
        unit = context.get("targetingKey")
        if unit is not None and unit == self._last:
            return
        self._last = unit
        self._met.append((self._clock(), dict(context)))

    def look(self, flag_set: FlagSet | None) -> float | None:
        """Sort what was met, and arm the getters again; return when to look next, if at all."""
        if not self.below:
            return None
        if flag_set is not None:
            self._sort(flag_set)
        # At random: of work that comes in one order, not always the same ones are to be met.
        self._arm(random.randint(1, _QUESTIONS))
        return LOOK_SECONDS

    def document(self, flag_set: FlagSet | None) -> dict[str, Any] | None:
        """Give what is told with a heartbeat, None for nothing."""
        if not self.below or flag_set is None:
            return None
        self._sort(flag_set)
        if not self._kept:
            return None
        paths, room, seen = self._paths(flag_set), _TOLD_BYTES, []
        for _, (at, context) in sorted(self._kept.items()):
            room -= len(json.dumps(context))
            if room < 0:
                break
            seen.append({"at": at, "context": context})
        return {"asked": [list(path) for path in paths], "seen": seen}

    def told(self) -> None:
        """Forget what :meth:`document` gave: the service has it."""
        now = self._clock()
        if len(self._told) + len(self._kept) > _MAX_REMEMBERED:
            self._told.clear()
        self._told.update(dict.fromkeys(self._kept, now + _FRESH_SECONDS))
        self._kept.clear()

    def _arm(self, questions: int) -> None:
        getters = self._getters()
        if getters is not None:
            getters.arm(questions)

    def _sort(self, flag_set: FlagSet) -> None:
        paths, now = self._paths(flag_set), self._clock()
        while self._met:
            at, context = self._met.popleft()
            redacted = _redacted(context, paths)
            if redacted is None:
                continue
            unit, found = redacted
            if unit > self.below or self._told.get(unit, 0.0) > now:
                continue
            self._kept[unit] = (at, found)
            if len(self._kept) > _TOLD_AT_ONCE:
                del self._kept[max(self._kept)]

    def _paths(self, flag_set: FlagSet) -> list[Path]:
        known, paths = self._asked
        if known is not flag_set:
            found = mentioned_attributes(flag_set, flag_set.flags.keys())
            paths = [_UNIT, *sorted(found - {_UNIT})[: _MAX_PATHS - 1]]
            self._asked = (flag_set, paths)
        return paths


def hash_of(context: Mapping[str, Any], text: str) -> int:
    """Give the place of a context's unit in the service's sample; without a unit, of its text."""
    unit = context.get("targetingKey")
    data = f"\0{text}" if unit is None else str(unit)
    digest = hashlib.blake2b(data.encode("utf-8", "surrogatepass"), digest_size=8, key=_SALT)
    return int.from_bytes(digest.digest(), "big") >> 1


def _redacted(context: Mapping[str, Any], paths: list[Path]) -> tuple[int, dict[str, Any]] | None:
    """Keep what the flags ask about, with the hash of its unit.

    None where any of that cannot be told (it is long, or nothing that JSON holds): left out it
    would look as if it were missing.
    """
    try:
        found: dict[str, Any] = {}
        for path in paths:
            value: Any = context
            for name in path:
                value = value.get(name) if isinstance(value, dict) else None
            if value is None:
                continue
            if not _is_plain(value):
                return None
            place = found
            for name in path[:-1]:
                place = place.setdefault(name, {})
            place.setdefault(path[-1], value)
        text = json.dumps(found, allow_nan=False, sort_keys=True)
        if not found or len(text) > _MAX_CONTEXT_BYTES:
            return None
        return hash_of(found, text), found
    except Exception:  # noqa: BLE001  a context may hold anything
        return None


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) <= _MAX_ITEMS and all(_is_plain(each) for each in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(each) for key, each in value.items())
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT
    return isinstance(value, (bool, int, float))
