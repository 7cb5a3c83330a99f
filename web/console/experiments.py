"""Experiments: the list, the verdict card in the first viewport, the evidence below it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue
from sqlmodel import Session
from werkzeug.datastructures import MultiDict

from experiments.contract.document import canonical_json
from experiments.contract.promise import price_lines
from experiments.machine.lifecycle import PROVEN, WATCHED, State
from experiments.models import Experiment, Forecast, UnscheduledLook
from experiments.moves.enact import plan_of
from experiments.moves.places import same_person
from experiments.moves.release_state import release_facts
from experiments.people import interventions, overrides, services, unscheduled
from experiments.people.finding import (
    EXPERIMENT_FIELDS,
    GROUPS,
    Wanted,
    count_groups,
    find_experiments,
)
from experiments.people.results import read_results, results_document, results_for
from experiments.planning import feasibility
from experiments.planning.forecast_words import (
    baseline_words,
    operating_rows,
    traffic_words,
    ways_out_words,
)
from experiments.telling.explored import explored
from experiments.telling.reviews import review_of
from experiments.telling.series import series_of
from experiments.telling.unscheduled import reading_of
from flags.errors import FlagstoneError, InvalidInputError
from flags.filters import MAX_FILTER_LENGTH, parse_filter
from web.auth.guard import current_caller, needs, who_and_when
from web.auth.roles import Role
from web.console.base import (
    LARGEST_NUMBER,
    attachment,
    back_to,
    blueprint,
    place,
    show,
    status_of,
    unchanged,
    version_of,
    wants_fragment,
)
from web.console.charts import axis_of_worth
from web.console.fared import how_each_fared
from web.console.intervals import chart_of
from web.transactions import now, reading, transaction

PLACE = "/projects/<project_key>/environments/<environment_key>"
ITEM = f"{PLACE}/experiments/<experiment_key>"
PAGE = 50


@blueprint.get(f"{PLACE}/experiments")
@needs(Role.VIEWER)
def list_experiments(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List the environment's experiments, newest first, by what they ask of people."""
    group = request.args.get("group")
    words = request.args.get("filter", "").strip()[:MAX_FILTER_LENGTH]
    after = request.args.get("after", type=int)
    group = group if group in GROUPS else None
    problem = None
    counts = dict.fromkeys(GROUPS, 0)
    found: list[Experiment] = []
    with reading() as session:
        place(session, project_key, environment_key)
        try:
            asked = parse_filter(words, EXPERIMENT_FIELDS, now=now())
            me = current_caller().actor.name
            wanted = Wanted(environment_key, asked=asked, me=me, now=now())
            counts = count_groups(session, project_key, wanted)
            found = find_experiments(
                session,
                project_key,
                replace(wanted, group=group),
                before_id=after if after is None or after <= LARGEST_NUMBER else None,
                limit=PAGE + 1,
            )
        except FlagstoneError as error:
            problem = error
    experiments = found[:PAGE]
    return show(
        "experiments/_rows.html" if wants_fragment() else "experiments/list.html",
        experiments=experiments,
        counts=counts,
        group=group,
        status=200 if wants_fragment() else status_of(problem),
        problem=problem,
        fields=EXPERIMENT_FIELDS,
        words=words,
        after=after,
        more=experiments[-1].id if len(found) > PAGE else None,
        project_key=project_key,
        environment_key=environment_key,
        live=any(each.state in WATCHED for each in experiments),
        reviews={each.key: review_of(each.state, each.override, now()) for each in experiments},
    )


@blueprint.get(ITEM)
@needs(Role.VIEWER)
def show_experiment(
    project_key: str, environment_key: str, experiment_key: str
) -> ResponseReturnValue:
    """Show the verdict card, then everything that it rests on."""
    return show_page(project_key, environment_key, experiment_key)


