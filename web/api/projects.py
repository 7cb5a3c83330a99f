"""Projects and their environments."""

from __future__ import annotations

from typing import Annotated, Any

from flask.typing import ResponseReturnValue
from pydantic import Field

from flags import approvals, services
from flags.models import Environment, Project
from flags.plain import KEY_PATTERN, MAX_NAME_LENGTH
from web.api.blueprint import blueprint
from web.api.idempotency import idempotent
from web.api.render import WholeQuery, document
from web.api.shapes import ENVIRONMENT, PROJECT, list_of
from web.auth.guard import current_caller, needs, who_and_when
from web.auth.roles import Role
from web.body import Body, Query, read_body, read_query
from web.contract import gives, takes
from web.transactions import reading, transaction

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
@gives(PROJECT)
def get_project(project_key: str) -> ResponseReturnValue:
    """Return a project."""
    read_query(Query)
    with reading() as session:
        return document(_project(services.get_project(session, project_key)))


@blueprint.get("/projects/<project_key>/environments")
@needs(Role.VIEWER)
@takes(query=WholeQuery)
@gives(list_of(ENVIRONMENT))
def list_environments(project_key: str) -> ResponseReturnValue:
    """List a project's environments in its order."""
    query = read_query(WholeQuery)
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
        return document(_environment(environment), status=201, etag=environment.revision)


@blueprint.get("/projects/<project_key>/environments/<environment_key>")
@needs(Role.VIEWER)
@gives(ENVIRONMENT, etag=True)
def get_environment(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Return an environment; its ETag is the number of its newest revision."""
    read_query(Query)
    with reading() as session:
        environment = services.get_environment(session, project_key, environment_key)
    return document(_environment(environment), etag=environment.revision)


@blueprint.patch("/projects/<project_key>/environments/<environment_key>")
@needs(Role.ADMIN)
@takes(body=ProtectionBody)
@gives(ENVIRONMENT, etag=True)
def protect_environment(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Say whether it is production, how many must approve, and where it must be on first."""
    body = read_body(ProtectionBody)
    # Null is no environment, and left out is no change.
    after = (body.after or "") if "after" in body.model_fields_set else None
    with transaction() as session:
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
        return document(_environment(environment), etag=environment.revision)


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
