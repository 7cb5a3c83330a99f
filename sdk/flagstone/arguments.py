"""The arguments of the client's constructor, checked once, with a clear word on what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from flagstone.errors import ConfigurationError
from flagstone.events import MAX_ATTRIBUTE_CHARACTERS, MAX_ATTRIBUTES


def server_key(key: object) -> str:
    """Return ``key`` if it can be a server key."""
    if not isinstance(key, str):
        raise ConfigurationError(f"key must be a string, not {type(key).__name__}")
    if key.startswith("fs_cli_"):
        raise ConfigurationError("key is a client key (fs_cli_…); this SDK needs a server key")
    if not key.startswith("fs_srv_"):
        raise ConfigurationError("key must be a server key: it begins with fs_srv_")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("key holds a character that no key has (a blank, a line end?)")
    return key


def seconds_of(name: str, seconds: object, *, least: float = 0.0) -> float:
    """Return a number of seconds between ``least`` and a day."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise ConfigurationError(f"{name} must be a number, not {type(seconds).__name__}")
    if not least <= seconds <= 86_400.0:
        raise ConfigurationError(f"{name} must lie between {least:g} and 86400, not {seconds!r}")
    return float(seconds)


def positive(name: str, number: object) -> int:
    """Return an integer of at least one."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ConfigurationError(f"{name} must be a positive integer, not {number!r}")
    return number


def attributes(name: str, mapping: object) -> dict[str, Any]:
    """Return a copy of a mapping, empty for None."""
    if mapping is None:
        return {}
    if not isinstance(mapping, Mapping):
        raise ConfigurationError(f"{name} must be a mapping, not {type(mapping).__name__}")
    return dict(mapping)


def attribute_names(name: str, names: object) -> tuple[str, ...]:
    """Return names of context attributes, at most eight."""
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise ConfigurationError(f"{name} must be a sequence of names, not {names!r}")
    given = tuple(dict.fromkeys(names))
    if len(given) > MAX_ATTRIBUTES:
        raise ConfigurationError(f"{name} holds {len(given)} names; at most {MAX_ATTRIBUTES}")
    for each in given:
        if not isinstance(each, str) or not 1 <= len(each) <= MAX_ATTRIBUTE_CHARACTERS:
            longest = MAX_ATTRIBUTE_CHARACTERS
            raise ConfigurationError(
                f"{name} must hold names of 1 to {longest} characters, not {each!r}"
            )
        if not each.isprintable():
            raise ConfigurationError(f"{name} holds a name that is not printable: {each!r}")
        if each == "targetingKey":
            raise ConfigurationError(f"{name} must not hold targetingKey: that is the unit")
    return given


def path_of(name: str, path: object) -> Path | None:
    """Return a path, or None."""
    if path is None:
        return None
    if not isinstance(path, (str, Path, PathLike)) or not str(path):
        raise ConfigurationError(f"{name} must be a path, not {path!r}")
    return Path(path)
