"""The row of a change that waits: how it is read, locked, written and told to the audit.

What may be done to it, by whom, is in :mod:`flags.change_requests`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from flags.actor import Actor
from flags.audit import append
from flags.canonical import canonical_bytes, digest
from flags.changes import Change, ChangeResult, lock_for, parse_change
from flags.effects import Effect
from flags.errors import InvalidInputError, NotFoundError, StateError, VersionConflictError
from flags.models import ChangeRequest, Environment
from flags.revisions import lock_environment
from flags.services import get_environment_by_id, get_project
from flags.telling import tell_of_step

OPEN, APPROVED, APPLIED = "open", "approved", "applied"
DECLINED, WITHDRAWN = "declined", "withdrawn"
STALE, FAILED, MISSED = "stale", "failed", "missed"
STATES = (OPEN, APPROVED, APPLIED, DECLINED, WITHDRAWN, STALE, FAILED, MISSED)
WAITING = (OPEN, APPROVED)
# So many changes that wait for an earlier time are taken into account.
MOST_EARLIER = 100
# An edit opens these again; the other three are over.
EDITABLE = (OPEN, APPROVED, STALE, FAILED, MISSED)


@dataclass(frozen=True, slots=True)
class Writing:
    """Who writes: the actor, and for a program's key the person who made that key."""

    actor: Actor
    behind: str = ""

    def names(self) -> set[str]:
        """Give everybody who may not approve what is written now."""
        return {str(self.actor), self.behind} - {""}

    def person(self) -> str | None:
        """Give the person who acts, maybe through a key; ``None`` if nobody is known."""
        name = str(self.actor) if self.actor.kind == "user" else self.behind
        return name if name.startswith("user:") else None


def get(session: Session, project_key: str, request_id: int) -> ChangeRequest:
    """Give one change of a project."""
    project = get_project(session, project_key)
    request = session.get(ChangeRequest, request_id)
    if request is None or request.project_id != project.id:
        raise NotFoundError(f"there is no change {request_id}")
    return request


def find(
    session: Session,
    project_key: str,
    *,
    environment_id: int | None = None,
    states: Collection[str] = (),
    flag_key: str | None = None,
    where: Collection[sa.ColumnElement[bool]] = (),
    touches: Callable[[Mapping[str, Any]], bool] | None = None,
    before_id: int | None = None,
    limit: int = 50,
) -> list[ChangeRequest]:
    """Give changes, newest first.

    Parameters
    ----------
    flag_key : str, optional
        Only those that touch that flag.
    where, touches
        What a filter says of them (:mod:`flags.request_search`).
    """
    project = get_project(session, project_key)
    query = select(ChangeRequest).where(ChangeRequest.project_id == project.id)
    if environment_id is not None:
        query = query.where(ChangeRequest.environment_id == environment_id)
    if states:
        query = query.where(col(ChangeRequest.state).in_(states))
    if before_id is not None:
        query = query.where(col(ChangeRequest.id) < before_id)
    query = query.order_by(col(ChangeRequest.id).desc())
    query = query.where(*where)
    if flag_key is None and touches is None:
        return list(session.exec(query.limit(limit)))
    found = []
    for request in session.exec(query):
        flags = request.definitions["flags"]
        if (flag_key is None or flag_key in flags) and (touches is None or touches(flags)):
            found.append(request)
        if len(found) == limit:
            break
    return found


def earlier(
    session: Session, environment: Environment, at: dt.datetime | None, request_id: int | None
) -> list[ChangeRequest]:
    """Give the changes that wait for a time before ``at``, in their order.

    Parameters
    ----------
    request_id : int or None
        The change that asks, itself left out; of several at one time the smaller number comes first
        (``None``: not written yet).
    """
    if at is None:
        return []
    same_time = col(ChangeRequest.at) == at
    if request_id is not None:
        same_time = sa.and_(same_time, col(ChangeRequest.id) < request_id)
    query = (
        select(ChangeRequest)
        .where(
            ChangeRequest.environment_id == environment.id,
            col(ChangeRequest.state).in_(WAITING),
            sa.or_(col(ChangeRequest.at) < at, same_time),
        )
        .order_by(col(ChangeRequest.at), col(ChangeRequest.id))
        .limit(MOST_EARLIER)
    )
    found = session.exec(query)
    return [each for each in found if each.id != request_id]


def change_of(request: ChangeRequest, environment: Environment) -> Change:
    """Give the change that a request keeps."""
    mode = "request" if request.asks else "schedule"
    return parse_change({**document_of(request, environment), "mode": mode})


def end(
    session: Session,
    request: ChangeRequest,
    state: str,
    action: str,
    actor: Actor,
    now: dt.datetime,
    *,
    reason: str = "",
    **told: Any,
) -> ChangeRequest:
    """Write how a change ended, and audit it."""
    before = standing(request)
    request.state = state
    at = now.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    request.outcome = {"by": str(actor), "at": at, "reason": reason, **told}
    revision = told.get("revision")
    return moved(session, request, action, actor, before, now, reason, revision=revision)


