"""In which environments a change takes effect, and so where its caller needs the role."""

from __future__ import annotations

from sqlmodel import Session, col, select

from flags.errors import NotAllowedError
from flags.instructions import PROJECT_WIDE, Change, Promote
from flags.models import Environment
from flags.request_rows import change_of, get
from flags.services import get_environment, get_environment_by_id
from web.auth.guard import current_caller, needed_here, require_in
from web.auth.roles import Role
from web.transactions import SEES_ALL, as_seen


def require_for_change(
    session: Session, project_key: str, environment_key: str, change: Change
) -> None:
    """Refuse a change unless the caller has the view's role wherever it takes effect.

    What a flag is everywhere (its variants, whether it is archived) takes effect in every
    environment of the project: who edits staging only must not change it.
    """
    with as_seen(session):
        environment = get_environment(session, project_key, environment_key)
        for source in {each.source for each in change.instructions if isinstance(each, Promote)}:
            # Whoever carries it elsewhere reads it.
            get_environment(session, project_key, source)
    require_in(session, [environment])
    if not any(isinstance(each, PROJECT_WIDE) for each in change.instructions):
        return
    rights, needed = current_caller().rights, needed_here()
    every = session.exec(
        select(col(Environment.id)).where(Environment.project_id == environment.project_id),
        execution_options={SEES_ALL: True},
    )
    roles = [rights.in_environment(environment.project_id, each) for each in every if each]
    if not all(role.covers(needed) for role in roles):
        message = (
            f"this changes what a flag is in every environment: it needs the role {needed} in each"
        )
        hint = "ask somebody who has the role in the whole project"
        raise NotAllowedError(message, field="instructions", hint=hint)


def may_override(session: Session, project_key: str, environment_key: str, change: Change) -> bool:
    """Tell whether the caller may apply a change before it was on elsewhere: an administrator.

    What a flag is everywhere may break the rule of any environment: one of the whole project.
    """
    environment = get_environment(session, project_key, environment_key)
    rights, project_id = current_caller().rights, environment.project_id
    role = rights.in_environment(project_id, environment.id or 0)
    if any(isinstance(each, PROJECT_WIDE) for each in change.instructions):
        role = rights.in_project(project_id)
    return role.covers(Role.ADMIN)


def require_for_request(session: Session, project_key: str, change_id: int) -> None:
    """Refuse a change that waits unless the caller has the view's role wherever it takes effect."""
    with as_seen(session):
        request = get(session, project_key, change_id)
        environment = get_environment_by_id(session, request.environment_id)
    require_for_change(session, project_key, environment.key, change_of(request, environment))


def role_for_request(session: Session, project_key: str, change_id: int) -> Role:
    """Return the caller's role in the environment of a change that waits."""
    request = get(session, project_key, change_id)
    return current_caller().rights.in_environment(request.project_id, request.environment_id)
