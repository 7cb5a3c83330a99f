"""The inbox: what people ask for or complain about, linked to flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from flask import Response
from flask.typing import ResponseReturnValue
from pydantic import ConfigDict, Field

from experiments.models import Request
from experiments.people import requests
from web.api.blueprint import blueprint
from web.api.idempotency import idempotent
from web.api.render import PageQuery, document, expected_version, page
from web.api.shapes import REQUEST, list_of
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.body import Body, read_body, read_query
from web.contract import gives, takes
from web.transactions import reading, transaction

_LIST = "/projects/<project_key>/requests"
_ITEM = f"{_LIST}/<int(max=2147483647):request_id>"
Demand = Literal["value", "failure"]
# Described as the service judges it, which says what is wrong.
Title = Annotated[
    str, Field(json_schema_extra={"minLength": 1, "maxLength": 200, "pattern": r"\S"})
]


class RequestQuery(PageQuery):
    """Which requests."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    state: Literal["open", "linked", "resolved", "declined"] | None = None
    demand: Annotated[Demand | None, Field(alias="class")] = None
    flag: Annotated[str, Field(max_length=256)] | None = None


class NewRequest(Body):
    """What is asked for."""

    title: Title
    demand: Annotated[Demand, Field(alias="class")]
    text: str = ""
    asker: str = ""


class RequestEdit(Body):
    """What is to be said differently."""

    title: Title | None = None
    demand: Annotated[Demand | None, Field(alias="class")] = None
    text: str | None = None
    asker: str | None = None


class RequestLink(Body):
    """Which flag causes or resolves it."""

    flag: Annotated[str, Field(max_length=256)]
    relation: Literal["causes", "resolves"]


class RequestEnd(Body):
    """How it ended."""

    state: Literal["resolved", "declined"] = "resolved"
    note: str = ""


@blueprint.get(_LIST)
@needs(Role.VIEWER)
@takes(query=RequestQuery)
@gives(list_of(REQUEST))
def list_requests(project_key: str) -> ResponseReturnValue:
    """List a project's requests, newest first."""
    query = read_query(RequestQuery)
    with reading() as session:
        found = requests.list_requests(
            session,
            project_key,
            state=query.state,
            demand=query.demand,
            flag_key=query.flag,
            before_id=query.after_number(),
            limit=query.limit + 1,
        )
    shown = found[: query.limit]
    more = shown[-1].id if len(found) > query.limit else None
    return document(page([_show(each) for each in shown], more))


@blueprint.post(_LIST)
@needs(Role.EDITOR)
@idempotent()
@takes(body=NewRequest)
@gives(REQUEST, 201, etag=True)
def create_request(project_key: str) -> ResponseReturnValue:
    """Take in a request."""
    body = read_body(NewRequest)
    with transaction() as session:
        made = requests.create_request(
            session,
            project_key,
            title=body.title,
            demand=body.demand,
            text=body.text,
            asker=body.asker,
            **who_and_when(),
        )
        return _answer(made, status=201)


@blueprint.get(_ITEM)
@needs(Role.VIEWER)
@gives(REQUEST, etag=True)
def get_request(project_key: str, request_id: int) -> ResponseReturnValue:
    """Return one request."""
    with reading() as session:
        found = requests.get_request(session, project_key, request_id)
        return _answer(found)


@blueprint.patch(_ITEM)
@needs(Role.EDITOR)
@takes(body=RequestEdit, if_match=True)
@gives(REQUEST, etag=True)
def edit_request(project_key: str, request_id: int) -> ResponseReturnValue:
    """Change title, text, class or asker."""
    changes = read_body(RequestEdit).model_dump(by_alias=True, exclude_none=True)
    return _do(requests.edit_request, project_key, request_id, changes=changes)


@blueprint.post(f"{_ITEM}/link")
@needs(Role.EDITOR)
@idempotent()
@takes(body=RequestLink, if_match=True)
@gives(REQUEST, etag=True)
def link_request(project_key: str, request_id: int) -> ResponseReturnValue:
    """Say which flag causes the request, or will resolve it."""
    body = read_body(RequestLink)
    return _do(
        requests.link_request, project_key, request_id, flag_key=body.flag, relation=body.relation
    )


@blueprint.post(f"{_ITEM}/resolve")
@needs(Role.EDITOR)
@idempotent()
@takes(body=RequestEnd, if_match=True)
@gives(REQUEST, etag=True)
def resolve_request(project_key: str, request_id: int) -> ResponseReturnValue:
    """Close a request: resolved, or declined with a note."""
    body = read_body(RequestEnd)
    return _do(requests.resolve_request, project_key, request_id, state=body.state, note=body.note)


def _do(
    verb: Callable[..., Request], project_key: str, request_id: int, **said: Any
) -> ResponseReturnValue:
    version = expected_version()
    with transaction() as session:
        return _answer(
            verb(session, project_key, request_id, version=version, **said, **who_and_when())
        )


def _answer(request: Request, *, status: int = 200) -> Response:
    return document(_show(request), status=status, etag=request.version)


def _show(request: Request) -> dict[str, Any]:
    return {
        "id": request.id,
        "title": request.title,
        "text": request.text,
        "class": request.demand,
        "asker": request.asker,
        "state": request.state,
        "flag": request.flag_key,
        "relation": request.relation,
        "note": request.note,
        "created_at": request.created_at,
        "created_by": request.created_by,
        "linked_at": request.linked_at,
        "resolved_at": request.resolved_at,
        "version": request.version,
    }
