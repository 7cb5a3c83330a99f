"""Experiments: draft, seal, start, stop, confirm; their looks, card and record."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask import Response
from flask.typing import ResponseReturnValue
from pydantic import Field
from sqlmodel import Session

from experiments.models import Experiment, Look
from experiments.people import finding
from experiments.people import services as experiments
from experiments.people.results import (
    Results,
    read_results,
    results_csv,
    results_document,
    segments_csv,
)
from experiments.planning import feasibility
from experiments.telling.card import card_text
from flags import services
from flags.errors import InvalidInputError, NotFoundError
from web.api.blueprint import blueprint
from web.api.idempotency import idempotent
from web.api.queries import count_looks
from web.api.render import PageQuery, document, page
from web.auth.guard import current_caller, needs
from web.auth.roles import Role
from web.body import Body, Query, read_body, read_object, read_query
from web.transactions import now, reading, transaction

ITEM = "/projects/<project_key>/experiments/<experiment_key>"
Key = Annotated[str, Field(max_length=256)]


class ExperimentQuery(Query):
    """Whose experiment: keys are unique within an environment."""

    environment: Key | None = None


class ResultsQuery(ExperimentQuery):
    """Whose results, and whether by segment."""

    by: Literal["segment"] | None = None


class ListQuery(ExperimentQuery, PageQuery):
    """Which experiments, and which page of them."""

    flag: Key | None = None
    state: Key | None = None
    group: Literal["waiting", "running", "planned", "ended"] | None = None
    filter: Annotated[str, Field(max_length=200)] = ""

    def wanted(self, *, releases: bool | None = None) -> finding.Wanted:
        """Say it as the services want it."""
        return finding.Wanted(
            environment_key=self.environment,
            flag_keys=None if self.flag is None else [self.flag],
            state=self.state,
            group=self.group,
            words=self.filter,
            releases=releases,
        )

    def find(
        self, session: Session, project_key: str, *, releases: bool | None = None
    ) -> tuple[list[Experiment], int | None]:
        """Find a page, and the last id of it where there are more."""
        services.get_project(session, project_key)
        if self.environment is not None:
            services.get_environment(session, project_key, self.environment)
        found = finding.find_experiments(
            session,
            project_key,
            self.wanted(releases=releases),
            before_id=self.after_number(),
            limit=self.limit + 1,
        )
        shown = found[: self.limit]
        return shown, shown[-1].id if len(found) > self.limit else None


class NoBody(Body):
    """Nothing to say."""


class StopBody(Body):
    """Why it is stopped."""

    reason: Annotated[str, Field(max_length=2000)]


class AcceptBody(Body):
    """Which risks the customer signs for."""

    risks: Annotated[list[Key], Field(min_length=1, max_length=10)]


@blueprint.get("/projects/<project_key>/experiments")
@needs(Role.VIEWER)
def list_experiments(project_key: str) -> ResponseReturnValue:
    """List a project's experiments, newest first."""
    query = read_query(ListQuery)
    with reading() as session:
        found, last = query.find(session, project_key)
        names = environment_names(session, project_key)
        counts = count_looks(session, found)
    items = [show_experiment(each, names, counts) for each in found]
    return document(page(items, last))


@blueprint.post("/projects/<project_key>/experiments")
@needs(Role.EDITOR)
@idempotent()
def create_experiment(project_key: str) -> ResponseReturnValue:
    """Draft an experiment from its plan."""
    plan = read_object()
    with transaction() as session:
        services.get_project(session, project_key)
        experiment = experiments.create_experiment(
            session, project_key, plan, actor=current_caller().actor, now=now()
        )
        return answer(session, project_key, experiment, status=201)


