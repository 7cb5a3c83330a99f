"""Who may do what in a project, and in single environments of it."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from flags.budgets import Budget
from flags.models import Environment
from flags.services import get_environment, get_project, list_environments
from web.api.blueprint import blueprint
from web.api.render import document, page
from web.api.shapes import MEMBER, list_of
from web.auth import service
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role, RoleName
from web.body import Body, Query, read_body, read_query
from web.contract import gives, takes
from web.transactions import reading, transaction

_LIST = "/projects/<project_key>/members"
_ITEM = f"{_LIST}/<email>"
_HERE = "/projects/<project_key>/environments/<environment_key>/members/<email>"


class MembershipBody(Body):
    """What the person may do there."""

    role: RoleName
    budget: Budget | None = None


@blueprint.get(_LIST)
@needs(Role.ADMIN)
@gives(list_of(MEMBER))
def list_project_members(project_key: str) -> ResponseReturnValue:
    """List everybody who has a role in the project, and what they may do in each environment."""
    read_query(Query)
    with reading() as session:
        project = get_project(session, project_key)
        environments = list_environments(session, project_key)
        members = service.list_members(session, project)
    return document(page([_show(each, environments) for each in members], None))


@blueprint.put(_ITEM)
@needs(Role.ADMIN)
@takes(body=MembershipBody)
@gives(MEMBER)
def set_project_role(project_key: str, email: str) -> ResponseReturnValue:
    """Say what a person may do in the project; ``none``: not even know of it."""
    return _set(project_key, None, email)


@blueprint.delete(_ITEM)
@needs(Role.ADMIN)
@gives(None, 204)
def remove_project_roles(project_key: str, email: str) -> ResponseReturnValue:
    """Take back all that was said of a person in the project; the role for everything holds."""
    with transaction() as session:
        project = get_project(session, project_key)
        service.remove_role(session, project, None, email, **_by())
    return Response(status=204)


@blueprint.put(_HERE)
@needs(Role.ADMIN)
@takes(body=MembershipBody)
@gives(MEMBER)
def set_environment_role(project_key: str, environment_key: str, email: str) -> ResponseReturnValue:
    """Say what a person may do in one environment, more or less than in its project."""
    return _set(project_key, environment_key, email)


@blueprint.delete(_HERE)
@needs(Role.ADMIN)
@gives(None, 204)
def remove_environment_role(
    project_key: str, environment_key: str, email: str
) -> ResponseReturnValue:
    """Take that back; the project's role holds."""
    with transaction() as session:
        project = get_project(session, project_key)
        environment = get_environment(session, project_key, environment_key)
        service.remove_role(session, project, environment, email, **_by())
    return Response(status=204)


def _set(project_key: str, environment_key: str | None, email: str) -> ResponseReturnValue:
    body = read_body(MembershipBody)
    role = service.parse_role(body.role)
    with transaction() as session:
        project = get_project(session, project_key)
        environment = _environment(session, project_key, environment_key)
        service.set_role(session, project, environment, email, role, budget=body.budget, **_by())
        member = service.get_member(session, project, email)
        return document(_show(member, list_environments(session, project_key)))


def _environment(
    session: Session, project_key: str, environment_key: str | None
) -> Environment | None:
    if environment_key is None:
        return None
    return get_environment(session, project_key, environment_key)


def _by() -> dict[str, Any]:
    said = who_and_when()
    return {"by": said["actor"], "now": said["now"]}


def _show(member: service.Member, environments: list[Environment]) -> dict[str, Any]:
    keys = {each.id: each.key for each in environments}
    return {
        "email": member.user.email,
        "name": member.user.name,
        "disabled": member.user.disabled,
        "everywhere": member.user.role,
        "role": member.role,
        "environments": {
            keys[number]: role for number, role in member.environments.items() if number in keys
        },
        "budget": member.budgets.get(None),
        "budgets": {
            keys[place]: budget
            for place, budget in member.budgets.items()
            if place is not None and place in keys
        },
        "may": {
            each.key: member.rights.in_environment(each.project_id, each.id or 0)
            for each in environments
        },
    }
