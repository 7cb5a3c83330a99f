"""Numbered, immutable states of an environment, and the lock that keeps their numbers gap-free.

Locks are always taken in one order, so that writers wait and never deadlock: the project, then its
environments by id. A change of one environment needs that environment's lock alone.
Writers of rows that merely refer to an environment do not wait for it (``key_share``).
"""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Collection, Mapping
from typing import Any

import orjson
import sqlalchemy as sa
from sqlmodel import Session, col, select

from flags.errors import NotFoundError
from flags.models import Environment, Project, Revision

_END_OF_TIME = dt.datetime(9999, 12, 31, tzinfo=dt.UTC)


def lock_project(session: Session, project_key: str) -> Project:
    """Lock a project until the end of the transaction, and give it as it is now."""
    project = session.exec(
        select(Project)
        .where(Project.key == project_key)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if project is None:
        raise NotFoundError(f"there is no project {project_key!r}", field="project")
    return project


def lock_environment(session: Session, project_key: str, environment_key: str) -> Environment:
    """Lock an environment until the end of the transaction, and give it as it is now.

    On SQLite the whole transaction holds the write lock already (``Database.write``).
    """
    environment = session.exec(
        select(Environment)
        .join(Project, col(Project.id) == Environment.project_id)
        .where(Project.key == project_key, Environment.key == environment_key)
        .with_for_update(of=Environment, key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if environment is None:
        raise NotFoundError(
            f"there is no environment {environment_key!r} in project {project_key!r}",
            field="environment",
        )
    return environment


def lock_environments(session: Session, environment_ids: Collection[int]) -> list[Environment]:
    """Lock environments in the one order: who writes into their chains holds their locks."""
    return list(
        session.exec(
            select(Environment)
            .where(col(Environment.id).in_(environment_ids))
            .order_by(col(Environment.id))
            .with_for_update(key_share=True)
        )
    )


def lock_all_environments(session: Session, project_key: str) -> list[Environment]:
    """Lock a project and all its environments, in the one order."""
    project = lock_project(session, project_key)
    return list(
        session.exec(
            select(Environment)
            .where(Environment.project_id == project.id)
            .order_by(col(Environment.id))
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
    )


def get_revision(session: Session, environment_id: int, number: int) -> Revision:
    """Give one revision."""
    revision = session.exec(
        select(Revision).where(Revision.environment_id == environment_id, Revision.number == number)
    ).one_or_none()
    if revision is None:
        raise NotFoundError(f"there is no revision {number}", field="revision")
    return revision


def list_revisions(
    session: Session, environment_id: int, *, before: int | None = None, limit: int = 50
) -> list[Revision]:
    """Give revisions, newest first, without their flag sets; ``before`` a number, for paging."""
    query = (
        select(Revision)
        .where(Revision.environment_id == environment_id)
        .order_by(col(Revision.number).desc())
        .limit(limit)
        .options(sa.orm.defer(sa.inspect(Revision).attrs.flag_set.class_attribute))
    )
    if before is not None:
        query = query.where(Revision.number < before)
    return list(session.exec(query))


def revision_at(session: Session, environment_id: int, moment: dt.datetime) -> Revision:
    """Give the revision that was in force at a moment: from its own instant until the next one's.

    Raises
    ------
    NotFoundError
        If that was before the environment's first revision.
    """
    # Times never go back from one revision to the next, so the newest number is the one.
    mine = select(Revision).where(Revision.environment_id == environment_id)
    order = col(Revision.number)
    revision = session.exec(
        mine.where(Revision.created_at <= moment).order_by(order.desc()).limit(1)
    ).first()
    if revision is None:
        first = session.exec(mine.order_by(order).limit(1)).first()
        since = "" if first is None else f"; its first is of {first.created_at.isoformat()}"
        raise NotFoundError(f"the environment had no revision yet{since}", field="at")
    return revision


def revision_in_force(
    session: Session, environment_id: int, moment: dt.datetime, *, now: dt.datetime
) -> Revision:
    """Give the revision of a moment; for now and for what is to come, the newest."""
    return revision_at(session, environment_id, moment if moment < now else _END_OF_TIME)


def load_bytes(session: Session, environment_id: int, number: int | None = None) -> bytes:
    """Give the published flag set as canonical JSON; the newest unless a number is given."""
    if number is None:
        query = (
            select(Revision)
            .where(Revision.environment_id == environment_id)
            .order_by(col(Revision.number).desc())
            .limit(1)
        )
        revision = session.exec(query).first()
        if revision is None:
            raise NotFoundError("the environment has no revision yet", field="environment")
    else:
        revision = get_revision(session, environment_id, number)
    return unpack(revision)


def load_flag_set(
    session: Session, environment_id: int, number: int | None = None
) -> dict[str, Any]:
    """Give the published flag set as a document; the newest unless a number is given."""
    document: dict[str, Any] = orjson.loads(load_bytes(session, environment_id, number))
    return document


def unpack(revision: Revision) -> bytes:
    """Give the canonical bytes that a revision stores."""
    return zlib.decompress(revision.flag_set)


def current_etags(session: Session) -> Mapping[int, tuple[int, str]]:
    """Give the newest revision's number and etag of every environment, by environment id."""
    rows = session.exec(
        select(Revision.environment_id, Revision.number, Revision.etag).join(
            Environment,
            sa.and_(
                col(Environment.id) == Revision.environment_id,
                col(Environment.revision) == Revision.number,
            ),
        )
    )
    return {environment_id: (number, etag) for environment_id, number, etag in rows}
