"""From the working copy back to rows: what differs is written, published and recorded.

All of it happens in the caller's transaction, under the locks that :mod:`flags.changes` took.
"""

from __future__ import annotations

import copy
import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from flags.actor import Actor
from flags.audit import append
from flags.canonical import same
from flags.diff import differences
from flags.instructions import Change
from flags.models import Environment, FlagEnvironment, FlagRow, Revision, SegmentRow
from flags.publish import publish
from flags.workspace import FlagCopy, SegmentCopy, Workspace


def bump_versions(workspace: Workspace) -> bool:
    """Count up the flags that readers will see differently; say whether readers see anything."""
    any_differs = False
    for key in workspace.changed_flags():
        before, after = workspace.flags_before[key], workspace.flags[key]
        if not same(_published_form(before), _published_form(after)):
            after.version = before.version + 1
            any_differs = True
    return any_differs or any(
        not same(
            _condition_of(workspace.segments_before[key]),
            _condition_of(workspace.segments.get(key)),
        )
        for key in workspace.changed_segments()
    )


def _published_form(flag: FlagCopy) -> dict[str, Any] | None:
    return None if flag.archived else {**flag.document(), "version": 0}


def _condition_of(segment: SegmentCopy | None) -> Any:
    # ``None`` is no condition, so it can stand for the segment that is not there.
    return None if segment is None else segment.condition


def _document(segment: SegmentCopy | None) -> Any:
    return None if segment is None else segment.document()


@dataclass(frozen=True, slots=True)
class Writer:
    """One change on its way into the rows."""

    session: Session
    workspace: Workspace
    change: Change
    actor: Actor
    now: dt.datetime

    def write(self, environment: Environment, others: list[Environment]) -> dict[str, Revision]:
        """Write what differs; give the revisions that were made, by environment key."""
        workspace = self.workspace
        published = {}
        revision = None
        differs = bump_versions(workspace)
        flags, segments = workspace.changed_flags(), workspace.changed_segments()
        self._write_flags(environment, flags)
        self._write_segments(environment, segments)
        if differs:
            revision = publish(self.session, environment, self.actor, self.change.comment, self.now)
            published[environment.key] = revision
        for key in flags:
            before, after = workspace.flags_before[key].whole(), workspace.flags[key].whole()
            self._record(environment, "flag", key, before, after, revision)
        for key in segments:
            old, new = workspace.segments_before[key], workspace.segments.get(key)
            self._record(
                environment,
                "segment",
                key,
                old and old.document(),
                new and new.document(),
                revision,
            )
        shared = workspace.changed_everywhere()
        for other in others if shared else []:
            published[other.key] = self._write_elsewhere(other, shared)
        return published

    def _write_flags(self, environment: Environment, keys: list[str]) -> None:
        rows = self.session.exec(
            select(FlagRow, FlagEnvironment)
            .join(FlagEnvironment, col(FlagEnvironment.flag_id) == col(FlagRow.id))
            .where(FlagEnvironment.environment_id == environment.id, col(FlagRow.key).in_(keys))
            .execution_options(populate_existing=True)
        )
        for row, here in rows.all():
            flag, before = self.workspace.flags[row.key], self.workspace.flags_before[row.key]
            if not same(flag.everywhere(), before.everywhere()):
                row.name, row.description, row.owner = flag.name, flag.description, flag.owner
                row.client, row.archived = flag.client, flag.archived
                row.expires, row.kind = flag.expires, flag.kind
                row.flag_metadata = copy.deepcopy(flag.metadata)
                row.variants = copy.deepcopy(flag.variants)
            if flag.version != before.version:
                here.state = copy.deepcopy(flag.state)
                here.flag_version = flag.version
                here.updated_at = self.now
        self.session.flush()

    def _write_segments(self, environment: Environment, keys: list[str]) -> None:
        assert environment.id is not None
        rows = {
            row.key: row
            for row in self.session.exec(
                select(SegmentRow)
                .where(SegmentRow.environment_id == environment.id, col(SegmentRow.key).in_(keys))
                .execution_options(populate_existing=True)
            )
        }
        for key in keys:
            segment = self.workspace.segments.get(key)
            if segment is None:
                self.session.delete(rows[key])
            elif key in rows:
                rows[key].name = segment.name
                rows[key].condition = copy.deepcopy(segment.condition)
            else:
                self.session.add(
                    SegmentRow(
                        environment_id=environment.id,
                        key=key,
                        name=segment.name,
                        condition=copy.deepcopy(segment.condition),
                        created_at=self.now,
                    )
                )
        self.session.flush()

    def _write_elsewhere(self, other: Environment, keys: list[str]) -> Revision:
        """Publish, in another environment, what changed about flags everywhere."""
        rows = self.session.exec(
            select(FlagEnvironment)
            .join(FlagRow, col(FlagEnvironment.flag_id) == col(FlagRow.id))
            .where(FlagEnvironment.environment_id == other.id, col(FlagRow.key).in_(keys))
            .execution_options(populate_existing=True)
        )
        for here in rows.all():
            here.flag_version += 1
            here.updated_at = self.now
        revision = publish(self.session, other, self.actor, self.change.comment, self.now)
        for key in keys:
            before = self.workspace.flags_before[key].everywhere()
            after = self.workspace.flags[key].everywhere()
            self._record(other, "flag", key, before, after, revision)
        return revision

    def _record(
        self,
        environment: Environment,
        kind: str,
        key: str,
        before: Any,
        after: Any,
        revision: Revision | None,
    ) -> None:
        if before is not None and after is not None:
            before, after = differences(before, after)
        done = {
            each.do
            for each in self.change.instructions
            if getattr(each, kind, None) == key or each.do in {"revert_to", "undo", "promote"}
        }
        append(
            self.session,
            project_id=environment.project_id,
            environment_id=environment.id,
            actor=self.actor,
            action=done.pop() if len(done) == 1 else "change",
            resource=f"{kind}:{key}",
            before=before,
            after=after,
            comment=self.change.comment,
            revision=revision,
            now=self.now,
        )
