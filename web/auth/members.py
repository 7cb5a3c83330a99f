"""Who may do what in a project and its environments, said person by person, and audited."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlmodel import Session, col, select

from flags.actor import Actor
from flags.audit import append
from flags.errors import InvalidInputError, NotFoundError, StateError
from flags.granted import Budget, budgets_by_place, check_role, clear_budget, set_budget
from flags.models import Environment, Project
from flags.revisions import lock_environments
from web.auth.models import Membership, User
from web.auth.people import find_user, normalise_email
from web.auth.rights import Rights
from web.auth.roles import Role


@dataclass(frozen=True)
class Member:
    """A person as a project knows them.

    Attributes
    ----------
    role : Role or None
        What is said for the project; None: nothing, the role for everything holds.
    environments : mapping
        What is said for single environments, by their ids.
    rights : Rights
        What comes of all that.
    budgets : mapping
        What limits them, by environment's id; ``None``: in the project.
    """

    user: User
    role: Role | None
    environments: Mapping[int, Role]
    rights: Rights
    budgets: Mapping[int | None, dict[str, Any]] = field(default_factory=dict)


def rights_of(session: Session, user: User) -> Rights:
    """Return a person's roles everywhere."""
    role = Role(user.role)
    # Nothing can be taken from who administers everything; it need not be read.
    said = [] if role is Role.ADMIN else _said(session, Membership.user_id == user.id)
    return _rights(role, said)


def list_members(session: Session, project: Project) -> list[Member]:
    """Return everybody who has a role in a project, or has been given one there, by address."""
    said: dict[int, list[Membership]] = {}
    for each in _said(session, Membership.project_id == project.id):
        said.setdefault(each.user_id, []).append(each)
    users = session.exec(select(User).order_by(User.email)).all()
    assert project.id is not None
    members = [_member(user, said.get(user.id or 0, [])) for user in users]
    limits = budgets_by_place(session, [_principal(user) for user in users])
    members = [_limited(each, project, limits) for each in members]
    return [
        each
        for each in members
        if each.user.id in said or each.rights.highest_in(project.id) is not Role.NONE
    ]


def get_member(session: Session, project: Project, email: str, *, lock: bool = False) -> Member:
    """Return one person as a project knows them; locked, nobody else changes that meanwhile."""
    user = _person(session, email, lock=lock)
    said = list(_said(session, Membership.user_id == user.id))
    member = _member(user, [each for each in said if each.project_id == project.id])
    return _limited(member, project, budgets_by_place(session, [_principal(user)]))


def set_role(
    session: Session,
    project: Project,
    environment: Environment | None,
    email: str,
    role: Role,
    *,
    budget: Budget | None = None,
    by: Actor,
    now: dt.datetime,
) -> Membership:
    """Say what a person may do in a project, or in one of its environments.

    Raises
    ------
    NotFoundError
        If nobody has that address.
    StateError
        If that person administers everything, which nothing limits.
    """
    user = _person(session, email, lock=True)
    if user.role == Role.ADMIN.value:
        message = f"{user.email} administers everything, in this project too"
        raise StateError(message, hint="give the person a lower role for everything first")
    check_role(role, budget)
    row = _find(session, project, environment, user)
    before = None if row is None else _told(row, _budget(session, user, row))
    assert project.id is not None
    assert user.id is not None
    if row is None:
        row = Membership(
            user_id=user.id,
            project_id=project.id,
            environment_id=None if environment is None else environment.id,
            role=role.value,
            created_at=now,
        )
    row.role = role.value
    session.add(row)
    session.flush()
    set_budget(
        session,
        _principal(user),
        budget,
        project_id=project.id,
        environment_id=row.environment_id,
    )
    after = _told(row, None if budget is None else budget.document())
    if before != after:
        _audit(session, project, environment, user, "set_role", before, after, by, now)
    return row


