"""Flags by a filter, for whoever asks: the one search of the API's list and of the console's."""

from __future__ import annotations

from sqlmodel import Session

from experiments.people.flag_work import Person, sets
from flags.filters import parse_filter
from flags.finding import FLAG_FIELDS, FlagPage, Wanted, find_flags, where_meant
from flags.services import list_environments
from web.auth.guard import current_caller, writing
from web.auth.roles import Role
from web.transactions import now


def caller_as_person(session: Session, project_key: str) -> Person:
    """Return the caller as somebody for whom work may wait."""
    caller = current_caller()
    approves = {
        each.id or 0
        for each in list_environments(session, project_key)
        if caller.rights.in_environment(each.project_id, each.id or 0).covers(Role.APPROVER)
    }
    return Person(caller.actor.name, writing(session).names(), approves)


def search_flags(
    session: Session,
    project_key: str,
    text: str,
    *,
    environment_key: str | None = None,
    archived: bool | None = False,
    shown_in: str | None = None,
    after: str | None = None,
    limit: int,
) -> FlagPage:
    """Return a page of the flags that a filter describes.

    Parameters
    ----------
    text : str
        In the language of :mod:`flags.filters`.
    environment_key : str, optional
        Where states are meant, unless the filter says so itself.
    archived : bool or None
        What holds where the filter does not say.
    shown_in : str, optional
        The only environment of which anything is shown.

    Raises
    ------
    InvalidInputError
        With the place of the fault in the filter.
    """
    asked = parse_filter(text, FLAG_FIELDS, now=now())
    where = where_meant(asked, environment_key)
    who = caller_as_person(session, project_key)
    known = sets(project_key, where, who, now=now())
    wanted = Wanted(asked, where, archived, who.name, known, shown_in)
    return find_flags(session, project_key, wanted, after=after, limit=limit)
