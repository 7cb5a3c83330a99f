"""Flags by a filter: which ones, in a stable order, a page at a time.

One query, whatever the filter says. What stands above this layer (experiments, what asks for a
person) comes as sets of keys.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from flags.errors import InvalidInputError
from flags.filters import (
    WORDS,
    Field,
    Filter,
    Term,
    one_holds,
    text_holds,
    time_holds,
    words_hold,
)
from flags.models import ChangeRequest, Environment, FlagActivity, FlagEnvironment, FlagRow
from flags.request_rows import WAITING
from flags.services import get_project, list_environments
from flags.views import FlagView, views_of

JUDGED = ("past_expiry", "stale", "safe_to_remove")
"""What a filter may ask of a flag's lifecycle: :func:`flags.nudges.judged`."""

FLAG_FIELDS: Mapping[str, Field] = {
    "key": Field("text", "the flag's key"),
    "owner": Field("text", "who owns it; me for you, none for nobody"),
    "state": Field("one", "in the environment", ("on", "off", "partial", "killed", "ramping")),
    "env": Field("text", "in which environment state and changed are meant"),
    "environment": Field("text", "the same as env"),
    "changed": Field("time", "when it last changed there"),
    "created": Field("time", "when it was made"),
    "evaluated": Field("time", "when code last asked for it, as far as is known"),
    "type": Field("one", "of its values", ("boolean", "string", "integer", "float", "object")),
    "has": Field("one", "beside it", ("experiment", "release", "change", "schedule", "owner")),
    "is": Field(
        "one",
        "what it is; the last two as the worker judges every ten minutes",
        ("archived", "client", *JUDGED),
    ),
    "needs": Field("one", "whom it waits for", ("me",)),
    "sort": Field("one", "in which order; by key without it", ("key", "changed")),
}
"""What the list of flags can be asked for."""

Keys = Callable[[Session], "Collection[str] | sa.Select[Any]"]
"""Keys of flags that a layer above knows; asked only if a filter asks."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which flags, seen by whom.

    Parameters
    ----------
    environment_key : str, optional
        Where ``state`` and ``changed`` are meant, unless the filter says ``env:``; without either,
        anywhere.
    archived : bool or None
        What holds where the filter says nothing of ``is:archived``; None: no matter.
    me : str
        Who ``me`` is, as owners are written.
    sets : mapping
        By field and value, such as ``("has", "experiment")``: the keys of those that have it.
    shown_in : str, optional
        The only environment of which anything is shown.
    """

    filter: Filter
    environment_key: str | None = None
    archived: bool | None = False
    me: str = ""
    sets: Mapping[tuple[str, str], Keys] = field(default_factory=dict)
    shown_in: str | None = None


@dataclass(frozen=True, slots=True)
class FlagPage:
    """Flags in order, and what the next page begins after; None on the last."""

    flags: list[FlagView]
    next_after: str | None


def find_flags(
    session: Session,
    project_key: str,
    wanted: Wanted,
    *,
    after: str | None = None,
    limit: int = 100,
) -> FlagPage:
    """Give the flags that a filter describes.

    Parameters
    ----------
    after : str, optional
        What the page before gave as ``next_after``.

    Raises
    ------
    InvalidInputError
        If the filter names an environment that there is not, or ``after`` is nothing that this
        order gives.
    """
    project = get_project(session, project_key)
    environments = list_environments(session, project_key)
    search = _Search(session, project.id or 0, wanted, _environments(wanted, environments))
    newest_first = wanted.filter.one("sort") == "changed"
    changed = search.changed_at()
    query = sa.select(FlagRow, changed if newest_first else sa.null()).where(*search.holds())
    key = col(FlagRow.key)
    if newest_first:
        query = query.order_by(changed.desc(), key)
        if after is not None:
            moment, last = _place(after)
            later = sa.and_(changed == moment, key > last)
            query = query.where(sa.or_(changed < moment, later))
    else:
        query = query.order_by(key)
        if after is not None:
            query = query.where(key > after)
    rows = session.execute(query.limit(limit + 1)).all()
    shown = rows[:limit]
    seen = [each for each in environments if wanted.shown_in in {None, each.key}]
    views = views_of(session, seen, [row[0] for row in shown])
    if len(rows) <= limit:
        return FlagPage(views, None)
    last_row, moment = shown[-1]
    return FlagPage(views, _cursor(moment, last_row.key) if newest_first else last_row.key)


def where_meant(asked: Filter, otherwise: str | None) -> str | None:
    """Give the environment that a filter is about."""
    return asked.one("env") or asked.one("environment") or otherwise


def _environments(wanted: Wanted, environments: list[Environment]) -> list[int | None]:
    """Give the environments in which states are meant, of those that the caller may see."""
    name = where_meant(wanted.filter, wanted.environment_key)
    found = [each.id for each in environments if name in {None, each.key}]
    if found or name is None:
        return found
    known = ", ".join(each.key for each in environments)
    message = f"there is no environment {name[:80]!r}"
    raise InvalidInputError(message, field="filter", hint=f"one of {known}")


