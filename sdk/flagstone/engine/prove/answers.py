"""Answers of a flag, when two are one, and when a context is at rest with one.

A context is *at rest* when the flag does nothing for it. That is so when

- no variant is served: the caller's default, a missing flag, an error; or
- the variant served is not ``on``; or
- the flag is not boolean on either side, and the value served is one that the flag falls back to
  on both sides of the edit: the value of ``off`` or of ``default``.

The last one is for experiments whose control is a variant like any other. Of a boolean flag
``on`` says everything; and a fallback that the edit itself changes is no rest, so that shipping an
experiment's winner as the default is not mistaken for taking it away.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from flagstone.engine.compare import Served
from flagstone.engine.model import Flag
from flagstone.engine.prove.atoms import frozen


class Change(Enum):
    """What a pair of different answers means to a context."""

    GAIN = "gain"
    LOSS = "loss"
    OTHER = "other"


class Answer(NamedTuple):
    """What a context gets, and whether it is at rest with it."""

    served: Served
    rests: bool


def name_of_answer(served: Served) -> Any:
    """Return something hashable, equal for answers that :meth:`Served.is_same` takes for one."""
    if served.variant is None:
        return None
    return served.on, frozen(served.value)


class Rest:
    """Knows the answers with which contexts are at rest, for the two sides of an edit."""

    def __init__(self, before: Flag | None, after: Flag | None) -> None:
        flags = [flag for flag in (before, after) if flag is not None and flag.fault is None]
        self._values: set[Any] = set()
        if flags and all(flag.type != "boolean" for flag in flags):
            self._values = set.intersection(*(set(_fallbacks(flag)) for flag in flags))

    def has(self, served: Served) -> bool:
        """Whether a context that gets this is at rest."""
        if served.variant is None or not served.on:
            return True
        return bool(self._values) and frozen(served.value) in self._values


def _fallbacks(flag: Flag) -> Iterator[Any]:
    for name in (flag.off, flag.default):
        variant = None if name is None else flag.variants.get(name)
        if variant is not None:
            yield frozen(variant.value)


def change_of(before: Answer, after: Answer) -> Change:
    """Say what going from one answer to a different one means."""
    if before.rests and not after.rests:
        return Change.GAIN
    return Change.LOSS if after.rests and not before.rests else Change.OTHER
