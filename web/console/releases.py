"""Guarded releases: the form for one, and the verbs that experiments have not."""

from __future__ import annotations

import json

from flask.typing import ResponseReturnValue
from sqlmodel import Session

from experiments.models import Experiment
from experiments.people import releases
from flags.errors import FlagstoneError
from web.auth.guard import current_caller, needs, who_and_when
from web.auth.roles import Role
from web.console.base import back_to, blueprint, place, show
from web.console.experiments import ITEM, PLACE, address_of, draft, show_page
from web.transactions import reading, transaction

TEMPLATE = """flag = "checkout"                  # a flag that is on
variant = "new"                    # what everybody is to get; control is the flag's default
customer = "you@example.org"       # the one accountable person
owner = "checkout team"            # runs it
steps = [1, 5, 25, 50, 100]        # in per cent; harm turns everybody back at any of them
hold = "1h"                        # a step lasts so long at the least
minimum_units = 100                # and until so many were watched in each of its groups
max_wait = "7d"                    # so much longer it may take in all; then it goes back
guards = ["error"]                 # an event: more of it is harm

# A guard may be any metric, and a step may wait for somebody:
# [[guards]]
# key = "slow pages"
# event = "slow_page"
# window = "10m"
# margin = 0.05                    # so much worse is tolerated, relative
# [[steps]]
# share = 0.25
# approval = true
"""


@blueprint.get(f"{PLACE}/new-release")
@needs(Role.EDITOR)
def new_release(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Ask for a release."""
    with reading() as session:
        place(session, project_key, environment_key)
    me = json.dumps(current_caller().actor.name)
    text = TEMPLATE.replace('"you@example.org"', me)
    if environment_key != "production":
        text = f'environment = "{environment_key}"\n{text}'
    return show("experiments/new_release.html", text=text, problem=None)


@blueprint.post(f"{PLACE}/new-release")
@needs(Role.EDITOR, of="somewhere")
def create_release(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Draft a release from its text."""
    return draft(project_key, environment_key, _create, "experiments/new_release.html")


def _create(session: Session, project_key: str, text: str) -> Experiment:
    return releases.create(session, project_key, text, **who_and_when())


@blueprint.post(f"{ITEM}/release/<any(start, approve):verb>")
@needs(Role.EDITOR)
def advance_release(
    project_key: str, environment_key: str, experiment_key: str, verb: str
) -> ResponseReturnValue:
    """Start a release, or approve its present step."""
    step = {"start": releases.start, "approve": releases.approve}[verb]
    here = (project_key, environment_key, experiment_key)
    try:
        with transaction() as session:
            step(session, *here, **who_and_when())
    except FlagstoneError as error:
        return show_page(*here, problem=error, form={"verb": verb})
    return back_to(address_of(*here))