@blueprint.post(
    f"{ITEM}/<any(seal, start, accept, confirm, stop, explain, extend, override, approve, decline,"
    " learn, close):verb>"
)
@needs(Role.EDITOR)
def advance(
    project_key: str, environment_key: str, experiment_key: str, verb: str
) -> ResponseReturnValue:
    """Do what a person has decided."""
    place_and_key = (project_key, environment_key, experiment_key)
    try:
        with transaction() as session:
            said = _said(verb, request.form)
            VERBS[verb](session, *place_and_key, **said, **who_and_when())
    except FlagstoneError as error:
        return show_page(
            *place_and_key, problem=error, form={**request.form.to_dict(), "verb": verb}
        )
    return back_to(address_of(*place_and_key))


VERBS: dict[str, Callable[..., Experiment]] = {
    "seal": services.seal,
    "start": services.start,
    "accept": services.accept,
    "confirm": services.confirm,
    "stop": services.stop,
    "explain": interventions.explain,
    "extend": interventions.extend,
    "learn": interventions.learn,
    "close": interventions.close,
    "override": overrides.override,
    "approve": overrides.approve,
    "decline": overrides.decline,
}
WORDS = {
    "stop": "reason",
    "explain": "text",
    "extend": "by",
    "learn": "text",
    "close": "note",
    "decline": "note",
}


def _said(verb: str, form: MultiDict[str, str]) -> dict[str, Any]:
    """Read what a verb's form says."""
    if verb == "accept":
        return {"risks": form.getlist("risks")}
    if verb in WORDS:
        return {WORDS[verb]: form.get(WORDS[verb], "")}
    if verb != "override":
        return {}
    try:
        effect = float(form.get("predicted_effect", "")) / 100
    except ValueError:
        message = "the predicted effect is a number of per cent"
        raise InvalidInputError(message, field="predicted_effect", hint="such as 5") from None
    try:
        review_at = dt.datetime.fromisoformat(form.get("review_at", ""))
    except ValueError:
        message = "the review needs a day"
        raise InvalidInputError(message, field="review_at", hint="such as 2026-06-01") from None
    return {
        "arm": form.get("arm", ""),
        "reason": form.get("reason", ""),
        "text": form.get("text", ""),
        "predicted_effect": effect,
        "review_at": review_at if review_at.tzinfo else review_at.replace(tzinfo=dt.UTC),
    }


@blueprint.get(f"{ITEM}/record.json")
@needs(Role.VIEWER)
def download_record(
    project_key: str, environment_key: str, experiment_key: str
) -> ResponseReturnValue:
    """Give the decision records as a file for ``flagstone verify``."""
    with reading() as session:
        experiment = services.get_experiment(session, project_key, environment_key, experiment_key)
        text = canonical_json(services.export_record(session, experiment))
    return attachment(f"{experiment.key}.json", text, "application/json")


@blueprint.get(f"{ITEM}/results.<any(csv, json):form>")
@needs(Role.VIEWER)
def download_results(
    project_key: str, environment_key: str, experiment_key: str, form: str
) -> ResponseReturnValue:
    """Give what was found as a file: for a spreadsheet, or for a notebook."""
    with reading() as session:
        experiment = services.get_experiment(session, project_key, environment_key, experiment_key)
        found = read_results(session, experiment, now=now())
    if form == "csv":
        by = request.args.get("by")
        ending = {"segment": "-segments", "holdback": "-holdback"}.get(by or "", "")
        text = results_for(by)(found)
        return attachment(f"{experiment.key}{ending}.csv", text, "text/csv; charset=utf-8")
    text = canonical_json(results_document(found))
    return attachment(f"{experiment.key}-results.json", text, "application/json")


def address_of(project_key: str, environment_key: str, experiment_key: str) -> str:
    """Give the address of an experiment's page."""
    return url_for(
        "console.show_experiment",
        project_key=project_key,
        environment_key=environment_key,
        experiment_key=experiment_key,
    )


