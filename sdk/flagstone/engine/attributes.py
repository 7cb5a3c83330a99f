"""Values of a context: found by path, and seen as JSON's types whatever the caller put in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from flagstone.engine.model import Path


class Missing:
    """The type of :data:`MISSING`."""

    def __repr__(self) -> str:
        return "missing"


MISSING: Final = Missing()
"""Stands for an attribute that is not there, or is nothing that JSON has."""

_EXACT: Final = frozenset({str, int, float, bool, type(None), list, dict})


def read(root: object, path: Path) -> object:
    """Return what stands at ``path``, or :data:`MISSING`; never raises."""
    try:
        for name in path:
            if type(root) is not dict and not isinstance(root, Mapping):
                return MISSING
            if name not in root:
                return MISSING
            root = root[name]
    except Exception:  # noqa: BLE001  a caller's mapping may raise anything
        return MISSING
    return root


def plain(value: object) -> Any:
    """See a value as JSON would: subclasses as their base, tuples and sets as arrays.

    Datetimes stay; anything else is :data:`MISSING`. May raise what the caller's classes raise.
    """
    if type(value) in _EXACT:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, dt.datetime):
        return value
    return MISSING


def same(value: object, constant: object) -> bool:
    """Whether two values are equal, typed and deep: ``True != 1``, ``1 == 1.0``.

    Follows the structure of ``constant``, so that a ``value`` which holds itself ends too.
    May raise what the caller's classes raise.
    """
    value = plain(value)
    if constant is None or isinstance(constant, bool):
        return value is constant
    if isinstance(constant, str):
        return type(value) is str and value == constant
    if isinstance(constant, (int, float)):
        return type(value) in (int, float) and value == constant
    if isinstance(constant, list):
        return (
            type(value) is list
            and len(value) == len(constant)
            and all(same(mine, other) for mine, other in zip(value, constant, strict=True))
        )
    if isinstance(constant, dict):
        return (
            type(value) is dict
            and len(value) == len(constant)
            and all(key in value and same(value[key], other) for key, other in constant.items())
        )
    return False
