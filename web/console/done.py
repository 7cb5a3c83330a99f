"""After a change: where one comes back to, and how that page confirms what was done.

The confirmation is the history entry itself, named by ``?done=<revision>`` and shown to who made
it, for a minute. Nothing that stands in an address is ever shown as a message.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue
from sqlmodel import Session, col

from flags.audit import entries
from flags.models import AuditEntry, Environment
from flags.receipts import Receipt, receipt_of
from web.auth.guard import current_caller
from web.console.base import LARGEST_NUMBER, back_to
from web.transactions import now

FROM_THE_LIST = "list"
_SHOWN_FOR = dt.timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Kill:
    """A kill out of the list, as the list confirms it; ``flag_key`` is whom it hit."""

    flag_key: str
    entry: AuditEntry
    receipt: Receipt


def page_after(
    project_key: str, environment_key: str, flag_key: str, form: dict[str, str], done: int
) -> ResponseReturnValue:
    """Lead to the page that a change came from: its flag, or the list as it was filtered."""
    here: dict[str, Any] = {
        "project_key": project_key,
        "environment_key": environment_key,
        "done": done,
    }
    if form.get("from") == FROM_THE_LIST:
        kept: dict[str, Any] = {name: form[name] for name in ("filter", "after") if form.get(name)}
        return back_to(url_for("console.list_flags", **here, **kept))
    return back_to(url_for("console.show_flag", flag_key=flag_key, **here))


def just_done(history: Sequence[AuditEntry]) -> AuditEntry | bool | None:
    """Give what the caller has just done: an entry, False if it changed nothing, or None."""
    done = request.args.get("done", type=int)
    if done == 0:
        return False
    newest = history[0] if history else None
    if done is None or newest is None or newest.revision != done:
        return None
    mine = newest.actor == str(current_caller().actor)
    return newest if mine and now() - newest.at < _SHOWN_FOR else None


def just_killed(session: Session, environment: Environment) -> Kill | None:
    """Give the kill that the caller has just asked the list for."""
    done = request.args.get("done", type=int)
    if done is None or not 0 < done <= LARGEST_NUMBER:
        return None
    made = entries(
        session,
        environment.project_id,
        environment_id=environment.id,
        where=(col(AuditEntry.revision) == done, col(AuditEntry.action) == "kill"),
        limit=1,
    )
    entry = just_done(made)
    if not isinstance(entry, AuditEntry):
        return None
    receipt = receipt_of(session, environment.id or 0, done, now=now())
    return Kill(entry.resource.partition(":")[2], entry, receipt)
