"""The inbox: what people ask for (value) and what they suffer from (failure), and how it ended.

A request is linked to the flag that causes or resolves it. Requests of class ``failure`` by the
flag that causes them are its failure demand.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from experiments.models import Request
from flags import audit
from flags.actor import Actor
from flags.errors import InvalidInputError, NotFoundError, StateError, VersionConflictError
from flags.models import FlagRow
from flags.services import get_project

CLASSES = ("value", "failure")
RELATIONS = ("causes", "resolves")
STATES = ("open", "linked", "resolved", "declined")
ENDS = ("resolved", "declined")

_LONGEST = {"title": 200, "text": 10_000, "note": 10_000, "asker": 320}


def list_requests(
    session: Session,
    project_key: str,
    *,
    state: str | None = None,
    demand: str | None = None,
    flag_key: str | None = None,
    before_id: int | None = None,
    limit: int | None = 100,
) -> list[Request]:
    """Give a project's requests, newest first."""
    project = get_project(session, project_key)
    query = select(Request).where(Request.project_id == project.id)
    if state is not None:
        query = query.where(Request.state == _one_of("state", state, STATES))
    if demand is not None:
        query = query.where(Request.demand == _one_of("class", demand, CLASSES))
    if flag_key is not None:
        query = query.where(Request.flag_key == flag_key)
    if before_id is not None:
        query = query.where(col(Request.id) < before_id)
    return list(session.exec(query.order_by(col(Request.id).desc()).limit(limit)))


def get_request(session: Session, project_key: str, request_id: int) -> Request:
    """Give one request."""
    project = get_project(session, project_key)
    found = session.exec(
        select(Request)
        .where(Request.project_id == project.id, Request.id == request_id)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        raise NotFoundError(f"there is no request {request_id}", field="request")
    return found


def create_request(
    session: Session,
    project_key: str,
    *,
    title: str,
    demand: str,
    text: str = "",
    asker: str = "",
    actor: Actor,
    now: dt.datetime,
) -> Request:
    """Take in a request; who files it asks, unless another asker is named."""
    project = get_project(session, project_key)
    assert project.id is not None
    request = Request(
        project_id=project.id,
        title=_text("title", title, required=True),
        text=_text("text", text),
        demand=_one_of("class", demand, CLASSES),
        asker=_text("asker", asker or actor.name, required=True),
        state="open",
        created_at=now,
        created_by=str(actor),
    )
    return _save(session, request, "request_create", {}, actor, now)


def edit_request(
    session: Session,
    project_key: str,
    request_id: int,
    *,
    changes: Mapping[str, str],
    version: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> Request:
    """Change title, text, class or asker."""
    request = _read_at(session, project_key, request_id, version)
    before = _shown(request)
    for field, value in changes.items():
        if field == "class":
            request.demand = _one_of("class", value, CLASSES)
        else:
            setattr(request, field, _text(field, value, required=field != "text"))
    return _save(session, request, "request_edit", before, actor, now)


def link_request(
    session: Session,
    project_key: str,
    request_id: int,
    *,
    flag_key: str,
    relation: str,
    version: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> Request:
    """Say which flag causes the request, or will resolve it; a later link replaces this one.

    Raises
    ------
    NotFoundError
        If the project has no such flag.
    StateError
        If the request was resolved or declined.
    """
    request = _read_at(session, project_key, request_id, version)
    _require_open(request)
    known = select(FlagRow.id).where(
        FlagRow.project_id == request.project_id, FlagRow.key == flag_key
    )
    if session.exec(known).first() is None:
        raise NotFoundError(f"there is no flag {flag_key!r}", field="flag")
    before = _shown(request)
    request.flag_key, request.state, request.linked_at = flag_key, "linked", now
    request.relation = _one_of("relation", relation, RELATIONS)
    return _save(session, request, "request_link", before, actor, now)


def resolve_request(
    session: Session,
    project_key: str,
    request_id: int,
    *,
    state: str = "resolved",
    note: str = "",
    version: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> Request:
    """Close a request: resolved, or declined (then with a note that says why)."""
    request = _read_at(session, project_key, request_id, version)
    _require_open(request)
    before = _shown(request)
    request.state = _one_of("state", state, ENDS)
    request.note = _text("note", note, required=state == "declined")
    request.resolved_at = now
    return _save(session, request, "request_resolve", before, actor, now)


def failure_demand(session: Session, project_id: int) -> dict[str, int]:
    """Count the requests of class failure by the flag that causes them, most first."""
    query = (
        sa.select(col(Request.flag_key), sa.func.count())
        .where(
            col(Request.project_id) == project_id,
            col(Request.demand) == "failure",
            col(Request.relation) == "causes",
        )
        .group_by(col(Request.flag_key))
    )
    rows = [(str(key), int(count)) for key, count in session.execute(query)]
    return dict(sorted(rows, key=lambda row: (-row[1], row[0])))


def _read_at(session: Session, project_key: str, request_id: int, version: int | None) -> Request:
    request = get_request(session, project_key, request_id)
    if version is not None and version != request.version:
        raise VersionConflictError(
            f"request {request_id} is at version {request.version}, not {version}",
            field="If-Match",
            hint="read it again, and decide anew",
        )
    return request


def _require_open(request: Request) -> None:
    if request.state in ENDS:
        raise StateError(
            f"request {request.id} is {request.state} already", hint="file another one"
        )


def _save(
    session: Session,
    request: Request,
    action: str,
    before: Mapping[str, Any],
    actor: Actor,
    now: dt.datetime,
) -> Request:
    session.add(request)
    session.flush()
    after = _shown(request)
    moved = {name: value for name, value in after.items() if before.get(name) != value}
    audit.append(
        session,
        project_id=request.project_id,
        actor=actor,
        action=action,
        resource=f"request:{request.id}",
        before={name: before[name] for name in moved if name in before} or None,
        after=moved,
        now=now,
    )
    return request


def _shown(request: Request) -> dict[str, Any]:
    names = ("title", "text", "asker", "state", "relation", "note")
    return {name: getattr(request, name) for name in names} | {
        "class": request.demand,
        "flag": request.flag_key,
    }


def _one_of(field: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise InvalidInputError(
            f"there is no {field} {value[:80]!r}", field=field, hint=", ".join(choices)
        )
    return value


def _text(field: str, value: str, *, required: bool = False) -> str:
    text = value.strip()
    if required and not text:
        raise InvalidInputError(f"{field} must not be empty", field=field)
    if len(text) > _LONGEST[field]:
        raise InvalidInputError(f"{field} is longer than {_LONGEST[field]} characters", field=field)
    return text
