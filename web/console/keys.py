"""Keys for SDKs and scripts: made here, shown once, shut here."""

from __future__ import annotations

from flask import request, url_for
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from flags import services
from flags.errors import InvalidInputError
from web.auth import service
from web.auth.guard import current_caller, needs
from web.auth.roles import Role
from web.console.base import back_to, blueprint, place, show
from web.transactions import now, reading, transaction

_KINDS = {kind.value: kind for kind in service.TokenKind}


@blueprint.get("/projects/<project_key>/environments/<environment_key>/keys")
@needs(Role.ADMIN)
def list_keys(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List the project's keys."""
    with reading() as session:
        return _page(session, project_key, environment_key)


@blueprint.post("/projects/<project_key>/environments/<environment_key>/keys")
@needs(Role.ADMIN)
def create_key(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Make a key and show it, this once."""
    kind = _KINDS.get(request.form.get("kind", ""))
    if kind is None:
        message = "there is no such kind of key"
        raise InvalidInputError(message, field="kind", hint=", ".join(_KINDS))
    with transaction() as session:
        environment = place(session, project_key, environment_key)
        for_person = kind is service.TokenKind.USER
        plain, _token = service.create_token(
            session,
            kind,
            name=request.form.get("name", ""),
            created_by=str(current_caller().actor),
            now=now(),
            project_id=environment.project_id,
            environment_id=None if for_person else environment.id,
            role=service.parse_role(request.form.get("role", "")) if for_person else None,
        )
        return _page(session, project_key, environment_key, created=plain)


@blueprint.post("/projects/<project_key>/environments/<environment_key>/keys/<int:key_id>/revoke")
@needs(Role.ADMIN)
def revoke_key(project_key: str, environment_key: str, key_id: int) -> ResponseReturnValue:
    """Shut a key for ever."""
    with transaction() as session:
        project = services.get_project(session, project_key)
        token = service.get_token(session, key_id, project_id=project.id)
        service.revoke_token(session, token, revoked_by=str(current_caller().actor), now=now())
    return back_to(
        url_for("console.list_keys", project_key=project_key, environment_key=environment_key)
    )


def _page(
    session: Session, project_key: str, environment_key: str, *, created: str | None = None
) -> ResponseReturnValue:
    environment = place(session, project_key, environment_key)
    tokens = service.list_tokens(session, project_id=environment.project_id)
    names = {e.id: e.key for e in services.list_environments(session, project_key)}
    return show(
        "keys.html", tokens=tokens, names=names, created=created, base=request.host_url.rstrip("/")
    )