def show_page(
    project_key: str,
    environment_key: str,
    experiment_key: str,
    *,
    problem: FlagstoneError | None = None,
    form: dict[str, str] | None = None,
) -> ResponseReturnValue:
    """Show an experiment's page, with what was wrong with a form."""
    with reading() as session:
        place(session, project_key, environment_key)
        experiment = services.get_experiment(session, project_key, environment_key, experiment_key)
        forecast = feasibility.read_forecast(session, experiment)
        asked = unscheduled.read_asked(session, experiment)
        stands = (*_stands_at(forecast), *_answered_at(asked))
        version = version_of(experiment.version, experiment.state, *stands)
        if unchanged(version):
            return "", 204
        values = _values(session, experiment, asked) | _forecast_values(forecast)
    return show(
        "experiments/_body.html" if wants_fragment() else "experiments/page.html",
        status=status_of(problem),
        project_key=project_key,
        environment_key=environment_key,
        problem=problem,
        form=form or {},
        version=version,
        **values,
    )


def _asked_by(experiment: Experiment, name: str) -> bool:
    return experiment.request is not None and same_person(experiment.request["by"], name)


def _values(
    session: Session, experiment: Experiment, asked: UnscheduledLook | None
) -> dict[str, Any]:
    card = services.get_card(session, experiment, now=now())
    looks = services.looks(session, experiment)
    plan = experiment.plan
    # While effects are hidden in words, they are in pictures too.
    whole = plan_of(experiment)
    series = () if card.worth_hidden else series_of(whole, looks)
    customer = str(plan["customer"]).casefold()
    newest = looks[-1].data if looks else None
    return {
        "release": release_facts(session, experiment, newest, now()),
        "me": current_caller().actor.name,
        "experiment": experiment,
        "newer_metrics": services.newer_metrics(session, experiment),
        "newer_policy": services.newer_policy(session, experiment),
        "card": card,
        "fared": list(how_each_fared(whole, card.evidence)),
        "word": card.word,
        "looks": looks,
        "records": services.records(session, experiment),
        "worth": [(each, axis_of_worth(each)) for each in card.worth_first],
        "charts": [(each, chart_of(each)) for each in series if each.points],
        "found": None if card.worth_hidden else explored(whole, looks),
        "asked": asked,
        "between": asked and reading_of(whole, card, experiment.started_at, asked),
        "counted": {metric.key: metric.counted for metric in whole.metrics},
        "may_ask": unscheduled.may_ask(experiment, whole),
        "fresh_until": asked and unscheduled.fresh_until(whole, asked),
        # A plan that has not started waits for its forecast.
        "live": experiment.state in {*WATCHED, State.DRAFT, State.SEALED},
        "plan": plan,
        "price": [] if whole.value is None else price_lines(whole.value),
        "waits": experiment.state == State.RUNNING and experiment.verdict in PROVEN,
        "may_learn": interventions.may_learn(experiment),
        "reasons": overrides.REASONS,
        "asked_by_me": _asked_by(experiment, current_caller().actor.name),
        "is_customer": current_caller().actor.name.casefold() == customer,
    }


def _answered_at(asked: UnscheduledLook | None) -> tuple[object, ...]:
    if asked is None:
        return ()
    return asked.asked_at.timestamp(), asked.answered_at is not None


def _stands_at(forecast: Forecast | None) -> tuple[object, ...]:
    return ("",) if forecast is None else (forecast.computed_at.timestamp(), len(forecast.accepted))


def _forecast_values(forecast: Forecast | None) -> dict[str, Any]:
    if forecast is None:
        return {"forecast": None}
    found = forecast.document
    operating = found["operating"]
    return {
        "forecast": {
            "computed_at": forecast.computed_at,
            "accepted": forecast.accepted,
            "open_risks": feasibility.open_risks(forecast),
            "document": found,
        },
        "ways": [] if found["ways_out"] is None else list(ways_out_words(found)),
        "chances": [] if operating is None else list(operating_rows(operating)),
        "rests_on": [
            traffic_words(found["traffic"]),
            *(baseline_words(key, each) for key, each in found["baselines"].items()),
        ],
    }
