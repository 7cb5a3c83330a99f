"""What was done to flags and to changes that wait, as a notice tells it, in plain words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session

from flags import notices
from flags.actor import Actor
from flags.diff import differences
from flags.instructions import Change
from flags.models import ChangeRequest, Environment
from flags.sentence import describe
from flags.words import join, to_the_minute

_SHOWN = 20
_NAMED = 3
_FIELD_BYTES = 2000
_DONE = {
    "turn_on": "turned on",
    "turn_off": "turned off",
    "kill": "killed",
    "unkill": "lifted the kill of",
    "archive": "archived",
    "restore": "restored",
    "revert_to": "took back to an earlier state",
    "undo": "undid a change of",
    "promote": "promoted",
    "set_coverage": "changed how many get",
}
_STEPS = {
    "request_change": ("approval.requested", "asks to approve"),
    "edit_change": ("approval.requested", "edited, and asks to approve,"),
    "approve_change": ("approval.given", "approved"),
    "decline_change": ("approval.declined", "declined"),
    "withdraw_change": ("approval.declined", "withdrew"),
    "apply_change": ("approval.applied", "applied"),
    "stale_change": ("approval.applied", "did not apply"),
    "fail_change": ("schedule.failed", "could not apply"),
    "miss_change": ("schedule.failed", "did not apply"),
}
_ENDINGS = {"apply_change", "stale_change", "fail_change", "miss_change"}

Documents = Mapping[str, dict[str, Any] | None]


def tell_of_change(
    session: Session,
    environment: Environment,
    change: Change,
    *,
    before: Documents,
    after: Documents,
    segments: Sequence[str],
    published: Mapping[str, int],
    actor: Actor,
    now: dt.datetime,
) -> None:
    """Write the notice of a change that was applied.

    Parameters
    ----------
    before, after : mapping
        The published flags that differ, by key.
    published : mapping
        The revisions that it made, by environment; an environment beside the main one is in it if
        the change is one of what flags are everywhere.
    """
    done = {each.do for each in change.instructions}
    killed = [
        key
        for key, flag in after.items()
        if flag is not None and flag["killed"] and not (before[key] or {}).get("killed")
    ]
    others = [key for key in published if key != environment.key]
    verb = _DONE.get(done.pop(), "changed") if len(done) == 1 else "changed"
    told = _words(after, environment.key)
    sentence = f"{notices.who(actor)} {verb} {_names(after, segments)} in {environment.key}"
    if others:
        sentence += f", and in {join(others, 'and')}"
    if len(told) == 1:
        sentence += f". {next(iter(told.values()))}"
    notices.write(
        session,
        "flag.killed" if killed else "flag.changed",
        sentence if sentence.endswith(".") else f"{sentence}.",
        project_id=environment.project_id,
        environments=[environment.key, *others],
        actor=actor,
        resource=_resource(after, segments, environment),
        reason=change.comment,
        facts={
            "did": sorted({each.do for each in change.instructions}),
            "revision": published.get(environment.key),
            "flags": _flags(before, after, environment.key),
            "more_flags": max(0, len(after) - _SHOWN),
            "segments": list(segments),
        },
        now=now,
    )


def tell_of_step(
    session: Session,
    request: ChangeRequest,
    action: str,
    actor: Actor,
    comment: str,
    now: dt.datetime,
) -> None:
    """Write the notice of what became of a change that waits."""
    kind, verb = _STEPS.get(action, ("approval.applied", action.replace("_", " ")))
    timed = request.at is not None
    needed = max(request.asks, request.preview["approvals_needed"])
    if action in {"request_change", "edit_change"} and not needed:
        kind, verb = "schedule.set", "gave a time to"
    if action in _ENDINGS and timed:
        kind = "schedule.applied" if action == "apply_change" else "schedule.failed"
    environment = session.get_one(Environment, request.environment_id)
    when = f", for {to_the_minute(request.at)}" if request.at is not None else ""
    given = f" ({len(request.approvals)} of {needed})" if action == "approve_change" else ""
    why = f" Because: {comment}." if action in _ENDINGS and comment else ""
    notices.write(
        session,
        kind,
        f"{notices.who(actor)} {verb} change {request.id} in {environment.key}{when}{given}.{why} "
        f"{request.preview['sentence']}",
        project_id=request.project_id,
        environments=[environment.key],
        actor=actor,
        resource=f"change:{request.id}",
        reason=comment,
        facts={
            "did": [action],
            "change": request.id,
            "state": request.state,
            "author": request.author,
            "approvals": len(request.approvals),
            "approvals_needed": needed,
            "at": None if request.at is None else request.at.isoformat(),
        },
        now=now,
    )


def _words(flags: Documents, environment: str) -> dict[str, str]:
    return {
        key: "It is archived." if flag is None else describe(flag, environment=environment)
        for key, flag in list(flags.items())[:_SHOWN]
    }


def _names(flags: Documents, segments: Sequence[str]) -> str:
    names = [*flags, *(f"segment {key}" for key in segments)]
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    return join(names, "and")


def _resource(flags: Documents, segments: Sequence[str], environment: Environment) -> str:
    if len(flags) == 1:
        return f"flag:{next(iter(flags))}"
    if not flags and len(segments) == 1:
        return f"segment:{segments[0]}"
    return f"environment:{environment.key}"


def _flags(before: Documents, after: Documents, environment: str) -> list[dict[str, Any]]:
    words_before, words_after = _words(before, environment), _words(after, environment)
    return [
        {
            "key": key,
            "before": words_before[key],
            "after": words,
            "fields": _fields(before[key] or {}, after[key] or {}),
        }
        for key, words in words_after.items()
    ]


def _fields(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Give the fields that differ, but for those too large to be read in a message."""
    old, new = differences(before, after)
    names = [name for name in dict.fromkeys([*old, *new]) if name != "version"]
    fields = {name: {"before": old.get(name), "after": new.get(name)} for name in names}
    return {name: each for name, each in fields.items() if len(str(each)) <= _FIELD_BYTES}
