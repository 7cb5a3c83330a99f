"""A flag set from elsewhere into one environment: previewed, or applied as one revision.

Flags that are not there yet are made, with their variants, and are off in every other environment.
Those that are there get the imported behaviour in this environment. What would break something that
is there already (another type, other variants, a segment that others name) is refused by name, and
so is all that rests upon it; the rest is imported.
"""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlmodel import Session, col, select

from flags import notices
from flags.actor import Actor
from flags.approvals import require_approvals
from flags.audit import append
from flags.budgets import Spending, spend
from flags.diff import differences
from flags.effects import Effect
from flags.errors import NotFoundError, NotYetElsewhereError, VersionConflictError
from flags.import_plan import ImportPlan, plan_import
from flags.models import Environment, FlagEnvironment, FlagRow, Revision, SegmentRow
from flags.moving import effect_in
from flags.plain import check_amount
from flags.publish import flag_set_document, load_flags, load_segments, publish, validate
from flags.revisions import lock_all_environments
from flags.sentence import describe
from flags.services import get_project, list_environments
from flags.shares import Side
from flags.spending import sides_of_new
from flags.workspace import FlagCopy, empty_state

__all__ = ["ImportOutcome", "import_flag_set"]


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """What an import did, or would do.

    ``before`` and ``after`` hold the published documents of the flags that differ, by key (``None``
    before a flag that is new), ``segments_before`` and ``segments_after`` likewise; ``sentences``
    say what each of them does then. ``refused`` names what stayed out, with the reason; ``effect``
    is whom a previewed import moves.
    """

    created: list[str]
    updated: list[str]
    unchanged: list[str]
    refused: dict[str, str]
    before: dict[str, dict[str, Any] | None]
    after: dict[str, dict[str, Any]]
    segments_before: dict[str, Any]
    segments_after: dict[str, Any]
    sentences: dict[str, str]
    revision_number: int
    published: dict[str, int]
    effect: Effect | None = None

    @property
    def changed(self) -> bool:
        """Whether anything differs."""
        return bool(self.after or self.segments_after)


def import_flag_set(
    session: Session,
    project_key: str,
    environment_key: str,
    document: Mapping[str, Any],
    *,
    actor: Actor,
    now: dt.datetime,
    preview: bool,
    comment: str = "",
    expected_version: int | None = None,
    previewed: int | None = None,
) -> ImportOutcome:
    """Bring a flag set's flags and segments into an environment.

    Parameters
    ----------
    document : mapping
        A flag set (FLAGS.md §1); its own environment and version do not matter.
    preview : bool
        Only say what would happen; works in a reading session.
    expected_version : int, optional
        The revision number that the caller read; any other is a conflict.
    previewed : int, optional
        The revision on which the caller has previewed exactly this import.

    Raises
    ------
    InvalidInputError
        If the document is no flag set.
    VersionConflictError
        If the environment moved since the caller read it.
    NeedsApprovalError
        If changes of the environment need approval: nobody can read a whole import and answer
        for it.
    """
    for name in ("flags", "segments"):
        check_amount(document.get(name), name)
    if preview:
        get_project(session, project_key)
        environments = list_environments(session, project_key)
    else:
        environments = lock_all_environments(session, project_key)
    here, others = _pick(environments, project_key, environment_key)
    if expected_version is not None and expected_version != here.revision:
        raise VersionConflictError(
            f"environment {here.key!r} is at revision {here.revision}, "
            f"and not at {expected_version} any more",
            hint="preview it again, and decide anew",
        )
    plan = plan_import(here, load_flags(session, here), load_segments(session, here), document)
    flags, segments = plan.result()
    after = validate(flag_set_document(here.key, here.revision + 1, flags, segments))
    outcome = _outcome(plan)
    if not outcome.changed:
        return outcome
    if preview:
        effect = effect_in(session, here, after, outcome.before, outcome.segments_before, now)
        return replace(outcome, effect=effect)
    require_approvals(
        [here],
        0,
        hint="import where no approval is needed, and ask for each change from there",
    )
    if here.after is not None:
        raise NotYetElsewhereError(
            f"what serves more in {here.key!r} must have been on in {here.after!r} first",
            field="environment",
            hint=f"import into {here.after!r}, and promote from there",
        )
    _spend(session, plan, here, others, Spending({str(actor)}, previewed=previewed), now)
    published = _Writer(session, plan, outcome, actor, now, comment).write(others)
    return _outcome(plan, published)


def _spend(
    session: Session,
    plan: ImportPlan,
    here: Environment,
    others: list[Environment],
    spending: Spending,
    now: dt.datetime,
) -> None:
    """Let the actor's budget pay; elsewhere the new flags are there from now on, and off."""
    flags, segments = plan.result()
    created = set(plan.created())

    def sides(where: Environment) -> tuple[Side, Side]:
        if where is here:
            return sides_of_new(plan.flags, flags, plan.segments, segments)
        news = {
            key: {**plan.imported[key].document(), "enabled": False, "rules": [], "targets": []}
            for key in created
        }
        return Side({}, {}), Side(news, {})

    spend(session, spending, [here, *(others if created else [])], sides, now)


