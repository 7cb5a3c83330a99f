"""Experiments: list and draft them; where one stands, its looks, card and record."""

from __future__ import annotations

from typing import Any, Literal

from flask import Response
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from experiments.models import Experiment, Look
from experiments.people import services as experiments
from experiments.people.results import (
    Results,
    read_results,
    results_document,
    results_for,
)
from experiments.planning import feasibility
from flags import services
from web.api.blueprint import blueprint
from web.api.experiment_parts import (
    ExperimentQuery,
    ListQuery,
    LooksQuery,
    environment_names,
    environment_of,
    list_page,
    show_card,
    show_experiment,
)
from web.api.idempotency import idempotent
from web.api.queries import count_looks
from web.api.render import document, page
from web.api.shapes import (
    EXPERIMENT,
    FORECAST,
    LISTED_EXPERIMENT,
    LOOK,
    RECORD,
    RESULTS,
    TEXT,
    list_of,
)
from web.auth.guard import needs, require_in, who_and_when
from web.auth.roles import Role
from web.body import read_object, read_query
from web.contract import Document, gives, takes
from web.transactions import now, reading, transaction

ITEM = "/projects/<project_key>/experiments/<experiment_key>"
PLAN = Document("Plan", "The plan of an experiment; what is refused is named by field.")


class ResultsQuery(ExperimentQuery):
    """Whose results, and whether by segment."""

    by: Literal["segment", "holdback"] | None = None


@blueprint.get("/projects/<project_key>/experiments")
@needs(Role.VIEWER)
@takes(query=ListQuery)
@gives(list_of(LISTED_EXPERIMENT))
def list_experiments(project_key: str) -> ResponseReturnValue:
    """List a project's experiments, newest first."""
    query = read_query(ListQuery)
    with reading() as session:
        listed = list_page(session, project_key, query)
    items = [show_experiment(each, listed.names, listed.looks) for each in listed.experiments]
    return document(page(items, listed.last))


@blueprint.post("/projects/<project_key>/experiments")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(body=PLAN)
@gives(EXPERIMENT, 201, etag=True)
def create_experiment(project_key: str) -> ResponseReturnValue:
    """Draft an experiment from its plan."""
    plan = read_object()
    with transaction() as session:
        services.get_project(session, project_key)
        experiment = experiments.create_experiment(session, project_key, plan, **who_and_when())
        require_in(session, [experiment.environment_id])
        return answer(session, project_key, experiment, status=201)


@blueprint.get(ITEM)
@needs(Role.VIEWER)
@takes(query=ExperimentQuery)
@gives(EXPERIMENT, etag=True)
def get_experiment(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Return an experiment with its plan and where it stands."""
    with reading() as session:
        return answer(session, project_key, _find(session, project_key, experiment_key))


@blueprint.get(f"{ITEM}/forecast")
@needs(Role.VIEWER)
@takes(query=ExperimentQuery)
@gives(FORECAST)
def get_forecast(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Return what the plan can prove and how often it errs; ``pending`` until the worker knows."""
    with reading() as session:
        experiment = _find(session, project_key, experiment_key)
        return document(feasibility.forecast_document(session, experiment))


@blueprint.get(f"{ITEM}/looks")
@needs(Role.VIEWER)
@takes(query=LooksQuery)
@gives(list_of(LOOK))
def list_looks(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """List every look, oldest first, with the sums it read and what it decided."""
    query = read_query(LooksQuery)
    with reading() as session:
        experiment = _find(session, project_key, experiment_key, query)
        every = [
            *experiments.looks(session, experiment),
            *experiments.comparisons(session, experiment),
        ]
        every.sort(key=lambda look: look.number)
        return document(query.page([_look(each) for each in every], None))


@blueprint.get(f"{ITEM}/card.txt")
@needs(Role.VIEWER)
@takes(query=ExperimentQuery)
@gives(TEXT, media_type="text/plain")
def get_card(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Return the verdict card as plain text."""
    with reading() as session:
        return show_card(session, _find(session, project_key, experiment_key))


@blueprint.get(f"{ITEM}/results.csv")
@needs(Role.VIEWER)
@takes(query=ResultsQuery)
@gives(TEXT, media_type="text/csv")
def get_results_csv(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Return one row per look, metric and treatment; or ``by`` segment, or ``by`` holdback."""
    query = read_query(ResultsQuery)
    write = results_for(query.by)
    text = write(_results(project_key, experiment_key, query))
    return Response(text, content_type="text/csv; charset=utf-8")


@blueprint.get(f"{ITEM}/results.json")
@needs(Role.VIEWER)
@takes(query=ExperimentQuery)
@gives(RESULTS)
def get_results(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Return plan, looks, sums, tests and hashes as tables for a notebook."""
    return document(results_document(_results(project_key, experiment_key)))


def _results(
    project_key: str, experiment_key: str, query: ExperimentQuery | None = None
) -> Results:
    with reading() as session:
        experiment = _find(session, project_key, experiment_key, query)
        return read_results(session, experiment, now=now())


@blueprint.get(f"{ITEM}/record")
@needs(Role.VIEWER)
@takes(query=ExperimentQuery)
@gives(RECORD)
def get_record(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Return the decision records, for ``flagstone verify``."""
    with reading() as session:
        experiment = _find(session, project_key, experiment_key)
        return document(experiments.export_record(session, experiment))


def _find(
    session: Session,
    project_key: str,
    experiment_key: str,
    query: ExperimentQuery | None = None,
) -> Experiment:
    environment_key = environment_of(session, project_key, experiment_key, query)
    return experiments.get_experiment(session, project_key, environment_key, experiment_key)


def answer(
    session: Session, project_key: str, experiment: Experiment, *, status: int = 200
) -> Response:
    """Answer with an experiment, its plan and where it stands."""
    names = environment_names(session, project_key)
    body = show_experiment(experiment, names, count_looks(session, [experiment]))
    body["plan"] = experiment.plan
    newer = experiments.newer_metrics(session, experiment)
    body["newer_metrics"] = newer
    policy = experiments.newer_policy(session, experiment)
    body["newer_policy"] = policy
    # The catalogue and stored policies move while the draft does not.
    moved = "".join(f"-{each['metric']}.{each['newest']}" for each in newer)
    moved += "" if policy is None else f"-policy.{policy['newest']}"
    return document(body, status=status, etag=f"{experiment.version}{moved}")


def _look(look: Look) -> dict[str, Any]:
    return {
        "number": look.number,
        "at": look.at,
        "verdict": look.verdict,
        "data": look.data,
        "decision": look.decision,
    }
