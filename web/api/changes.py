"""Changes that wait: read, edited, approved, declined, withdrawn, applied."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal, TypedDict

from flask import Response
from flask.typing import ResponseReturnValue
from pydantic import Field
from sqlmodel import Session

from flags import change_requests, services
from flags.errors import StaleChangeError
from flags.filters import MAX_FILTER_LENGTH, parse_filter
from flags.models import ChangeRequest, Prediction
from flags.predictions import prediction_document, predictions_of
from flags.request_rows import STALE, STATES, Writing, find, get
from flags.request_search import REQUEST_FIELDS, request_conditions, touches
from web.api.blueprint import blueprint
from web.api.filtered import describe
from web.api.idempotency import idempotent
from web.api.render import (
    PageQuery,
    document,
    expected_version,
    page,
    upon_expected,
    with_revisions,
)
from web.api.shapes import WAITING, list_of
from web.auth.guard import current_caller, needs, writing
from web.auth.roles import Role
from web.auth.scope import require_for_request, role_for_request
from web.body import Body, Query, read_body, read_query
from web.contract import gives, takes, waits
from web.problems import Problem, as_json
from web.transactions import now, reading, transaction

_LIST = "/projects/<project_key>/changes"
_ITEM = f"{_LIST}/<int(max=2147483647):change_id>"
Comment = Annotated[str, Field(max_length=2000)]


class ChangesQuery(PageQuery):
    """Which changes."""

    state: Literal[STATES] | None = None  # type: ignore[valid-type]
    environment: Annotated[str, Field(max_length=64)] | None = None
    flag: Annotated[str, Field(max_length=256)] | None = None
    filter: Annotated[
        str, Field(max_length=MAX_FILTER_LENGTH, description=describe(REQUEST_FIELDS))
    ] = ""


class ChangeEdit(Body):
    """What is to be different; nothing at all renews the change as things stand now."""

    instructions: list[Any] | None = None
    comment: Comment | None = None
    at: str | None = None


class ApprovalBody(Body):
    """What is approved: the content with this hash, and no other."""

    content_hash: Annotated[str, Field(max_length=64)]
    comment: Comment = ""


class ReasonBody(Body):
    """Why."""

    comment: Comment = ""


@blueprint.get(_LIST)
@needs(Role.VIEWER)
@takes(query=ChangesQuery)
@gives(list_of(WAITING))
def list_changes(project_key: str) -> ResponseReturnValue:
    """List changes that wait, or did, newest first."""
    query = read_query(ChangesQuery)
    asked = parse_filter(query.filter, REQUEST_FIELDS, now=now())
    with reading() as session:
        environment_id = None
        if query.environment is not None:
            environment_id = services.get_environment(session, project_key, query.environment).id
        found = find(
            session,
            project_key,
            environment_id=environment_id,
            states=() if query.state is None else (query.state,),
            flag_key=query.flag,
            where=request_conditions(asked, me=str(current_caller().actor)),
            touches=touches(asked),
            before_id=query.after_number(),
            limit=query.limit + 1,
        )
        shown = found[: query.limit]
        more = shown[-1].id if len(found) > query.limit else None
        return document(page([request_document(session, each) for each in shown], more))


@blueprint.get(_ITEM)
@needs(Role.VIEWER)
@gives(WAITING, etag=True)
def get_change(project_key: str, change_id: int) -> ResponseReturnValue:
    """Return one change with its preview and approvals."""
    read_query(Query)
    with reading() as session:
        return _answer(session, get(session, project_key, change_id))


@blueprint.patch(_ITEM)
@needs(Role.EDITOR, of="somewhere")
@takes(body=ChangeEdit, if_match=True)
@gives(WAITING, etag=True)
def edit_change(project_key: str, change_id: int) -> ResponseReturnValue:
    """Write a change anew; every approval of it is void."""
    edits = read_body(ChangeEdit).model_dump(exclude_unset=True)
    with transaction() as session:
        require_for_request(session, project_key, change_id)
        edited = change_requests.edit(
            session,
            project_key,
            change_id,
            edits,
            **_upon_expected(session),
        )
        # What it would do by now may take effect in more places.
        require_for_request(session, project_key, change_id)
        return _answer(session, edited)


@blueprint.post(f"{_ITEM}/approve")
@needs(Role.APPROVER, of="somewhere")
@idempotent()
@takes(body=ApprovalBody, if_match=True)
@gives(WAITING, etag=True)
def approve_change(project_key: str, change_id: int) -> ResponseReturnValue:
    """Approve exactly the content that the caller names by its hash."""
    body = read_body(ApprovalBody)
    with transaction() as session:
        require_for_request(session, project_key, change_id)
        approved = change_requests.approve(
            session,
            project_key,
            change_id,
            body.content_hash,
            comment=body.comment,
            **_upon_expected(session),
        )
        return _answer(session, approved)


@blueprint.post(f"{_ITEM}/decline")
@needs(Role.APPROVER, of="somewhere")
@idempotent()
@takes(body=ReasonBody, if_match=True)
@gives(WAITING, etag=True)
def decline_change(project_key: str, change_id: int) -> ResponseReturnValue:
    """Say no, and why."""
    body = read_body(ReasonBody)
    with transaction() as session:
        require_for_request(session, project_key, change_id)
        declined = change_requests.decline(
            session, project_key, change_id, comment=body.comment, **upon_expected()
        )
        return _answer(session, declined)


@blueprint.post(f"{_ITEM}/withdraw")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(body=ReasonBody, if_match=True)
@gives(WAITING, etag=True)
def withdraw_change(project_key: str, change_id: int) -> ResponseReturnValue:
    """Take back one's own change; administrators any."""
    body = read_body(ReasonBody)
    with transaction() as session:
        require_for_request(session, project_key, change_id)
        withdrawn = change_requests.withdraw(
            session,
            project_key,
            change_id,
            comment=body.comment,
            may_any=role_for_request(session, project_key, change_id).covers(Role.ADMIN),
            **_upon_expected(session),
        )
        return _answer(session, withdrawn)


