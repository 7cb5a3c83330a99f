"""What a change makes of each environment, for the budgets that pay for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlmodel import Session

from flags.allowances import Quote, quote
from flags.approvals import is_protective
from flags.budgets import Sides, Spending, spend
from flags.instructions import Change
from flags.models import Environment
from flags.publish import load_flags, load_segments
from flags.shares import Side
from flags.workspace import FlagCopy, SegmentCopy, Workspace


def spend_change(
    session: Session,
    workspace: Workspace,
    change: Change,
    environment: Environment,
    others: list[Environment],
    spending: Spending,
    now: dt.datetime,
    *,
    dry: bool = False,
) -> None:
    """Let the budgets of those who answer for a change pay for it, or refuse it."""
    spending, affected, sides = _to_pay(session, workspace, change, environment, others, spending)
    spend(session, spending, affected, sides, now, dry=dry)


def quote_change(
    session: Session,
    workspace: Workspace,
    change: Change,
    environment: Environment,
    others: list[Environment],
    spending: Spending,
    now: dt.datetime,
) -> list[Quote]:
    """Say what a change would use of the budgets of those who answer for it."""
    spending, affected, sides = _to_pay(session, workspace, change, environment, others, spending)
    return quote(session, spending, affected, sides, now)


def _to_pay(
    session: Session,
    workspace: Workspace,
    change: Change,
    environment: Environment,
    others: list[Environment],
    spending: Spending,
) -> tuple[Spending, list[Environment], Sides]:
    shared = workspace.changed_everywhere()

    def sides(where: Environment) -> tuple[Side, Side]:
        if where is environment:
            return _here(workspace)
        there = load_flags(session, where)
        segments = _conditions(load_segments(session, where))
        before = _documents(there)
        after = dict(before)
        for key in shared:
            there[key].adopt(workspace.flags[key])
            after[key] = _document(there[key])
        return Side(before, segments), Side(after, segments)

    if is_protective(change):
        spending = replace(spending, protective=True)
    return spending, [environment, *(others if shared else [])], sides


def _here(workspace: Workspace) -> tuple[Side, Side]:
    before = _documents(workspace.flags)
    after: dict[str, Any] = dict(before)
    for key in workspace.changed_flags():
        before[key] = _document(workspace.flags_before[key])
    segments = _conditions(workspace.segments)
    segments_before = dict(segments)
    for key in workspace.changed_segments():
        old = workspace.segments_before[key]
        segments_before.pop(key, None)
        if old is not None:
            segments_before[key] = old.condition
    return Side(before, segments_before), Side(after, segments)


def sides_of_new(
    before: Mapping[str, FlagCopy],
    after: Mapping[str, FlagCopy],
    segments_before: Mapping[str, SegmentCopy],
    segments_after: Mapping[str, SegmentCopy],
) -> tuple[Side, Side]:
    """Give both sides of flags and segments that were made beside those that are there."""
    return (
        Side(_documents(before), _conditions(segments_before)),
        Side(_documents(after), _conditions(segments_after)),
    )


def _documents(flags: Mapping[str, FlagCopy]) -> dict[str, dict[str, Any] | None]:
    return {key: _document(flag) for key, flag in flags.items()}


def _document(flag: FlagCopy) -> dict[str, Any] | None:
    return None if flag.archived else flag.document()


def _conditions(segments: Mapping[str, SegmentCopy]) -> dict[str, Any]:
    return {key: segment.condition for key, segment in segments.items()}
