"""Budgets as they are granted: to whom, where, and which of several holds in an environment."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, delete, select

from flags.errors import InvalidInputError
from flags.models import BudgetRow, Environment

WHOLE = 1_000_000
_TOKEN = re.compile(r"token:.*#([0-9]{1,9})", re.DOTALL)
Share = Annotated[float, Field(ge=0, le=1, strict=False)]


class Budget(BaseModel):
    """What somebody may do of what their role allows; what is left out is not limited.

    Attributes
    ----------
    share_per_change, share_per_day : float or None
        Largest share (0 to 1) of an environment's units that one change, or all of 24 hours, move.
    widen_only : bool
        Whoever gets another answer must have been at rest before.
    kill_only : bool
        Only to kill flags and to turn them off.
    require_preview : bool
        A change is applied only with the token of its preview.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    share_per_change: Share | None = None
    share_per_day: Share | None = None
    widen_only: bool = False
    kill_only: bool = False
    require_preview: bool = False

    def document(self) -> dict[str, Any]:
        """Return what is stored and shown: only what is said."""
        return self.model_dump(exclude_defaults=True)

    @property
    def limits_shares(self) -> bool:
        """Whether it matters how much a change moves."""
        return self.share_per_change is not None or self.share_per_day is not None

    @property
    def per_change(self) -> int | None:
        """The largest share of one change, in millionths."""
        return _millionths(self.share_per_change)

    @property
    def per_day(self) -> int | None:
        """The largest share of a day, in millionths."""
        return _millionths(self.share_per_day)


def budget_of(session: Session, principal: str, environment: Environment) -> Budget | None:
    """Return the most specific budget of somebody in an environment, if there is one."""
    rows = session.exec(select(BudgetRow).where(BudgetRow.principal == principal))
    return most_specific(rows.all(), environment)


def most_specific(rows: Sequence[BudgetRow], environment: Environment) -> Budget | None:
    """Choose what holds in an environment of all that is said of somebody."""
    here = [
        row
        for row in rows
        if row.project_id in {None, environment.project_id}
        and row.environment_id in {None, environment.id}
    ]
    if not here:
        return None
    row = max(here, key=lambda r: (r.environment_id is not None, r.project_id is not None))
    return None if row.document is None else Budget.model_validate(row.document)


def set_budget(
    session: Session,
    principal: str,
    budget: Budget | None,
    *,
    project_id: int | None = None,
    environment_id: int | None = None,
) -> None:
    """Say what somebody's budget is there; ``None`` says that there is none, whatever holds above.

    The caller holds the lock of the key or the person.
    """
    clear_budget(session, principal, project_id=project_id, environment_id=environment_id)
    document = None if budget is None else budget.document()
    if document is not None or environment_id is not None:
        session.add(
            BudgetRow(
                principal=principal,
                project_id=project_id,
                environment_id=environment_id,
                document=document or None,
            )
        )
    session.flush()


def clear_budget(
    session: Session,
    principal: str,
    *,
    project_id: int | None = None,
    environment_id: int | None = None,
) -> None:
    """Say nothing any more of somebody there."""
    session.exec(
        delete(BudgetRow).where(
            col(BudgetRow.principal) == principal,
            col(BudgetRow.project_id).is_not_distinct_from(project_id),
            col(BudgetRow.environment_id).is_not_distinct_from(environment_id),
        )
    )


def clear_all_budgets(session: Session, principal: str) -> None:
    """Say nothing any more of somebody anywhere."""
    session.exec(delete(BudgetRow).where(col(BudgetRow.principal) == principal))


def budgets_by_place(
    session: Session, principals: Collection[str]
) -> dict[tuple[str, int | None, int | None], dict[str, Any]]:
    """Return what is said, by principal, project and environment."""
    rows = session.exec(select(BudgetRow).where(col(BudgetRow.principal).in_(principals)))
    return {
        (row.principal, row.project_id, row.environment_id): row.document
        for row in rows
        if row.document
    }


def check_role(role: str, budget: Budget | None) -> None:
    """Refuse a budget of somebody who could lift it."""
    if budget is not None and role == "admin":
        raise InvalidInputError(
            "an administrator has no budget: who manages people and keys could lift it",
            field="budget",
            hint="give the role editor or approver",
        )


def principal_of(name: str) -> str:
    """Return whose budget it is, of an actor as the audit names it; a key by its number."""
    found = _TOKEN.fullmatch(name)
    return name if found is None else f"token:{int(found[1])}"


def _millionths(share: float | None) -> int | None:
    # Rounded, since 0.07 is a little less than that in binary; the share moved is rounded up.
    return None if share is None else round(share * WHOLE)


def percent(millionths: int) -> str:
    """Say a share that is counted in millionths."""
    return f"{millionths / (WHOLE / 100):g} %"
