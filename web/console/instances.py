"""Instances: who is on which revision, and what would be served if we vanished."""

from __future__ import annotations

import json
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue

from flags.effect_words import interval, percent
from flags.instances import STATES, list_instances
from flags.outage import FlagOutage, Outage, preview_outage
from flags.receipts import receipt_of
from web.auth.guard import needs
from web.auth.ofrep_callers import ofrep_callers
from web.auth.roles import Role
from web.console.base import blueprint, place, show, unchanged, version_of, wants_fragment
from web.transactions import now, our_address, reading

PAGE = 100
MAX_FLAGS = 50
MAX_CALLERS = 5
_MAX_VALUE = 40
_TONES = {"current": "good", "behind": "attention", "without_flags": "bad", "silent": "neutral"}
_WORDS = {"without_flags": "callers’ defaults"}


@blueprint.get("/projects/<project_key>/environments/<environment_key>/instances")
@needs(Role.VIEWER)
def show_instances(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List SDK clients with the revision that each serves, and what an outage would change."""
    state = request.args.get("state")
    state = state if state in STATES else None
    after = request.args.get("after", "")[:36] or None
    with reading() as session:
        environment = place(session, project_key, environment_key)
        found = list_instances(
            session,
            project_key,
            environment_key,
            now=now(),
            state=state,
            before_id=after,
            limit=PAGE,
        )
        # A part that is drawn anew takes the keyboard's place away: only where there is news.
        callers = ofrep_callers(session, environment.id or 0, now=now())
        version = version_of(found.revision, *found.counts.values(), len(callers))
        if unchanged(version):
            return "", 204
        receipt = receipt_of(session, environment.id or 0, found.revision, now=now())
        outage = None
        if not wants_fragment():
            outage = preview_outage(session, project_key, environment_key, now=now())
    values: dict[str, Any] = {
        "found": found,
        "heard": sum(found.counts.values()),
        "receipt": receipt,
        "callers": callers[:MAX_CALLERS],
        "more_callers": max(0, len(callers) - MAX_CALLERS),
        "version": version,
        "fragment": wants_fragment(),
        "state": state,
        "after": after,
        "last": found.items[-1].id if found.more else None,
        "tones": _TONES,
        "words": _WORDS,
        "base": our_address(),
        "project_key": project_key,
        "environment_key": environment_key,
    }
    if outage is None:
        return show("instances/_body.html", **values)
    return show("instances/page.html", **values, outage=outage, **_shown(outage))


def _shown(outage: Outage) -> dict[str, Any]:
    rows = [_row(each) for each in outage.flags[:MAX_FLAGS]]
    return {"rows": rows, "more_flags": max(0, len(outage.flags) - MAX_FLAGS)}


def _row(each: FlagOutage) -> dict[str, Any]:
    notes = []
    if each.flag_type is None:
        notes.append("no such flag: callers get their default already")
    elif each.asked_as_another_type:
        notes.append(f"asked as another type than {each.flag_type}")
    if each.disagree:
        notes.append("callers disagree")
    size = sum(count for _, count in each.served)
    return {
        "flag": each.flag,
        "exists": each.flag_type is not None,
        "served": [
            f"{_value(value)} ({percent(count / size)})" if len(each.served) > 1 else _value(value)
            for value, count in each.served
        ],
        "defaults": [
            (_value(default.value) if default.told else "too long to tell")
            + (f" ({default.instances})" if each.disagree else "")
            for default in each.defaults
        ],
        "flips": None if each.flips is None else percent(each.flips.share),
        "interval": None if each.flips is None else interval(each.flips),
        "none": each.flips is not None and not each.flips.count,
        "note": "; ".join(notes),
    }


def _value(value: Any) -> str:
    text = "the caller’s default" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"
