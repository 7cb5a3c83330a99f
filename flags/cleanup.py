"""The lifecycle of a project's flags: facts gathered in a few queries, verdicts over all of them.

Also which flags are about to expire, for whoever tells their owners (:func:`expiring`).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson
import sqlalchemy as sa
from sqlmodel import Session, col, func, select

from flags.conditions import flags_of
from flags.heartbeats import SILENT_AFTER
from flags.lifecycle import Facts, Lifecycle, Place, constant_variant, lifecycle_of, was_touched
from flags.models import (
    ChangeRequest,
    Environment,
    FlagActivity,
    FlagEnvironment,
    FlagRow,
    Project,
    SdkInstance,
    SegmentRow,
)
from flags.request_rows import WAITING
from flags.services import get_project, list_environments
from flags.views import FlagView

Under = Mapping[str, Iterable[str]]
_MOST_EXPIRING = 500
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")


def lifecycles(
    session: Session,
    project_key: str,
    views: Iterable[FlagView],
    *,
    now: dt.datetime,
    under: Under | None = None,
) -> dict[str, Lifecycle]:
    """Give the verdict on flags, by key.

    Parameters
    ----------
    views : iterable of FlagView
        The flags; what depends on them is looked up in the whole project.
    under : mapping, optional
        What runs on a flag (``experiment one-page``), by its key.
    """
    wanted = list(views)
    project_id = get_project(session, project_key).id
    assert project_id is not None
    environments = {each.key: each for each in list_environments(session, project_key)}
    asked_by = _dependants(session, project_id, wanted)
    callers = _callers(session, list(environments.values()), now)
    waiting = _waiting(session, project_id)
    evaluated = _evaluated(session, list(environments.values()))
    return {
        view.key: lifecycle_of(
            Facts(
                key=view.key,
                kind=view.kind,
                archived=view.archived,
                owner=view.owner,
                expires=None if view.expires is None else dt.datetime.fromisoformat(view.expires),
                created_at=view.created_at,
                variants=view.variants,
                places=tuple(
                    Place(
                        environment=key,
                        production=environments[key].production,
                        state_word=here.state_word,
                        constant=constant_variant(here.document),
                        killed=here.document["killed"],
                        since=here.updated_at,
                        touched=was_touched(here.document),
                    )
                    for key, here in view.environments.items()
                ),
                dependants=tuple(sorted(asked_by.get(view.key, ()))),
                under=tuple((under or {}).get(view.key, ())),
                waiting=tuple(waiting.get(view.key, ())),
                callers=None if callers is None else callers.get(view.key, 0),
                evaluated_at=evaluated.get(view.key),
            ),
            now,
        )
        for view in wanted
    }


def _dependants(session: Session, project_id: int, views: list[FlagView]) -> dict[str, set[str]]:
    """Give what asks about each flag, anywhere in the project."""
    found: dict[str, set[str]] = {}
    # Reading what cannot name it, or no flag at all, would be most of the work.
    plain = len(views) == 1 and _PLAIN.fullmatch(views[0].key)
    naming = f'"{views[0].key}"' if plain else '"flag"'
    states = session.exec(
        select(col(FlagRow.key), col(FlagEnvironment.state))
        .join(FlagEnvironment, col(FlagEnvironment.flag_id) == col(FlagRow.id))
        .where(
            FlagRow.project_id == project_id,
            col(FlagRow.archived).is_(False),
            sa.cast(col(FlagEnvironment.state), sa.Text).contains(naming, autoescape=True),
        )
    )
    for key, state in states:
        for each in state["prerequisites"]:
            found.setdefault(each["flag"], set()).add(f"flag {key}")
        for rule in state["rules"]:
            for other in flags_of(rule["when"]):
                found.setdefault(other, set()).add(f"flag {key}")
    segments = session.exec(
        select(col(SegmentRow.key), col(SegmentRow.condition))
        .join(Environment, col(Environment.id) == col(SegmentRow.environment_id))
        .where(Environment.project_id == project_id)
    )
    for key, condition in segments:
        for other in flags_of(condition):
            found.setdefault(other, set()).add(f"segment {key}")
    return found


def _callers(
    session: Session, environments: list[Environment], now: dt.datetime
) -> dict[str, int] | None:
    """Give how many living clients ask for each flag; None where nobody can tell."""
    said = session.execute(
        sa.select(
            func.count(),
            func.max(col(SdkInstance.defaults)),
            func.min(sa.cast(col(SdkInstance.defaults_complete), sa.Integer)),
        )
        .where(
            col(SdkInstance.environment_id).in_([each.id for each in environments]),
            col(SdkInstance.seen_at) >= now - SILENT_AFTER,
        )
        .group_by(col(SdkInstance.defaults_hash))
    ).all()
    # Who keeps silent about some flags says nothing about the others.
    if not said or any(text is None or not complete for _, text, complete in said):
        return None
    counts: dict[str, int] = {}
    for instances, text, _ in said:
        for flag in orjson.loads(text):
            counts[flag] = counts.get(flag, 0) + instances
    return counts


def _evaluated(session: Session, environments: list[Environment]) -> dict[str, dt.datetime]:
    rows = session.exec(
        select(col(FlagActivity.flag_key), func.max(col(FlagActivity.evaluated_at)))
        .where(
            col(FlagActivity.environment_id).in_([each.id for each in environments]),
            col(FlagActivity.evaluated_at).is_not(None),
        )
        .group_by(col(FlagActivity.flag_key))
    )
    return {key: at for key, at in rows if at is not None}


def _waiting(session: Session, project_id: int) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    rows = session.exec(
        # Of a preview only what it leads to: the rest of it is long, and not asked for here.
        select(col(ChangeRequest.id), col(ChangeRequest.preview)["after"])
        .where(ChangeRequest.project_id == project_id, col(ChangeRequest.state).in_(WAITING))
        .order_by(col(ChangeRequest.id))
    )
    for number, after in rows:
        for key in after:
            found.setdefault(key, []).append(number or 0)
    return found


@dataclass(frozen=True, slots=True)
class Expiring:
    """A flag whose time will soon be over; ``days_left`` is 0 on its last day."""

    flag: str
    owner: str
    days_left: int

    @property
    def sentence(self) -> str:
        """Say it in plain words."""
        who = f"owner: {self.owner}" if self.owner else "nobody owns it"
        if self.days_left == 0:
            return f"it expires today ({who})."
        days = "day" if self.days_left == 1 else "days"
        return f"it expires in {self.days_left} {days} ({who})."


def expiring(
    session: Session,
    *,
    project: Project,
    now: dt.datetime,
    within: dt.timedelta = dt.timedelta(days=7),
) -> list[Expiring]:
    """Give the flags of a project whose time will soon be over, the earliest first; at most 500."""
    latest = (now + within).astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    rows = session.exec(
        select(col(FlagRow.key), col(FlagRow.owner), col(FlagRow.expires))
        .where(
            FlagRow.project_id == project.id,
            col(FlagRow.archived).is_(False),
            col(FlagRow.expires).is_not(None),
            col(FlagRow.expires) <= latest,
        )
        .order_by(col(FlagRow.expires), col(FlagRow.id))
        .limit(_MOST_EXPIRING)
    )
    found = []
    for flag, owner, text in rows:
        expires = dt.datetime.fromisoformat(str(text))
        if expires >= now:
            found.append(Expiring(flag, owner, (expires.date() - now.date()).days))
    return found
