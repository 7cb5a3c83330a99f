"""Who asked for a flag lately: exposures by the hour, and when it was last evaluated.

The worker sums it up out of events and heartbeats, which live elsewhere, so that a list of
thousands of flags costs one query. Only rules with ``track`` send exposures; that code asks for a
flag is known from SDKs as well, whose heartbeats name the flags that they fall back on, and of
evaluations over HTTP from the data plane, which notes them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, func, select

from flags.models import FlagActivity, SdkInstance

HOURS = 48
"""How many hours are kept."""
_SECONDS = 3600
# A heartbeat every half minute need not write a row for every flag that it names.
_NEWS = dt.timedelta(minutes=5)
_MOST_KEYS = 500


@dataclass(frozen=True, slots=True)
class Activity:
    """``hours``: exposures of the last day by the hour, the present one last."""

    hours: tuple[int, ...]
    evaluated_at: dt.datetime | None

    @property
    def total(self) -> int:
        """How many exposures in all."""
        return sum(self.hours)


def hour_of(moment: dt.datetime) -> int:
    """Give the hour of a moment, counted from 1970."""
    return int(moment.timestamp() // _SECONDS)


def read(
    session: Session,
    environment_id: int,
    flag_keys: Collection[str],
    *,
    now: dt.datetime,
    hours: int = 24,
) -> dict[str, Activity]:
    """Give the activity of some flags; those nobody asked for are not in it."""
    rows = session.exec(
        select(FlagActivity).where(
            FlagActivity.environment_id == environment_id,
            col(FlagActivity.flag_key).in_(list(flag_keys)),
        )
    )
    return {
        row.flag_key: Activity(
            tuple(_shifted(row.hours, row.last_hour, hour_of(now))[-hours:]), row.evaluated_at
        )
        for row in rows
    }


def keep(
    session: Session,
    environment_id: int,
    counts: Mapping[int, Mapping[str, int]],
    evaluated: Mapping[str, dt.datetime],
    *,
    now: dt.datetime,
) -> int:
    """Write exposures of whole hours and last evaluations; give how many flags were news.

    Parameters
    ----------
    counts : mapping
        By hour (:func:`hour_of`), exposures by flag: of that whole hour, as far as it has passed.
    evaluated : mapping
        By flag, when somebody is known to have asked for it.
    """
    rows = {
        row.flag_key: row
        for row in session.exec(
            select(FlagActivity).where(FlagActivity.environment_id == environment_id)
        )
    }
    present, news = hour_of(now), 0
    for key in sorted({*evaluated, *(key for each in counts.values() for key in each)}):
        row = rows.get(key)
        old = [0] * HOURS if row is None else _shifted(row.hours, row.last_hour, present)
        new = list(old)
        for hour, by_flag in counts.items():
            if 0 <= present - hour < HOURS:
                new[HOURS - 1 - (present - hour)] = by_flag.get(key, 0)
        last = None if row is None else row.evaluated_at
        seen = max(
            filter(None, (evaluated.get(key), now if sum(new) > sum(old) else None, last)),
            default=None,
        )
        if row is None:
            row = FlagActivity(
                environment_id=environment_id,
                flag_key=key,
                hours=new,
                last_hour=present,
                evaluated_at=seen,
            )
        elif new == old and (seen == last or (last and seen and seen - last < _NEWS)):
            continue
        else:
            row.hours, row.last_hour, row.evaluated_at = new, present, seen
        session.add(row)
        news += 1
    session.flush()
    return news


def note_evaluations(
    session: Session, environment_id: int, evaluated: Mapping[str, dt.datetime]
) -> int:
    """Write when flags were evaluated; what was known to within some minutes stays.

    Any number of processes may do so at once, beside the worker's :func:`keep`.
    """
    row, keys = FlagActivity, sorted(evaluated)
    known: dict[str, dt.datetime | None] = {}
    for start in range(0, len(keys), _MOST_KEYS):
        query = select(col(row.flag_key), col(row.evaluated_at)).where(
            col(row.environment_id) == environment_id,
            col(row.flag_key).in_(keys[start : start + _MOST_KEYS]),
        )
        known |= dict(session.exec(query).all())
    news = 0
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    insert = postgresql.insert if is_postgresql else sqlite.insert
    for key in keys:
        at, last = evaluated[key], known.get(key)
        if last is not None and at - last < _NEWS:
            continue
        news += 1
        session.execute(
            insert(row)
            .values(
                environment_id=environment_id,
                flag_key=key,
                hours=[0] * HOURS,
                last_hour=hour_of(at),
                evaluated_at=at,
            )
            .on_conflict_do_update(
                index_elements=["environment_id", "flag_key"], set_={"evaluated_at": at}
            )
        )
    return news


def named_by_instances(
    session: Session, environment_id: int, *, since: dt.datetime
) -> dict[str, dt.datetime]:
    """Give the flags that SDKs asked for, and when one of them last said so."""
    said = session.execute(
        sa.select(func.max(col(SdkInstance.defaults)), func.max(col(SdkInstance.seen_at)))
        .where(
            col(SdkInstance.environment_id) == environment_id,
            col(SdkInstance.seen_at) >= since,
            col(SdkInstance.defaults_hash).is_not(None),
        )
        .group_by(col(SdkInstance.defaults_hash))
    )
    found: dict[str, dt.datetime] = {}
    for text, seen_at in said:
        for key in orjson.loads(text):
            found[key] = max(seen_at, found.get(key, seen_at))
    return found


def _shifted(hours: list[int], last: int, present: int) -> list[int]:
    """Give the hours with the present one last; what went by in between was quiet."""
    gap = max(present - last, 0)
    return ([0] * HOURS + hours + [0] * min(gap, HOURS))[-HOURS:]
