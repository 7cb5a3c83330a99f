"""Guarded releases: the form for one, and the verbs that experiments have not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from experiments.models import Experiment
from experiments.people import releases
from flags.errors import FlagstoneError
from web.auth.guard import current_caller, needs, who_and_when
from web.auth.roles import Role
from web.console.base import back_to, blueprint, place, show, status_of
from web.console.drafts import drafted, drafted_from_text, offered
from web.console.experiments import ITEM, PLACE, address_of, show_page
from web.console.forms import field_in, percentage
from web.console.plan_form import number_of
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


DEFAULTS = {
    "steps": "1, 5, 25, 50, 100",
    "hold": "1h",
    "minimum_units": "100",
    "max_wait": "7d",
}
# Whose leave a step of the form waits for.
_APPROVED = {"none": (), "first": (0,), "each": range(100)}


@blueprint.get(f"{PLACE}/new-release")
@needs(Role.EDITOR)
def new_release(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Ask for a release."""
    form = {**DEFAULTS, "customer": current_caller().actor.name}
    return _form_page(project_key, environment_key, form | request.args.to_dict())


@blueprint.post(f"{PLACE}/new-release")
@needs(Role.EDITOR, of="somewhere")
def create_release(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Draft a release from the form, or from its text."""
    form = request.form.to_dict()
    if "steps_form" not in form:
        return drafted_from_text(
            project_key, environment_key, _create, "experiments/new_release.html"
        )
    try:
        plan = release_of_form(form, environment_key)
        return drafted(project_key, lambda session: _create(session, project_key, plan))
    except FlagstoneError as error:
        return _form_page(project_key, environment_key, form, error)


def release_of_form(form: Mapping[str, str], environment_key: str) -> dict[str, Any]:
    """Turn the form into the short form of a release; what it says the contract checks.

    Raises
    ------
    InvalidInputError
        At a share or a number of people that is no number.
    """
    waits = _APPROVED.get(form.get("approval", ""), ())
    steps: list[dict[str, Any]] = []
    for number, text in enumerate(_parts(form, "steps")):
        step: dict[str, Any] = {"share": percentage(text, "steps")}
        steps.append(step | {"approval": True} if number in waits else step)
    release: dict[str, Any] = {
        "environment": environment_key,
        "steps": steps,
        "guards": _parts(form, "guards"),
        "minimum_units": int(number_of(form, "minimum_units")),
    }
    for name in ("flag", "variant", "customer", "owner", "hold", "max_wait"):
        if form.get(name, "").strip():
            release[name] = form[name].strip()
    return release


def _parts(form: Mapping[str, str], name: str) -> list[str]:
    return [part.strip() for part in form.get(name, "").split(",") if part.strip()]


def _form_page(
    project_key: str,
    environment_key: str,
    form: dict[str, str],
    problem: FlagstoneError | None = None,
) -> ResponseReturnValue:
    with reading() as session:
        environment = place(session, project_key, environment_key)
    return show(
        "experiments/new_release.html",
        status=status_of(problem),
        form=form,
        problem=problem,
        wrong=None if problem is None else field_in(form, problem.field),
        example=_template(environment_key),
        **offered(project_key, environment),
    )


def _template(environment_key: str) -> str:
    text = TEMPLATE.replace('"you@example.org"', json.dumps(current_caller().actor.name))
    return text if environment_key == "production" else f'environment = "{environment_key}"\n{text}'


def _create(session: Session, project_key: str, plan: str | dict[str, Any]) -> Experiment:
    return releases.create(session, project_key, plan, **who_and_when())


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
