"""Hashes as lines that are cut where one of the ranges asked begins or ends."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from flagstone.engine.bucketing import lies_in
from flagstone.engine.model import Bucketing, InBucket, Range
from flagstone.engine.prove.atoms import Atom
from flagstone.engine.prove.cells import bits

MAX_CUTS = 20_000
_MODULAR = frozenset({"unleash", "unleash-variant", "growthbook-1", "growthbook-2", "eppo"})
"""Hashes that take a remainder; the others scale, so that every number of buckets is one line."""


class Asked(NamedTuple):
    """An atom, and the buckets for which it holds."""

    atom: Atom
    bucketing: Bucketing
    ranges: tuple[Range, ...]


class Line(NamedTuple):
    """The atoms that ask for buckets of one hash, and which of them hold in each of its cells."""

    asked: tuple[Asked, ...]
    truths: list[int]


def lines_of(atoms: Sequence[Atom]) -> Iterator[Line]:
    """Put atoms on buckets together by hash and salt; different hashes are independent."""
    groups: dict[Any, list[Asked]] = {}
    for atom in atoms:
        if isinstance(atom.question, InBucket):
            bucketing = atom.question.bucketing
            name = bucketing.by, bucketing.hash, bucketing.salt
            groups.setdefault(name, []).append(Asked(atom, bucketing, atom.question.ranges))
    for (_, hash_name, _), group in groups.items():
        if hash_name not in _MODULAR:
            yield Line(tuple(group), _scaled(group))
            continue
        truths = _remainders(group)
        if truths is not None:
            yield Line(tuple(group), truths)
            continue
        for of in {asked.bucketing.of for asked in group}:
            part = [asked for asked in group if asked.bucketing.of == of]
            yield Line(tuple(part), _scaled(part))


def _scaled(group: list[Asked]) -> list[int]:
    """Cut the line from 0 to 1."""
    edges = {
        Fraction(edge, bucketing.of)
        for _, bucketing, ranges in group
        for span in ranges
        for edge in (0, *span)
        if edge < bucketing.of
    }
    return _truths(group, edges, lambda edge, of: int(edge * of))


def _remainders(group: list[Asked]) -> list[int] | None:
    """Cut the remainders by the least common multiple; ``None`` if there are too many cuts."""
    whole = math.lcm(*(asked.bucketing.of for asked in group))
    edges = {
        (edge % bucketing.of, bucketing.of)
        for _, bucketing, ranges in group
        for span in ranges
        for edge in (0, *span)
    }
    if sum(whole // of for _, of in edges) > MAX_CUTS:
        return None
    places = {place for edge, of in edges for place in range(edge, whole, of)}
    return _truths(group, places, operator.mod)


def _truths(
    group: list[Asked], places: Iterable[Any], bucket_at: Callable[[Any, int], int]
) -> list[int]:
    """Return which atoms hold together from each of some places to the next."""
    truths = (
        bits(
            atom
            for atom, bucketing, ranges in group
            if lies_in(bucket_at(place, bucketing.of), ranges)
        )
        for place in sorted(places)
    )
    return list(dict.fromkeys(truths))
