"""What is to become of a flag: one pure function from facts to a verdict in plain words.

A flag that everybody gets the same of is code that waits to be removed. The verdict names what
speaks for it and what is in the way; it never does anything by itself.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flags.words import join

TEMPORARY, PERMANENT = "temporary", "permanent"
KINDS = (TEMPORARY, PERMANENT)

ARCHIVED = "archived"
WAITS = "waits"
KILLED = "killed"
EXPIRED = "expired"
MOVING = "moving"
STALE = "stale"
SAFE_TO_REMOVE = "safe_to_remove"
NEW = "new"
VERDICTS = (SAFE_TO_REMOVE, EXPIRED, STALE, KILLED, WAITS, MOVING, NEW, PERMANENT, ARCHIVED)
# What asks somebody to do something.
NUDGES = frozenset({SAFE_TO_REMOVE, EXPIRED, STALE, KILLED})

SETTLED_AFTER = dt.timedelta(days=14)
STALE_AFTER = dt.timedelta(days=30)
KILLED_TOO_LONG = dt.timedelta(days=1)
_LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True)
class Place:
    """A flag in one environment; ``constant`` is the variant that everybody gets, if they do."""

    environment: str
    production: bool
    state_word: str
    constant: str | None
    killed: bool
    since: dt.datetime
    touched: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a flag.

    ``under`` names experiments and releases that run on it, ``waiting`` the changes of it that
    wait, ``dependants`` the flags and segments that ask about it. ``callers`` is how many
    instances still ask for it: None if nobody knows; ``evaluated_at`` when it was last seen asked.
    """

    key: str
    kind: str
    archived: bool
    owner: str
    expires: dt.datetime | None
    created_at: dt.datetime
    variants: Mapping[str, Any]
    places: tuple[Place, ...]
    dependants: tuple[str, ...] = ()
    under: tuple[str, ...] = ()
    waiting: tuple[int, ...] = ()
    callers: int | None = None
    evaluated_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A verdict, and what it rests upon; ``value`` goes into the code in the flag's place."""

    verdict: str
    sentence: str
    nudge: bool
    days: int
    variant: str | None = None
    value: Any = None
    dependants: tuple[str, ...] = ()
    callers: int | None = None
    evaluated_at: dt.datetime | None = None

    def document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "nudge": self.nudge,
            "days": self.days,
            "variant": self.variant,
            "value": self.value,
            "dependants": list(self.dependants),
            "callers": self.callers,
            "evaluated_at": self.evaluated_at,
        }


def lifecycle_of(facts: Facts, now: dt.datetime) -> Lifecycle:
    """Say what is to become of a flag."""
    # Where it counts: a staging that moves every day says nothing about customers.
    places = [each for each in facts.places if each.production] or list(facts.places)
    over = facts.expires is not None and facts.expires <= now
    verdict, sentence, variant = (
        _set_aside(facts, places, now, over=over)
        or _settled(facts, places, now, over=over)
        or _unsettled(facts, places, now, over=over)
    )
    if verdict in NUDGES and not facts.owner:
        sentence += " It has no owner."
    return Lifecycle(
        verdict=verdict,
        sentence=sentence,
        nudge=verdict in NUDGES,
        days=min(((now - each.since).days for each in places), default=0),
        variant=variant,
        value=None if variant is None else _value(facts, variant),
        dependants=facts.dependants,
        callers=facts.callers,
        evaluated_at=facts.evaluated_at,
    )


_Told = tuple[str, str, str | None]


def _set_aside(facts: Facts, places: list[Place], now: dt.datetime, *, over: bool) -> _Told | None:
    """Judge what need not be looked at more closely."""
    if facts.archived:
        return ARCHIVED, "Archived: no environment serves it.", None
    if facts.kind == PERMANENT and not over:
        return PERMANENT, "Permanent: it is meant to stay.", None
    if facts.under or facts.waiting:
        named = [*facts.under, *(f"change {number}" for number in facts.waiting)]
        return WAITS, f"Waits for {join(named[:3], 'and')}.", None
    for each in places:
        if each.killed and now - each.since >= KILLED_TOO_LONG:
            long = _days((now - each.since).days)
            words = f"Killed in {each.environment} for {long}: lift the kill, or turn it off."
            return KILLED, words, None
    if not any(each.touched for each in facts.places):
        age = now - facts.created_at
        if age < STALE_AFTER and not over:
            return NEW, "New: it was not turned on yet.", None
        return STALE, f"Stale: never turned on in the {_days(age.days)} since it was made.", None
    if not any(each.touched for each in places):
        return _before_production(facts, now, over=over)
    return None


