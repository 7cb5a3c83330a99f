"""Changes that wait: asked for, edited, approved by others, then applied, declined or withdrawn.

An approval is of one content hash, by somebody who wrote none of it; an edit voids every approval.
What was approved is applied with the outcome that was approved, or not (:mod:`flags.definitions`).
A change with a time is previewed and approved as of when those with an earlier time will have been
made: 25 % at nine and 50 % at ten may both be approved today.
Every step is audited in the environment's chain, and done in the caller's transaction under the
environment's lock. What happens at a time of its own is in :mod:`flags.schedules`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session

from flags.actor import Actor
from flags.budgets import Spending
from flags.changes import (
    Change,
    apply_change,
    check_budgets,
    parse_change,
    preview_change,
)
from flags.errors import (
    InvalidInputError,
    NeedsApprovalError,
    NotAllowedError,
    StaleChangeError,
    StateError,
)
from flags.models import ChangeRequest, Environment
from flags.request_rows import (
    APPLIED,
    APPROVED,
    DECLINED,
    EDITABLE,
    OPEN,
    STALE,
    WAITING,
    WITHDRAWN,
    Writing,
    change_of,
    document_of,
    earlier,
    end,
    locked,
    moved,
    record,
    standing,
    write,
)
from flags.revisions import lock_environment
from flags.services import get_environment_by_id


def submit(
    session: Session,
    project_key: str,
    environment_key: str,
    change: Change,
    *,
    by: Writing,
    now: dt.datetime,
    expected_version: int | None = None,
    expected_flag_versions: Mapping[str, int] | None = None,
    previewed: int | None = None,
    after: Sequence[Change] = (),
) -> ChangeRequest:
    """Keep a change until it is approved, or until its time.

    A change with the mode ``request`` wants one approval at least; one with the mode ``schedule``
    as many as its environment says, maybe none.

    Parameters
    ----------
    expected_version : int, optional
        The environment's revision number that the caller read; any other is a conflict.
    expected_flag_versions : mapping, optional
        The versions of single flags that the caller read, by key.
    previewed : int, optional
        The revision on which the caller has previewed exactly this change.
    after : sequence of Change
        What is going to be done before it, besides what waits for an earlier time.

    Raises
    ------
    InvalidInputError
        If the change cannot be done as things stand, does nothing, or its time is over.
    VersionConflictError
        If the environment moved since the caller read it.
    """
    environment = lock_environment(session, project_key, environment_key)
    before = [*after, *_before(session, environment, change)]
    preview = preview_change(
        session,
        project_key,
        environment_key,
        change,
        now=now,
        expected_version=expected_version,
        expected_flag_versions=expected_flag_versions,
        after=before,
    )
    spending = Spending({str(by.actor)}, previewed=previewed)
    check_budgets(
        session,
        project_key,
        environment_key,
        change,
        spending,
        now,
        before,
    )
    assert environment.id is not None
    request = ChangeRequest(
        project_id=environment.project_id,
        environment_id=environment.id,
        state=OPEN,
        instructions=[],
        content_hash="",
        base_revision=0,
        preview={},
        definitions={},
        author=str(by.actor),
        writers=[],
        approvals=[],
        asks=1 if change.mode == "request" else 0,
        created_at=now,
        changed_at=now,
    )
    write(request, environment, change, preview, by, now)
    session.add(request)
    session.flush()
    record(session, request, "request_change", by.actor, None, now, change.comment)
    return request


def edit(
    session: Session,
    project_key: str,
    request_id: int,
    edits: dict[str, Any],
    *,
    by: Writing,
    now: dt.datetime,
    expected_version: int | None = None,
) -> ChangeRequest:
    """Write a change anew; every approval is void, whatever was edited.

    Parameters
    ----------
    edits : dict
        Some of ``instructions``, ``comment`` and ``at``. With none of them the change is only
        renewed: previewed again, as things stand now.
    """
    request = locked(session, project_key, request_id, EDITABLE, expected_version)
    environment = get_environment_by_id(session, request.environment_id)
    before = standing(request)
    document = {**document_of(request, environment), **edits}
    document = {name: value for name, value in document.items() if value is not None}
    document["mode"] = "request" if request.asks else "schedule"
    change = parse_change(document)
    before_it = _before(session, environment, change, request.id)
    preview = preview_change(
        session, project_key, environment.key, change, now=now, after=before_it
    )
    # Another reason or time needs no other preview; other instructions do.
    spending = Spending({str(by.actor)}, trusted="instructions" not in edits)
    check_budgets(session, project_key, environment.key, change, spending, now, before_it)
    write(request, environment, change, preview, by, now)
    return moved(session, request, "edit_change", by.actor, before, now, change.comment)


def approve(
    session: Session,
    project_key: str,
    request_id: int,
    content_hash: str,
    *,
    by: Writing,
    now: dt.datetime,
    comment: str = "",
    expected_version: int | None = None,
) -> ChangeRequest:
    """Approve exactly the content with that hash.

    A key approves for the person who made it: it is that person who answers for it, and it counts
    as that person's one approval.

    Raises
    ------
    NotAllowedError
        If there is no person, or that person or the key wrote some of it.
    StateError
        If it was edited since (another hash), or waits for nothing.
    StaleChangeError
        If it would not do any more what its preview says.
    """
    person = by.person()
    if person is None:
        raise NotAllowedError(
            "a person approves, and nobody is known behind this key", hint="sign in to approve it"
        )
    request = locked(session, project_key, request_id, WAITING, expected_version)
    if by.names() & set(request.writers):
        raise NotAllowedError(
            "you or a key of yours wrote some of this change; somebody else must approve it",
            hint="ask another person with the role approver",
        )
    if content_hash != request.content_hash:
        raise StateError(
            "this change was edited: its content is not the one that you approve",
            field="content_hash",
            hint=f"read it again; it is {request.content_hash[:12]}… now",
        )
    if request.at is not None and request.at <= now:
        raise StateError(
            "the time of this change is over", field="at", hint="its author gives it another time"
        )
    if any(each["by"] == person for each in request.approvals):
        return request
    environment = get_environment_by_id(session, request.environment_id)
    change = change_of(request, environment)
    result = preview_change(
        session,
        project_key,
        environment.key,
        change,
        expected_definitions=request.definitions,
        after=_before(session, environment, change, request.id),
    )
    before = standing(request)
    given = {
        "by": person,
        "at": now.astimezone(dt.UTC).isoformat().replace("+00:00", "Z"),
        "content_hash": content_hash,
        "comment": comment,
    }
    request.approvals = [*request.approvals, given]
    # The environment may want more, or fewer, than when it was asked for.
    request.preview = {**request.preview, "approvals_needed": result.approvals_needed}
    enough = len(request.approvals) >= max(request.asks, result.approvals_needed)
    request.state = APPROVED if enough else OPEN
    return moved(session, request, "approve_change", by.actor, before, now, comment)


def decline(
    session: Session,
    project_key: str,
    request_id: int,
    *,
    actor: Actor,
    now: dt.datetime,
    comment: str,
    expected_version: int | None = None,
) -> ChangeRequest:
    """Say no, and why; that ends it."""
    if not comment.strip():
        raise InvalidInputError("to decline a change needs a reason", field="comment")
    request = locked(session, project_key, request_id, WAITING, expected_version)
    return end(session, request, DECLINED, "decline_change", actor, now, reason=comment)


def withdraw(
    session: Session,
    project_key: str,
    request_id: int,
    *,
    by: Writing,
    now: dt.datetime,
    comment: str = "",
    may_any: bool = False,
    expected_version: int | None = None,
) -> ChangeRequest:
    """Take a change back before it is applied.

    Parameters
    ----------
    may_any : bool
        Whether the caller may take back what others wrote (administrators).
    """
    request = locked(session, project_key, request_id, EDITABLE, expected_version)
    if not may_any and not by.names() & set(request.writers):
        raise NotAllowedError(
            "only who wrote a change takes it back", hint="decline it, or ask its author"
        )
    return end(session, request, WITHDRAWN, "withdraw_change", by.actor, now, reason=comment)


def apply(
    session: Session,
    project_key: str,
    request_id: int,
    *,
    actor: Actor,
    now: dt.datetime,
    expected_version: int | None = None,
) -> ChangeRequest:
    """Apply an approved change now.

    If it would have another effect than the approved one, nothing is applied: the request comes
    back in the state ``stale``, and its ``outcome`` says what differs.

    Raises
    ------
    NeedsApprovalError
        If it has fewer approvals than its environment wants.
    """
    request = locked(session, project_key, request_id, WAITING, expected_version, whole=True)
    if request.at is not None and now < request.at:
        raise StateError(
            "this change has a time of its own, which is not yet",
            field="at",
            hint="edit its time, and have it approved again",
        )
    try:
        return carry_out(session, project_key, request, actor=actor, now=now)
    except StaleChangeError as error:
        differs = {"approved": error.approved, "present": error.present}
        return end(
            session, request, STALE, "stale_change", actor, now, reason=error.message, **differs
        )


def carry_out(
    session: Session,
    project_key: str,
    request: ChangeRequest,
    *,
    actor: Actor,
    now: dt.datetime,
) -> ChangeRequest:
    """Apply a change whose locks the caller holds; it is applied in this transaction, or fails."""
    environment = get_environment_by_id(session, request.environment_id)
    valid = [
        each
        for each in request.approvals
        if each["content_hash"] == request.content_hash and each["by"] not in request.writers
    ]
    if len(valid) < request.asks:
        raise NeedsApprovalError(
            "nobody has approved this change yet", hint="ask a person with the role approver"
        )
    change = change_of(request, environment)
    told = f"change {request.id}, asked for by {request.author}"
    comment = f"{change.comment} ({told})" if change.comment else told
    result = apply_change(
        session,
        project_key,
        environment.key,
        change.model_copy(update={"comment": comment}),
        actor=actor,
        now=now,
        # Who only gave an instruction its time wants it carried out on the flag as it will be then.
        expected_definitions=request.definitions if request.asks or valid else None,
        approvals=len(valid),
        # Who wrote it pays for it too, whoever approved it: a budget is not asked away.
        spending=Spending({str(actor), *request.writers}, trusted=True),
    )
    late: dict[str, Any] = (
        {} if request.at is None else {"late_seconds": (now - request.at).total_seconds()}
    )
    return end(
        session,
        request,
        APPLIED,
        "apply_change",
        actor,
        now,
        revision=result.revision_number if result.changed else None,
        published=result.published,
        **late,
    )


def _before(
    session: Session, environment: Environment, change: Change, request_id: int | None = None
) -> list[Change]:
    """Give the changes that come before a change with a time: they will have been made by then."""
    at = None if change.at is None else dt.datetime.fromisoformat(change.at)
    return [change_of(each, environment) for each in earlier(session, environment, at, request_id)]
