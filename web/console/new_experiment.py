"""A new experiment: four steps of a form, or the plan as text; and the sheet that is signed."""

from __future__ import annotations

import json
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from experiments.contract.promise import metric_line, price_lines, promise_lines
from experiments.models import Experiment
from experiments.moves.enact import plan_of
from experiments.people import library, services
from experiments.planning import feasibility as forecasts
from experiments.planning.forecast_words import sentence_of
from experiments.policies import services as policies
from flags.errors import FlagstoneError, InvalidInputError
from web.auth.guard import current_caller, needs, who_and_when
from web.auth.roles import Role
from web.console.base import blueprint, place, show, status_of
from web.console.drafts import drafted, drafted_from_text, offered
from web.console.experiments import ITEM, PLACE
from web.console.forms import field_of
from web.console.plan_form import DEFAULTS, FIELDS, feasibility, plan_of_form, price
from web.transactions import reading

TEMPLATE = """key = "checkout-one-page"
flag = "checkout"                  # a flag that is on
control = "control"                # what everybody has today
treatments = ["treatment"]
hypothesis = "A checkout on one page makes more visitors buy."
customer = "you@example.org"       # accountable: signs in with this address to confirm
owner = "checkout team"            # runs it
prove_by = "28d"
policy = "proof-28d"               # when to look, and with which error rates

[weights]
control = 50
treatment = 50

[[metrics]]
key = "purchases"
role = "success"
kind = "conversion"
event = "purchase"
window = "7d"
mde = 0.05                         # smallest effect worth having, relative

[[metrics]]
key = "support contacts"
role = "guardrail"
kind = "conversion"
event = "support_contact"
direction = "down"
window = "7d"
margin = 0.05                      # tolerated loss, relative
"""


@blueprint.get(f"{PLACE}/new-experiment")
@needs(Role.EDITOR)
def new_experiment(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Ask for a plan in four steps, or for another experiment's (``like``) as text."""
    like = request.args.get("like", "")
    if like:
        return _once_more(project_key, environment_key, like)
    # Whoever writes the plan is the likeliest customer, and only an address can sign in to confirm.
    form = {**DEFAULTS, "customer": current_caller().actor.name}
    return _form_page(project_key, environment_key, form | request.args.to_dict())


@blueprint.post(f"{PLACE}/new-experiment")
@needs(Role.EDITOR, of="somewhere")
def create_experiment(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Draft an experiment from the steps, or from the plan's text."""
    form = request.form.to_dict()
    if "steps" not in form:
        return drafted_from_text(project_key, environment_key, _create, "experiments/new.html")
    if form.get("check"):
        return _form_page(project_key, environment_key, form)
    try:
        plan = plan_of_form(form, environment_key)
        return drafted(project_key, lambda session: _create(session, project_key, plan))
    except FlagstoneError as error:
        return _form_page(project_key, environment_key, form, error)


@blueprint.post(f"{PLACE}/new-experiment/check")
@needs(Role.EDITOR)
def check_plan(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Say how feasible the plan is, as far as it is written."""
    form = request.form.to_dict()
    with reading() as session:
        place(session, project_key, environment_key)
    return show("experiments/_feasible.html", feasible=feasibility(form), worth=price(form))


@blueprint.get(f"{ITEM}/plan")
@needs(Role.VIEWER)
def show_plan(project_key: str, environment_key: str, experiment_key: str) -> ResponseReturnValue:
    """Show what is promised on one sheet, to be printed and signed."""
    with reading() as session:
        place(session, project_key, environment_key)
        experiment = services.get_experiment(session, project_key, environment_key, experiment_key)
        plan = plan_of(experiment)
        forecast = forecasts.read_forecast(session, experiment)
    return show(
        "experiments/sheet.html",
        experiment=experiment,
        plan=plan,
        promises=promise_lines(plan),
        metrics=[metric_line(metric) for metric in plan.metrics],
        value=None if plan.value is None else price_lines(plan.value),
        forecast=None if forecast is None else sentence_of(forecast.document),
        project_key=project_key,
        environment_key=environment_key,
    )


def _create(session: Session, project_key: str, plan: str | dict[str, Any]) -> Experiment:
    try:
        return services.create_experiment(session, project_key, plan, **who_and_when())
    except RecursionError:
        message = "the plan is nested too deeply"
        raise InvalidInputError(message, field="plan") from None


def _form_page(
    project_key: str,
    environment_key: str,
    form: dict[str, str],
    problem: FlagstoneError | None = None,
) -> ResponseReturnValue:
    with reading() as session:
        environment = place(session, project_key, environment_key)
        stored = policies.list_policies(session, project_key)
        usable = policies.published_versions(session, stored)
    wrong = None if problem is None else field_of(problem.field)
    return show(
        "experiments/new.html",
        status=status_of(problem),
        form=form,
        problem=problem,
        wrong=FIELDS.get(wrong or "", wrong),
        policies=[DEFAULTS["policy"], *(row.name for row in stored if row.id in usable)],
        example=_template(environment_key),
        feasible=feasibility(form),
        worth=price(form),
        **offered(project_key, environment),
    )


def _once_more(project_key: str, environment_key: str, like: str) -> ResponseReturnValue:
    with reading() as session:
        place(session, project_key, environment_key)
        tried = services.get_experiment(session, project_key, environment_key, like)
        text = library.replica(session, tried)
        stored = policies.list_policies(session, project_key)
        usable = policies.published_versions(session, stored)
    names = [row.name for row in stored if row.id in usable]
    return show("experiments/new.html", text=text, policies=names, problem=None, like=like)


def _template(environment_key: str) -> str:
    text = TEMPLATE.replace('"you@example.org"', json.dumps(current_caller().actor.name))
    if environment_key != "production":
        text = text.replace("\n[weights]", f'environment = "{environment_key}"\n\n[weights]')
    return text