@blueprint.get(ITEM)
@needs(Role.VIEWER)
def get_experiment(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Return an experiment with its plan and where it stands."""
    with reading() as session:
        return answer(session, project_key, _find(session, project_key, experiment_key))


@blueprint.post(f"{ITEM}/<any(seal, start, confirm):verb>")
@needs(Role.EDITOR)
@idempotent()
def advance_experiment(project_key: str, experiment_key: str, verb: str) -> ResponseReturnValue:
    """Freeze the plan, serve the first step of the ramp, or (the customer) ship what was proven."""
    read_body(NoBody)
    step = {"seal": experiments.seal, "start": experiments.start, "confirm": experiments.confirm}
    with transaction() as session:
        environment_key = environment_of(session, project_key, experiment_key)
        experiment = step[verb](
            session,
            project_key,
            environment_key,
            experiment_key,
            actor=current_caller().actor,
            now=now(),
        )
        return answer(session, project_key, experiment)


@blueprint.post(f"{ITEM}/stop")
@needs(Role.EDITOR)
@idempotent()
def stop_experiment(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Stop an experiment with a reason; whoever was served gets control."""
    body = read_body(StopBody)
    with transaction() as session:
        environment_key = environment_of(session, project_key, experiment_key)
        experiment = experiments.stop(
            session,
            project_key,
            environment_key,
            experiment_key,
            reason=body.reason,
            actor=current_caller().actor,
            now=now(),
        )
        return answer(session, project_key, experiment)


@blueprint.get(f"{ITEM}/forecast")
@needs(Role.VIEWER)
def get_forecast(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Return what the plan can prove and how often it errs; ``pending`` until the worker knows."""
    with reading() as session:
        experiment = _find(session, project_key, experiment_key)
        return document(feasibility.forecast_document(session, experiment))


@blueprint.post(f"{ITEM}/accept")
@needs(Role.EDITOR)
@idempotent()
def accept_risks(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Let the customer, signed in, start a sealed plan in spite of a risk."""
    body = read_body(AcceptBody)
    with transaction() as session:
        environment_key = environment_of(session, project_key, experiment_key)
        experiment = experiments.accept(
            session,
            project_key,
            environment_key,
            experiment_key,
            risks=body.risks,
            actor=current_caller().actor,
            now=now(),
        )
        return answer(session, project_key, experiment)


@blueprint.get(f"{ITEM}/looks")
@needs(Role.VIEWER)
def list_looks(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """List every look, oldest first, with the sums it read and what it decided."""
    with reading() as session:
        experiment = _find(session, project_key, experiment_key)
        every = [
            *experiments.looks(session, experiment),
            *experiments.comparisons(session, experiment),
        ]
        every.sort(key=lambda look: look.number)
        return document(page([_look(each) for each in every], None))


@blueprint.get(f"{ITEM}/card.txt")
@needs(Role.VIEWER)
def get_card(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Return the verdict card as plain text."""
    with reading() as session:
        experiment = _find(session, project_key, experiment_key)
        card = experiments.get_card(session, experiment, now=now())
    return Response(card_text(card) + "\n", content_type="text/plain; charset=utf-8")


@blueprint.get(f"{ITEM}/results.csv")
@needs(Role.VIEWER)
def get_results_csv(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Return one row per look, metric and treatment; with ``by=segment`` also per segment."""
    query = read_query(ResultsQuery)
    write = results_csv if query.by is None else segments_csv
    text = write(_results(project_key, experiment_key, query))
    return Response(text, content_type="text/csv; charset=utf-8")


@blueprint.get(f"{ITEM}/results.json")
@needs(Role.VIEWER)
def get_results(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Return plan, looks, sums, tests and hashes as tables for a notebook."""
    return document(results_document(_results(project_key, experiment_key)))


def _results(
    project_key: str, experiment_key: str, query: ExperimentQuery | None = None
) -> Results:
    with reading() as session:
        environment_key = environment_of(session, project_key, experiment_key, query)
        experiment = experiments.get_experiment(
            session, project_key, environment_key, experiment_key
        )
        return read_results(session, experiment, now=now())


@blueprint.get(f"{ITEM}/record")
@needs(Role.VIEWER)
def get_record(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Return the decision records, for ``flagstone verify``."""
    with reading() as session:
        experiment = _find(session, project_key, experiment_key)
        return document(experiments.export_record(session, experiment))


def _find(session: Session, project_key: str, experiment_key: str) -> Experiment:
    environment_key = environment_of(session, project_key, experiment_key)
    return experiments.get_experiment(session, project_key, environment_key, experiment_key)


def environment_of(
    session: Session,
    project_key: str,
    experiment_key: str,
    query: ExperimentQuery | None = None,
) -> str:
    """Return the environment that is asked for, or else the only one with such an experiment."""
    query = query or read_query(ExperimentQuery)
    if query.environment is not None:
        return services.get_environment(session, project_key, query.environment).key
    names = environment_names(session, project_key)
    found = [
        names[each.environment_id]
        for each in finding.find_experiments(
            session, project_key, finding.Wanted(key=experiment_key)
        )
    ]
    if not found:
        message = f"there is no experiment {experiment_key!r}"
        raise NotFoundError(message, field="experiment")
    if len(found) > 1:
        message = f"several environments have an experiment {experiment_key!r}"
        hint = f"add ?environment= with one of {', '.join(sorted(found))}"
        raise InvalidInputError(message, field="environment", hint=hint)
    return found[0]


def environment_names(session: Session, project_key: str) -> dict[int, str]:
    """Give the key of every environment by its id."""
    return {e.id or 0: e.key for e in services.list_environments(session, project_key)}


def answer(
    session: Session, project_key: str, experiment: Experiment, *, status: int = 200
) -> Response:
    """Answer with an experiment, its plan and where it stands."""
    names = environment_names(session, project_key)
    body = show_experiment(experiment, names, count_looks(session, [experiment]))
    body["plan"] = experiment.plan
    newer = experiments.newer_metrics(session, experiment)
    body["newer_metrics"] = newer
    # The catalogue moves while the draft does not.
    moved = "".join(f"-{each['metric']}.{each['newest']}" for each in newer)
    return document(body, status=status, etag=f"{experiment.version}{moved}")


def show_experiment(
    experiment: Experiment, names: dict[int, str], look_counts: dict[int, int]
) -> dict[str, Any]:
    """Give an experiment as it is listed: where it stands, without its plan."""
    return {
        "key": experiment.key,
        "flag": experiment.flag_key,
        "environment": names[experiment.environment_id],
        "state": experiment.state,
        "verdict": experiment.verdict,
        "winner": experiment.winner,
        "sentence": experiment.note,
        "coverage": experiment.coverage,
        "dropped": experiment.dropped,
        "looks": look_counts.get(experiment.id or 0, 0),
        "plan_hash": experiment.plan_hash,
        "created_at": experiment.created_at,
        "sealed_at": experiment.sealed_at,
        "started_at": experiment.started_at,
        "next_look_at": experiment.next_look_at,
        "next_ramp_at": experiment.next_ramp_at,
        "verdict_at": experiment.verdict_at,
        "confirm_by": experiment.confirm_by,
        "explain_by": experiment.explain_by,
        "ended_at": experiment.ended_at,
        "closed_at": experiment.closed_at,
        "verdicts": experiment.verdicts,
        "held_cause": experiment.held_cause,
        "extension_seconds": experiment.extension_seconds,
        "override": experiment.override,
        "request": experiment.request,
        "realised": experiment.realised,
    }


def _look(look: Look) -> dict[str, Any]:
    return {
        "number": look.number,
        "at": look.at,
        "verdict": look.verdict,
        "data": look.data,
        "decision": look.decision,
    }
