"""What flags ask for, as the worker last judged: for lists and searches of thousands of them.

A verdict rests on everything in a project (who depends on the flag, who still asks for it); judging
five thousand flags takes seconds, which no page has. What is kept is shown as long as nobody has
changed the flag since.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from flags.lifecycle import SAFE_TO_REMOVE, STALE, Lifecycle
from flags.models import FlagEnvironment, FlagNudge, FlagRow
from flags.services import get_project


@dataclass(frozen=True, slots=True)
class Nudge:
    """A flag, and what it asks for."""

    flag: str
    owner: str
    verdict: str
    sentence: str


def keep(
    session: Session, project_id: int, found: Mapping[str, Lifecycle], *, now: dt.datetime
) -> int:
    """Write down the verdicts on all flags of a project; give how many were news.

    Parameters
    ----------
    found : mapping
        By the flag's key; what asks for nothing, or is not there, is forgotten.
    """
    rows = session.exec(
        select(col(FlagRow.key), col(FlagRow.id)).where(FlagRow.project_id == project_id)
    )
    ids = {key: number for key, number in rows if number is not None}
    kept = {
        each.flag_id: each
        for each in session.exec(
            select(FlagNudge).where(col(FlagNudge.flag_id).in_(_of(project_id)))
        )
    }
    news = 0
    for key, each in found.items():
        flag_id = ids.get(key)
        if flag_id is None or not each.nudge:
            continue
        row = kept.pop(flag_id, None)
        if row is None:
            row = FlagNudge(flag_id=flag_id, verdict="", sentence="", at=now)
        news += (row.verdict, row.sentence) != (each.verdict, each.sentence)
        row.verdict, row.sentence, row.at = each.verdict, each.sentence, now
        session.add(row)
    for row in kept.values():
        session.delete(row)
    session.flush()
    return news + len(kept)


def read(session: Session, project_id: int, flag_keys: Collection[str]) -> dict[str, Nudge]:
    """Give what some flags ask for; those that ask for nothing are not in it."""
    query = _nudges(project_id).where(col(FlagRow.key).in_(list(flag_keys)))
    return {row[0]: Nudge(*row) for row in session.execute(query)}


def find(session: Session, project_id: int, *, limit: int) -> list[Nudge]:
    """Give what a project's flags ask for, by key."""
    query = _nudges(project_id).order_by(col(FlagRow.key)).limit(limit)
    return [Nudge(*row) for row in session.execute(query)]


def _nudges(project_id: int) -> sa.Select[str, str, str, str]:
    return (
        sa.select(
            col(FlagRow.key), col(FlagRow.owner), col(FlagNudge.verdict), col(FlagNudge.sentence)
        )
        .join(FlagNudge, col(FlagNudge.flag_id) == col(FlagRow.id))
        .where(col(FlagRow.project_id) == project_id, col(FlagRow.archived).is_(False), ~_changed())
    )


def judged(
    project_key: str, *, now: dt.datetime
) -> dict[tuple[str, str], Callable[[Session], sa.Select[Any]]]:
    """Give what a filter may ask of lifecycles: by field and value, the keys of such flags."""
    # Instants in UTC are all written alike: as texts they are in order too.
    today = now.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    over = (col(FlagRow.expires).is_not(None), col(FlagRow.expires) <= today)

    def keys(*where: Any) -> Callable[[Session], sa.Select[Any]]:
        def query(session: Session) -> sa.Select[Any]:
            return sa.select(col(FlagRow.key)).where(
                col(FlagRow.project_id) == get_project(session, project_key).id, *where
            )

        return query

    return {
        ("is", "past_expiry"): keys(*over),
        **{("is", verdict): keys(_judged(verdict)) for verdict in (STALE, SAFE_TO_REMOVE)},
    }


def _judged(verdict: str) -> sa.ColumnElement[bool]:
    return (
        sa.exists()
        .where(
            col(FlagNudge.flag_id) == col(FlagRow.id),
            col(FlagNudge.verdict) == verdict,
            ~_changed(),
        )
        .correlate(FlagRow)
    )


def _changed() -> sa.ColumnElement[bool]:
    return (
        sa.exists()
        .where(
            col(FlagEnvironment.flag_id) == col(FlagRow.id),
            col(FlagEnvironment.updated_at) > col(FlagNudge.at),
        )
        .correlate(FlagRow, FlagNudge)
    )


def _of(project_id: int) -> sa.Select[Any]:
    return sa.select(col(FlagRow.id)).where(col(FlagRow.project_id) == project_id)
