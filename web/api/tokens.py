"""Keys for programs: of a project's environments, of a project, or of the whole service."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from flask.typing import ResponseReturnValue
from pydantic import Field
from sqlmodel import Session

from flags.models import Project
from flags.services import get_environment, get_project, list_environments
from web.api.blueprint import blueprint
from web.api.idempotency import idempotent
from web.api.render import document, page
from web.api.shapes import NEW_TOKEN, TOKEN, list_of
from web.api.times import Instant, parse_instant
from web.auth import service
from web.auth.guard import current_caller, needs
from web.auth.models import Token
from web.auth.roles import Role, RoleName
from web.body import Body, Query, read_body, read_query
from web.contract import gives, takes
from web.transactions import now, reading, transaction

Text = Annotated[str, Field(max_length=1024)]
TokenName = Annotated[
    str, Field(max_length=1024, json_schema_extra={"minLength": 1, "maxLength": 200})
]


class UserTokenBody(Body):
    """A ``usr`` key to create."""

    name: TokenName
    role: RoleName
    expires_at: Instant | None = None


class ProjectTokenBody(Body):
    """A key to create: ``srv`` and ``cli`` for an ``environment``, ``usr`` with a ``role``."""

    kind: Literal["srv", "cli", "usr"]
    name: TokenName
    environment: Text | None = None
    role: RoleName | None = None
    expires_at: Instant | None = None


@blueprint.get("/tokens")
@needs(Role.ADMIN)
@gives(list_of(TOKEN))
def list_global_tokens() -> ResponseReturnValue:
    """List the keys that are good for every project."""
    read_query(Query)
    current_caller().require_everywhere()
    with reading() as session:
        return document(
            page([_show(t) for t in service.list_tokens(session, project_id=None)], None)
        )


@blueprint.post("/tokens")
@needs(Role.ADMIN)
@idempotent(secret=True)
@takes(body=UserTokenBody)
@gives(NEW_TOKEN, 201)
def create_global_token() -> ResponseReturnValue:
    """Create a ``usr`` key that is good for every project; its text is shown this once."""
    caller = current_caller()
    caller.require_everywhere()
    body = read_body(UserTokenBody)
    with transaction() as session:
        plain, token = service.create_token(
            session,
            service.TokenKind.USER,
            name=body.name,
            role=service.parse_role(body.role),
            expires_at=_expiry(body.expires_at),
            created_by=caller.actor,
            now=now(),
        )
    return document({**_show(token), "token": plain}, status=201)


@blueprint.post("/tokens/<int(max=2147483647):token_id>/revoke")
@needs(Role.ADMIN)
@gives(TOKEN)
def revoke_global_token(token_id: int) -> ResponseReturnValue:
    """Shut a key that is good for every project, for ever."""
    caller = current_caller()
    caller.require_everywhere()
    with transaction() as session:
        token = service.get_token(session, token_id, project_id=None)
        service.revoke_token(session, token, revoked_by=caller.actor, now=now())
        return document(_show(token))


@blueprint.get("/projects/<project_key>/tokens")
@needs(Role.ADMIN)
@gives(list_of(TOKEN))
def list_project_tokens(project_key: str) -> ResponseReturnValue:
    """List the keys of a project and its environments, newest first."""
    read_query(Query)
    with reading() as session:
        project = get_project(session, project_key)
        names = _environment_names(session, project)
        tokens = service.list_tokens(session, project_id=project.id)
        return document(page([_show(t, project, names) for t in tokens], None))


@blueprint.post("/projects/<project_key>/tokens")
@needs(Role.ADMIN)
@idempotent(secret=True)
@takes(body=ProjectTokenBody)
@gives(NEW_TOKEN, 201)
def create_project_token(project_key: str) -> ResponseReturnValue:
    """Create a key for an environment (``srv``, ``cli``) or the project (``usr``); shown once."""
    body = read_body(ProjectTokenBody)
    with transaction() as session:
        project = get_project(session, project_key)
        environment_id = None
        if body.environment is not None:
            environment_id = get_environment(session, project_key, body.environment).id
        plain, token = service.create_token(
            session,
            service.TokenKind(body.kind),
            name=body.name,
            project_id=project.id,
            environment_id=environment_id,
            role=None if body.role is None else service.parse_role(body.role),
            expires_at=_expiry(body.expires_at),
            created_by=current_caller().actor,
            now=now(),
        )
        shown = _show(token, project, _environment_names(session, project))
    return document({**shown, "token": plain}, status=201)


@blueprint.post("/projects/<project_key>/tokens/<int(max=2147483647):token_id>/revoke")
@needs(Role.ADMIN)
@gives(TOKEN)
def revoke_project_token(project_key: str, token_id: int) -> ResponseReturnValue:
    """Shut a key of the project, for ever; connected SDKs are turned away."""
    with transaction() as session:
        project = get_project(session, project_key)
        token = service.get_token(session, token_id, project_id=project.id)
        service.revoke_token(session, token, revoked_by=current_caller().actor, now=now())
        return document(_show(token, project, _environment_names(session, project)))


def _environment_names(session: Session, project: Project) -> dict[int | None, str]:
    return {e.id: e.key for e in list_environments(session, project.key)}


def _show(
    token: Token, project: Project | None = None, environments: dict[int | None, str] | None = None
) -> dict[str, Any]:
    return {
        "id": token.id,
        "kind": token.kind,
        "name": token.name,
        "project": None if project is None else project.key,
        "environment": (environments or {}).get(token.environment_id),
        "role": token.role,
        "created_by": token.created_by,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "live": service.is_live(token, now=now()),
    }


def _expiry(text: str | None) -> dt.datetime | None:
    return None if text is None else parse_instant(text, field="expires_at")