@blueprint.post(f"{_ITEM}/apply")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(if_match=True)
@gives(WAITING, etag=True)
@waits
def apply_approved_change(project_key: str, change_id: int) -> ResponseReturnValue:
    """Apply what was approved; 409 ``stale`` if it would do something else by now."""
    with transaction() as session:
        require_for_request(session, project_key, change_id)
        done = change_requests.apply(session, project_key, change_id, **upon_expected())
        if done.state == STALE:
            # Not raised: that it is stale is to be kept.
            return as_json(_stale(done))
        environment = services.get_environment_by_id(session, done.environment_id)
        published = (done.outcome or {}).get("published", {})
        return with_revisions(
            _answer(session, done), session, project_key, published, first=environment.key
        )


class _UponExpected(TypedDict):
    """What every service asks for that writes a change which others approve."""

    by: Writing
    now: dt.datetime
    expected_version: int | None


def _upon_expected(session: Session) -> _UponExpected:
    return {"by": writing(session), "now": now(), "expected_version": expected_version()}


def request_document(session: Session, request: ChangeRequest) -> dict[str, Any]:
    """Return a change that waits, as programs read it."""
    environment = services.get_environment_by_id(session, request.environment_id)
    found = _prediction(session, request)
    return {
        "id": request.id,
        "environment": environment.key,
        "state": request.state,
        "author": request.author,
        "comment": request.comment,
        "instructions": request.instructions,
        "at": request.at,
        "content_hash": request.content_hash,
        "base_revision": request.base_revision,
        "preview": request.preview,
        "approvals": request.approvals,
        "approvals_needed": max(request.asks, request.preview["approvals_needed"]),
        "writers": request.writers,
        "outcome": request.outcome,
        "created_at": request.created_at,
        "changed_at": request.changed_at,
        "version": request.version,
        **({} if found is None else {"prediction": prediction_document(found)}),
    }


def _prediction(session: Session, request: ChangeRequest) -> Prediction | None:
    """Give whom its revision was said to move, and whom it did, once it is applied."""
    revision = (request.outcome or {}).get("revision")
    known = predictions_of(session, [(request.environment_id, revision)])
    return next(iter(known.values()), None)


def _answer(session: Session, request: ChangeRequest) -> Response:
    body = request_document(session, request)
    etag = str(request.version)
    if "prediction" in body:
        # What was seen since comes without a new version: nothing can be changed any more.
        etag += f"-{body['prediction']['looks']}"
    return document(body, etag=etag)


def _stale(request: ChangeRequest) -> Problem:
    outcome = request.outcome or {}
    hint = "read the change to see what differs; edit it to renew it"
    return Problem(409, StaleChangeError.code, str(outcome.get("reason", "")), None, hint)
