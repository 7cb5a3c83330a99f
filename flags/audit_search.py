"""The audit by a filter: who did what to which thing, where and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col

from flags.errors import InvalidInputError
from flags.filters import WORDS, Field, Filter, Term, text_holds, time_holds, words_hold
from flags.models import AuditEntry
from flags.services import list_environments

AUDIT_FIELDS: Mapping[str, Field] = {
    "by": Field("text", "who did it; me for you"),
    "action": Field("text", "what was done, such as kill or turn_*"),
    "flag": Field("text", "the flag that it was done to"),
    "on": Field("text", "any thing that it was done to, such as segment*"),
    "env": Field("text", "in which environment"),
    "at": Field("time", "when"),
}
"""What the audit can be asked for."""


def audit_conditions(
    session: Session, project_key: str, asked: Filter, *, me: str
) -> list[sa.ColumnElement[bool]]:
    """Give what must hold of an entry.

    Parameters
    ----------
    me : str
        Who ``by:me`` is, as entries name them: ``user:ada@example.org``.

    Raises
    ------
    InvalidInputError
        If the filter names an environment that there is not.
    """
    return [_holds(session, project_key, term, me) for term in asked.terms]


def _holds(session: Session, project_key: str, term: Term, me: str) -> sa.ColumnElement[bool]:
    entry: Any = AuditEntry
    if term.field == "by":
        # Entries name the kind too, which people leave out.
        names = tuple(me if value == "me" else f"*:{value}" for value in term.values)
        return text_holds(replace(term, values=names), col(entry.actor))
    if term.field == "flag":
        flags = tuple(f"flag:{value}" for value in term.values)
        return text_holds(replace(term, values=flags), col(entry.resource))
    if term.field == "env":
        return _where(session, project_key, term)
    if term.field == "at":
        return time_holds(term, col(entry.at))
    if term.field == WORDS:
        texts = (col(entry.comment), col(entry.resource), col(entry.action), col(entry.actor))
        return words_hold(term, *texts)
    return text_holds(term, col(entry.action if term.field == "action" else entry.resource))


def _where(session: Session, project_key: str, term: Term) -> sa.ColumnElement[bool]:
    known = {each.key: each.id for each in list_environments(session, project_key)}
    for name in term.values:
        if name not in known:
            message = f"there is no environment {name[:80]!r}"
            hint = f"one of {', '.join(known)}"
            raise InvalidInputError(message, field="filter", hint=hint)
    here = col(AuditEntry.environment_id).in_([known[name] for name in term.values])
    return sa.not_(sa.func.coalesce(here, sa.false())) if term.negated else here
