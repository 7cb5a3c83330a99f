"""The caller's own door: first set-up, signing in and out, who am I."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, g
from flask.typing import ResponseReturnValue
from pydantic import Field
from sqlmodel import Session

from flags.services import get_project_by_id, list_environments, list_projects
from web.api.blueprint import blueprint
from web.api.render import document
from web.api.shapes import CALLER, SET_UP, SIGNED_IN
from web.auth import guard, passwords, service
from web.auth.allowed import own_allowances
from web.auth.caller import Caller
from web.auth.login import hash_session_id
from web.auth.models import User
from web.auth.roles import Role
from web.body import Body, read_body
from web.contract import gives, takes
from web.security import count_attempt, csrf_token
from web.transactions import now, reading, transaction

Text = Annotated[str, Field(max_length=1024)]
Email = Annotated[str, Field(max_length=1024, json_schema_extra={"format": "email"})]
NewPassword = Annotated[
    str, Field(max_length=1024, json_schema_extra={"minLength": passwords.MINIMUM_LENGTH})
]


class SetupBody(Body):
    """The code that the service printed, and who is to be the first administrator."""

    code: Text
    email: Email
    password: NewPassword
    name: Text = ""
    project: Text = "default"
    project_name: Text = "Default"


class SignInBody(Body):
    """Who, and the proof of it."""

    email: Text
    password: Text


class PasswordBody(Body):
    """The password so far, and the one from now on."""

    current_password: Text
    new_password: NewPassword


@blueprint.post("/setup")
@guard.public
@takes(body=SetupBody)
@gives(SET_UP, 201)
def set_up() -> ResponseReturnValue:
    """Create the first administrator and project, with the one-time code."""
    body = read_body(SetupBody)
    count_attempt("setup")
    first = service.FirstRun(body.email, body.password, body.name, body.project, body.project_name)
    with transaction() as session:
        user = service.complete_setup(session, body.code, first, now=now())
    return document({"user": user_document(user), "project": body.project}, status=201)


@blueprint.post("/session")
@guard.public
@takes(body=SignInBody)
@gives(SIGNED_IN, 201)
def sign_in() -> ResponseReturnValue:
    """Open a session: the cookie is for browsers, ``csrf_token`` for their unsafe requests."""
    body = read_body(SignInBody)
    user, session_id = guard.sign_in(body.email, body.password)
    return _signed_in(user, session_id)


@blueprint.delete("/session")
@guard.needs(Role.VIEWER)
@gives(None, 204)
def sign_out() -> ResponseReturnValue:
    """End the present session."""
    guard.end_present_session()
    response = Response(status=204)
    guard.clear_cookie(response)
    return response


@blueprint.post("/session/password")
@guard.needs(Role.VIEWER)
@takes(body=PasswordBody)
@gives(SIGNED_IN, 201)
def change_password() -> ResponseReturnValue:
    """Change one's own password; every session of the person ends, and a new one begins."""
    body = read_body(PasswordBody)
    user, session_id = guard.change_password(body.current_password, body.new_password)
    return _signed_in(user, session_id)


@blueprint.get("/whoami")
@guard.needs(Role.VIEWER)
@gives(CALLER)
def whoami() -> ResponseReturnValue:
    """Return who is asking, and what they may do."""
    caller = guard.current_caller()
    with reading() as session:
        project = None
        if caller.project_id is not None:
            project = get_project_by_id(session, caller.project_id).key
        may, left = _may(session, caller)
    return document({**_caller_document(caller, project, may), "allowances": left})


def user_document(user: User) -> dict[str, Any]:
    """Return a person as the API shows them: never with the hash."""
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "disabled": user.disabled,
        "created_at": user.created_at,
    }


def _may(
    session: Session, caller: Caller
) -> tuple[dict[str, dict[str, Role]], dict[str, dict[str, Any]]]:
    """Return what the caller may do in each environment it may know of, and what of it is left."""
    found: dict[str, dict[str, Role]] = {}
    left: dict[str, dict[str, Any]] = {}
    for project in list_projects(session):
        if caller.rights.highest_in(project.id or 0).covers(Role.VIEWER):
            environments = list_environments(session, project.key)
            roles = {
                each.key: caller.rights.in_environment(each.project_id, each.id or 0)
                for each in environments
            }
            found[project.key] = {key: role for key, role in roles.items() if role is not Role.NONE}
            mine = own_allowances(session, environments)
            shown = {
                key: each.document() for key, each in mine.items() if key in found[project.key]
            }
            left |= {project.key: shown} if shown else {}
    return found, left


def _caller_document(
    caller: Caller, project: str | None, may: dict[str, dict[str, Role]]
) -> dict[str, Any]:
    return {
        "kind": caller.actor.kind,
        "name": caller.actor.name,
        "role": caller.role,
        "project": project,
        "may": may,
        "csrf_token": csrf_token() if caller.session_id is not None else None,
    }


def _signed_in(user: User, session_id: str) -> Response:
    g.caller = Caller.of_user(user, hash_session_id(session_id))
    response = document({"user": user_document(user), "csrf_token": csrf_token()}, status=201)
    guard.set_cookie(response, session_id)
    return response
