"""The list of flags as a work queue: what waits for whom, what moves, who asks for it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from experiments.people.flag_work import Need, Standing, needs, standings
from flags import activity, nudges
from flags.errors import FlagstoneError
from flags.filters import MAX_FILTER_LENGTH
from flags.finding import FLAG_FIELDS, FlagPage
from flags.models import Environment
from flags.services import FlagView, count_flags
from web.auth.guard import needs as needs_role
from web.auth.roles import Role
from web.console.base import blueprint, place, show, status_of, wants_fragment
from web.console.done import just_killed
from web.console.sparkline import sparkline
from web.console.starts import STARTS
from web.flag_search import caller_as_person, search_flags
from web.transactions import now, reading

PAGE = 50
_DAY = dt.timedelta(days=1)
VIEWS = (
    ("All", ""),
    ("Needs me", "needs:me"),
    ("Ramping now", "state:ramping,partial"),
    ("Mine", "owner:me"),
    ("Changed today", "changed:today sort:changed"),
)
"""Saved views: what people come to the list for, as filters that they could write."""


@dataclass(frozen=True)
class Row:
    """One flag as the list shows it."""

    flag: FlagView
    standing: Standing
    needs: list[Need]
    activity: activity.Activity | None
    spark: Any
    word: str
    age: str
    nudge: nudges.Nudge | None

    @property
    def is_over(self) -> bool:
        """Tell whether its time is over."""
        return (
            self.flag.expires is not None and dt.datetime.fromisoformat(self.flag.expires) <= now()
        )


@blueprint.get("/projects/<project_key>/environments/<environment_key>/flags")
@needs_role(Role.VIEWER)
def list_flags(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List flags: what each does here, how it stands elsewhere, and what it asks of whom."""
    text = request.args.get("filter", "").strip()[:MAX_FILTER_LENGTH]
    after = request.args.get("after") or None
    problem = None
    with reading() as session:
        environment = place(session, project_key, environment_key)
        who = caller_as_person(session, project_key)
        waiting = needs(session, project_key, environment_key, who, now=now())
        try:
            found = search_flags(
                session,
                project_key,
                text,
                environment_key=environment_key,
                after=after,
                limit=PAGE,
            )
        except FlagstoneError as error:
            # A filter that is half typed; the page says where it stumbles.
            problem, found = error, FlagPage([], None)
        rows = _rows(session, project_key, environment, found.flags, waiting)
        killed = just_killed(session, environment)
        any_flag = bool(rows or text or after) or count_flags(session, project_key) > 0
    return show(
        "flags/_rows.html" if wants_fragment() else "flags/list.html",
        # htmx puts a refusal nowhere unless it comes as an answer.
        status=200 if wants_fragment() else status_of(problem),
        rows=rows,
        any_flag=any_flag,
        views=VIEWS,
        starts=STARTS,
        waiting=len(waiting),
        killed=killed,
        fields=FLAG_FIELDS,
        search=text,
        after=after,
        problem=problem,
        more=found.next_after,
        environment_key=environment_key,
        project_key=project_key,
    )


def _rows(
    session: Session,
    project_key: str,
    environment: Environment,
    flags: list[FlagView],
    waiting: dict[str, list[Need]],
) -> list[Row]:
    keys = [each.key for each in flags]
    standing = standings(session, project_key, environment.key, keys, now=now())
    asked = activity.read(session, environment.id or 0, keys, now=now())
    judged = nudges.read(session, environment.project_id, keys)
    nothing = Standing(None, None, "")
    return [
        _row(
            each,
            environment.key,
            standing.get(each.key, nothing),
            waiting.get(each.key, []),
            asked.get(each.key),
            judged.get(each.key),
        )
        for each in flags
    ]


def _row(
    flag: FlagView,
    environment_key: str,
    standing: Standing,
    needed: list[Need],
    asked: activity.Activity | None,
    nudge: nudges.Nudge | None,
) -> Row:
    word = flag.environments[environment_key].state_word
    if flag.archived:
        word = "archived"
    elif standing.ramp is not None and word not in {"killed", "off"}:
        word = standing.ramp.words
    return Row(
        flag=flag,
        standing=standing,
        needs=needed,
        activity=asked,
        spark=None if asked is None or not asked.total else sparkline(asked.hours),
        word=word,
        age=_age(flag),
        nudge=nudge,
    )


def _age(flag: FlagView) -> str:
    """Say how old a flag is, against how old it is meant to become."""
    days = (now() - flag.created_at) // _DAY
    old = f"{_days(days)} old" if days else "new today"
    if flag.expires is None:
        return old
    left = (dt.datetime.fromisoformat(flag.expires) - now()) / _DAY
    if left > 0:
        return f"{old}, {_days(int(left))} left" if left >= 1 else f"{old}, its last day"
    return f"{old}, {_days(int(-left))} past expiry" if left <= -1 else f"{old}, just expired"


def _days(count: int) -> str:
    return f"{count:,} {'day' if count == 1 else 'days'}"