def _pick(
    environments: list[Environment], project_key: str, environment_key: str
) -> tuple[Environment, list[Environment]]:
    for environment in environments:
        if environment.key == environment_key:
            return environment, [each for each in environments if each is not environment]
    raise NotFoundError(
        f"there is no environment {environment_key!r} in project {project_key!r}",
        field="environment",
    )


def _outcome(plan: ImportPlan, published: Mapping[str, int] | None = None) -> ImportOutcome:
    created, updated, segments = plan.created(), plan.updated(), plan.changed_segments()
    _, segments_then = plan.result()
    changed = [key for key in plan.imported if key in created or key in updated]
    after = {key: plan.imported[key].document() for key in changed}
    refused = dict(plan.refused)
    refused.update((f"segment {key}", why) for key, why in plan.refused_segments.items())
    sentences = {
        key: describe(flag, environment=plan.environment.key) for key, flag in after.items()
    }
    return ImportOutcome(
        created=created,
        updated=updated,
        unchanged=[key for key in plan.imported if key not in after],
        refused=refused,
        before={key: plan.flags[key].document() if key in plan.flags else None for key in changed},
        after=after,
        segments_before={
            key: plan.segments[key].document() if key in plan.segments else None for key in segments
        },
        segments_after={key: segments_then[key].document() for key in segments},
        sentences=sentences,
        revision_number=plan.environment.revision,
        published=dict(published or {}),
    )


@dataclass(frozen=True, slots=True)
class _Writer:
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
        for key in self.outcome.created:
            self._create(self.plan.imported[key], [here, *others])
        self._update(here)
        self._write_segments(here)
        published = {here.key: self._publish(here)}
        for key, after in self.outcome.after.items():
            before, then = self.outcome.before[key], {**after, **self._everywhere(key)}
            if before is None:
                self._record(here, "create_flag", f"flag:{key}", None, then, published[here.key])
            else:
                changes = differences(before, after)
                self._record(here, "import_flag", f"flag:{key}", *changes, published[here.key])
        for key, segment in self.outcome.segments_after.items():
            before = self.outcome.segments_before[key]
            old, new = (None, segment) if before is None else differences(before, segment)
            self._record(here, "import_segment", f"segment:{key}", old, new, published[here.key])
        for other in others if self.outcome.created else []:
            published[other.key] = self._publish(other)
            for key in self.outcome.created:
                flag = self.plan.imported[key]
                elsewhere = {**flag.document(), **self._off(flag), **flag.everywhere()}
                self._record(
                    other, "create_flag", f"flag:{key}", None, elsewhere, published[other.key]
                )
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

    def _create(self, flag: FlagCopy, environments: list[Environment]) -> None:
        row = FlagRow(
            project_id=self.plan.environment.project_id,
            key=flag.key,
            type=flag.type,
            owner=flag.owner,
            client=flag.client,
            variants=copy.deepcopy(flag.variants),
            flag_metadata=dict(flag.metadata),
            created_at=self.now,
        )
        self.session.add(row)
        self.session.flush()
        assert row.id is not None
        for environment in environments:
            assert environment.id is not None
            mine = environment is self.plan.environment
            self.session.add(
                FlagEnvironment(
                    flag_id=row.id,
                    environment_id=environment.id,
                    state=copy.deepcopy(flag.state) if mine else self._off(flag),
                    updated_at=self.now,
                )
            )

    def _off(self, flag: FlagCopy) -> dict[str, Any]:
        return empty_state(off=flag.state["off"], default=flag.state["default"])

    def _everywhere(self, key: str) -> dict[str, Any]:
        return self.plan.imported[key].everywhere()

    def _update(self, here: Environment) -> None:
        rows = self.session.exec(
            select(FlagRow.key, FlagEnvironment)
            .join(FlagEnvironment, col(FlagEnvironment.flag_id) == col(FlagRow.id))
            .where(
                FlagEnvironment.environment_id == here.id,
                col(FlagRow.key).in_(self.outcome.updated),
            )
            .execution_options(populate_existing=True)
        )
        for key, row in rows.all():
            flag = self.plan.imported[key]
            row.state = copy.deepcopy(flag.state)
            row.flag_version = flag.version
            row.updated_at = self.now

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

    def _record(
        self,
        environment: Environment,
        action: str,
        resource: str,
        before: Any,
        after: Any,
        revision: Revision,
    ) -> None:
        append(
            self.session,
            project_id=environment.project_id,
            environment_id=environment.id,
            actor=self.actor,
            action=action,
            resource=resource,
            before=before,
            after=after,
            comment=self.comment,
            revision=revision,
            now=self.now,
        )
