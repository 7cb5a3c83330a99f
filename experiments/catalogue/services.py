"""What people do with the metric catalogue: list, read, write, archive; every version is kept.

No statistics and no engine: the worker finds out how sensitive a metric is
(:mod:`experiments.catalogue.sensitivity`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from experiments.catalogue.definition import Entry, parse_entry
from experiments.catalogue.models import MetricRow, MetricSensitivity, MetricVersion
from experiments.contract.reference import FAILURE_DEMAND
from flags import audit
from flags.actor import Actor
from flags.errors import NotFoundError, StateError
from flags.revisions import lock_project
from flags.services import get_project
from flags.versions import expect_version

MAX_METRICS = 1_000


def list_metrics(
    session: Session, project_key: str, *, archived: bool | None = False
) -> list[MetricRow]:
    """List a project's metrics by key; ``archived=None`` for all."""
    project_id = get_project(session, project_key).id
    query = select(MetricRow).where(MetricRow.project_id == project_id)
    if archived is not None:
        query = query.where(col(MetricRow.archived) == archived)
    return list(session.exec(query.order_by(col(MetricRow.key))))


def get_metric(session: Session, project_key: str, key: str) -> MetricRow:
    """Return a metric.

    Raises
    ------
    NotFoundError
        If the project has none of that key.
    """
    project_id = get_project(session, project_key).id
    assert project_id is not None
    return _get(session, project_id, key)


def find_metric(session: Session, project_id: int, key: str) -> MetricRow | None:
    """Return a metric if the project has it."""
    query = select(MetricRow).where(MetricRow.project_id == project_id, MetricRow.key == key)
    return session.exec(query.execution_options(populate_existing=True)).one_or_none()


def metric_history(session: Session, row: MetricRow) -> list[MetricVersion]:
    """Give all versions of a metric, newest first."""
    query = select(MetricVersion).where(MetricVersion.metric_id == row.id)
    return list(session.exec(query.order_by(col(MetricVersion.version).desc())))


def entry_of(row: MetricRow | MetricVersion, key: str) -> Entry:
    """Read a stored definition."""
    return parse_entry(key, {**row.definition, "owner": row.owner, "description": row.description})


def sensitivities(session: Session, rows: list[MetricRow]) -> dict[str, MetricSensitivity]:
    """Give what the worker found out, by key of the metric; what it has not met is absent."""
    keys = {row.id: row.key for row in rows}
    query = select(MetricSensitivity).where(
        col(MetricSensitivity.metric_id).in_([row.id for row in rows])
    )
    return {keys[found.metric_id]: found for found in session.exec(query)}


def put_metric(
    session: Session,
    project_key: str,
    key: str,
    document: Mapping[str, Any],
    *,
    expected_version: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> tuple[MetricRow, bool]:
    """Add a metric, or write a new version of it; tell whether it is a new one.

    What was archived comes back. A document that says what is there already changes nothing.

    Raises
    ------
    PlanError
        At the document's first fault.
    StateError
        If it is the built-in one, or the catalogue is full.
    VersionConflictError
        If it moved since the caller read it.
    """
    entry = parse_entry(key, document)
    if key == FAILURE_DEMAND:
        raise StateError(
            f"{key!r} is built in: it is made of the project's event types",
            hint="flagstone event-types set refund failure",
        )
    project_id = lock_project(session, project_key).id
    assert project_id is not None
    row = find_metric(session, project_id, key)
    expect_version(row, expected_version, f"metric {key!r}")
    return write_metric(session, project_id, row, key, entry, actor=actor, now=now)


def write_metric(
    session: Session,
    project_id: int,
    row: MetricRow | None,
    key: str,
    entry: Entry,
    *,
    built_in: bool = False,
    archived: bool = False,
    actor: Actor,
    now: dt.datetime,
) -> tuple[MetricRow, bool]:
    """Write an entry as a new version, under the project's lock."""
    is_new, before = row is None, None if row is None else _document(row)
    if row is None:
        held = session.exec(
            select(sa.func.count())
            .select_from(MetricRow)
            .where(MetricRow.project_id == project_id, col(MetricRow.built_in).is_(False))
        ).one()
        if held >= MAX_METRICS and not built_in:
            raise StateError(f"the catalogue holds {held} metrics", hint="rewrite an archived one")
        row = MetricRow(
            project_id=project_id,
            key=key,
            definition={},
            built_in=built_in,
            created_at=now,
            changed_at=now,
        )
    after = {**entry.to_document(), "archived": archived}
    if before == after:
        return row, False
    row.definition = entry.definition
    row.owner, row.description = entry.owner, entry.description
    row.archived, row.changed_at = archived, now
    _save(session, row, "metric_set", before, actor, now)
    return row, is_new


def set_archived(
    session: Session,
    project_key: str,
    key: str,
    *,
    archived: bool,
    expected_version: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> MetricRow:
    """Take a metric out of use for new plans, or back; plans that have it keep it."""
    project_id = lock_project(session, project_key).id
    assert project_id is not None
    row = _get(session, project_id, key)
    expect_version(row, expected_version, f"metric {key!r}")
    if row.built_in:
        raise StateError(
            f"{key!r} is built in", hint="a plan does without it by failure_demand = false"
        )
    if row.archived != archived:
        before = _document(row)
        row.archived, row.changed_at = archived, now
        action = "metric_archive" if archived else "metric_unarchive"
        _save(session, row, action, before, actor, now)
    return row


def _get(session: Session, project_id: int, key: str) -> MetricRow:
    row = find_metric(session, project_id, key)
    if row is None:
        raise NotFoundError(f"there is no metric {key!r} in the catalogue", field="metric")
    return row


def _save(
    session: Session,
    row: MetricRow,
    action: str,
    before: dict[str, Any] | None,
    actor: Actor,
    now: dt.datetime,
) -> None:
    session.add(row)
    session.flush()
    assert row.id is not None
    assert row.version is not None
    session.add(
        MetricVersion(
            metric_id=row.id,
            version=row.version,
            at=now,
            actor=str(actor),
            definition=row.definition,
            owner=row.owner,
            description=row.description,
            archived=row.archived,
        )
    )
    audit.append(
        session,
        project_id=row.project_id,
        actor=actor,
        action=action,
        resource=f"metric:{row.key}",
        before=before,
        after=_document(row),
        now=now,
    )


def _document(row: MetricRow) -> dict[str, Any]:
    return {
        **row.definition,
        "owner": row.owner,
        "description": row.description,
        "archived": row.archived,
    }