def remove_role(
    session: Session,
    project: Project,
    environment: Environment | None,
    email: str,
    *,
    by: Actor,
    now: dt.datetime,
) -> None:
    """Take back what was said of a person; in a project, of its environments too."""
    user = _person(session, email, lock=True)
    rows = list(_said(session, Membership.user_id == user.id))
    rows = [each for each in rows if each.project_id == project.id]
    if environment is not None:
        rows = [each for each in rows if each.environment_id == environment.id]
    if not rows:
        place = "this project" if environment is None else environment.key
        raise NotFoundError(f"{user.email} has been given no role in {place}")
    places: dict[int | None, Environment] = {e.id: e for e in _environments(session, project)}
    for row in rows:
        session.delete(row)
        clear_budget(
            session,
            _principal(user),
            project_id=project.id,
            environment_id=row.environment_id,
        )
    session.flush()
    for row in sorted(rows, key=lambda each: each.environment_id or 0):
        there = places.get(row.environment_id)
        where = "project" if there is None else there.key
        _audit(session, project, there, user, "remove_role", {where: row.role}, None, by, now)


def _limited(
    member: Member,
    project: Project,
    limits: Mapping[tuple[str, int | None, int | None], dict[str, Any]],
) -> Member:
    own = {
        place: document
        for (principal, project_id, place), document in limits.items()
        if principal == _principal(member.user) and project_id == project.id
    }
    return replace(member, budgets=own)


def _principal(user: User) -> str:
    return f"user:{user.email}"


def _budget(session: Session, user: User, row: Membership) -> dict[str, Any] | None:
    found = budgets_by_place(session, [_principal(user)])
    return found.get((_principal(user), row.project_id, row.environment_id))


def _told(row: Membership, budget: dict[str, Any] | None) -> dict[str, Any]:
    return {"role": row.role} | ({"budget": budget} if budget else {})


def _environments(session: Session, project: Project) -> Sequence[Environment]:
    query = select(Environment).where(Environment.project_id == project.id)
    return session.exec(query.order_by(col(Environment.position), col(Environment.id))).all()


def _person(session: Session, email: str, *, lock: bool = False) -> User:
    user = find_user(session, normalise_email(email), lock=lock)
    if user is None:
        message = f"there is nobody with the address {email!r}"
        raise NotFoundError(message, field="email", hint="an administrator makes people")
    return user


def _said(session: Session, where: object) -> Sequence[Membership]:
    return session.exec(
        select(Membership).where(where).execution_options(populate_existing=True)  # type: ignore[arg-type]
    ).all()


def _find(
    session: Session, project: Project, environment: Environment | None, user: User
) -> Membership | None:
    environment_id = None if environment is None else environment.id
    if environment is not None and environment.project_id != project.id:
        raise InvalidInputError("the environment is of another project", field="environment")
    found = [
        each
        for each in _said(session, Membership.user_id == user.id)
        if (each.project_id, each.environment_id) == (project.id, environment_id)
    ]
    return found[0] if found else None


def _member(user: User, said: Sequence[Membership]) -> Member:
    own = [each for each in said if each.environment_id is None]
    return Member(
        user,
        Role(own[0].role) if own else None,
        {each.environment_id: Role(each.role) for each in said if each.environment_id is not None},
        _rights(Role(user.role), said),
    )


def _rights(role: Role, said: Sequence[Membership]) -> Rights:
    return Rights(
        role,
        {each.project_id: Role(each.role) for each in said if each.environment_id is None},
        {
            each.environment_id: (each.project_id, Role(each.role))
            for each in said
            if each.environment_id is not None
        },
    )


def _audit(
    session: Session,
    project: Project,
    environment: Environment | None,
    user: User,
    action: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    by: Actor,
    now: dt.datetime,
) -> None:
    assert project.id is not None
    where, environment_id = "", None
    if environment is not None and environment.id is not None:
        # In its own chain: who may not know of an environment may not read who is there.
        where, environment_id = f" in {environment.key}", environment.id
        lock_environments(session, [environment_id])
    append(
        session,
        project_id=project.id,
        environment_id=environment_id,
        actor=by,
        action=action,
        resource=f"member:{user.email}{where}",
        before=before,
        after=after,
        now=now,
    )
