"""The metric catalogue: what is measured, how small an effect it shows, which demand is failure."""

from __future__ import annotations

from flask import request, url_for
from flask.typing import ResponseReturnValue

from experiments.catalogue import demand
from experiments.catalogue import services as catalogue
from experiments.catalogue.usage import counts_of_use, uses_of
from experiments.catalogue.views import metric_document, sensitivity_document, version_document
from flags import services
from flags.errors import FlagstoneError
from web.auth.guard import current_caller, needs, who_and_when
from web.auth.roles import Role
from web.console.base import back_to, blueprint, place, show, status_of, wants_fragment
from web.event_store import seen_events
from web.transactions import now, reading, transaction

_METRICS = "/projects/<project_key>/environments/<environment_key>/metrics"
MOST_UNCLASSIFIED = 50


@blueprint.get(_METRICS)
@needs(Role.VIEWER)
def list_metrics(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List the catalogue, and the demand classes of events."""
    return _page(project_key, environment_key)


@blueprint.post(_METRICS)
@needs(Role.EDITOR, of="project")
def classify_event(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Say what kind of demand an event is."""
    form = request.form.to_dict()
    try:
        with transaction() as session:
            demand.set_event_type(
                session, project_key, form.get("name", ""), form.get("demand", ""), **who_and_when()
            )
    except FlagstoneError as error:
        return _page(project_key, environment_key, form=form, problem=error)
    page = url_for("console.list_metrics", project_key=project_key, environment_key=environment_key)
    return back_to(f"{page}#events")


@blueprint.post(f"{_METRICS}/guardrail")
@needs(Role.EDITOR, of="project")
def add_guardrail(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Add the simplest guardrail: fewer people with an event within a day is better."""
    form = request.form.to_dict()
    event = form.get("event", "").strip()
    document = {
        "kind": "conversion",
        "event": event,
        "window": "1d",
        "direction": "down",
        "owner": current_caller().actor.name,
    }
    # The key is said in addresses, the event by whoever sends it.
    letters = (letter if letter.isascii() and letter.isalnum() else "-" for letter in event.lower())
    key = "-".join(part for part in "".join(letters).split("-") if part)[:64] or "guardrail"
    try:
        with transaction() as session:
            catalogue.put_metric(session, project_key, key, document, **who_and_when())
    except FlagstoneError as error:
        return _page(project_key, environment_key, form=form, problem=error)
    return back_to(
        url_for("console.list_metrics", project_key=project_key, environment_key=environment_key)
    )


@blueprint.get(f"{_METRICS}/<metric_key>")
@needs(Role.VIEWER)
def show_metric(project_key: str, environment_key: str, metric_key: str) -> ResponseReturnValue:
    """Show a metric: what it measures, its versions, and what experiments found of it."""
    with reading() as session:
        place(session, project_key, environment_key)
        row = catalogue.get_metric(session, project_key, metric_key)
        found = catalogue.sensitivities(session, [row]).get(row.key)
        history = [version_document(each) for each in catalogue.metric_history(session, row)]
        uses = uses_of(session, row)
        metric = metric_document(row)
    return show(
        "metrics/_value.html" if wants_fragment() else "metrics/page.html",
        metric=metric,
        is_read=metric["archived"] or (found and found.metric_version == metric["version"]),
        sensitivity=sensitivity_document(found),
        history=history,
        uses=uses,
    )


def _page(
    project_key: str,
    environment_key: str,
    *,
    form: dict[str, str] | None = None,
    problem: FlagstoneError | None = None,
) -> ResponseReturnValue:
    archived = request.args.get("archived") == "true"
    with reading() as session:
        place(session, project_key, environment_key)
        rows = catalogue.list_metrics(session, project_key, archived=archived)
        found = catalogue.sensitivities(session, rows)
        uses = counts_of_use(session, project_key)
        types = demand.list_event_types(session, project_key)
        environments = services.list_environments(session, project_key)
        metrics = [
            (metric_document(row), uses.get(row.key, 0), sensitivity_document(found.get(row.key)))
            for row in rows
        ]
    seen = seen_events([each.id for each in environments if each.id is not None], now=now())
    known = {each.name for each in types}
    unclassified = [(name, count) for name, count in (seen or {}).items() if name not in known]
    unclassified.sort(key=lambda each: (-each[1], each[0]))
    return show(
        "metrics/list.html",
        status=status_of(problem),
        metrics=metrics,
        archived=archived,
        types=types,
        unclassified=unclassified[:MOST_UNCLASSIFIED],
        more_unclassified=max(0, len(unclassified) - MOST_UNCLASSIFIED),
        form=form or {},
        problem=problem,
    )
