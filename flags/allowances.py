"""What is left of a budget, and what a change would use of it: said before anything is done."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlmodel import Session, col, func, select

from flags.budgets import Move, Sides, Spending, check_move, counts_today
from flags.errors import OverBudgetError
from flags.granted import WHOLE, Budget, budget_of, most_specific, percent, principal_of
from flags.models import BudgetRow, BudgetUse, Environment


@dataclass(frozen=True, slots=True)
class Allowance:
    """A budget in one environment, and the share of its units that was moved in 24 hours.

    ``used`` is in millionths; what was promised for later counts from the start.
    """

    budget: Budget
    used: int

    @property
    def left_today(self) -> int | None:
        """What may still be moved today, in millionths; None: no matter how much."""
        per_day = self.budget.per_day
        return None if per_day is None else max(0, per_day - self.used)

    @property
    def left(self) -> int | None:
        """What one change may move now, in millionths; None: no matter how much."""
        if self.budget.kill_only:
            return 0
        found = [each for each in (self.budget.per_change, self.left_today) if each is not None]
        return min(found, default=None)

    def document(self) -> dict[str, Any]:
        """Write it as plain JSON; shares from 0 to 1."""
        return {
            "budget": self.budget.document(),
            "used_today": self.used / WHOLE,
            "left_today": _share(self.left_today),
            "left": _share(self.left),
        }

    @property
    def words(self) -> str:
        """Say what is left of a day in a few words; nothing where a day has no limit."""
        if self.left_today is None or self.budget.per_day is None:
            return ""
        return f"{percent(self.left_today)} of {percent(self.budget.per_day)} left today"


def allowances(
    session: Session,
    principals: Collection[str],
    environments: Sequence[Environment],
    now: dt.datetime,
) -> dict[str, dict[str, Allowance]]:
    """Give what is left to each of several people or keys, by environment's key.

    Who has no budget in an environment is not named there.
    """
    places = {each.id: each for each in environments}
    said: dict[str, list[BudgetRow]] = {}
    rows = session.exec(select(BudgetRow).where(col(BudgetRow.principal).in_(principals)))
    for row in rows:
        said.setdefault(row.principal, []).append(row)
    if not said:
        return {}
    used: dict[tuple[str, int], int] = {
        (principal, environment_id): int(total)
        for principal, environment_id, total in session.exec(
            select(
                BudgetUse.principal,
                BudgetUse.environment_id,
                func.sum(col(BudgetUse.millionths)),
            )
            .where(
                col(BudgetUse.principal).in_(said),
                col(BudgetUse.environment_id).in_(places),
                counts_today(now),
            )
            .group_by(col(BudgetUse.principal), col(BudgetUse.environment_id))
        )
    }
    found: dict[str, dict[str, Allowance]] = {}
    for principal, mine in said.items():
        for environment in environments:
            budget = most_specific(mine, environment)
            if budget is not None:
                spent = used.get((principal, environment.id or 0), 0)
                found.setdefault(principal, {})[environment.key] = Allowance(budget, spent)
    return found


@dataclass(frozen=True, slots=True)
class Quote:
    """What a change would use of somebody's budget in an environment, and why it would be refused.

    ``moves`` is in millionths, as it is counted.
    """

    environment: str
    moves: int
    refused: OverBudgetError | None

    def document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        refused = None if self.refused is None else self.refused.message
        return {"moves": self.moves / WHOLE, "refused": refused}


def quote(
    session: Session,
    spending: Spending,
    environments: Collection[Environment],
    sides: Sides,
    now: dt.datetime,
) -> list[Quote]:
    """Say what :func:`spend` would use and refuse, where who answers for it has a budget."""
    spending = replace(spending, trusted=True)
    found = []
    for environment in environments:
        move = Move(spending, environment, sides, asked_for=environment)
        budgets = {
            principal: budget
            for principal in sorted({principal_of(name) for name in spending.names})
            if (budget := budget_of(session, principal, environment)) is not None
        }
        if not budgets:
            continue
        if spending.protective:
            found.append(Quote(environment.key, 0, None))
            continue
        refused = None
        try:
            for principal, budget in budgets.items():
                check_move(session, principal, budget, move, now)
        except OverBudgetError as error:
            refused = error
        found.append(Quote(environment.key, move.used, refused))
    return found


def _share(millionths: int | None) -> float | None:
    return None if millionths is None else millionths / WHOLE
