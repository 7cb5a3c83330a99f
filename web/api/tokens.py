"""Keys for programs: of a project's environments, of a project, or of the whole service."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from flask import Response
from flask.typing import ResponseReturnValue
from pydantic import Field
from sqlmodel import Session

from flags.allowances import Allowance
from flags.granted import Budget
from flags.models import Environment, Project
from flags.services import get_environment, get_project, list_environments
from web.api.blueprint import blueprint
from web.api.filtered import filtered_by
from web.api.idempotency import idempotent
from web.api.render import content_etag, document, etag_of, expect_content
from web.api.shapes import NEW_TOKEN, TOKEN, list_of
from web.api.times import Instant, parse_instant
from web.auth import service
from web.auth.allowed import key_allowances
from web.auth.guard import current_caller, needs
from web.auth.models import Token
from web.auth.roles import KeyRoleName, Role
from web.body import Body, Query, read_body, read_query
from web.contract import gives, takes
from web.lists import TOKENS
from web.transactions import now, reading, transaction

_TOKENS = filtered_by(TOKENS)
Text = Annotated[str, Field(max_length=1024)]
TokenName = Annotated[
    str, Field(max_length=1024, json_schema_extra={"minLength": 1, "maxLength": 200})
]


class UserTokenBody(Body):
    """A ``usr`` key to create."""

    name: TokenName
    role: KeyRoleName
    expires_at: Instant | None = None
    budget: Budget | None = None


class RotationBody(Body):
    """How long the secret so far stays good, in seconds."""

    overlap_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=int(service.MOST_OVERLAP.total_seconds()),
        ),
    ] = 3600


class ProjectTokenBody(Body):
    """A key to create: ``srv`` and ``cli`` for an ``environment``, ``usr`` with a ``role``."""

    kind: Literal["srv", "cli", "usr"]
    name: TokenName
    environment: Text | None = None
    environments: Annotated[list[Text], Field(min_length=1, max_length=50)] | None = None
    role: KeyRoleName | None = None
    expires_at: Instant | None = None
    budget: Budget | None = None


class TokenEdit(Body):
    """What to change about a key; what is left out stays. No budget (null): nothing limits it."""

    name: TokenName | None = None
    expires_at: Instant | None = None
    budget: Budget | None = None


@blueprint.get("/tokens")
@needs(Role.ADMIN)
@takes(query=_TOKENS)
@gives(list_of(TOKEN))
def list_global_tokens() -> ResponseReturnValue:
    """List the keys that are good for every project."""
    query = read_query(_TOKENS)
    current_caller().require_everywhere()
    with reading() as session:
        return document(
            query.page(_show_all(session, service.list_tokens(session, project_id=None)), "id")
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
            budget=body.budget,
            created_by=caller.actor,
            now=now(),
        )
        return document({**_show(session, token), "token": plain}, status=201)


@blueprint.get("/tokens/<int(max=2147483647):token_id>")
@needs(Role.ADMIN)
@gives(TOKEN, etag=True)
def get_global_token(token_id: int) -> ResponseReturnValue:
    """Return a key that is good for every project; never its text."""
    read_query(Query)
    current_caller().require_everywhere()
    with reading() as session:
        return _answer(session, service.get_token(session, token_id, project_id=None))


@blueprint.patch("/tokens/<int(max=2147483647):token_id>")
@needs(Role.ADMIN)
@takes(body=TokenEdit, if_match=True)
@gives(TOKEN, etag=True)
def edit_global_token(token_id: int) -> ResponseReturnValue:
    """Change what a key that is good for every project is called, when it ends, what limits it."""
    current_caller().require_everywhere()
    body = read_body(TokenEdit)
    with transaction() as session:
        token = service.get_token(session, token_id, project_id=None)
        return _edit(session, token, body)


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
        return document(_show(session, token))


@blueprint.post("/tokens/<int(max=2147483647):token_id>/rotate")
@needs(Role.ADMIN)
@idempotent(secret=True)
@takes(body=RotationBody)
@gives(NEW_TOKEN)
def rotate_global_token(token_id: int) -> ResponseReturnValue:
    """Give a key a new secret, shown this once; the one so far stays good for a while."""
    current_caller().require_everywhere()
    body = read_body(RotationBody)
    with transaction() as session:
        token = service.get_token(session, token_id, project_id=None)
        plain, token = _rotate(session, token, body)
        return document({**_show(session, token), "token": plain})


@blueprint.get("/projects/<project_key>/tokens")
@needs(Role.ADMIN)
@takes(query=_TOKENS)
@gives(list_of(TOKEN))
def list_project_tokens(project_key: str) -> ResponseReturnValue:
    """List the keys of a project and its environments, newest first."""
    query = read_query(_TOKENS)
    with reading() as session:
        project = get_project(session, project_key)
        tokens = service.list_tokens(session, project_id=project.id)
        return document(query.page(_show_all(session, tokens, project), "id"))


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
        environment_id = environment_ids = None
        if body.environment is not None:
            environment_id = get_environment(session, project_key, body.environment).id
        if body.environments is not None:
            found = [get_environment(session, project_key, key) for key in body.environments]
            environment_ids = {each.id for each in found if each.id is not None}
        plain, token = service.create_token(
            session,
            service.TokenKind(body.kind),
            name=body.name,
            project_id=project.id,
            environment_id=environment_id,
            environment_ids=environment_ids,
            role=None if body.role is None else service.parse_role(body.role),
            expires_at=_expiry(body.expires_at),
            budget=body.budget,
            created_by=current_caller().actor,
            now=now(),
        )
        shown = _show(session, token, project)
    return document({**shown, "token": plain}, status=201)


@blueprint.get("/projects/<project_key>/tokens/<int(max=2147483647):token_id>")
@needs(Role.ADMIN)
@gives(TOKEN, etag=True)
def get_project_token(project_key: str, token_id: int) -> ResponseReturnValue:
    """Return a key of the project, and what is left of its budget; never its text."""
    read_query(Query)
    with reading() as session:
        project = get_project(session, project_key)
        token = service.get_token(session, token_id, project_id=project.id)
        return _answer(session, token, project)


@blueprint.patch("/projects/<project_key>/tokens/<int(max=2147483647):token_id>")
@needs(Role.ADMIN)
@takes(body=TokenEdit, if_match=True)
@gives(TOKEN, etag=True)
def edit_project_token(project_key: str, token_id: int) -> ResponseReturnValue:
    """Change what a key of the project is called, when it ends, and what limits it."""
    body = read_body(TokenEdit)
    with transaction() as session:
        project = get_project(session, project_key)
        token = service.get_token(session, token_id, project_id=project.id)
        return _edit(session, token, body, project)


@blueprint.post("/projects/<project_key>/tokens/<int(max=2147483647):token_id>/revoke")
@needs(Role.ADMIN)
@gives(TOKEN)
def revoke_project_token(project_key: str, token_id: int) -> ResponseReturnValue:
    """Shut a key of the project, for ever; connected SDKs are turned away."""
    with transaction() as session:
        project = get_project(session, project_key)
        token = service.get_token(session, token_id, project_id=project.id)
        service.revoke_token(session, token, revoked_by=current_caller().actor, now=now())
        return document(_show(session, token, project))


@blueprint.post("/projects/<project_key>/tokens/<int(max=2147483647):token_id>/rotate")
@needs(Role.ADMIN)
@idempotent(secret=True)
@takes(body=RotationBody)
@gives(NEW_TOKEN)
def rotate_project_token(project_key: str, token_id: int) -> ResponseReturnValue:
    """Give a key of the project a new secret, shown this once; the old one overlaps."""
    body = read_body(RotationBody)
    with transaction() as session:
        project = get_project(session, project_key)
        token = service.get_token(session, token_id, project_id=project.id)
        plain, token = _rotate(session, token, body)
        shown = _show(session, token, project)
        return document({**shown, "token": plain})


def _edit(
    session: Session, token: Token, body: TokenEdit, project: Project | None = None
) -> Response:
    service.lock_token(session, token)
    wanted = body.model_dump(mode="json", exclude_unset=True)
    expect_content(_kept(_show(session, token, project)), wanted)
    edits: dict[str, Any] = {
        name: getattr(body, name) for name in body.model_fields_set & {"name", "budget"}
    }
    if "expires_at" in body.model_fields_set:
        edits["expires_at"] = _expiry(body.expires_at)
    service.edit_token(session, token, edits, by=current_caller().actor, now=now())
    return _answer(session, token, project)


def _answer(session: Session, token: Token, project: Project | None = None) -> Response:
    shown = _show(session, token, project)
    return document(shown, etag=etag_of(content_etag(_kept(shown)), shown))


def _kept(shown: dict[str, Any]) -> dict[str, Any]:
    """Leave out what moves by itself: it is no reason to decide anew."""
    return {
        name: said
        for name, said in shown.items()
        if name not in {"allowances", "last_used_at", "live"}
    }


def _rotate(session: Session, token: Token, body: RotationBody) -> tuple[str, Token]:
    overlap = dt.timedelta(seconds=body.overlap_seconds)
    by = current_caller().actor
    return service.rotate_token(session, token, overlap=overlap, by=by, now=now())


def _show_all(
    session: Session,
    tokens: Sequence[Token],
    project: Project | None = None,
) -> list[dict[str, Any]]:
    budgets = service.token_budgets(session, tokens)
    environments = [] if project is None else list_environments(session, project.key)
    names = {each.id: each.key for each in environments}
    left = key_allowances(session, budgets, environments)
    return [
        {
            "id": token.id,
            "kind": token.kind,
            "name": token.name,
            "project": None if project is None else project.key,
            "environment": names.get(token.environment_id),
            "environments": _keys(token.environment_ids, names),
            "role": token.role,
            "budget": budgets.get(token.id or 0),
            "allowances": _left(token, left.get(token.id or 0, {}), environments),
            "created_by": token.created_by,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "revoked_at": token.revoked_at,
            "rotated_at": token.rotated_at,
            "old_secret_until": token.old_secret_until,
            "last_used_at": token.last_used_at,
            "live": service.is_live(token, now=now()),
        }
        for token in tokens
    ]


def _show(
    session: Session,
    token: Token,
    project: Project | None = None,
) -> dict[str, Any]:
    return _show_all(session, [token], project)[0]


def _left(
    token: Token,
    left: Mapping[str, Allowance],
    environments: Sequence[Environment],
) -> dict[str, Any]:
    """Say what a key may still move, where it is good."""
    good = {
        each.key
        for each in environments
        if token.environment_ids is None or each.id in token.environment_ids
    }
    return {key: each.document() for key, each in left.items() if key in good}


def _keys(numbers: list[int] | None, names: dict[int | None, str]) -> list[str] | None:
    return None if numbers is None else [names[each] for each in numbers if each in names]


def _expiry(text: str | None) -> dt.datetime | None:
    return None if text is None else parse_instant(text, field="expires_at")
