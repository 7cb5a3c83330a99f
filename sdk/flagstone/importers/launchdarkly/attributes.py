"""Where LaunchDarkly's attributes stand in our context, and whether a kind of context is there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from flagstone.importers.conditions import NOBODY, any_of, leaf, written
from flagstone.importers.launchdarkly.malformed import MalformedError

USER: Final = "user"
Path = tuple[str, ...]

_INTEGER: Final = re.compile(r"(?:0|-?[1-9][0-9]*)\Z")
_MAX_DIGITS: Final = 400


def kind_of(name: str) -> str:
    """Return the kind of a context; without a name it is a user."""
    return name or USER


def key_path(kind: str) -> Path:
    """Return where the key of a context of this kind stands."""
    return ("targetingKey",) if kind == USER else (kind, "key")


def read_reference(reference: str, kind_name: str) -> Path:
    """Return the names in an attribute reference; without a kind it is one literal name.

    Raises
    ------
    MalformedError
        If it is no reference: then every evaluation that comes to it fails.
    """
    if not reference or (kind_name and reference == "/"):
        raise MalformedError("an attribute reference is empty", spreads=True)
    if not kind_name or not reference.startswith("/"):
        return (reference,)
    names = reference[1:].split("/")
    if "" in names:
        message = f"the attribute reference {reference!r} has a double or trailing slash"
        raise MalformedError(message, spreads=True)
    if any(re.search(r"~(?![01])", name) for name in names):
        message = f"the attribute reference {reference!r} has a ~ without 0 or 1 behind it"
        raise MalformedError(message, spreads=True)
    return tuple(name.replace("~1", "/").replace("~0", "~") for name in names)


def attribute_path(kind: str, names: Path) -> Path:
    """Return where an attribute of a context of this kind stands in ours."""
    if names[0] == "key":
        return (*key_path(kind), *names[1:])
    return names if kind == USER else (kind, *names)


def present(kind: str) -> Any:
    """Ask whether there is a context of this kind: it is there with its key."""
    return is_unit(key_path(kind))


def is_unit(path: Path) -> Any:
    """Ask whether an attribute is a text or an integer, which prints as one."""
    attr = written(path)
    return any_of([leaf(attr, "type", ["string"]), leaf(attr, "mod", [[1, 0]])])


def has_value(path: Path) -> Any:
    """Ask whether an attribute is there; ``null`` is as good as nothing."""
    return leaf(written(path), "type", ["string", "number", "boolean", "array", "object"])


def with_integers(keys: Iterable[str]) -> list[Any]:
    """Add the integers that print as one of the keys: a key may come as an integer."""
    found = list(dict.fromkeys(keys))
    integers = [int(key) for key in found if len(key) < _MAX_DIGITS and _INTEGER.match(key)]
    return [*found, *integers]


def key_in(kind: str, keys: Iterable[str]) -> Any:
    """Ask whether the key of a kind of context is one of these."""
    values = with_integers(keys)
    return leaf(written(key_path(kind)), "in", values) if values else NOBODY
