"""Which flags the application asks for, and with which defaults: what an outage would serve.

This costs an evaluation one look-up: ``true`` and ``false`` hold the flags that were asked with
these defaults, ``latest`` the default that a flag was asked with last; only what is not there is
noted. Nothing here raises, and everything is bounded.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from typing import Any, Final

from flagstone import values

MAX_FLAGS = 500
MAX_DEFAULTS = 5
MAX_DEFAULT_BYTES = 1024
# Looked up at each evaluation; a flag that is not in there costs a microsecond more.
_MAX_LATEST = 100_000
_UNSHOWN: Final = object()
_NAMES: Final[dict[object, str]] = {
    values.boolean: "boolean",
    values.string: "string",
    values.integer: "integer",
    values.floating: "float",
    values.structure: "object",
}
_TYPES: Final[dict[type, str]] = {
    bool: "boolean",
    str: "string",
    int: "integer",
    float: "float",
    dict: "object",
    list: "object",
    type(None): "null",
}


class Defaults:
    """The defaults that stand in the application's code, as far as they were met."""

    def __init__(self) -> None:
        self.true: set[str] = set()
        self.false: set[str] = set()
        self.latest: dict[str, object] = {}
        self.changes = 0
        self.complete = True
        self._noted: dict[str, list[tuple[str, object]]] = {}
        self._lock = threading.RLock()

    def note(self, flag_key: str, default: object, convert: Callable[[object], object]) -> None:
        """Remember that ``flag_key`` was asked with ``default`` by the getter of ``convert``."""
        kind = _NAMES.get(convert) or _TYPES.get(default.__class__, "other")
        with self._lock:
            # What is no plain value may hold anything: it must not live on because of us.
            plain = default.__class__ in _TYPES
            if plain and (flag_key in self.latest or len(self.latest) < _MAX_LATEST):
                self.latest[flag_key] = default
                if default is True or default is False:
                    (self.true if default else self.false).add(flag_key)
            noted = self._noted.get(flag_key)
            if noted is None:
                if len(self._noted) >= MAX_FLAGS:
                    self.complete = False
                    return
                noted = self._noted[flag_key] = []
            for known_kind, known in noted:
                if known_kind == kind and _same(known, default):
                    return
                if known_kind == kind and known is _UNSHOWN:
                    return  # writing long ones down at each evaluation would be felt
            if len(noted) >= MAX_DEFAULTS:
                self.complete = False
                return
            noted.append((kind, _shown(default)))
            self.changes += 1

    def flags(self) -> list[str]:
        """Return the flags that were asked for."""
        with self._lock:
            return list(self._noted)

    def document(self, limit_bytes: int) -> tuple[dict[str, list[dict[str, Any]]], bool]:
        """Return the defaults by flag in at most about ``limit_bytes``, and whether that is all.

        A default that is too long, or that JSON cannot hold, has a ``type`` and no ``value``.
        """
        with self._lock:
            noted = {key: list(defaults) for key, defaults in self._noted.items()}
            complete = self.complete
        found: dict[str, list[dict[str, Any]]] = {}
        for key, defaults in noted.items():
            entry = [
                {"type": kind} if value is _UNSHOWN else {"type": kind, "value": value}
                for kind, value in defaults
            ]
            limit_bytes -= len(json.dumps([key, entry])) + 2
            if limit_bytes < 0:
                return found, False
            found[key] = entry
        return found, complete

    def after_fork(self) -> None:
        """Replace the lock, whose owner may not exist in this process."""
        self._lock = threading.RLock()


def _same(known: object, default: object) -> bool:
    try:
        return known.__class__ is default.__class__ and bool(known == default)
    except Exception:  # noqa: BLE001  somebody's own class decides what equality is
        return False


def _shown(default: object) -> object:
    """Return a copy of a default that JSON can hold, or the mark of one that is not shown."""
    if isinstance(default, str) and len(default) > MAX_DEFAULT_BYTES:
        return _UNSHOWN
    if isinstance(default, float) and not math.isfinite(default):
        return _UNSHOWN
    try:
        text = json.dumps(default, allow_nan=False, ensure_ascii=False)
        if len(text.encode()) > MAX_DEFAULT_BYTES:
            return _UNSHOWN
        return json.loads(text)
    except Exception:  # noqa: BLE001  a default may be anything
        return _UNSHOWN
