"""Who moves between two flag sets, over contexts that somebody has."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flagstone.engine.attributes import same
from flagstone.engine.compile import CompiledFlagSet
from flagstone.engine.details import EvaluationDetails
from flagstone.engine.evaluate import prepare
from flagstone.engine.model import FlagSet, Json

EXAMPLES = 3

AnyFlagSet = FlagSet | CompiledFlagSet | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Served:
    """What a context gets: a variant and its value; without a variant the caller's default."""

    variant: str | None
    value: Json
    on: bool

    @classmethod
    def of(cls, details: EvaluationDetails) -> Served:
        """Keep of an evaluation what a user can notice."""
        return cls(details.variant, details.value, details.on)

    def is_same(self, other: Served) -> bool:
        """Whether a user would notice no difference: values count, names of variants do not."""
        if (self.variant is None) != (other.variant is None):
            return False
        return self.on is other.on and same(self.value, other.value)

    def to_document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        return {"variant": self.variant, "value": self.value, "on": self.on}


@dataclass(slots=True)
class Move:
    """Contexts that a change takes from one answer of a flag to another."""

    flag: str
    before: Served
    after: Served
    count: int = 0
    examples: list[Mapping[str, Any]] = field(default_factory=list)

    def to_document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        return {
            "flag": self.flag,
            "before": self.before.to_document(),
            "after": self.after.to_document(),
            "count": self.count,
            "examples": [dict(example) for example in self.examples],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many contexts were asked, and who moves, most first."""

    contexts: int
    moves: tuple[Move, ...]

    def to_document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        return {
            "contexts": self.contexts,
            "moves": [move.to_document() for move in self.moves],
        }


def compare(
    before: AnyFlagSet,
    after: AnyFlagSet,
    contexts: Iterable[Mapping[str, Any]],
    now: float | dt.datetime,
    *,
    flag_keys: Iterable[str] | None = None,
    examples: int = EXAMPLES,
) -> Comparison:
    """Evaluate every flag of two flag sets in every context, and say who moves where.

    Parameters
    ----------
    before, after : FlagSet, CompiledFlagSet or mapping
        The two states; a flag that one of them lacks gives the caller's default there.
    contexts : iterable of mappings
        Attributes of those who ask, each once.
    now : float or datetime
        POSIX seconds or an aware datetime, for both.
    flag_keys : iterable of str, optional
        Only these flags; all of both sets if left out.
    examples : int
        Contexts to keep for each move.

    Returns
    -------
    Comparison
        The contexts asked, and for each flag and pair of answers how many move.

    Raises
    ------
    FlagSetError
        If a document cannot be used at all.
    """
    old, seconds = prepare(before, now)
    new, _ = prepare(after, now)
    keys = sorted(old.flag_keys | new.flag_keys if flag_keys is None else set(flag_keys))
    moves: dict[tuple[Any, ...], Move] = {}
    asked = 0
    for context in contexts:
        asked += 1
        for key in keys:
            was = old.evaluate(key, context, seconds)
            becomes = new.evaluate(key, context, seconds)
            one, other = Served.of(was), Served.of(becomes)
            if one.is_same(other):
                continue
            # Values may be lists: texts of them tell moves of one pair of names apart.
            name = (key, one.variant, repr(one.value), other.variant, repr(other.value))
            move = moves.setdefault(name, Move(key, one, other))
            move.count += 1
            if len(move.examples) < examples:
                move.examples.append(context)
    ordered = sorted(moves.values(), key=lambda move: (-move.count, move.flag))
    return Comparison(asked, tuple(ordered))
