"""From one environment to another: what is carried, and what stays.

Carried is what a flag decides: on or off, rules in their order, prerequisites, default and off
variant. Three things stay, because they belong to the place and not to the feature:

- a kill, in both directions: who promotes neither kills nor lifts;
- units by name (``targets``), unless asked for: they are the source's people;
- rules that record (``track``): they are an experiment's or a release's, which runs in one place.

A split that both places have (same rule, unit, hash and number of buckets) keeps the salt it has
in the target, and a new one brings its own: either way nobody changes sides who need not.
Segments that the carried rules name come along where the target lacks them; one that differs there
stays unless asked for, since other flags rest upon it. Nothing is ever removed but rules.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flags.canonical import same
from flags.conditions import segments_of
from flags.errors import InvalidInputError, NotFoundError
from flags.instructions import Promote
from flags.plain import MAX_SEGMENTS
from flags.workspace import FlagCopy, SegmentCopy, Source, State, Workspace

_CARRIED = ("enabled", "off", "default", "prerequisites")
_SAME_SPLIT = ("by", "hash", "of")


@dataclass(frozen=True, slots=True)
class Carrying:
    """How a promotion is done: which of the things that stay come along all the same."""

    targets: bool = False
    segments: bool = False


def promote(workspace: Workspace, it: Promote, at: str) -> list[str]:
    """Give flags and segments what the source has; return the keys of the flags."""
    if it.flag is not None and it.segment is not None:
        raise InvalidInputError(
            "a promotion is of one flag, of one segment, or of the whole environment",
            field=f"{at}.segment",
            hint="leave one of them out, or write two instructions",
        )
    if it.source == workspace.environment_key:
        raise InvalidInputError(
            f"{it.source!r} would be promoted into itself",
            field=f"{at}.source",
            hint="the change's environment is the target; the source is another one",
        )
    source = workspace.source(it.source, f"{at}.source")
    carrying = Carrying(it.targets, it.segments)
    if it.segment is not None:
        if it.segment not in source.segments:
            raise NotFoundError(
                f"{it.source!r} has no segment {it.segment!r}", field=f"{at}.segment"
            )
        _carry_segments(workspace, source, [it.segment], differing=True)
        return []
    if it.flag is not None:
        keys = [workspace.edit(it.flag, at).key]
    else:
        live = workspace.live_flags()
        keys = [key for key in source.flags if key in live]
        _carry_segments(workspace, source, source.segments, differing=it.segments)
    for key in keys:
        if key not in source.flags:
            # Made since the source's newest revision was read: there is nothing to carry yet.
            raise NotFoundError(f"{it.source!r} has no flag {key!r}", field=f"{at}.flag")
        flag = workspace.edit(key, at)
        flag.state = promoted_state(source.flags[key], flag, carrying)
        named = [name for rule in flag.state["rules"] for name in segments_of(rule["when"])]
        _carry_segments(workspace, source, named, differing=it.segments)
    return keys


def promoted_state(source: Mapping[str, Any], flag: FlagCopy, carrying: Carrying) -> State:
    """Give the state that a flag has in the target afterwards."""
    state = copy.deepcopy(flag.state)
    for name in _CARRIED:
        state[name] = copy.deepcopy(source[name])
    if carrying.targets:
        state["targets"] = copy.deepcopy(source["targets"])
    state["rules"] = _rules(source["rules"], flag.state["rules"])
    return state


def _rules(source: Iterable[Mapping[str, Any]], target: list[Any]) -> list[Any]:
    here = {rule["id"]: rule for rule in target}
    staying = {rule["id"] for rule in target if rule.get("track")}
    rules = [
        _with_salt(copy.deepcopy(dict(rule)), here.get(rule["id"]))
        for rule in source
        if not rule.get("track") and rule["id"] not in staying
    ]
    for index, rule in enumerate(target):
        if rule.get("track"):
            rules.insert(min(index, len(rules)), copy.deepcopy(rule))
    return rules


def _with_salt(rule: dict[str, Any], here: Mapping[str, Any] | None) -> dict[str, Any]:
    if here is None or isinstance(rule["serve"], str) or isinstance(here["serve"], str):
        return rule
    split, old = rule["serve"]["split"], here["serve"]["split"]
    if all(same(split.get(name), old.get(name)) for name in _SAME_SPLIT):
        split["salt"] = old["salt"]
    return rule


def _carry_segments(
    workspace: Workspace, source: Source, keys: Iterable[str], *, differing: bool
) -> None:
    for key in _with_inner(source, keys):
        there, here = source.segments[key], workspace.note_segment(key)
        if here is None:
            if len(workspace.segments) >= MAX_SEGMENTS:
                raise InvalidInputError(
                    f"an environment has at most {MAX_SEGMENTS} segments", field="instructions"
                )
            name = source.names.get(key, "")
            workspace.segments[key] = SegmentCopy(key, name, copy.deepcopy(there))
        elif differing:
            here.condition = copy.deepcopy(there)


def _with_inner(source: Source, keys: Iterable[str]) -> Iterator[str]:
    """Give segments with those that their conditions name, each once."""
    waiting, seen = list(keys), set()
    while waiting:
        key = waiting.pop(0)
        if key in seen or key not in source.segments:
            continue
        seen.add(key)
        yield key
        waiting += sorted(segments_of(source.segments[key]))


def staying_words(
    source: Source,
    flag: FlagCopy,
    segments_differ: Iterable[str],
    *,
    carrying: Carrying,
    target_key: str,
) -> list[str]:
    """Say what a promotion of the flag leaves as it is, though it differs."""
    words = []
    there, source_key = source.flags[flag.key], source.environment_key
    if there["killed"] != flag.state["killed"]:
        where = target_key if flag.state["killed"] else source_key
        words.append(f"It is killed in {where} only: a promotion neither kills nor lifts a kill.")
    if not carrying.targets and not same(there["targets"], flag.state["targets"]):
        words.append("Units by name stay as they are: they are not carried unless asked for.")
    for place, rules in ((source_key, there["rules"]), (target_key, flag.state["rules"])):
        ids = [rule["id"] for rule in rules if rule.get("track")]
        if ids:
            word = "is not carried" if place == source_key else "stays"
            words.append(f"Recorded in {place}, and {word}: {', '.join(ids[:3])}.")
    named = [key for rule in there["rules"] for key in segments_of(rule["when"])]
    rests_on = set(_with_inner(source, named))
    stay = [key for key in segments_differ if key in rests_on]
    if stay and not carrying.segments:
        words.append(
            f"It rests on {', '.join(stay[:3])}, which differs in {target_key} and stays so."
        )
    return words
