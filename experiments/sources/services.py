"""What people do with sources: declare, read, change, delete; and what a start asks of them.

No engine is imported here: the web process only keeps documents. The worker looks into the engine
(:mod:`experiments.monitoring.source_watch`) and leaves what it found for
:func:`check_before_start`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from experiments.contract.document import Reader
from experiments.contract.plan import Plan
from experiments.contract.source import Source, parse_source, read_source_key
from experiments.errors import PlanError, SourceError
from experiments.machine.lifecycle import FINISHED, State
from experiments.models import Experiment, SourceCheck, SourceRow
from flags import audit
from flags.actor import Actor
from flags.errors import InvalidInputError, NotFoundError, StateError
from flags.models import Project
from flags.revisions import lock_project
from flags.services import get_project
from flags.versions import expect_version

MAX_SOURCES = 100


def list_sources(session: Session, project_key: str) -> list[SourceRow]:
    """List a project's sources by key."""
    query = select(SourceRow).where(SourceRow.project_id == get_project(session, project_key).id)
    return list(session.exec(query.order_by(col(SourceRow.key))))


def get_source(session: Session, project_key: str, key: str) -> SourceRow:
    """Return a source.

    Raises
    ------
    NotFoundError
        If the project has none of that key.
    """
    return _get(session, _id(get_project(session, project_key)), key)


def put_source(
    session: Session,
    project_key: str,
    key: str,
    document: Mapping[str, Any],
    *,
    expected_version: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> tuple[SourceRow, bool]:
    """Declare a source, or write it anew; tell whether it is a new one.

    Raises
    ------
    PlanError
        At the document's first fault.
    StateError
        If an experiment that was sealed on it has not ended.
    VersionConflictError
        If it moved since the caller read it.
    """
    source = parse_source({"key": key, **document})
    if source.key != key:
        raise InvalidInputError("the key in the document is another one", field="key")
    project_id = _id(lock_project(session, project_key))
    row = _find(session, project_id, key)
    expect_version(row, expected_version, f"source {key!r}")
    is_new = row is None
    before = None
    if row is None:
        held = session.exec(
            select(sa.func.count()).select_from(SourceRow).where(SourceRow.project_id == project_id)
        ).one()
        if held >= MAX_SOURCES:
            raise StateError(f"the project has {held} sources", hint="delete one that is unused")
        row = SourceRow(project_id=project_id, key=key, document={}, created_at=now, updated_at=now)
    else:
        before = row.document
        if before == source.to_document():
            return row, False
        _refuse_if_used(session, project_id, key)
    row.document, row.updated_at = source.to_document(), now
    session.add(row)
    session.flush()
    _audit(session, project_id, key, "source_set", actor, now, before, row.document)
    return row, is_new


def delete_source(
    session: Session,
    project_key: str,
    key: str,
    *,
    expected_version: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> None:
    """Forget a source that no sealed experiment needs any more."""
    project_id = _id(lock_project(session, project_key))
    row = _get(session, project_id, key)
    expect_version(row, expected_version, f"source {key!r}")
    _refuse_if_used(session, project_id, key)
    session.delete(row)
    session.flush()
    _audit(session, project_id, key, "source_delete", actor, now, row.document, None)


def source_of(session: Session, project_id: int, plan: Plan) -> Source | None:
    """Give the source that a plan names, parsed; ``None`` for what our SDKs recorded.

    Raises
    ------
    PlanError
        If there is no such source.
    """
    if plan.source is None:
        return None
    row = _find(session, project_id, plan.source)
    if row is None:
        raise PlanError(
            f"there is no source {plan.source!r}",
            field="source",
            hint=f"declare it: flagstone sources set {plan.source} source.toml",
        )
    return parse_source(row.document)


def check_before_seal(session: Session, project_id: int, plan: Plan) -> None:
    """Refuse a plan whose source is not there, or has no rows for one of its metrics.

    The project is locked until the end of the transaction: from the seal on the source stays.
    """
    if plan.source is None:
        return
    _lock_project(session, project_id)
    source = source_of(session, project_id, plan)
    if source is None or source.tracks is not None:
        return
    for place, metric in enumerate(plan.metrics):
        if metric.sql is None:
            raise PlanError(
                f"the metric {metric.key!r} has no rows: source {source.key!r} has no tracks",
                field=f"metrics[{place}].sql",
                hint="give the metric sql of its own, or the source a table of tracks",
            )


def check_before_start(session: Session, experiment: Experiment, plan: Plan) -> None:
    """Refuse to start before the worker has found every row's place in the source.

    Raises
    ------
    SourceError
        With the field and the reason that the worker met.
    StateError
        If the worker has not looked yet.
    """
    if plan.source is None:
        return
    check = session.get(SourceCheck, experiment.id)
    if check is None:
        raise StateError(
            f"the worker has not looked into source {plan.source!r} yet",
            field="source",
            hint="it does so within seconds of the seal: is a worker running?",
        )
    if check.problem is not None:
        problem: Mapping[str, Any] = check.problem
        raise SourceError(problem["detail"], field=problem["field"], hint=problem["hint"])


def _refuse_if_used(session: Session, project_id: int, key: str) -> None:
    over = {state.value for state in FINISHED} | {State.DRAFT.value}
    query = select(Experiment).where(
        Experiment.project_id == project_id, col(Experiment.state).not_in(over)
    )
    for experiment in session.exec(query.order_by(col(Experiment.id))):
        if experiment.plan.get("source") == key:
            raise StateError(
                f"experiment {experiment.key!r} was sealed on source {key!r} and has not ended",
                hint="declare another source, or wait",
            )


def _id(project: Project) -> int:
    assert project.id is not None
    return project.id


def _lock_project(session: Session, project_id: int) -> None:
    # Sources are the project's: what seals on one and what changes it wait for each other here.
    session.execute(
        sa.select(col(Project.id))
        .where(col(Project.id) == project_id)
        .with_for_update(key_share=True)
    )


def _find(session: Session, project_id: int, key: str) -> SourceRow | None:
    query = select(SourceRow).where(SourceRow.project_id == project_id, SourceRow.key == key)
    return session.exec(query).one_or_none()


def _get(session: Session, project_id: int, key: str) -> SourceRow:
    read_source_key(Reader({"key": key}), "key")
    row = _find(session, project_id, key)
    if row is None:
        raise NotFoundError(f"there is no source {key!r}", field="source")
    return row


def _audit(
    session: Session,
    project_id: int,
    key: str,
    action: str,
    actor: Actor,
    now: dt.datetime,
    before: Any,
    after: Any,
) -> None:
    audit.append(
        session,
        project_id=project_id,
        actor=actor,
        action=action,
        resource=f"source:{key}",
        before=before,
        after=after,
        now=now,
    )
