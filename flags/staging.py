"""The rule "on there before here": what serves more in one environment was on in another first.

An environment may name another (``after``) and a number of hours. A change of it that is not proved
to be without effect or only to narrow is let through if everything that it newly serves has been
served, with the same value and to the same people, in the other environment for that long without
a break. Shares do not matter: who has it for everybody in staging may ramp it in production. Nor do
salts and units by name, which belong to their environment.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from flags.actor import Actor
from flags.affected import affected_flags
from flags.audit import append
from flags.canonical import same
from flags.conditions import segments_of
from flags.effects import MAX_FLAGS
from flags.errors import NotAllowedError, NotYetElsewhereError
from flags.instructions import Change
from flags.models import AuditEntry, Environment
from flags.movements import Movement
from flags.moving import before_of
from flags.revisions import load_flag_set
from flags.words import to_the_minute
from flagstone.engine import Verdict, classify

_HARMLESS = frozenset({Verdict.NO_OP, Verdict.ONLY_NARROWS})
_HOUR = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a flag may not change in an environment yet; ``allowed_at`` is when it may, if known."""

    environment: str
    after: str
    flag: str
    sentence: str
    hint: str
    allowed_at: dt.datetime | None

    def document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        at = self.allowed_at
        return {
            "rule": "after",
            "environment": self.environment,
            "after": self.after,
            "flag": self.flag,
            "sentence": self.sentence,
            "hint": self.hint,
            "allowed_at": None if at is None else at.isoformat().replace("+00:00", "Z"),
        }


@dataclass(frozen=True, slots=True)
class _Claim:
    """What is newly served: a variant with its value, to whom (``None``: to units by name)."""

    variant: str
    value: Any
    when: Any


def blocked_by(session: Session, movement: Movement, *, now: dt.datetime) -> list[Blocked]:
    """Say which flags must be on elsewhere first; nothing where the environment names no other."""
    environment = movement.environment
    if environment.after is None:
        return []
    first = session.exec(
        select(Environment).where(
            Environment.project_id == environment.project_id, Environment.key == environment.after
        )
    ).one_or_none()
    if first is None:
        return []
    segments = {key: segment.condition for key, segment in movement.segments.items()}
    found = []
    for key, before, after in _widened(movement):
        claims, needs = _claims(before, after, set(movement.segments_before), segments)
        if not claims and needs is None:
            continue
        since = _since(session, first, key, claims, needs, segments, now, environment.after_hours)
        blocked = _judged(environment, first.key, key, since, now)
        if blocked is not None:
            found.append(blocked)
    return found


def check_after(blocked: list[Blocked]) -> None:
    """Refuse a change that must be on elsewhere first.

    Raises
    ------
    NotYetElsewhereError
        With the first flag's sentence and hint.
    """
    if blocked:
        more = len(blocked) - 1
        others = f" (and {more} more)" if more else ""
        first = blocked[0]
        raise NotYetElsewhereError(
            first.sentence + others, field=f"flags.{first.flag}", hint=first.hint
        )


def overrule(
    session: Session,
    environment: Environment,
    change: Change,
    blocked: list[Blocked],
    *,
    allowed: bool,
    by: Actor,
    now: dt.datetime,
) -> None:
    """Refuse what is blocked, or write down who lets it through and why.

    Raises
    ------
    NotYetElsewhereError
        Without a reason to override the rule.
    NotAllowedError
        If there is a reason, and who gives it may not override.
    """
    if not blocked:
        return
    if not change.override.strip():
        check_after(blocked)
    if not allowed:
        raise NotAllowedError(
            "only an administrator applies this before it was on elsewhere",
            field="override",
            hint=blocked[0].sentence,
        )
    append(
        session,
        project_id=environment.project_id,
        environment_id=environment.id,
        actor=by,
        action="override_after",
        resource=f"environment:{environment.key}",
        after={"blocked_by": [each.document() for each in blocked]},
        comment=change.override,
        now=now,
    )


