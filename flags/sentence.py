"""What a flag does, in plain words: the first thing that anybody reads about it.

``In production, 25 % of users get new; everyone else gets control.``
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from flags.words import describe_condition, join, moment, percent, unit_word

_MAX_NAMED_UNITS = 3
_MAX_RULES = 6

CALLERS_DEFAULT = "the caller's default"


def describe(flag_document: Mapping[str, Any], *, environment: str) -> str:
    """Give one sentence about a flag as it is published in an environment."""
    start = f"In {environment},"
    off = _served(flag_document["off"])
    if flag_document["killed"]:
        return f"{start} the flag is killed: everyone gets {off}."
    if not flag_document["enabled"]:
        return f"{start} the flag is off: everyone gets {off}."
    parts = [_target_words(target) for target in flag_document["targets"]]
    parts, complete = _rule_parts(flag_document["rules"], parts)
    if not complete:
        who = "everyone else" if parts else "everyone"
        parts.append(f"{who} gets {_served(flag_document['default'])}")
    words = "; ".join(parts)
    if flag_document["prerequisites"]:
        needs = join([_prerequisite_words(each) for each in flag_document["prerequisites"]], "and")
        return f"{start} if {needs}: {words}. Otherwise everyone gets {off}."
    return f"{start} {words}."


def state_word(flag_document: Mapping[str, Any]) -> str:
    """Give a flag's state in a word or two, for a list: ``killed``, ``off``, ``25 %``, ``on``."""
    if flag_document["killed"]:
        return "killed"
    if not flag_document["enabled"]:
        return "off"
    shares = [
        _covered(rule["serve"]["split"])
        for rule in flag_document["rules"]
        if isinstance(rule["serve"], dict)
    ]
    if len(shares) == 1 and shares[0] < 1:
        return percent(shares[0])
    return "on"


def _served(variant: str | None) -> str:
    return CALLERS_DEFAULT if variant is None else variant


def _prerequisite_words(prerequisite: Mapping[str, Any]) -> str:
    return f"{prerequisite['flag']} serves {join(prerequisite['variants'], 'or')}"


def _target_words(target: Mapping[str, Any]) -> str:
    keys = target["keys"]
    units = unit_word(target.get("by", "targetingKey"))
    if len(keys) > _MAX_NAMED_UNITS:
        words = f"{len(keys):,} named {units} get {target['variant']}"
    else:
        verb = "gets" if len(keys) == 1 else "get"
        words = f"{join(keys, 'and')} {verb} {target['variant']}"
    return words + (f" until {_moment(target['until'])}" if target.get("until") else "")


def _rule_parts(rules: list[Mapping[str, Any]], parts: list[str]) -> tuple[list[str], bool]:
    """Give the rules in words, and whether they leave nobody over."""
    for index, rule in enumerate(rules):
        if index == _MAX_RULES:
            count = len(rules) - index
            parts.append(f"{count} more {'rule decides' if count == 1 else 'rules decide'}")
            break
        timed = "".join(
            f" {word} {_moment(rule[name])}"
            for name, word in (("start", "from"), ("end", "until"))
            if rule.get(name)
        )
        everybody = rule["when"] is True
        serve = rule["serve"]
        if isinstance(serve, str):
            if everybody:
                words = f"everyone{' else' if parts else ''} gets {serve}"
            else:
                words = f"users {describe_condition(rule['when'])} get {serve}"
            whole = True
        else:
            words, whole = _split_words(serve["split"], rule["when"])
        parts.append(words + timed)
        if everybody and whole and not timed:
            return parts, True
    return parts, False


def _split_words(split: Mapping[str, Any], when: Any) -> tuple[str, bool]:
    who = unit_word(split.get("by", "targetingKey"))
    if when is not True:
        who += f" {describe_condition(when)}"
    shares = [(_share(arm["ranges"], split["of"]), arm["variant"]) for arm in split["to"]]
    first, variant = shares[0]
    words = [f"{percent(first)} of {who} get {variant}"]
    words += [f"{percent(share)} get {name}" for share, name in shares[1:]]
    return join(words, "and"), _covered(split) >= 1


def _share(ranges: list[list[int]], of: int) -> float:
    return sum(end - start for start, end in ranges) / of


def _covered(split: Mapping[str, Any]) -> float:
    return sum(_share(arm["ranges"], split["of"]) for arm in split["to"])


def _moment(text: str) -> str:
    """Give an instant without the parts that say nothing."""
    at = dt.datetime.fromisoformat(text).replace(microsecond=0)
    words = moment(at if at.tzinfo else at.replace(tzinfo=dt.UTC))
    return words.removesuffix(", 00:00 UTC")
