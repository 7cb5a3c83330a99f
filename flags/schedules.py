"""Changes with a time of their own: which are due, and what becomes of each.

The worker asks, and carries each out in a transaction of its own: it is applied and marked as
applied together, or neither, so that a crash at any moment leaves it due. A change that is late by
more than ``LATE_LIMIT`` (the service was down) is not applied: what was right at nine may be wrong
at noon, and somebody should look first.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlmodel import Session, col, select

from flags.actor import SYSTEM
from flags.change_requests import carry_out
from flags.errors import FlagstoneError, NeedsApprovalError, StaleChangeError
from flags.models import ChangeRequest
from flags.request_rows import (
    FAILED,
    MISSED,
    STALE,
    WAITING,
    end,
    lock_again,
)
from flags.services import get_project_by_id

LATE_LIMIT = dt.timedelta(hours=1)
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Due:
    """A change whose time has come, as it was read."""

    request_id: int
    version: int | None


def due(session: Session, now: dt.datetime) -> list[Due]:
    """Give the changes whose time has come, the earliest first."""
    found = session.exec(
        select(ChangeRequest)
        .where(col(ChangeRequest.state).in_(WAITING), col(ChangeRequest.at) <= now)
        .order_by(col(ChangeRequest.at), col(ChangeRequest.id))
        .limit(_AT_ONCE)
    )
    return [Due(each.id, each.version) for each in found if each.id is not None]


def perform(session: Session, each: Due, *, now: dt.datetime) -> ChangeRequest | None:
    """Apply a change that is due, or mark it as missed; ``None`` if it moved since it was read.

    Raises
    ------
    FlagstoneError
        If it cannot be applied: undo the transaction, and :func:`give_up` in another one.
    """
    request = _still(session, each, whole=True)
    if request is None or request.at is None or request.at > now:
        return None
    if now - request.at > LATE_LIMIT:
        reason = f"the service did not get to it within {LATE_LIMIT.seconds // 60} minutes"
        return end(session, request, MISSED, "miss_change", SYSTEM, now, reason=reason)
    project = get_project_by_id(session, request.project_id)
    return carry_out(session, project.key, request, actor=SYSTEM, now=now)


def give_up(
    session: Session, each: Due, error: FlagstoneError, *, now: dt.datetime
) -> ChangeRequest | None:
    """Write down why a change could not be applied at its time; that ends it."""
    request = _still(session, each, whole=False)
    if request is None:
        return None
    told, reason = {}, error.message
    state, action = FAILED, "fail_change"
    if isinstance(error, NeedsApprovalError):
        state, action, reason = MISSED, "miss_change", "it was not approved by its time"
    if isinstance(error, StaleChangeError):
        state, action = STALE, "stale_change"
        told = {"approved": error.approved, "present": error.present}
    return end(session, request, state, action, SYSTEM, now, reason=reason, **told)


def _still(session: Session, each: Due, *, whole: bool) -> ChangeRequest | None:
    request = session.get(ChangeRequest, each.request_id)
    if request is None or request.version != each.version:
        return None
    project = get_project_by_id(session, request.project_id)
    request = lock_again(session, project.key, request, whole=whole)
    return request if request.version == each.version and request.state in WAITING else None
