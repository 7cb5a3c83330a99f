"""Which of a layer's buckets an experiment has: pure arithmetic, and the condition that says it.

A layer cuts all units into buckets under a salt of its own. An experiment's *lane* is a set of
them that no other experiment of the layer has meanwhile, so that the two never meet the same unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.contract.document import Reader
from flags.ranges import BUCKETS

Ranges = tuple[tuple[int, int], ...]

BY = "targetingKey"
HASH = "flagstone"


@dataclass(frozen=True)
class LayerShare:
    """What a plan asks of a layer: ``share`` (0 to 1) of its units, nobody else's meanwhile."""

    key: str
    share: float

    @property
    def buckets(self) -> int:
        """Tell how many buckets that are."""
        return max(1, round(self.share * BUCKETS))

    def to_document(self) -> dict[str, Any]:
        """Give the plan's fields; :func:`read_layer_share` reads them back."""
        return {"layer": self.key, "layer_share": self.share}


@dataclass(frozen=True)
class Lane:
    """Half-open ranges of a layer's buckets, and the salt under which units fall into them."""

    layer: str
    salt: str
    ranges: Ranges

    @property
    def buckets(self) -> int:
        """Tell how many buckets the lane has."""
        return width(self.ranges)

    def condition(self) -> dict[str, Any]:
        """Give the condition that lets the lane's units in, and nobody else."""
        ranges = [list(each) for each in self.ranges]
        bucket = {"by": BY, "hash": HASH, "salt": self.salt, "of": BUCKETS, "ranges": ranges}
        return {"bucket": bucket}

    def to_document(self) -> dict[str, Any]:
        """Give the lane as plain data; :func:`read_lane` reads it back."""
        return {
            "layer": self.layer,
            "salt": self.salt,
            "ranges": [list(each) for each in self.ranges],
        }


def read_lane(document: Mapping[str, Any] | None) -> Lane | None:
    """Read back what a lane wrote."""
    if document is None:
        return None
    ranges = tuple((int(low), int(high)) for low, high in document["ranges"])
    return Lane(str(document["layer"]), str(document["salt"]), ranges)


def read_layer_share(reader: Reader) -> LayerShare | None:
    """Read a plan's ``layer`` and ``layer_share``; without a share it is the whole layer.

    Raises
    ------
    PlanError
        If the key is none, or there is a share of nothing.
    """
    if not reader.has("layer"):
        if reader.has("layer_share"):
            raise reader.fault("layer_share", "is a share of no layer", 'add layer = "checkout"')
        return None
    key = read_layer_key(reader, "layer")
    hint = "0.25 is a quarter of the layer's units"
    share = reader.number("layer_share", 1.0, least=1 / BUCKETS, most=1, hint=hint)
    return LayerShare(key, share)


def read_layer_key(reader: Reader, field: str) -> str:
    """Take the key of a layer."""
    return reader.key(field, "checkout")


def width(ranges: Iterable[Sequence[int]]) -> int:
    """Tell how many buckets ranges hold."""
    return sum(high - low for low, high in ranges)


def free_ranges(taken: Iterable[Sequence[int]]) -> Ranges:
    """Give the buckets that nobody has, in order."""
    free: list[tuple[int, int]] = []
    start = 0
    for low, high in sorted((low, high) for low, high in taken):
        if low > start:
            free.append((start, low))
        start = max(start, high)
    if start < BUCKETS:
        free.append((start, BUCKETS))
    return tuple(free)


def choose(free: Ranges, buckets: int) -> Ranges | None:
    """Choose so many free buckets, in one piece if there is one; ``None`` if they do not suffice.

    The narrowest piece that holds them all is taken, so that wide ones stay wide.
    """
    whole = [each for each in free if each[1] - each[0] >= buckets]
    if whole:
        low, _high = min(whole, key=lambda each: (each[1] - each[0], each[0]))
        return ((low, low + buckets),)
    if width(free) < buckets:
        return None
    chosen: list[tuple[int, int]] = []
    for low, high in free:
        took = min(high - low, buckets)
        if took:
            chosen.append((low, low + took))
        buckets -= took
    return tuple(chosen)


def overlap(one: Iterable[Sequence[int]], other: Sequence[Sequence[int]]) -> bool:
    """Tell whether two sets of ranges share a bucket."""
    return any(low < end and start < high for low, high in one for start, end in other)


def lane_of_rule(rule: Mapping[str, Any], salt: str) -> list[list[int]] | None:
    """Give the buckets of a layer that a rule is limited to; ``None`` if it is not."""
    conditions = [rule["when"]]
    while conditions:
        condition = conditions.pop()
        if not isinstance(condition, Mapping):
            continue
        bucket = condition.get("bucket")
        if bucket is not None and (bucket["salt"], bucket["of"]) == (salt, BUCKETS):
            return [list(each) for each in bucket["ranges"]]
        conditions += condition.get("all", [])
    return None


def arranged(
    order: Sequence[str],
    own: Sequence[str],
    *,
    serving: Iterable[str],
    ended: Iterable[str],
    begins: bool,
    is_for_all: bool,
) -> list[str]:
    """Give a flag's rules, by id, in the order in which experiments of one layer may share it.

    Who is in a lane gets that lane's variant, whatever ends beside it: rules of what has ended stay
    behind rules of what runs, and a winner for the whole audience comes before the former and
    after the latter.

    Parameters
    ----------
    order, own : sequence of str
        All rules as they stand; those of the experiment that moves.
    serving, ended : iterable of str
        Rules of the layer's other experiments: those that serve an experiment or a winner, and
        those that give control to the lane of one that is over.
    begins : bool
        Whether the experiment has only just come to the flag.
    is_for_all : bool
        Whether its rules reach beyond its lane.
    """
    running, over, mine = set(serving), set(ended), set(own)
    rest = [each for each in order if each not in mine]
    moving = [each for each in order if each in mine]
    if not moving:
        return list(order)
    place = order.index(moving[0]) - sum(each in mine for each in order[: order.index(moving[0])])
    if begins:
        place = min((i for i, each in enumerate(rest) if each in over), default=len(rest))
    else:
        behind = max((i + 1 for i, each in enumerate(rest) if each in running), default=0)
        place = max(place, behind)
    before, after = rest[:place], rest[place:]
    if is_for_all:
        after = [each for each in before if each in over] + after
        before = [each for each in before if each not in over]
    return [*before, *moving, *after]


def narrowed(audience: Any, *conditions: Any) -> Any:
    """Give the audience within further conditions, the cheapest ones last."""
    parts = [each for each in (audience, *conditions) if each is not None and each is not True]
    if not parts:
        return audience
    return parts[0] if len(parts) == 1 else {"all": parts}
