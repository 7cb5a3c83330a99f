"""Drafts of experiments and releases: how one is written, and what their forms offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from experiments.models import Experiment
from flags.errors import FlagstoneError
from flags.models import Environment
from flags.services import list_flags
from web.auth.guard import require_in
from web.console.base import back_to, place, show, status_of
from web.console.experiments import address_of
from web.event_store import seen_events
from web.transactions import now, reading, transaction

# How many flags and events a form offers.
_MOST_OFFERED = 200


def drafted(project_key: str, create: Callable[[Session], Experiment]) -> ResponseReturnValue:
    """Write a draft, if the caller may where it belongs, and lead to its page.

    Raises
    ------
    FlagstoneError
        Whatever is wrong with the draft; then nothing is written.
    """
    with transaction() as session:
        made = create(session)
        require_in(session, [made.environment_id])
        # The plan says where it belongs; that need not be the page it was written on.
        address = address_of(project_key, str(made.plan["environment"]), made.key)
    return back_to(address)


def drafted_from_text(
    project_key: str,
    environment_key: str,
    create: Callable[[Session, str, str], Experiment],
    template: str,
) -> ResponseReturnValue:
    """Draft what the form's text says, or show the form again with what is wrong with it."""
    text = request.form.get("plan", "").replace("\r\n", "\n")
    try:
        return drafted(project_key, lambda session: create(session, project_key, text))
    except FlagstoneError as error:
        with reading() as session:
            place(session, project_key, environment_key)
        return show(template, status=status_of(error), text=text, problem=error)


def offered(project_key: str, environment: Environment) -> dict[str, Any]:
    """Give the flags and the events, those seen here lately, that a form suggests."""
    with reading() as session:
        flags = list_flags(session, project_key, limit=_MOST_OFFERED)
    events = seen_events([environment.id or 0], now=now()) or {}
    return {"flags": [each.key for each in flags], "events": list(events)[:_MOST_OFFERED]}