def _judged(
    environment: Environment, first: str, key: str, since: dt.datetime | None, now: dt.datetime
) -> Blocked | None:
    wanted = environment.after_hours * _HOUR
    if since is not None and now - since >= wanted:
        return None
    here, hours = environment.key, environment.after_hours
    long = f" for {hours} {'hour' if hours == 1 else 'hours'}" if hours else ""
    if since is None:
        sentence = f"{key} may serve more in {here} only after the same was on in {first}{long}"
        hint = f"set it so in {first} first, then promote it; an administrator may override"
        return Blocked(here, first, key, f"{sentence}; it is not on there like this", hint, None)
    so_far = int((now - since) / _HOUR)
    allowed = since + wanted
    sentence = f"{key} has been on like this in {first} for {so_far} of {hours} hours"
    hint = f"wait until {to_the_minute(allowed)}; an administrator may override"
    return Blocked(here, first, key, sentence, hint, allowed)


def _widened(
    movement: Movement,
) -> Iterator[tuple[str, Mapping[str, Any] | None, Mapping[str, Any]]]:
    """Give the flags that are not proved to serve the same or less, before and after."""
    before = before_of(
        movement.after, movement.before, movement.segments_before, movement.environment
    )
    changed, dependants = affected_flags(
        before, movement.after, movement.before, movement.segments_before
    )
    # Who only depends on a flag that changes is judged with that flag.
    reached = [*changed, *dependants] if movement.segments_before else changed
    proved = reached[:MAX_FLAGS]
    harmless = {
        each.flag
        for each in (classify(before, movement.after, flag_keys=proved) if proved else ())
        if each.verdict in _HARMLESS
    }
    for key in reached:
        document = movement.document(key)
        if document is not None and key not in harmless:
            yield key, movement.before.get(key, document), document


def _claims(
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
    changed: set[str],
    segments: Mapping[str, Any],
) -> tuple[list[_Claim], list[Any] | None]:
    """Give what the flag newly serves, and its prerequisites if those are newly asked for."""
    if not after["enabled"] or after["killed"]:
        return [], None
    served = before is not None and before["enabled"] and not before["killed"]
    old = before if served else None
    revalued = {
        name
        for name, variant in after["variants"].items()
        if old is not None and not same(old["variants"].get(name), variant)
    }
    rules_before = [] if old is None else old["rules"]
    left = [rule["id"] for rule in after["rules"]]
    ids = [rule["id"] for rule in rules_before]
    taken = old is None or [each for each in left if each in ids] != ids
    freed = old is not None and not same(old["prerequisites"], after["prerequisites"])
    claims: list[_Claim] = []

    def claim(variant: str | None, when: Any) -> None:
        # Whoever gets what everybody gets when it is off does not have the feature.
        if variant is None or variant == after["off"]:
            return
        if _is_on(after["variants"][variant]):
            claims.append(_Claim(variant, after["variants"][variant], when))

    known = {rule["id"]: rule for rule in rules_before}
    untouched = True
    for index, rule in enumerate(after["rules"]):
        untouched = untouched and index < len(ids) and same(rule, rules_before[index])
        new = (
            freed
            or not same(rule, known.get(rule["id"]))
            or (taken and not untouched)
            or bool(_inner(rule["when"], segments) & changed)
        )
        for variant in sorted(_variants(rule)):
            if new or variant in revalued:
                claim(variant, rule["when"])
    default = after["default"]
    if old is None or freed or taken or default != old["default"] or default in revalued:
        claim(default, True)
    for target in after["targets"]:
        names = [] if old is None else _keys_of(old["targets"], target)
        if freed or target["variant"] in revalued or set(target["keys"]) - set(names):
            claim(target["variant"], None)
    return claims, after["prerequisites"] if freed else None


def _keys_of(targets: Iterable[Mapping[str, Any]], like: Mapping[str, Any]) -> list[str]:
    return [
        key
        for target in targets
        if (target["variant"], target["by"]) == (like["variant"], like["by"])
        for key in target["keys"]
    ]


