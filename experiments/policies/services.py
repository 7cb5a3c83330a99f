"""Stored policies: written as drafts, published once they have been tried, archived, read back.

Every function works in the caller's transaction and takes the project's lock before it writes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from experiments.errors import TrialPendingError
from experiments.policies.definition import parse_stored, refuse_built_in, rules_hash
from experiments.policies.models import PolicyRow, PolicyTrial, PolicyVersion
from experiments.policies.standard import METHOD
from flags import audit
from flags.actor import Actor
from flags.errors import NotFoundError, StateError
from flags.revisions import lock_project
from flags.services import get_project
from flags.versions import expect_version

MAX_POLICIES = 200


def list_policies(
    session: Session, project_key: str, *, archived: bool | None = False
) -> list[PolicyRow]:
    """List a project's stored policies by name; ``archived=None`` for all."""
    query = select(PolicyRow).where(PolicyRow.project_id == get_project(session, project_key).id)
    if archived is not None:
        query = query.where(col(PolicyRow.archived) == archived)
    return list(session.exec(query.order_by(col(PolicyRow.name))))


def get_policy(session: Session, project_key: str, name: str) -> PolicyRow:
    """Return a stored policy.

    Raises
    ------
    NotFoundError
        If the project has none of that name.
    """
    project_id = get_project(session, project_key).id
    assert project_id is not None
    return _required(session, project_id, name)


def find_policy(session: Session, project_id: int, name: str) -> PolicyRow | None:
    """Return a stored policy if the project has it."""
    query = select(PolicyRow).where(PolicyRow.project_id == project_id, PolicyRow.name == name)
    return session.exec(query.execution_options(populate_existing=True)).one_or_none()


def policy_history(session: Session, row: PolicyRow) -> list[PolicyVersion]:
    """Give all versions of a policy, newest first."""
    query = select(PolicyVersion).where(PolicyVersion.policy_id == row.id)
    return list(session.exec(query.order_by(col(PolicyVersion.version).desc())))


def newest_published(session: Session, row: PolicyRow) -> PolicyVersion | None:
    """Give the version that plans take; ``None`` while there is none."""
    query = (
        select(PolicyVersion)
        .where(PolicyVersion.policy_id == row.id, col(PolicyVersion.published))
        .order_by(col(PolicyVersion.version).desc())
        .limit(1)
    )
    return session.exec(query).one_or_none()


def published_versions(session: Session, rows: Iterable[PolicyRow]) -> dict[int, int]:
    """Give the version that plans take, by id of the policy; without one a policy is absent."""
    query = (
        select(PolicyVersion.policy_id, sa.func.max(PolicyVersion.version))
        .where(
            col(PolicyVersion.policy_id).in_([row.id for row in rows]), col(PolicyVersion.published)
        )
        .group_by(col(PolicyVersion.policy_id))
    )
    return dict(session.exec(query).all())


def trials(
    session: Session, rows: Iterable[PolicyRow | PolicyVersion]
) -> dict[str, dict[str, Any]]:
    """Give what the worker found in trying, by hash of the rules; what it has not met is absent."""
    hashes = {row.rules_hash for row in rows}
    query = select(PolicyTrial).where(
        col(PolicyTrial.rules_hash).in_(hashes), PolicyTrial.method == METHOD
    )
    return {found.rules_hash: found.document for found in session.exec(query)}


