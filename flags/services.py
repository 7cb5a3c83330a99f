"""Projects, environments and flags: to make them, to list them, to read them.

Everything that *edits* a flag or a segment is an instruction (:mod:`flags.changes`). Functions take
the caller's session; what they return are plain frozen views, safe after the session is closed
(projects and environments are rows, which hold nothing lazy).
"""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from flags import notices
from flags.actor import Actor
from flags.audit import append, entries
from flags.budgets import Spending, spend
from flags.database import once
from flags.drafts import FlagDraft, parse_draft
from flags.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from flags.models import (
    AuditEntry,
    Environment,
    FlagEnvironment,
    FlagRow,
    Project,
    SegmentRow,
)
from flags.plain import MAX_NAME_LENGTH, check_key, check_name
from flags.publish import publish
from flags.revisions import lock_all_environments, lock_project
from flags.shares import Side
from flags.views import FlagInEnvironment, FlagView, SegmentView, copy_of, views_of
from flags.workspace import empty_state

__all__ = [
    "DEFAULT_ENVIRONMENTS",
    "FlagInEnvironment",
    "FlagView",
    "SegmentView",
    "create_environment",
    "create_flag",
    "create_project",
    "flag_history",
    "get_environment",
    "get_environment_by_id",
    "get_flag",
    "get_project",
    "get_project_by_id",
    "get_segment",
    "list_environments",
    "list_flags",
    "list_projects",
    "list_segments",
]

DEFAULT_ENVIRONMENTS = (("production", "Production", True), ("staging", "Staging", False))


# Projects and environments


def create_project(
    session: Session,
    *,
    key: str,
    name: str = "",
    environments: Sequence[tuple[str, str, bool]] = DEFAULT_ENVIRONMENTS,
    actor: Actor,
    now: dt.datetime,
) -> Project:
    """Make a project, with ``production`` and ``staging`` unless told otherwise.

    ``environments`` are (key, name, whether it is production).
    """
    check_key(key, "key")
    _check_title(name)
    if session.exec(select(Project).where(Project.key == key)).first() is not None:
        raise AlreadyExistsError(f"there is already a project {key!r}", field="key")
    project = Project(key=key, name=name or key, created_at=now)
    session.add(project)
    try:
        session.flush()
    except IntegrityError as error:  # somebody else was faster
        raise AlreadyExistsError(f"there is already a project {key!r}", field="key") from error
    assert project.id is not None
    append(
        session,
        project_id=project.id,
        actor=actor,
        action="create_project",
        resource=f"project:{key}",
        after={"key": key, "name": project.name},
        now=now,
    )
    for environment_key, environment_name, production in environments:
        create_environment(
            session,
            key,
            key=environment_key,
            name=environment_name,
            production=production,
            actor=actor,
            now=now,
        )
    return project


def create_environment(
    session: Session,
    project_key: str,
    *,
    key: str,
    name: str = "",
    production: bool = False,
    actor: Actor,
    now: dt.datetime,
) -> Environment:
    """Make an environment, in which every flag is off, and publish its first revision."""
    check_key(key, "key")
    _check_title(name)
    project = lock_project(session, project_key)
    present = list_environments(session, project_key)
    if any(environment.key == key for environment in present):
        raise AlreadyExistsError(
            f"project {project_key!r} already has an environment {key!r}", field="key"
        )
    assert project.id is not None
    environment = Environment(
        project_id=project.id,
        key=key,
        name=name or key,
        production=production,
        position=max((each.position for each in present), default=-1) + 1,
        created_at=now,
    )
    session.add(environment)
    session.flush()
    assert environment.id is not None
    _add_flags(session, project.id, present, environment.id, now)
    revision = publish(session, environment, actor, "environment created", now)
    append(
        session,
        project_id=project.id,
        environment_id=environment.id,
        actor=actor,
        action="create_environment",
        resource=f"environment:{key}",
        after={"key": key, "name": environment.name, "production": production},
        revision=revision.number,
        now=now,
    )
    return environment


def list_projects(session: Session) -> list[Project]:
    """Give every project, by key."""
    return list(session.exec(select(Project).order_by(col(Project.key))))


