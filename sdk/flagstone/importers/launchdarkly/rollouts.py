"""Rollouts and experiments: who gets which variation by the bucket of an attribute.

A bucket is a number below 100,000; the weights are laid end to end, and what lies past their end
belongs to the last variation. A context that lacks the kind counts as lying before the first
bucket, and one whose attribute is no text and no integer as lying in the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from flagstone.importers import reading
from flagstone.importers.conditions import all_of, negated, written
from flagstone.importers.launchdarkly.attributes import (
    Path,
    attribute_path,
    key_path,
    kind_of,
    present,
    read_reference,
)
from flagstone.importers.launchdarkly.malformed import MalformedError
from flagstone.importers.result import CannotCarryError

BUCKETS: Final = 100_000
_FIRST_BUCKET: Final = 0
_BEFORE_ALL: Final = -BUCKETS
HASH: Final = "launchdarkly"


def read_bucket_by(data: reading.Data, kind_name: str) -> Path:
    """Return where the attribute stands by which contexts of a kind are bucketed."""
    reference = reading.optional_text(data, "bucketBy")
    kind = kind_of(kind_name)
    if not reference:
        return key_path(kind)
    names = read_reference(reference, kind_name)
    if names == ("kind",):
        raise CannotCarryError("a rollout is by the kind of the context, so by no unit")
    return attribute_path(kind, names)


@dataclass(frozen=True, slots=True)
class _Share:
    variation: int
    untracked: bool
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Rollout:
    """A rollout as read, with the variations that it serves to each bucket and to none."""

    kind: str
    by: Path
    salt: str
    shares: tuple[_Share, ...]
    without_kind: int
    without_unit: int
    experiment: bool

    def variations(self) -> set[int]:
        """Return every variation that somebody can get."""
        return {share.variation for share in self.shares} | {self.without_kind, self.without_unit}

    def rules(self, rule_id: str, when: Any) -> list[dict[str, Any]]:
        """Write the rules that serve it to whom ``when`` holds; the last of them serves everybody.

        Only what an experiment tracks is tracked.
        """
        rules = []
        if self.without_kind != self.without_unit:
            lacks = all_of([when, negated(present(self.kind))])
            rules.append(
                {"id": f"{rule_id}:no-context", "when": lacks, "serve": str(self.without_kind)}
            )
        tracked = [share for share in self.shares if self.experiment and not share.untracked]
        others = [share for share in self.shares if share not in tracked]
        if tracked:
            rules.append(
                {
                    "id": rule_id,
                    "when": when,
                    "track": True,
                    "serve": self._split(tracked, "skip" if others else str(self.without_unit)),
                }
            )
        if others:
            rules.append(
                {
                    "id": f"{rule_id}:untracked" if tracked else rule_id,
                    "when": when,
                    "serve": self._split(others, str(self.without_unit)),
                }
            )
        return rules

    def _split(self, shares: list[_Share], missing: str) -> dict[str, Any]:
        return {
            "split": {
                "by": written(self.by),
                "hash": HASH,
                "salt": self.salt,
                "of": BUCKETS,
                "missing": missing,
                "to": [
                    {"variant": str(share.variation), "ranges": [[share.low, share.high]]}
                    for share in shares
                ],
            }
        }


def read_rollout(data: reading.Data, flag_key: str, flag_salt: str) -> Rollout:
    """Read a rollout.

    Raises
    ------
    MalformedError
        If it is to no variation at all.
    """
    kind_name = reading.optional_text(data, "contextKind")
    experiment = reading.optional_text(data, "kind") == "experiment"
    seed = reading.optional_integer(data, "seed")
    weighted = [
        (
            reading.integer(part, "variation"),
            reading.integer(part, "weight"),
            reading.flag(part, "untracked"),
        )
        for part in reading.objects(data, "variations", required=True)
    ]
    if not weighted:
        raise MalformedError("a rollout has no variations", spreads=False)
    kind = kind_of(kind_name)
    # An experiment is by key, whatever it says.
    by = key_path(kind) if experiment else read_bucket_by(data, kind_name)
    return Rollout(
        kind=kind,
        by=by,
        salt=f"{flag_key}.{flag_salt}" if seed is None else str(seed),
        shares=tuple(_shares(weighted)),
        without_kind=_at(weighted, _BEFORE_ALL),
        without_unit=_at(weighted, _BEFORE_ALL if by == key_path(kind) else _FIRST_BUCKET),
        experiment=experiment,
    )


def _at(weighted: list[tuple[int, int, bool]], bucket: int) -> int:
    """Return the variation of a bucket."""
    total = 0
    for variation, weight, _ in weighted:
        total += weight
        if bucket < total:
            return variation
    return weighted[-1][0]


def _shares(weighted: list[tuple[int, int, bool]]) -> list[_Share]:
    shares, total, reached = [], 0, 0
    for variation, weight, untracked in weighted:
        total += weight
        end = min(total, BUCKETS)
        if end > reached:
            shares.append(_Share(variation, untracked, reached, end))
            reached = end
    if reached < BUCKETS:
        variation, _, untracked = weighted[-1]
        shares.append(_Share(variation, untracked, reached, BUCKETS))
    return shares