def put_policy(
    session: Session,
    project_key: str,
    name: str,
    document: Mapping[str, Any],
    *,
    expected_version: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> tuple[PolicyRow, bool]:
    """Write a policy's next version, a draft; tell whether the policy is a new one.

    Where only the description is another, what was published stays so. A document that says what
    is there already changes nothing.

    Raises
    ------
    PlanError
        At the document's first fault.
    StateError
        If it is a built-in one, or archived, or there are too many.
    VersionConflictError
        If it moved since the caller read it.
    """
    refuse_built_in(name)
    stored = parse_stored(name, document)
    project_id = lock_project(session, project_key).id
    assert project_id is not None
    row = find_policy(session, project_id, name)
    expect_version(row, expected_version, f"policy {name!r}")
    is_new, before = row is None, None if row is None else _document(row)
    if row is None:
        _check_room(session, project_id)
        row = PolicyRow(
            project_id=project_id,
            name=name,
            document={},
            rules_hash="",
            created_at=now,
            changed_at=now,
        )
    _refuse_archived(row)
    same = row.document == stored.document
    if same and row.description == stored.description:
        return row, False
    row.document, row.rules_hash = stored.document, rules_hash(stored.document)
    row.published = row.published and same
    row.description = stored.description
    _save(session, row, "policy_set", before, actor, now)
    return row, is_new


def publish(
    session: Session,
    project_key: str,
    name: str,
    *,
    expected_version: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> PolicyRow:
    """Let plans take a draft, as the next version.

    Raises
    ------
    TrialPendingError
        If exactly these rules have not been tried yet.
    StateError
        If it is archived, or cannot be tried.
    VersionConflictError
        If it moved since the caller read it: whoever publishes has seen what it does.
    """
    refuse_built_in(name)
    project_id = lock_project(session, project_key).id
    assert project_id is not None
    row = _required(session, project_id, name)
    expect_version(row, expected_version, f"policy {name!r}")
    _refuse_archived(row)
    if row.published:
        return row
    found = trials(session, [row]).get(row.rules_hash)
    if found is None:
        raise TrialPendingError
    if "reason" in found:
        raise StateError(
            f"policy {name!r} cannot be tried: {found['reason']}", hint="write it otherwise"
        )
    before = _document(row)
    row.published = True
    _save(session, row, "policy_publish", before, actor, now, {"characteristics": found})
    return row


def set_archived(
    session: Session,
    project_key: str,
    name: str,
    *,
    archived: bool,
    expected_version: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> PolicyRow:
    """Take a policy out of use for new plans, or back as it was; plans that have it keep it."""
    refuse_built_in(name)
    project_id = lock_project(session, project_key).id
    assert project_id is not None
    row = _required(session, project_id, name)
    expect_version(row, expected_version, f"policy {name!r}")
    if row.archived != archived:
        before = _document(row)
        row.archived = archived
        action = "policy_archive" if archived else "policy_unarchive"
        _save(session, row, action, before, actor, now)
    return row


def _required(session: Session, project_id: int, name: str) -> PolicyRow:
    row = find_policy(session, project_id, name)
    if row is None:
        raise NotFoundError(f"the project has stored no policy {name!r}", field="policy")
    return row


def _check_room(session: Session, project_id: int) -> None:
    held = session.exec(
        select(sa.func.count()).select_from(PolicyRow).where(PolicyRow.project_id == project_id)
    ).one()
    if held >= MAX_POLICIES:
        raise StateError(f"the project has {held} policies", hint="bring an archived one back")


def _refuse_archived(row: PolicyRow) -> None:
    # Else a draft would bring back what was published before it.
    if row.archived:
        raise StateError(f"policy {row.name!r} is archived", hint="bring it back first")


def _save(
    session: Session,
    row: PolicyRow,
    action: str,
    before: dict[str, Any] | None,
    actor: Actor,
    now: dt.datetime,
    more: Mapping[str, Any] | None = None,
) -> None:
    row.changed_at = now
    session.add(row)
    session.flush()
    assert row.id is not None
    assert row.version is not None
    session.add(
        PolicyVersion(
            policy_id=row.id,
            version=row.version,
            at=now,
            actor=str(actor),
            document=row.document,
            rules_hash=row.rules_hash,
            description=row.description,
            published=row.published,
            archived=row.archived,
        )
    )
    audit.append(
        session,
        project_id=row.project_id,
        actor=actor,
        action=action,
        resource=f"policy:{row.name}",
        before=before,
        after={**_document(row), **(more or {})},
        now=now,
    )


def _document(row: PolicyRow) -> dict[str, Any]:
    return {
        **row.document,
        "description": row.description,
        "published": row.published,
        "archived": row.archived,
        "version": row.version,
    }
