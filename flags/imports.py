"""A flag set from elsewhere into one environment: previewed, or applied as one revision.

Flags that are not there yet are made, with their variants, and are off in every other environment.
Those that are there get the imported behaviour in this environment. What would break something that
is there already (another type, other variants, a segment that others name) is refused by name, and
so is all that rests upon it; the rest is imported.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlmodel import Session

from flags.actor import Actor
from flags.approvals import require_approvals
from flags.budgets import Spending, spend
from flags.errors import NotFoundError, NotYetElsewhereError, VersionConflictError
from flags.import_outcome import ImportOutcome, outcome_of
from flags.import_plan import ImportPlan, plan_import, read_flag_set
from flags.import_rows import ImportWriter
from flags.models import Environment
from flags.moving import effect_in
from flags.plain import check_amount
from flags.publish import flag_set_document, load_flags, load_segments, validate
from flags.revisions import lock_all_environments
from flags.services import get_project, list_environments
from flags.shares import Side
from flags.spending import sides_of_new

__all__ = ["ImportOutcome", "import_flag_set"]


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
    reading = read_flag_set(document)
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
    plan = plan_import(here, load_flags(session, here), load_segments(session, here), reading)
    flags, segments = plan.result()
    after = validate(flag_set_document(here.key, here.revision + 1, flags, segments))
    outcome = outcome_of(plan)
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
    published = ImportWriter(session, plan, outcome, actor, now, comment).write(others)
    return replace(outcome, revision_number=here.revision, published=published)


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
