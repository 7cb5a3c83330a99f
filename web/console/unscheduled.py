"""Asking between two looks, from an experiment's page: whoever may read it may ask."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from experiments.people import unscheduled
from flags.errors import FlagstoneError
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.console.base import back_to, blueprint
from web.console.experiments import ITEM, address_of, show_page
from web.transactions import transaction


@blueprint.post(f"{ITEM}/look")
@needs(Role.VIEWER)
def ask_unscheduled_look(
    project_key: str, environment_key: str, experiment_key: str
) -> ResponseReturnValue:
    """Ask for a reading now; the page shows it as soon as the worker has answered."""
    place = (project_key, environment_key, experiment_key)
    try:
        with transaction() as session:
            unscheduled.ask(session, *place, **who_and_when())
    except FlagstoneError as error:
        return show_page(*place, problem=error)
    return back_to(f"{address_of(*place)}#between")
