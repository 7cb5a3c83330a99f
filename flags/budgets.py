"""How much somebody may move: per change, per day, in which direction; and what is used of it.

The check stands in the door of every change of flags, under the environment's lock, and what is
used is written in the very transaction of the change: no sequence of calls, at one time or split
into many, gets past it. What counts is proved and no estimate (:mod:`flags.shares`). A day is the
last 24 hours, so there is no midnight at which twice as much would pass. Each environment counts
by itself: its units are others.

To kill a flag or to turn it off is always allowed and costs nothing.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, func, or_, select

from flags.errors import OverBudgetError
from flags.granted import WHOLE, Budget, budget_of, percent, principal_of
from flags.models import BudgetUse, Environment
from flags.shares import EVERYBODY, Side, changes_off, share_moved, shares_by_flag
from flagstone.engine import Verdict, classify

DAY = dt.timedelta(days=1)
_WIDENS = {Verdict.NO_OP, Verdict.ONLY_WIDENS}
_ASK = "ask somebody without a budget, or split off what can wait"


@dataclass(frozen=True)
class Spending:
    """Who answers for a change, and what of it is known beforehand.

    Parameters
    ----------
    names : collection of str
        The actor, and everybody who wrote what is carried out, as the audit names them.
    previewed : int or None
        The revision on which the caller has previewed exactly this change.
    trusted : bool
        Whether a preview was asked for earlier, or a sealed plan stands in its place.
    protective : bool
        Whether it only takes features away, which costs nothing.
    promised : Fraction
        What is going to move later without another call, and is paid for now.
    holder : str or None
        What the promise is kept for.
    """

    names: Collection[str]
    previewed: int | None = None
    trusted: bool = False
    protective: bool = False
    promised: Fraction = Fraction(0)
    holder: str | None = None


Sides = Callable[[Environment], tuple[Side, Side]]


@dataclass(frozen=True)
class Move:
    """What a change makes of one environment: found out when it is asked for, and once.

    ``asked_for`` is the environment that the change names: of that one the preview was.
    """

    spending: Spending
    environment: Environment
    load: Sides
    asked_for: Environment

    @cached_property
    def sides(self) -> tuple[Side, Side]:
        """The environment before and after the change."""
        return self.load(self.environment)

    @cached_property
    def used(self) -> int:
        """The share of its units that this uses of a budget, in millionths."""
        share = max(share_moved(*self.sides), self.spending.promised)
        return math.ceil(share * WHOLE)


def spend(
    session: Session,
    spending: Spending,
    environments: Collection[Environment],
    sides: Sides,
    now: dt.datetime,
    *,
    dry: bool = False,
) -> None:
    """Refuse what is beyond the budget of anybody who answers for it; write down what is used.

    Parameters
    ----------
    environments : collection of Environment
        Locked by the caller; all in which readers will see something else.
    sides : callable
        Gives an environment before and after the change; asked for only if there is a budget.
    dry : bool
        Refuse only what could never pass, and write nothing: for what will be applied later.

    Raises
    ------
    OverBudgetError
        With what is left.
    """
    if spending.protective:
        return
    principals = sorted({principal_of(name) for name in spending.names})
    for environment in environments:
        move = Move(spending, environment, sides, asked_for=next(iter(environments)))
        for principal in principals:
            budget = budget_of(session, principal, environment)
            if budget is None:
                continue
            check_move(session, principal, budget, move, now, dry=dry)
            if budget.limits_shares and move.used and not dry:
                _pay(session, principal, environment, move.used, spending, now)


def check_move(
    session: Session,
    principal: str,
    budget: Budget,
    move: Move,
    now: dt.datetime,
    *,
    dry: bool = False,
) -> None:
    """Refuse what is beyond one budget in one environment.

    Raises
    ------
    OverBudgetError
        With what is left.
    """
    if budget.kill_only:
        raise OverBudgetError(
            "your budget allows to kill flags and to turn them off, and nothing else",
            field="instructions",
            hint="ask somebody who may change more",
        )
    if budget.require_preview and not move.spending.trusted:
        _check_preview(move.asked_for, move.spending)
    if budget.widen_only:
        _check_widens(move.environment, *move.sides)
    if budget.limits_shares:
        _check_shares(session, principal, budget, move.environment, move.used, now, dry=dry)


def _check_shares(
    session: Session,
    principal: str,
    budget: Budget,
    environment: Environment,
    moved: int,
    now: dt.datetime,
    *,
    dry: bool,
) -> None:
    if budget.per_change is not None and moved > budget.per_change:
        raise OverBudgetError(
            f"this could move {percent(moved)} of the units in {environment.key!r}, and one "
            f"change of yours may move {percent(budget.per_change)}",
            field="instructions",
            hint=_why(moved),
        )
    if budget.per_day is not None and not dry:
        used = used_today(session, principal, environment, now)
        if used + moved > budget.per_day:
            raise OverBudgetError(
                f"this could move {percent(moved)} of the units in {environment.key!r}; of the "
                f"{percent(budget.per_day)} that you may move in 24 hours, "
                f"{percent(max(0, budget.per_day - used))} is left",
                field="instructions",
                hint=_why(moved),
            )
    if budget.per_day is not None and dry and moved > budget.per_day:
        raise OverBudgetError(
            f"this could move {percent(moved)} of the units in {environment.key!r}, and you may "
            f"move {percent(budget.per_day)} in 24 hours",
            field="instructions",
            hint=_why(moved),
        )


def _pay(
    session: Session,
    principal: str,
    environment: Environment,
    moved: int,
    spending: Spending,
    now: dt.datetime,
) -> None:
    assert environment.id is not None
    session.add(
        BudgetUse(
            principal=principal,
            environment_id=environment.id,
            at=now,
            millionths=moved,
            holder=spending.holder,
        )
    )
    session.flush()


def _check_preview(environment: Environment, spending: Spending) -> None:
    if spending.previewed is None:
        message = "your budget asks for a preview before a change"
    elif spending.previewed != environment.revision:
        message = f"{environment.key!r} moved since you previewed this"
    else:
        return
    raise OverBudgetError(
        message,
        field="preview_token",
        hint="send it with the mode preview, then again with the preview_token of the answer",
    )


def _check_widens(environment: Environment, before: Side, after: Side) -> None:
    verdict = None
    if not changes_off(before, after):
        keys = list(shares_by_flag(before, after))
        found = classify(
            _flag_set(environment, before), _flag_set(environment, after), flag_keys=keys
        )
        wrong = [each for each in found if each.verdict not in _WIDENS]
        if not wrong:
            return
        verdict = wrong[0].flag
    what = "a kill would serve something else" if verdict is None else f"flag {verdict!r}"
    raise OverBudgetError(
        f"your budget allows only what widens, and that is not proved of this: {what}",
        field="instructions",
        hint="preview it to see whom it moves",
    )


def _flag_set(environment: Environment, side: Side) -> dict[str, Any]:
    return {
        "schema": 1,
        "environment": environment.key,
        "version": 1,
        "flags": {key: flag for key, flag in side.flags.items() if flag is not None},
        "segments": dict(side.segments),
    }


def used_today(session: Session, principal: str, environment: Environment, now: dt.datetime) -> int:
    """Return what somebody has moved or promised in 24 hours in an environment, in millionths."""
    total = session.exec(
        select(func.coalesce(func.sum(col(BudgetUse.millionths)), 0)).where(
            BudgetUse.principal == principal,
            BudgetUse.environment_id == environment.id,
            counts_today(now),
        )
    ).one()
    return int(total)


def counts_today(now: dt.datetime) -> ColumnElement[bool]:
    """Say which uses count: those of 24 hours, and what is still promised, whenever that was."""
    return or_(col(BudgetUse.at) > now - DAY, col(BudgetUse.holder).is_not(None))


def end_promises(session: Session, holder: str, now: dt.datetime) -> None:
    """Let what was promised for something that has ended count for one day more."""
    for use in session.exec(select(BudgetUse).where(BudgetUse.holder == holder)):
        use.holder, use.at = None, now
        session.add(use)


def _why(moved: int) -> str:
    if moved >= EVERYBODY * WHOLE:
        return f"what buckets cannot bound counts as everybody; {_ASK}"
    return f"counted as if everybody matched the rules that change; {_ASK}"
