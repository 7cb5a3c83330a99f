"""Changes that wait by a filter: who asked for which, where and when, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from flags.filter_items import text_matches
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
from flags.models import ChangeRequest, Environment
from flags.request_rows import STATES, WAITING

REQUEST_FIELDS: Mapping[str, Field] = {
    "state": Field("one", "how it stands", STATES),
    "is": Field("one", "the same in short; scheduled: for a time", ("waiting", "scheduled")),
    "env": Field("text", "in which environment"),
    "flag": Field("text", "a flag that it touches"),
    "by": Field("text", "who asked for it; me for you"),
    "at": Field("time", "when it is to be done"),
    "created": Field("time", "when it was asked for"),
    "changed": Field("time", "when it last moved"),
}
"""What the list of changes can be asked for."""


def request_conditions(asked: Filter, *, me: str) -> list[sa.ColumnElement[bool]]:
    """Give what must hold of a change's row; what it touches, :func:`touches` knows.

    Parameters
    ----------
    me : str
        Who ``by:me`` is, as changes name them: ``user:ada@example.org``.
    """
    row = ChangeRequest
    waits = col(row.state).in_(WAITING)

    def by(term: Term) -> sa.ColumnElement[bool]:
        names = tuple(me if value == "me" else f"*:{value}" for value in term.values)
        return text_holds(replace(term, values=names), col(row.author))

    def env(term: Term) -> sa.ColumnElement[bool]:
        keys = sa.select(col(Environment.id)).where(
            text_holds(replace(term, negated=False), col(Environment.key))
        )
        here = col(row.environment_id).in_(keys)
        return sa.not_(here) if term.negated else here

    makers: dict[str, Callable[[Term], sa.ColumnElement[bool]]] = {
        "state": lambda term: one_holds(
            term, {value: col(row.state) == value for value in term.values}
        ),
        "is": lambda term: one_holds(
            term, {"waiting": waits, "scheduled": sa.and_(waits, col(row.at).is_not(None))}
        ),
        "env": env,
        "by": by,
        "at": lambda term: time_holds(term, col(row.at)),
        "created": lambda term: time_holds(term, col(row.created_at)),
        "changed": lambda term: time_holds(term, col(row.changed_at)),
        WORDS: lambda term: words_hold(term, col(row.comment)),
    }
    return [makers[term.field](term) for term in asked.terms if term.field in makers]


def touches(asked: Filter) -> Callable[[Mapping[str, Any]], bool] | None:
    """Give what must hold of the flags that a change touches, if anything is asked of them."""
    terms = asked.of("flag")
    if not terms:
        return None
    return lambda flags: all(
        term.negated != text_matches(term.values, list(flags)) for term in terms
    )