def lock_again(
    session: Session, project_key: str, request: ChangeRequest, *, whole: bool
) -> ChangeRequest:
    """Take the locks that a change needs (``whole``: to apply it), and read it again."""
    environment = get_environment_by_id(session, request.environment_id)
    if whole:
        lock_for(session, project_key, environment.key, change_of(request, environment))
    else:
        lock_environment(session, project_key, environment.key)
    session.refresh(request)
    return request


def locked(
    session: Session,
    project_key: str,
    request_id: int,
    states: Collection[str],
    expected_version: int | None,
    *,
    whole: bool = False,
) -> ChangeRequest:
    """Lock a change's environment (``whole``: all that it changes) and read it, or refuse.

    Raises
    ------
    VersionConflictError
        If it moved since the caller read it.
    StateError
        If it is in none of the ``states``.
    """
    request = get(session, project_key, request_id)
    before = request.version
    request = lock_again(session, project_key, request, whole=whole)
    if whole and request.version != before:
        # The locks were chosen by what it said before.
        raise VersionConflictError(
            f"change {request_id} was edited at the same time", hint="read it again"
        )
    if expected_version is not None and request.version != expected_version:
        raise VersionConflictError(
            f"change {request_id} is at version {request.version}, "
            f"and not at {expected_version} any more",
            hint="read it again, and decide anew",
        )
    if request.state not in states:
        raise StateError(
            f"change {request_id} is {request.state}", hint="ask for it anew with a new change"
        )
    return request


def document_of(request: ChangeRequest, environment: Environment) -> dict[str, Any]:
    """Give a change as its author would send it, without its mode."""
    at = request.at
    return {
        "environment": environment.key,
        "comment": request.comment,
        "instructions": request.instructions,
        **({} if at is None else {"at": at.astimezone(dt.UTC).isoformat()}),
    }


def write(
    request: ChangeRequest,
    environment: Environment,
    change: Change,
    preview: ChangeResult,
    by: Writing,
    now: dt.datetime,
) -> None:
    """Put a change into its row, with its preview; whoever approved it must do so again."""
    at = None if change.at is None else dt.datetime.fromisoformat(change.at)
    _check_time(at, now)
    # At its time an instruction may well find something to do: off at noon what goes on at nine.
    if not preview.changed and request.asks:
        raise InvalidInputError(
            "this change changes nothing", field="instructions", hint="it is so already"
        )
    request.instructions = [
        # What was not said stays unsaid: it may mean something else one day.
        each.model_dump(mode="json", exclude_unset=True)
        for each in change.instructions
    ]
    request.comment = change.comment
    request.at = at
    request.content_hash = _content_hash(environment.key, request.instructions, change.at)
    request.base_revision = preview.revision_number
    request.preview = _preview(preview)
    request.definitions = preview.definitions
    request.writers = sorted({*request.writers, *by.names()})
    request.approvals = []
    request.outcome = None
    request.state = OPEN if max(request.asks, preview.approvals_needed) else APPROVED


def _content_hash(environment_key: str, instructions: list[dict[str, Any]], at: str | None) -> str:
    content = {"environment": environment_key, "instructions": instructions}
    return digest(canonical_bytes(content if at is None else {**content, "at": at}))


def _preview(result: ChangeResult) -> dict[str, Any]:
    return {
        "sentence": result.sentence,
        "approvals_needed": result.approvals_needed,
        "before": result.before,
        "after": result.after,
        "segments_before": result.segments_before,
        "segments_after": result.segments_after,
        **({} if result.effect is None else _effect(result.effect)),
    }


def _effect(effect: Effect) -> dict[str, Any]:
    # The examples are of people, and not to be kept longer than the sample that they come from.
    told = effect.document()
    return {name: told[name] for name in ("verdict", "verdict_sentence") if name in told}


def _check_time(at: dt.datetime | None, now: dt.datetime) -> None:
    if at is not None and at <= now:
        raise InvalidInputError(
            "the time of this change is over", field="at", hint="give a time in the future"
        )


def standing(request: ChangeRequest) -> dict[str, Any]:
    """Give what the audit tells of a change."""
    return {
        "state": request.state,
        "content_hash": request.content_hash,
        "approvals": [each["by"] for each in request.approvals],
    }


def moved(
    session: Session,
    request: ChangeRequest,
    action: str,
    actor: Actor,
    before: dict[str, Any],
    now: dt.datetime,
    comment: str,
    *,
    revision: int | None = None,
) -> ChangeRequest:
    """Write a row that took a step, and audit the step."""
    request.changed_at = now
    session.add(request)
    session.flush()
    record(session, request, action, actor, before, now, comment, revision=revision)
    return request


def record(
    session: Session,
    request: ChangeRequest,
    action: str,
    actor: Actor,
    before: dict[str, Any] | None,
    now: dt.datetime,
    comment: str,
    *,
    revision: int | None = None,
) -> None:
    """Audit a step; ``before`` is :func:`standing` as it was."""
    append(
        session,
        project_id=request.project_id,
        environment_id=request.environment_id,
        actor=actor,
        action=action,
        resource=f"change:{request.id}",
        before=before,
        after=standing(request),
        comment=comment,
        revision=revision,
        now=now,
    )
    tell_of_step(session, request, action, actor, comment, now)
