"""From the plan of an import to its rows, revisions, entries and notice, in batches.

A whole project is locked meanwhile: ten thousand flags take hardly more statements than ten.
"""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from flags import notices
from flags.actor import Actor
from flags.audit import Deed, append_together
from flags.diff import differences
from flags.import_outcome import ImportOutcome
from flags.import_plan import ImportPlan
from flags.models import Environment, FlagEnvironment, FlagRow, Revision, SegmentRow
from flags.publish import publish
from flags.sentence import state_word
from flags.workspace import FlagCopy, empty_state

_STATES: Any = FlagEnvironment.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class ImportWriter:
    """A plan on its way into the rows, under the locks of all environments."""

    session: Session
    plan: ImportPlan
    outcome: ImportOutcome
    actor: Actor
    now: dt.datetime
    comment: str

    def write(self, others: list[Environment]) -> dict[str, int]:
        """Write what differs; give the revisions that were made, by environment key."""
        here = self.plan.environment
        self._create([here, *others])
        self._update(here)
        self._write_segments(here)
        published = {here.key: self._publish(here)}
        self._record(here, self._deeds(), published[here.key])
        for other in others if self.outcome.created else []:
            published[other.key] = self._publish(other)
            self._record(other, self._deeds_elsewhere(), published[other.key])
        numbers = {key: each.number for key, each in published.items()}
        self._tell(numbers)
        self.session.flush()
        return numbers

    def _tell(self, published: dict[str, int]) -> None:
        here, did = self.plan.environment, self.outcome
        counts = f"{len(did.created)} new flags, {len(did.updated)} changed"
        notices.write(
            self.session,
            "flag.changed",
            f"{notices.who(self.actor)} imported flags into {here.key}: {counts}.",
            project_id=here.project_id,
            environments=list(published),
            actor=self.actor,
            resource=f"environment:{here.key}",
            reason=self.comment,
            facts={"did": ["import"], "revision": published[here.key]},
            now=self.now,
        )

    def _deeds(self) -> Iterator[Deed]:
        did = self.outcome
        for key, after in did.after.items():
            before = did.before[key]
            if before is None:
                then = {**after, **self.plan.imported[key].everywhere()}
                yield Deed("create_flag", f"flag:{key}", None, then)
            else:
                yield Deed("import_flag", f"flag:{key}", *differences(before, after))
        for key, segment in did.segments_after.items():
            before = did.segments_before[key]
            old, new = (None, segment) if before is None else differences(before, segment)
            yield Deed("import_segment", f"segment:{key}", old, new)

    def _deeds_elsewhere(self) -> Iterator[Deed]:
        for key in self.outcome.created:
            flag = self.plan.imported[key]
            then = {**flag.document(), **self._off(flag), **flag.everywhere()}
            yield Deed("create_flag", f"flag:{key}", None, then)

    def _create(self, environments: list[Environment]) -> None:
        """Make the rows of new flags, in as many statements as for one: the locks are held."""
        flags = [self.plan.imported[key] for key in self.outcome.created]
        if not flags:
            return
        here = self.plan.environment
        made = [
            {
                "project_id": here.project_id,
                "key": flag.key,
                "type": flag.type,
                "name": flag.name,
                "description": flag.description,
                "owner": flag.owner,
                "client": flag.client,
                "archived": False,
                "kind": flag.kind,
                "variants": flag.variants,
                "flag_metadata": flag.metadata,
                "created_at": self.now,
                "version": 1,
            }
            for flag in flags
        ]
        self.session.execute(sa.insert(FlagRow), made)
        known = self.session.execute(
            sa.select(col(FlagRow.key), col(FlagRow.id)).where(
                col(FlagRow.project_id) == here.project_id
            )
        )
        numbers = {row[0]: row[1] for row in known}
        states = [
            (numbers[flag.key], each, flag.state if each is here else self._off(flag))
            for flag in flags
            for each in environments
        ]
        rows = [
            {
                "flag_id": number,
                "environment_id": each.id,
                "state": state,
                "state_word": state_word(state),
                "flag_version": 1,
                "updated_at": self.now,
                "version": 1,
            }
            for number, each, state in states
        ]
        self.session.execute(sa.insert(FlagEnvironment), rows)

    def _off(self, flag: FlagCopy) -> dict[str, Any]:
        return empty_state(off=flag.state["off"], default=flag.state["default"])

    def _update(self, here: Environment) -> None:
        flags = [self.plan.imported[key] for key in self.outcome.updated]
        if not flags:
            return
        found = self.session.execute(
            sa.select(col(FlagRow.key), col(FlagEnvironment.id))
            .join(FlagEnvironment, col(FlagEnvironment.flag_id) == col(FlagRow.id))
            .where(col(FlagEnvironment.environment_id) == here.id)
        )
        numbers = {row[0]: row[1] for row in found}
        names = ("state", "state_word", "flag_version", "updated_at")
        update = (
            sa.update(_STATES)
            .where(_STATES.c.id == sa.bindparam("number"))
            .values(
                {
                    **{name: sa.bindparam(f"new_{name}") for name in names},
                    "version": _STATES.c.version + 1,
                }
            )
        )
        rows = [
            {
                "number": numbers[flag.key],
                "new_state": flag.state,
                "new_state_word": state_word(flag.state),
                "new_flag_version": flag.version,
                "new_updated_at": self.now,
            }
            for flag in flags
        ]
        self.session.connection().execute(update, rows)

    def _write_segments(self, here: Environment) -> None:
        assert here.id is not None
        rows = {
            row.key: row
            for row in self.session.exec(
                select(SegmentRow)
                .where(SegmentRow.environment_id == here.id)
                .execution_options(populate_existing=True)
            )
        }
        for key, segment in self.outcome.segments_after.items():
            condition = copy.deepcopy(segment["condition"])
            if key in rows:
                rows[key].condition = condition
            else:
                self.session.add(
                    SegmentRow(
                        environment_id=here.id,
                        key=key,
                        name=segment["name"],
                        condition=condition,
                        created_at=self.now,
                    )
                )

    def _publish(self, environment: Environment) -> Revision:
        comment = self.comment or f"import into {self.plan.environment.key}"
        return publish(self.session, environment, self.actor, comment, self.now)

    def _record(self, environment: Environment, deeds: Iterable[Deed], revision: Revision) -> None:
        append_together(
            self.session,
            deeds,
            project_id=environment.project_id,
            environment_id=environment.id or 0,
            actor=self.actor,
            comment=self.comment,
            revision=revision,
            now=self.now,
        )
