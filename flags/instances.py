"""Which SDK clients are out there: the revision that each applied, and what an outage would serve.

Rows come from heartbeats (:mod:`flags.heartbeats`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlmodel import Session, col, func, select

from flags.errors import InvalidInputError
from flags.heartbeats import SILENT_AFTER
from flags.models import Environment, FlagRow, Revision, SdkInstance
from flags.services import get_environment

STATES = ("current", "behind", "without_flags", "silent")


@dataclass(frozen=True, slots=True)
class InstanceView:
    """One client; ``state`` is one of ``STATES``."""

    id: str
    state: str
    sdk: str
    runtime: str
    host: str | None
    revision: int | None
    source: str
    started_at: dt.datetime
    seen_at: dt.datetime
    events: dict[str, int]
    unknown_flags: list[str]


@dataclass(frozen=True, slots=True)
class Fallback:
    """What callers of a flag get while there is no service and no snapshot.

    ``defaults`` are ``{"type", "value", "instances"}``, the most frequent first; one that was too
    long has no ``value``. ``flag_type`` is None where there is no such flag.
    """

    flag: str
    flag_type: str | None
    defaults: list[dict[str, Any]]
    disagree: bool


@dataclass(frozen=True, slots=True)
class Instances:
    """The clients of an environment: how many are in which state, and a page of them."""

    revision: int
    counts: dict[str, int]
    items: list[InstanceView]
    more: bool


def list_instances(
    session: Session,
    project_key: str,
    environment_key: str,
    *,
    now: dt.datetime,
    state: str | None = None,
    stale: bool = False,
    before_id: str | None = None,
    limit: int = 100,
) -> Instances:
    """Return the clients of an environment, those that started last first.

    Parameters
    ----------
    session, project_key, environment_key
        Where to look.
    now : datetime
        What is silent is told from this.
    state : str, optional
        Only those in this state.
    stale : bool
        Only those in any state but ``current``.
    before_id, limit
        Which page.

    Raises
    ------
    InvalidInputError
        If there is no such state.
    """
    if state is not None and state not in STATES:
        raise InvalidInputError(
            f"there is no state {state!r}", field="state", hint=f"one of {', '.join(STATES)}"
        )
    environment = get_environment(session, project_key, environment_key)
    state_of = _state_of(session, environment, now)
    here = col(SdkInstance.environment_id) == environment.id
    counted = session.execute(
        sa.select(state_of, func.count()).select_from(SdkInstance).where(here).group_by(state_of)
    )
    counts = dict.fromkeys(STATES, 0) | {row[0]: row[1] for row in counted}
    query = sa.select(SdkInstance, state_of.label("state")).where(here)
    if state is not None:
        query = query.where(state_of == state)
    if stale:
        query = query.where(state_of != "current")
    if before_id is not None:
        query = query.where(col(SdkInstance.id) < before_id)
    found = session.execute(query.order_by(col(SdkInstance.id).desc()).limit(limit + 1)).all()
    return Instances(
        environment.revision,
        counts,
        [_view(row, state_word) for row, state_word in found[:limit]],
        len(found) > limit,
    )


def fallbacks(
    session: Session, project_key: str, environment_key: str, *, now: dt.datetime
) -> list[Fallback]:
    """Return, by flag, what living clients would serve without us, and where they disagree."""
    environment = get_environment(session, project_key, environment_key)
    # Clients of one program say the same: each text is read once, however many said it.
    said = session.execute(
        sa.select(func.count(), func.max(col(SdkInstance.defaults)))
        .where(
            col(SdkInstance.environment_id) == environment.id,
            col(SdkInstance.seen_at) >= now - SILENT_AFTER,
            col(SdkInstance.defaults_hash).is_not(None),
        )
        .group_by(col(SdkInstance.defaults_hash))
    )
    heard: dict[str, dict[bytes, int]] = {}
    for instances, text in said:
        for flag, defaults in orjson.loads(text).items():
            counts = heard.setdefault(flag, {})
            for default in defaults:
                key = orjson.dumps(default, option=orjson.OPT_SORT_KEYS)
                counts[key] = counts.get(key, 0) + instances
    flags = select(FlagRow.key, FlagRow.type).where(
        FlagRow.project_id == environment.project_id, col(FlagRow.archived).is_(False)
    )
    types = dict(session.exec(flags).all())
    return [_fallback(flag, types.get(flag), counts) for flag, counts in sorted(heard.items())]


def _state_of(session: Session, environment: Environment, now: dt.datetime) -> Any:
    """Return the SQL expression of a row's state."""
    etag = session.exec(
        select(Revision.etag).where(
            Revision.environment_id == environment.id, Revision.number == environment.revision
        )
    ).first()
    applied = col(SdkInstance.revision) == environment.revision
    if etag is not None:
        # A database that was put back to an older state gives its numbers out again.
        applied &= col(SdkInstance.etag).is_(None) | (col(SdkInstance.etag) == etag)
    return sa.case(
        (col(SdkInstance.seen_at) < now - SILENT_AFTER, "silent"),
        (col(SdkInstance.revision).is_(None), "without_flags"),
        (applied, "current"),
        else_="behind",
    )


def _view(row: SdkInstance, state: str) -> InstanceView:
    return InstanceView(
        id=row.id,
        state=state,
        sdk=row.sdk,
        runtime=row.runtime,
        host=row.host,
        revision=row.revision,
        source=row.source,
        started_at=row.started_at,
        seen_at=row.seen_at,
        events=row.events,
        unknown_flags=row.unknown_flags,
    )


def _fallback(flag: str, flag_type: str | None, counts: dict[bytes, int]) -> Fallback:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    defaults = [{**orjson.loads(key), "instances": count} for key, count in ordered]
    return Fallback(flag, flag_type, defaults, len(defaults) > 1)