def get_project(session: Session, project_key: str) -> Project:
    """Give one project."""
    query = select(Project).where(Project.key == project_key)
    project = once(session, ("project", project_key), lambda: session.exec(query).one_or_none())
    if project is None:
        raise NotFoundError(f"there is no project {project_key!r}", field="project")
    return project


def get_project_by_id(session: Session, project_id: int) -> Project:
    """Give one project, by the id that other tables refer to."""
    project = session.get(Project, project_id)
    if project is None:
        raise NotFoundError(f"there is no project with id {project_id}", field="project")
    return project


def list_environments(session: Session, project_key: str) -> list[Environment]:
    """Give a project's environments in its order."""
    project = get_project(session, project_key)
    query = (
        select(Environment)
        .where(Environment.project_id == project.id)
        .order_by(col(Environment.position), col(Environment.id))
    )
    return [*once(session, ("environments", project.id), lambda: session.exec(query).all())]


def get_environment(session: Session, project_key: str, environment_key: str) -> Environment:
    """Give one environment (without a lock: see :func:`flags.revisions.lock_environment`)."""
    for environment in list_environments(session, project_key):
        if environment.key == environment_key:
            return environment
    raise NotFoundError(
        f"there is no environment {environment_key!r} in project {project_key!r}",
        field="environment",
    )


def get_environment_by_id(session: Session, environment_id: int) -> Environment:
    """Give one environment, by the id that other tables refer to."""
    environment = session.get(Environment, environment_id)
    if environment is None:
        raise NotFoundError(
            f"there is no environment with id {environment_id}", field="environment"
        )
    return environment


# Flags


def create_flag(
    session: Session,
    project_key: str,
    draft: FlagDraft | Mapping[str, Any],
    *,
    actor: Actor,
    now: dt.datetime,
    comment: str = "",
) -> FlagView:
    """Make a flag, off in every environment, and publish it there.

    A boolean flag needs nothing but its key: its variants are ``on`` and ``off``.
    """
    given = draft if isinstance(draft, FlagDraft) else parse_draft(draft)
    variants = given.stored_variants()
    environments = lock_all_environments(session, project_key)
    project = get_project(session, project_key)
    if session.exec(
        select(FlagRow).where(FlagRow.project_id == project.id, FlagRow.key == given.key)
    ).first():
        raise AlreadyExistsError(
            f"project {project_key!r} already has a flag {given.key!r}",
            field="key",
            hint="an archived flag keeps its key; restore it, or choose another key",
        )
    assert project.id is not None
    flag = FlagRow(
        project_id=project.id,
        key=given.key,
        type=given.type,
        name=given.name,
        description=given.description,
        owner=given.owner,
        client=given.client,
        expires=given.expires,
        kind=given.kind,
        variants=variants,
        flag_metadata=dict(given.metadata),
        created_at=now,
    )
    session.add(flag)
    session.flush()
    assert flag.id is not None
    off, default = given.ends(*_fallbacks(variants))
    fresh = copy_of(flag, empty_state(off=off, default=default), 1).document()
    # Whoever asks for it already gets another answer than the caller's default from now on.
    spend(
        session,
        Spending({str(actor)}, trusted=True),
        environments,
        lambda _: (Side({}, {}), Side({flag.key: fresh}, {})),
        now,
    )
    for environment in environments:
        assert environment.id is not None
        state = empty_state(off=off, default=default)
        session.add(
            FlagEnvironment(
                flag_id=flag.id, environment_id=environment.id, state=state, updated_at=now
            )
        )
        revision = publish(session, environment, actor, comment or f"flag {flag.key} created", now)
        append(
            session,
            project_id=project.id,
            environment_id=environment.id,
            actor=actor,
            action="create_flag",
            resource=f"flag:{flag.key}",
            after=copy_of(flag, copy.deepcopy(state), 1).whole(),
            comment=comment,
            revision=revision,
            now=now,
        )
    notices.write(
        session,
        "flag.created",
        f"{notices.who(actor)} made the flag {flag.key}; it is off everywhere.",
        project_id=project.id,
        environments=[each.key for each in environments],
        actor=actor,
        resource=f"flag:{flag.key}",
        reason=comment,
        facts={"did": ["create_flag"], "type": flag.type, "owner": flag.owner},
        now=now,
    )
    session.flush()
    return get_flag(session, project_key, flag.key)