def _before_production(facts: Facts, now: dt.datetime, *, over: bool) -> _Told:
    """Judge a flag that is tried out elsewhere, and was never touched where it counts."""
    tried = [each for each in facts.places if each.touched]
    states = join([f"{each.state_word} in {each.environment}" for each in tried[:3]], "and")
    since = now - max(each.since for each in tried)
    if over:
        words = f"{_expired(facts, now)}It is {states}, and never came to production."
        return EXPIRED, words, None
    if since >= STALE_AFTER:
        words = f"Stale: {states} for {_days(since.days)}, and never came to production."
        return STALE, words, None
    return MOVING, f"Not in production yet: {states}.", None


def _settled(facts: Facts, places: list[Place], now: dt.datetime, *, over: bool) -> _Told | None:
    """Judge a flag of which everybody gets the same, everywhere that counts."""
    found = {each.constant for each in places}
    variant = next(iter(found), None)
    if len(found) != 1 or variant is None or any(each.killed for each in places):
        return None
    since = max(each.since for each in places)
    value = _shown(_value(facts, variant))
    so = f"100 % {value} for {_days((now - since).days)}"
    begun = _expired(facts, now) if over else ""
    if facts.dependants:
        count = len(facts.dependants)
        asked = f"{count} {'dependant' if count == 1 else 'dependants'}"
        words = f"{begun}Waits for {asked}: {join(facts.dependants[:3], 'and')}; {so}."
        return EXPIRED if over else WAITS, words, variant
    if now - since < SETTLED_AFTER and not over:
        return MOVING, f"Still moving: {so}.", variant
    asks = _asks(facts, now)
    words = f"{begun}Safe to remove: {so}, 0 dependants, {asks}, forward value `{value}`."
    return SAFE_TO_REMOVE, words, variant


def _unsettled(facts: Facts, places: list[Place], now: dt.datetime, *, over: bool) -> _Told:
    states = join([f"{each.state_word} in {each.environment}" for each in places[:3]], "and")
    since = now - max((each.since for each in places), default=now)
    if over:
        words = f"{_expired(facts, now)}It is {states}: finish it, or give it more time."
        return EXPIRED, words, None
    if since >= STALE_AFTER:
        words = f"Stale: {states} for {_days(since.days)}; finish it or turn back."
        return STALE, words, None
    return MOVING, f"Still moving: {states}, changed {_days(since.days)} ago.", None


def _expired(facts: Facts, now: dt.datetime) -> str:
    assert facts.expires is not None
    return f"Expired {_days((now - facts.expires).days)} ago. "


def _asks(facts: Facts, now: dt.datetime) -> str:
    """Say whether anybody still asks for the flag."""
    if facts.callers:
        one = facts.callers == 1
        return f"{facts.callers} {'instance still asks' if one else 'instances still ask'} for it"
    last = ""
    if facts.evaluated_at is not None:
        last = f"last evaluated {_days((now - facts.evaluated_at).days)} ago"
    if facts.callers == 0:
        return f"no instance asks for it{f' ({last})' if last else ''}"
    return last or "whether code still asks for it is not known"


def _value(facts: Facts, variant: str) -> Any:
    return facts.variants[variant]["value"] if variant in facts.variants else None


def constant_variant(document: Mapping[str, Any]) -> str | None:
    """Give the variant that everybody gets whatever they are; None if it depends, or is nobody's.

    Parameters
    ----------
    document : mapping
        The flag as it is published.
    """
    if document["killed"] or not document["enabled"]:
        off: str | None = document["off"]
        return off
    if document["prerequisites"]:
        return None
    served = {target["variant"] for target in document["targets"]}
    for rule in document["rules"]:
        variants, whole = _served(rule)
        served |= variants
        if whole and rule["when"] is True and not rule.get("start") and not rule.get("end"):
            break
    else:
        served.add(document["default"])
    return served.pop() if len(served) == 1 else None


def _served(rule: Mapping[str, Any]) -> tuple[set[str], bool]:
    serve = rule["serve"]
    if isinstance(serve, str):
        return {serve}, True
    split = serve["split"]
    sizes: dict[str, int] = {}
    for arm in split["to"]:
        size = sum(end - start for start, end in arm["ranges"])
        sizes[arm["variant"]] = sizes.get(arm["variant"], 0) + size
    named = {variant for variant, size in sizes.items() if size}
    # Without a unit a split is skipped, or serves the variant that it names.
    missing = split.get("missing", "skip")
    whole = sum(sizes.values()) >= split["of"] and missing != "skip"
    return named | ({missing} if missing != "skip" else set()), whole


def was_touched(document: Mapping[str, Any]) -> bool:
    """Tell whether anybody has done more with a flag than to make it."""
    return bool(document["enabled"] or document["killed"] or document["version"] > 1)


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{max(count, 0)} days"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
