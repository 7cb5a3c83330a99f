"""Projects and their environments."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from flask.typing import ResponseReturnValue
from pydantic import Field

from flags import approvals, services
from flags.errors import InvalidInputError
from flags.models import Environment, Project
from flags.plain import KEY_PATTERN, MAX_NAME_LENGTH
from flags.revisions import lock_environment
from web.api.blueprint import blueprint
from web.api.filtered import filtered_by
from web.api.idempotency import idempotent
from web.api.render import (
    Expected,
    WholeQuery,
    content_conflict,
    content_etag,
    document,
    etag_of,
    expected,
)
from web.api.shapes import ENVIRONMENT, PROJECT, list_of
from web.auth.guard import current_caller, needs, who_and_when
from web.auth.roles import Role
from web.body import Body, Query, read_body, read_query
from web.contract import gives, takes
from web.lists import ENVIRONMENTS
from web.transactions import reading, transaction

_ENVIRONMENTS = filtered_by(ENVIRONMENTS)
# Described as the services judge them; those say what is wrong, and how to mend it.
Key = Annotated[
    str, Field(max_length=1024, json_schema_extra={"pattern": KEY_PATTERN, "maxLength": 64})
]
Name = Annotated[str, Field(max_length=1024, json_schema_extra={"maxLength": MAX_NAME_LENGTH})]


class ProjectBody(Body):
    """A project to create."""

    key: Key
    name: Name = ""


class EnvironmentBody(Body):
    """An environment to create."""

    key: Key
    name: Name = ""
    production: bool = False


class ProtectionBody(Body):
    """How careful an environment is; what is left out stays."""

    production: bool | None = None
    approvals_needed: int | None = None
    after: Annotated[str, Field(max_length=64)] | None = Field(
        default=None,
        description="What serves more must be on in this environment first; null: in none.",
    )
    after_hours: int | None = None


@blueprint.get("/projects")
@needs(Role.VIEWER)
@takes(query=WholeQuery)
@gives(list_of(PROJECT))
def list_projects() -> ResponseReturnValue:
    """List the projects that the caller may see."""
    query = read_query(WholeQuery)
    rights = current_caller().rights
    with reading() as session:
        projects = services.list_projects(session)
    seen = [p for p in projects if rights.highest_in(p.id or 0).covers(Role.VIEWER)]
    return document(query.page([_project(p) for p in seen]))


@blueprint.post("/projects")
@needs(Role.ADMIN)
@idempotent()
@takes(body=ProjectBody)
@gives(PROJECT, 201)
def create_project() -> ResponseReturnValue:
    """Create a project with the environments ``production`` and ``staging``."""
    caller = current_caller()
    caller.require_everywhere()
    body = read_body(ProjectBody)
    with transaction() as session:
        project = services.create_project(session, key=body.key, name=body.name, **who_and_when())
    return document(_project(project), status=201)


@blueprint.get("/projects/<project_key>")
@needs(Role.VIEWER)
@gives(PROJECT, etag=True)
def get_project(project_key: str) -> ResponseReturnValue:
    """Return a project."""
    read_query(Query)
    with reading() as session:
        shown = _project(services.get_project(session, project_key))
    return document(shown, etag=content_etag(shown))


@blueprint.get("/projects/<project_key>/environments")
@needs(Role.VIEWER)
@takes(query=_ENVIRONMENTS)
@gives(list_of(ENVIRONMENT))
def list_environments(project_key: str) -> ResponseReturnValue:
    """List a project's environments in its order."""
    query = read_query(_ENVIRONMENTS)
    with reading() as session:
        environments = services.list_environments(session, project_key)
    return document(query.page([_environment(e) for e in environments]))


@blueprint.post("/projects/<project_key>/environments")
@needs(Role.ADMIN)
@idempotent()
@takes(body=EnvironmentBody)
@gives(ENVIRONMENT, 201, etag=True)
def create_environment(project_key: str) -> ResponseReturnValue:
    """Create an environment, in which every flag is off."""
    body = read_body(EnvironmentBody)
    with transaction() as session:
        environment = services.create_environment(
            session,
            project_key,
            key=body.key,
            name=body.name,
            production=body.production,
            **who_and_when(),
        )
        return _answer(environment, status=201)


@blueprint.get("/projects/<project_key>/environments/<environment_key>")
@needs(Role.VIEWER)
@gives(ENVIRONMENT, etag=True)
def get_environment(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Return an environment; its ETag begins with the number of its newest revision."""
    read_query(Query)
    with reading() as session:
        return _answer(services.get_environment(session, project_key, environment_key))


@blueprint.patch("/projects/<project_key>/environments/<environment_key>")
@needs(Role.ADMIN)
@takes(body=ProtectionBody, if_match=True)
@gives(ENVIRONMENT, etag=True)
def protect_environment(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Say whether it is production, how many must approve, and where it must be on first."""
    body = read_body(ProtectionBody)
    # Null is no environment, and left out is no change.
    after = (body.after or "") if "after" in body.model_fields_set else None
    given = expected()
    with transaction() as session:
        _expect_settings(
            lock_environment(session, project_key, environment_key),
            given,
            body.model_dump(exclude_unset=True),
        )
        environment = approvals.protect(
            session,
            project_key,
            environment_key,
            production=body.production,
            needed=body.approvals_needed,
            after=after,
            after_hours=body.after_hours,
            **who_and_when(),
        )
        return _answer(environment)


def _expect_settings(environment: Environment, given: Expected, wanted: dict[str, Any]) -> None:
    """Refuse to write over settings that moved; revisions come and go, and change none."""
    if given == Expected():
        return
    if given.rest is None:
        message = "If-Match must be the ETag that this address gave"
        hint = "one of a flag or a revision alone says nothing of the settings"
        raise InvalidInputError(message, field="If-Match", hint=hint)
    shown = _settings(environment)
    if given.rest != content_etag(shown):
        raise content_conflict(shown, wanted)


def _answer(environment: Environment, *, status: int = 200) -> Response:
    etag = etag_of(environment.revision, _settings(environment))
    return document(_environment(environment), status=status, etag=etag)


def _settings(environment: Environment) -> dict[str, Any]:
    shown = _environment(environment)
    return {name: said for name, said in shown.items() if name != "revision"}


def _project(project: Project) -> dict[str, Any]:
    return {"key": project.key, "name": project.name, "created_at": project.created_at}


def _environment(environment: Environment) -> dict[str, Any]:
    return {
        "key": environment.key,
        "name": environment.name,
        "production": environment.production,
        "approvals_needed": environment.approvals_needed,
        "after": environment.after,
        "after_hours": environment.after_hours,
        "revision": environment.revision,
        "created_at": environment.created_at,
    }