@dataclass(frozen=True, slots=True)
class _Search:
    """The conditions of one search."""

    session: Session
    project_id: int
    wanted: Wanted
    here: list[int | None]

    def holds(self) -> list[sa.ColumnElement[bool]]:
        """Give what must hold of a flag's row."""
        makers: dict[str, Callable[[Term], sa.ColumnElement[bool]]] = {
            "key": lambda term: text_holds(term, col(FlagRow.key)),
            "owner": self._owner,
            "state": self._state,
            "changed": lambda term: time_holds(term, self.changed_at()),
            "evaluated": lambda term: time_holds(term, self._evaluated_at()),
            "created": lambda term: time_holds(term, col(FlagRow.created_at)),
            "type": lambda term: one_holds(
                term, {value: col(FlagRow.type) == value for value in term.values}
            ),
            "has": self._has,
            "is": self._is,
            "needs": lambda term: one_holds(term, {"me": self._among("needs", "me")}),
            WORDS: lambda term: words_hold(term, *self._texts()),
        }
        found: list[sa.ColumnElement[bool]] = [col(FlagRow.project_id) == self.project_id]
        terms = self.wanted.filter.terms
        found += [makers[each.field](each) for each in terms if each.field in makers]
        asks = any("archived" in term.values for term in self.wanted.filter.of("is"))
        if self.wanted.archived is not None and not asks:
            found.append(col(FlagRow.archived).is_(self.wanted.archived))
        return found

    def changed_at(self) -> Any:
        """Give when a flag changed: there, or last anywhere."""
        return (
            sa.select(sa.func.max(col(FlagEnvironment.updated_at)))
            .where(*self._theirs())
            .correlate(FlagRow)
            .scalar_subquery()
        )

    def _evaluated_at(self) -> Any:
        row = FlagActivity
        return (
            sa.select(sa.func.max(col(row.evaluated_at)))
            .where(col(row.flag_key) == col(FlagRow.key), col(row.environment_id).in_(self.here))
            .correlate(FlagRow)
            .scalar_subquery()
        )

    def _theirs(self) -> list[sa.ColumnElement[bool]]:
        here = FlagEnvironment
        return [col(here.flag_id) == col(FlagRow.id), col(here.environment_id).in_(self.here)]

    def _texts(self) -> tuple[Any, ...]:
        row = FlagRow
        return col(row.key), col(row.name), col(row.description), col(row.owner)

    def _owner(self, term: Term) -> sa.ColumnElement[bool]:
        owner = col(FlagRow.owner)
        ways = {"me": sa.func.lower(owner) == self.wanted.me.lower(), "none": owner == ""}
        found = [
            ways[value]
            if value in ways
            else text_holds(Term("owner", (value,), negated=False, position=0), owner)
            for value in term.values
        ]
        return one_holds(term, dict(zip(term.values, found, strict=True)))

    def _state(self, term: Term) -> sa.ColumnElement[bool]:
        word = col(FlagEnvironment.state_word)
        ways = {
            "partial": word.contains("%", autoescape=True),
            **{name: word == name for name in ("on", "off", "killed")},
        }
        found: dict[str, sa.ColumnElement[bool]] = {
            value: sa.exists().where(*self._theirs(), way).correlate(FlagRow)
            for value, way in ways.items()
        }
        if "ramping" in term.values:
            found["ramping"] = sa.or_(self._among("state", "ramping"), self._waits(scheduled=True))
        return one_holds(term, found)

    def _has(self, term: Term) -> sa.ColumnElement[bool]:
        ways: dict[str, sa.ColumnElement[bool]] = {}
        for value in term.values:
            if value == "owner":
                ways[value] = col(FlagRow.owner) != ""
            elif value in {"change", "schedule"}:
                ways[value] = self._waits(scheduled=value == "schedule")
            else:
                ways[value] = self._among("has", value)
        return one_holds(term, ways)

    def _is(self, term: Term) -> sa.ColumnElement[bool]:
        row = FlagRow
        return one_holds(
            term,
            {
                "archived": col(row.archived).is_(True),
                "client": col(row.client).is_(True),
                **{value: self._among("is", value) for value in JUDGED if value in term.values},
            },
        )

    def _among(self, name: str, value: str) -> sa.ColumnElement[bool]:
        keys = self.wanted.sets.get((name, value))
        return sa.false() if keys is None else _among(keys(self.session))

    def _waits(self, *, scheduled: bool) -> sa.ColumnElement[bool]:
        query = select(ChangeRequest.preview).where(
            ChangeRequest.project_id == self.project_id, col(ChangeRequest.state).in_(WAITING)
        )
        query = query.where(col(ChangeRequest.environment_id).in_(self.here))
        if scheduled:
            query = query.where(col(ChangeRequest.at).is_not(None))
        return _among({key for preview in self.session.exec(query) for key in preview["after"]})


def _among(keys: Collection[str] | sa.Select[Any]) -> sa.ColumnElement[bool]:
    return col(FlagRow.key).in_(keys if isinstance(keys, sa.Select) else sorted(keys))


def _cursor(moment: dt.datetime, key: str) -> str:
    return json.dumps([moment.astimezone(dt.UTC).isoformat(), key])


def _place(after: str) -> tuple[dt.datetime, str]:
    try:
        moment, key = json.loads(after)
        found = dt.datetime.fromisoformat(moment)
        if isinstance(key, str) and found.tzinfo is not None:
            return found, key
    except (ValueError, TypeError, RecursionError):
        pass
    message = "the cursor is not one that this list gave"
    raise InvalidInputError(message, field="cursor")
