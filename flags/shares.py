"""At most which share of all units a change moves, proved from the documents alone.

A budget must not be outwitted by splitting a change, so the share is no estimate from a sample: it
is an upper bound that holds for every population. The bound is taken as if everybody matched every
rule, for how many do nobody can know; what is left is the arithmetic of buckets, which is exact:

- a unit that a change moves falls into a bucket that is served otherwise before and after, in some
  rule that differs; so the share is at most the sum of those buckets over the rules that differ
  (the union bound), of all flags that change or ask one that changes;
- what the arithmetic cannot bound (another default, another list of named units, other
  prerequisites, a rule that serves whom it matches) counts as everybody: 1.

What a kill would serve is part of a flag even while it is on: a kill costs nothing and asks nobody,
so whoever could change what it serves for nothing would move everybody by it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from flags.canonical import same
from flags.conditions import flags_of, segments_of

EVERYBODY = Fraction(1)
NOBODY = Fraction(0)
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Side:
    """An environment before or after a change.

    Parameters
    ----------
    flags : mapping
        Published documents by key; ``None`` or missing: there is no such flag for readers.
    segments : mapping
        Conditions by key.
    """

    flags: Mapping[str, Document | None]
    segments: Mapping[str, Any]


def share_moved(before: Side, after: Side) -> Fraction:
    """Return at most which share of the units gets another answer from any flag."""
    return min(EVERYBODY, sum(shares_by_flag(before, after).values(), NOBODY))


def shares_by_flag(before: Side, after: Side) -> dict[str, Fraction]:
    """Return the bound of each flag that may move anybody; the others are proved to move nobody."""
    measure = _Measure(before, after)
    keys = sorted({*before.flags, *after.flags})
    return {key: share for key in keys if (share := measure.of_flag(key))}


def changes_off(before: Side, after: Side) -> bool:
    """Tell whether a kill would serve something else than before."""
    return any(
        old is not None
        and old is not new
        and not same(_answer(old, old["off"]), _answer(new, new["off"]))
        for key, new in after.flags.items()
        if new is not None
        for old in [before.flags.get(key)]
    )


@dataclass
class _Measure:
    before: Side
    after: Side
    known: dict[str, Fraction] = field(default_factory=dict)
    _segments: set[str] | None = None

    def of_flag(self, key: str) -> Fraction:
        """Bound the share that one flag moves, by itself or through what it asks."""
        if key not in self.known:
            # A circle of flags that ask each other: nothing is proved of it.
            self.known[key] = EVERYBODY
            self.known[key] = min(EVERYBODY, self._flag(key))
        return self.known[key]

    def _flag(self, key: str) -> Fraction:
        old, new = self.before.flags.get(key), self.after.flags.get(key)
        if old is None or new is None:
            there = old or new
            silent = there is None or (not there["enabled"] and there["off"] is None)
            return NOBODY if silent else EVERYBODY
        if old is not new and _differs_throughout(old, new):
            return EVERYBODY
        if not _is_live(old) and not _is_live(new):
            return NOBODY
        if not _is_live(old) or not _is_live(new):
            return self._off_off(new if _is_live(new) else old)
        if old is not new and _differs_beside_rules(old, new):
            return EVERYBODY
        asked = sum((self.of_flag(each["flag"]) for each in new["prerequisites"]), NOBODY)
        return asked + self._rules(old, new)

    def _off_off(self, flag: Document) -> Fraction:
        """Bound who gets another answer from the flag than what it serves when it is off."""
        off = _answer(flag, flag["off"])
        if not same(_answer(flag, flag["default"]), off):
            return EVERYBODY
        if any(not same(_answer(flag, each["variant"]), off) for each in flag["targets"]):
            return EVERYBODY
        return sum((_served(flag, rule, off) for rule in flag["rules"]), NOBODY)

    def _rules(self, old: Document, new: Document) -> Fraction:
        olds = {rule["id"]: rule for rule in old["rules"]}
        news = {rule["id"]: rule for rule in new["rules"]}
        total = sum((_served(old, olds[key]) for key in olds.keys() - news.keys()), NOBODY)
        total += sum((_served(new, news[key]) for key in news.keys() - olds.keys()), NOBODY)
        common = [key for key in olds if key in news]
        reordered = common != [key for key in news if key in olds]
        for key in common:
            was, rule = olds[key], news[key]
            if reordered or _changed(was, rule) or self._asks_segment(rule):
                total += _served(old, was) + _served(new, rule)
                continue
            if old is not new:
                total += _served_otherwise(old, was, new, rule)
            asked = sum((self.of_flag(each) for each in self._flags(rule)), NOBODY)
            if asked:
                total += min(asked, _served(old, was) + _served(new, rule))
        return total

    def _asks_segment(self, rule: Document) -> bool:
        return bool(segments_of(rule["when"]) & self._changed_segments())

    def _changed_segments(self) -> set[str]:
        """Give the segments that another condition, or another segment, makes different."""
        if self._segments is None:
            old, new = self.before.segments, self.after.segments
            found = {
                key
                for key in {*old, *new}
                if key not in old or key not in new or not same(old[key], new[key])
            }
            more = True
            while more:
                asking = {
                    key
                    for side in (old, new)
                    for key, condition in side.items()
                    if key not in found and segments_of(condition) & found
                }
                found |= asking
                more = bool(asking)
            self._segments = found
        return self._segments

    def _flags(self, rule: Document) -> set[str]:
        """Give the flags that a rule asks, through its segments too."""
        asked = set(flags_of(rule["when"]))
        seen: set[str] = set()
        waiting = segments_of(rule["when"])
        while waiting:
            key = waiting.pop()
            if key in seen:
                continue
            seen.add(key)
            condition = self.after.segments.get(key)
            asked |= set(flags_of(condition))
            waiting |= segments_of(condition)
        return asked


def _differs_throughout(old: Document, new: Document) -> bool:
    """Tell whether a kill would serve something else, or other programs see the flag at all."""
    off_differs = not same(_answer(old, old["off"]), _answer(new, new["off"]))
    return off_differs or bool(old["client"] != new["client"])


def _differs_beside_rules(old: Document, new: Document) -> bool:
    return (
        not same(old["prerequisites"], new["prerequisites"])
        or not same(_targets(old), _targets(new))
        or not same(_answer(old, old["default"]), _answer(new, new["default"]))
    )


def _is_live(flag: Document) -> bool:
    return bool(flag["enabled"] and not flag["killed"])


def _answer(flag: Document, variant: str | None) -> Any:
    """Give what a variant is for readers; its name counts, since other flags may ask for it."""
    return None if variant is None else [variant, flag["variants"].get(variant)]


def _targets(flag: Document) -> list[Any]:
    return [[each, _answer(flag, each["variant"])] for each in flag["targets"]]


def _changed(old: Document, new: Document) -> bool:
    """Tell whether a rule matches others, or at other times, than before."""
    if old is new:
        return False
    names = (old.keys() | new.keys()) - {"serve", "track", "id"}
    return any(not same(old.get(name), new.get(name)) for name in names)


def _served(flag: Document, rule: Document, except_answer: Any = ...) -> Fraction:
    """Bound the share of units that a rule serves anything (but one answer)."""
    serve = rule["serve"]
    if isinstance(serve, str):
        share = NOBODY if same_answer(flag, serve, except_answer) else EVERYBODY
    elif not _skips(serve["split"]):
        share = EVERYBODY
    else:
        split = serve["split"]
        arms = [arm for arm in split["to"] if not same_answer(flag, arm["variant"], except_answer)]
        share = _covered(itertools.chain.from_iterable(arm["ranges"] for arm in arms), split["of"])
    return min(share, _within_buckets(rule["when"]))


def same_answer(flag: Document, variant: str, answer: Any) -> bool:
    """Tell whether a variant is the answer that does not count."""
    return answer is not ... and same(_answer(flag, variant), answer)


def _skips(split: Document) -> bool:
    # Who has no unit is in no bucket: how many there are is not known.
    return bool(split.get("missing", "skip") == "skip")


def _within_buckets(when: Any) -> Fraction:
    """Bound the share of units in the buckets that a condition asks for, itself or with others."""
    if not isinstance(when, dict):
        return EVERYBODY
    if "bucket" in when:
        return _covered(when["bucket"]["ranges"], when["bucket"]["of"])
    return min((_within_buckets(each) for each in when.get("all") or ()), default=EVERYBODY)


def _covered(ranges: Iterable[Any], of: int) -> Fraction:
    return min(EVERYBODY, Fraction(sum(max(0, end - start) for start, end in ranges), of))


def _served_otherwise(old: Document, was: Document, new: Document, rule: Document) -> Fraction:
    """Give the share of buckets in which a rule answers otherwise, its condition being the same."""
    if isinstance(was["serve"], str) or isinstance(rule["serve"], str):
        alike = was["serve"] == rule["serve"] and same(
            _answer(old, was["serve"]), _answer(new, rule["serve"])
        )
        return NOBODY if alike else _served(old, was) + _served(new, rule)
    before, after = was["serve"]["split"], rule["serve"]["split"]
    same_cut = all(
        same(before.get(name), after.get(name)) for name in (before.keys() | after.keys()) - {"to"}
    )
    if not same_cut:
        return _served(old, was) + _served(new, rule)
    if not _skips(before) and not same(
        _answer(old, before["missing"]), _answer(new, after["missing"])
    ):
        return EVERYBODY
    cuts = sorted(
        {0, before["of"]}
        | {
            edge
            for split in (before, after)
            for arm in split["to"]
            for pair in arm["ranges"]
            for edge in pair
        }
    )
    differ = sum(
        end - start
        for start, end in itertools.pairwise(cuts)
        if not same(_in_bucket(old, before, start), _in_bucket(new, after, start))
    )
    return min(Fraction(differ, before["of"]), _within_buckets(rule["when"]))


def _in_bucket(flag: Document, split: Document, bucket: int) -> Any:
    for arm in split["to"]:
        if any(start <= bucket < end for start, end in arm["ranges"]):
            return _answer(flag, arm["variant"])
    # In no range the rule does not apply; what comes after it answers.
    return []
