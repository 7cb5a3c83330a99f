"""Segments: keys that are in, keys that are not, and rules for everybody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flagstone.importers import reading
from flagstone.importers.conditions import NOBODY, all_of, any_of, negated, written
from flagstone.importers.launchdarkly.attributes import (
    USER,
    key_in,
    kind_of,
    present,
)
from flagstone.importers.launchdarkly.clauses import References, all_clauses
from flagstone.importers.launchdarkly.rollouts import BUCKETS, HASH, read_bucket_by
from flagstone.importers.result import CannotCarryError


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment's condition, and the segments that it asks."""

    condition: Any
    asks: frozenset[str]


def read_segment(key: str, data: reading.Data, there: frozenset[str]) -> Segment:
    """Return a segment as a condition; ``there`` are the segments that it may ask."""
    if reading.flag(data, "unbounded"):
        raise CannotCarryError("it is a big segment, whose members are not in the file")
    references = References(there)
    own_key = reading.optional_text(data, "key") or key
    salt = reading.optional_text(data, "salt")
    included = _keys(data, "included", "includedContexts")
    excluded = _keys(data, "excluded", "excludedContexts")
    rules = [
        _rule(rule, f"{own_key}.{salt}", references) for rule in reading.objects(data, "rules")
    ]
    condition = any_of([included, all_of([negated(excluded), any_of(rules)])])
    return Segment(condition, frozenset(references.asked))


def _keys(data: reading.Data, users: str, contexts: str) -> Any:
    lists = [(USER, reading.texts(data, users))]
    for part in reading.objects(data, contexts):
        kind = kind_of(reading.optional_text(part, "contextKind"))
        lists.append((kind, reading.texts(part, "values", required=True)))
    return any_of([key_in(kind, keys) for kind, keys in lists])


def _rule(data: reading.Data, salt: str, references: References) -> Any:
    clauses = all_clauses(reading.objects(data, "clauses", required=True), references)
    kind_name = reading.optional_text(data, "rolloutContextKind")
    weight = reading.optional_integer(data, "weight")
    if weight is None:
        return clauses
    kind, by = kind_of(kind_name), read_bucket_by(data, kind_name)
    if weight <= 0:
        # A context that lacks the kind lies before the first bucket, and so is in nevertheless.
        share = negated(present(kind)) if weight > -BUCKETS else NOBODY
    elif weight >= BUCKETS:
        share = True
    else:
        # Who has no bucket is in: so ask who is out.
        bucket = {"by": written(by), "hash": HASH, "salt": salt, "of": BUCKETS}
        share = {"not": {"bucket": {**bucket, "ranges": [[weight, BUCKETS]]}}}
    return all_of([clauses, share])