def _is_on(variant: Mapping[str, Any]) -> bool:
    return bool(variant.get("on", variant["value"] is not False))


def _variants(rule: Mapping[str, Any]) -> set[str]:
    serve = rule["serve"]
    if isinstance(serve, str):
        return {serve}
    split = serve["split"]
    found = {
        arm["variant"] for arm in split["to"] if any(start < end for start, end in arm["ranges"])
    }
    if split.get("missing", "skip") != "skip":
        found.add(split["missing"])
    return found


def _inner(condition: Any, segments: Mapping[str, Any]) -> set[str]:
    """Give the segments that a condition rests upon, through others too."""
    found: set[str] = set()
    waiting = list(segments_of(condition))
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += segments_of(segments[key]) if key in segments else []
    return found


def _since(
    session: Session,
    first: Environment,
    key: str,
    claims: list[_Claim],
    needs: list[Any] | None,
    segments: Mapping[str, Any],
    now: dt.datetime,
    hours: int,
) -> dt.datetime | None:
    """Give since when the other environment has served all that, without a break; None if not."""
    since: dt.datetime | None = None
    enough = now - hours * _HOUR
    for moment, document in _states(session, first, key):
        flag = document["flags"].get(key)
        starts = [_served_since(flag, document, each, segments, now) for each in claims]
        if flag is None or (needs is not None and not same(flag["prerequisites"], needs)):
            return since
        known = [each for each in starts if each is not None]
        if len(known) < len(starts):
            return since
        begun = max([moment, *known])
        if begun > moment:
            # A rule with a time of its own: before it, it served nobody.
            return begun
        since = moment
        if since <= enough:
            return since
    return since


def _states(
    session: Session, first: Environment, key: str
) -> Iterator[tuple[dt.datetime, Mapping[str, Any]]]:
    """Give the flag sets in which the flag or a segment changed, newest first, with their times."""
    entries = session.exec(
        select(col(AuditEntry.revision), sa.func.min(col(AuditEntry.at)))
        .where(
            AuditEntry.environment_id == first.id,
            col(AuditEntry.revision).is_not(None),
            sa.or_(
                col(AuditEntry.resource) == f"flag:{key}",
                col(AuditEntry.resource).startswith("segment:"),
            ),
        )
        .group_by(col(AuditEntry.revision))
        .order_by(col(AuditEntry.revision).desc())
    )
    assert first.id is not None
    for revision, at in entries.all():
        yield at, load_flag_set(session, first.id, revision)


def _served_since(
    flag: Mapping[str, Any] | None,
    document: Mapping[str, Any],
    claim: _Claim,
    segments: Mapping[str, Any],
    now: dt.datetime,
) -> dt.datetime | None:
    """Give from when on a state serves what is claimed, long ago if always; None if never."""
    always = dt.datetime.min.replace(tzinfo=dt.UTC)
    if flag is None or not flag["enabled"] or flag["killed"]:
        return None
    if not same(flag["variants"].get(claim.variant), claim.value):
        return None
    if flag["default"] == claim.variant:
        return always
    if claim.when is None and any(each["variant"] == claim.variant for each in flag["targets"]):
        return always
    starts = []
    for rule in flag["rules"]:
        if claim.variant not in _variants(rule):
            continue
        end = rule.get("end")
        if end is not None and dt.datetime.fromisoformat(end) <= now:
            continue
        if claim.when is None or _covers(rule["when"], claim.when, document["segments"], segments):
            start = rule.get("start")
            starts.append(always if start is None else dt.datetime.fromisoformat(start))
    found = min(starts, default=None)
    return None if found is not None and found > now else found


def _covers(
    there: Any, here: Any, segments_there: Mapping[str, Any], segments_here: Mapping[str, Any]
) -> bool:
    if there is True:
        return True
    return same(there, here) and all(
        same(segments_there.get(key), segments_here.get(key)) for key in _inner(here, segments_here)
    )
