"""Another environment, read as its newest revision: one consistent state, without its lock."""

from __future__ import annotations

from sqlmodel import Session, col, select

from flags.errors import NotFoundError
from flags.models import Environment, SegmentRow
from flags.revisions import load_flag_set
from flags.workspace import Source


def load_source(session: Session, project_id: int, environment_key: str, at: str) -> Source:
    """Give an environment of a project as its newest revision has it."""
    environment = session.exec(
        select(Environment).where(
            Environment.project_id == project_id, Environment.key == environment_key
        )
    ).one_or_none()
    if environment is None:
        raise NotFoundError(
            f"there is no environment {environment_key!r} in this project", field=at
        )
    return source_of(session, environment)


def source_of(session: Session, environment: Environment) -> Source:
    """Give an environment as its newest revision has it."""
    assert environment.id is not None
    document = load_flag_set(session, environment.id)
    names = session.exec(
        select(col(SegmentRow.key), col(SegmentRow.name)).where(
            SegmentRow.environment_id == environment.id
        )
    )
    return Source(
        environment_key=environment.key,
        revision=document["version"],
        flags=document["flags"],
        segments=document["segments"],
        names=dict(names.all()),
    )
