"""Who may do what in a project, and in single environments of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from flags.granted import Budget
from flags.models import Environment, Project
from flags.services import get_environment, get_project, list_environments
from web.api.blueprint import blueprint
from web.api.filtered import filtered_by
from web.api.render import content_etag, document, etag_of, expect_content
from web.api.shapes import MEMBER, list_of
from web.auth import service
from web.auth.allowed import Left, member_allowances
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role, RoleName
from web.body import Body, Query, read_body, read_query
from web.contract import gives, takes
from web.lists import MEMBERS
from web.transactions import reading, transaction

_MEMBERS = filtered_by(MEMBERS)
_LIST = "/projects/<project_key>/members"
_ITEM = f"{_LIST}/<email>"
_HERE = "/projects/<project_key>/environments/<environment_key>/members/<email>"


class MembershipBody(Body):
    """What the person may do there."""

    role: RoleName
    budget: Budget | None = None


@blueprint.get(_LIST)
@needs(Role.ADMIN)
@takes(query=_MEMBERS)
@gives(list_of(MEMBER))
def list_project_members(project_key: str) -> ResponseReturnValue:
    """List everybody who has a role in the project, and what they may do in each environment."""
    query = read_query(_MEMBERS)
    with reading() as session:
        project = get_project(session, project_key)
        environments = list_environments(session, project_key)
        members = service.list_members(session, project)
        left = member_allowances(session, members, environments)
    return document(query.page([_show(each, environments, left) for each in members], "email"))


@blueprint.get(_ITEM)
@needs(Role.ADMIN)
@gives(MEMBER, etag=True)
def get_project_member(project_key: str, email: str) -> ResponseReturnValue:
    """Return what a person may do in the project and its environments, and what is left of it."""
    read_query(Query)
    with reading() as session:
        return _answer(session, get_project(session, project_key), email)


@blueprint.put(_ITEM)
@needs(Role.ADMIN)
@takes(body=MembershipBody, if_match=True)
@gives(MEMBER, etag=True)
def set_project_role(project_key: str, email: str) -> ResponseReturnValue:
    """Say what a person may do in the project; ``none``: not even know of it."""
    return _set(project_key, None, email)


@blueprint.delete(_ITEM)
@needs(Role.ADMIN)
@takes(if_match=True)
@gives(None, 204)
def remove_project_roles(project_key: str, email: str) -> ResponseReturnValue:
    """Take back all that was said of a person in the project; the role for everything holds."""
    with transaction() as session:
        project = get_project(session, project_key)
        _expect(session, project, email, None)
        service.remove_role(session, project, None, email, **_by())
    return Response(status=204)


@blueprint.put(_HERE)
@needs(Role.ADMIN)
@takes(body=MembershipBody, if_match=True)
@gives(MEMBER, etag=True)
def set_environment_role(project_key: str, environment_key: str, email: str) -> ResponseReturnValue:
    """Say what a person may do in one environment, more or less than in its project."""
    return _set(project_key, environment_key, email)


@blueprint.delete(_HERE)
@needs(Role.ADMIN)
@takes(if_match=True)
@gives(None, 204)
def remove_environment_role(
    project_key: str, environment_key: str, email: str
) -> ResponseReturnValue:
    """Take that back; the project's role holds."""
    with transaction() as session:
        project = get_project(session, project_key)
        environment = get_environment(session, project_key, environment_key)
        _expect(session, project, email, None)
        service.remove_role(session, project, environment, email, **_by())
    return Response(status=204)


def _set(project_key: str, environment_key: str | None, email: str) -> ResponseReturnValue:
    body = read_body(MembershipBody)
    role = service.parse_role(body.role)
    with transaction() as session:
        project = get_project(session, project_key)
        environment = _environment(session, project_key, environment_key)
        wanted = {
            "role": body.role,
            "budget": None if body.budget is None else body.budget.document(),
        }
        _expect(session, project, email, wanted)
        service.set_role(session, project, environment, email, role, budget=body.budget, **_by())
        return _answer(session, project, email)


def _expect(session: Session, project: Project, email: str, wanted: dict[str, Any] | None) -> None:
    expect_content(_kept(_one(session, project, email, lock=True)), wanted)


def _answer(session: Session, project: Project, email: str) -> Response:
    shown = _one(session, project, email)
    return document(shown, etag=etag_of(content_etag(_kept(shown)), shown))


def _one(session: Session, project: Project, email: str, *, lock: bool = False) -> dict[str, Any]:
    member = service.get_member(session, project, email, lock=lock)
    environments = list_environments(session, project.key)
    return _show(member, environments, member_allowances(session, [member], environments))


def _kept(shown: dict[str, Any]) -> dict[str, Any]:
    """Leave out what moves by itself: it is no reason to decide anew."""
    return {name: said for name, said in shown.items() if name != "allowances"}


def _environment(
    session: Session, project_key: str, environment_key: str | None
) -> Environment | None:
    if environment_key is None:
        return None
    return get_environment(session, project_key, environment_key)


def _by() -> dict[str, Any]:
    said = who_and_when()
    return {"by": said["actor"], "now": said["now"]}


def _show(
    member: service.Member,
    environments: list[Environment],
    left: Mapping[str, Left],
) -> dict[str, Any]:
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
        "allowances": {
            key: each.document() for key, each in left.get(member.user.email, {}).items()
        },
        "may": {
            each.key: member.rights.in_environment(each.project_id, each.id or 0)
            for each in environments
        },
    }