def get_flag(session: Session, project_key: str, flag_key: str) -> FlagView:
    """Give one flag with its state in every environment."""
    project = get_project(session, project_key)
    row = session.exec(
        select(FlagRow).where(FlagRow.project_id == project.id, FlagRow.key == flag_key)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no flag {flag_key!r} in {project_key!r}", field="flag")
    (view,) = views_of(session, list_environments(session, project_key), [row])
    return view


def list_flags(
    session: Session,
    project_key: str,
    *,
    archived: bool | None = False,
    limit: int | None = None,
) -> list[FlagView]:
    """Give flags by key; by a filter they are found in :mod:`flags.finding`.

    Parameters
    ----------
    archived : bool or None
        Only those that are (not) archived; ``None`` for all.
    limit : int, optional
        How many at most.
    """
    project = get_project(session, project_key)
    query = (
        select(FlagRow)
        .where(FlagRow.project_id == project.id)
        .order_by(col(FlagRow.key))
        .limit(limit)
    )
    if archived is not None:
        query = query.where(col(FlagRow.archived) == archived)
    return views_of(session, list_environments(session, project_key), list(session.exec(query)))


def count_flags(session: Session, project_key: str) -> int:
    """Give how many flags a project has that are not archived."""
    project = get_project(session, project_key)
    query = select(sa.func.count()).select_from(FlagRow)
    here = (FlagRow.project_id == project.id, col(FlagRow.archived).is_(False))
    return session.exec(query.where(*here)).one()


def flag_history(
    session: Session,
    project_key: str,
    flag_key: str,
    *,
    environment_key: str | None = None,
    before_id: int | None = None,
    limit: int = 50,
) -> list[AuditEntry]:
    """Give what was done to a flag, newest first."""
    project = get_project(session, project_key)
    assert project.id is not None
    environment_id = None
    if environment_key is not None:
        environment_id = get_environment(session, project_key, environment_key).id
    return entries(
        session,
        project.id,
        environment_id=environment_id,
        resource=f"flag:{flag_key}",
        before_id=before_id,
        limit=limit,
    )


# Segments


def list_segments(session: Session, project_key: str, environment_key: str) -> list[SegmentView]:
    """Give an environment's segments by key."""
    environment = get_environment(session, project_key, environment_key)
    rows = session.exec(
        select(SegmentRow)
        .where(SegmentRow.environment_id == environment.id)
        .order_by(col(SegmentRow.key))
    )
    return [
        SegmentView(row.key, row.name, row.condition, row.created_at, row.version or 1)
        for row in rows
    ]


def get_segment(
    session: Session, project_key: str, environment_key: str, segment_key: str
) -> SegmentView:
    """Give one segment."""
    for segment in list_segments(session, project_key, environment_key):
        if segment.key == segment_key:
            return segment
    raise NotFoundError(f"there is no segment {segment_key!r}", field="segment")


# Within


def _fallbacks(variants: Mapping[str, Any]) -> tuple[str, str]:
    """Give the off variant and the default of a flag whose author named neither."""
    names = list(variants)
    off = next((name for name in names if not variants[name].get("on", True)), names[0])
    return off, names[0]


def _add_flags(
    session: Session, project_id: int, present: list[Environment], new_id: int, now: dt.datetime
) -> None:
    """Give a new environment the project's flags, off; they fall back as in the first one."""
    rows = session.exec(
        select(FlagRow, FlagEnvironment)
        .outerjoin(
            FlagEnvironment,
            sa.and_(
                col(FlagEnvironment.flag_id) == col(FlagRow.id),
                col(FlagEnvironment.environment_id) == (present[0].id if present else None),
            ),
        )
        .where(FlagRow.project_id == project_id)
    )
    for flag, model in rows.all():
        off, default = _fallbacks(flag.variants)
        if model is not None:
            off, default = model.state["off"], model.state["default"]
        state = empty_state(off=off, default=default)
        assert flag.id is not None
        session.add(
            FlagEnvironment(flag_id=flag.id, environment_id=new_id, state=state, updated_at=now)
        )


def _check_title(name: str) -> None:
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidInputError(f"a name has at most {MAX_NAME_LENGTH} characters", field="name")
    if name:
        check_name(name, "name", what="project or environment")
