"""A metric written in a form: new, its next version, what it would measure; out of use and back."""

from __future__ import annotations

from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from experiments.catalogue import services as catalogue
from experiments.catalogue.definition import measures, parse_entry
from experiments.catalogue.views import metric_document
from experiments.contract.metric import Metric
from flags import services
from flags.errors import FlagstoneError, InvalidInputError, NotFoundError
from flags.revisions import lock_project
from web.auth.guard import current_caller, needs, who_and_when
from web.auth.roles import Role
from web.console.base import back_to, blueprint, place, seen_version, show, status_of
from web.console.metric_form import (
    BY_NAME,
    DESCRIPTION,
    DIRECTION,
    KINDS,
    OWNER,
    SQL,
    Kind,
    document_of,
    fields_of,
    form_of,
)
from web.event_store import seen_events
from web.transactions import now, reading, transaction

_PLACE = "/projects/<project_key>/environments/<environment_key>"
_ONE = f"{_PLACE}/metrics/<metric_key>"
_MOST_NAMES = 200


@blueprint.get(f"{_PLACE}/new-metric")
@needs(Role.EDITOR, of="project")
def new_metric(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Ask for a metric: first which kind, then what it counts."""
    kind = _kind(request.args.get("kind", KINDS[0].name))
    form = {"owner": current_caller().actor.name, "window": "7d"}
    form["event"] = request.args.get("event", "")[:256]
    return _page(project_key, environment_key, kind, form)


@blueprint.post(f"{_PLACE}/new-metric")
@needs(Role.EDITOR, of="project")
def create_metric(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Add a metric, or say what it would measure."""
    return _write(project_key, environment_key, None)


@blueprint.get(f"{_ONE}/edit")
@needs(Role.EDITOR, of="project")
def edit_metric(project_key: str, environment_key: str, metric_key: str) -> ResponseReturnValue:
    """Ask for the next version of a metric."""
    with reading() as session:
        metric = metric_document(catalogue.get_metric(session, project_key, metric_key))
    kind = _kind(request.args.get("kind", metric["definition"]["kind"]))
    form = form_of(metric["definition"])
    form |= {"owner": metric["owner"], "description": metric["description"]}
    form["version"] = str(metric["version"])
    return _page(project_key, environment_key, kind, form, metric_key=metric_key)


@blueprint.post(f"{_ONE}/edit")
@needs(Role.EDITOR, of="project")
def write_metric(project_key: str, environment_key: str, metric_key: str) -> ResponseReturnValue:
    """Write the next version of a metric, or say what it would measure."""
    return _write(project_key, environment_key, metric_key)


@blueprint.post(f"{_ONE}/<any(archive, unarchive):verb>")
@needs(Role.EDITOR, of="project")
def archive_metric(
    project_key: str, environment_key: str, metric_key: str, verb: str
) -> ResponseReturnValue:
    """Take a metric out of use for new plans, or back."""
    with transaction() as session:
        catalogue.set_archived(
            session,
            project_key,
            metric_key,
            archived=verb == "archive",
            expected_version=seen_version(),
            **who_and_when(),
        )
    return back_to(_address(project_key, environment_key, metric_key))


def _write(project_key: str, environment_key: str, metric_key: str | None) -> ResponseReturnValue:
    form = request.form.to_dict()
    kind = _kind(form.get("kind", ""))
    key = form.get("key", "").strip() if metric_key is None else metric_key
    document = document_of(kind, form)
    try:
        if form.get("preview"):
            metric = parse_entry(key or "new", document).metric
            return _page(
                project_key, environment_key, kind, form, metric_key=metric_key, metric=metric
            )
        with transaction() as session:
            if metric_key is None:
                _refuse_known(session, project_key, key)
            row, _ = catalogue.put_metric(
                session,
                project_key,
                key,
                document,
                expected_version=None if metric_key is None else seen_version(),
                **who_and_when(),
            )
            written = row.key
    except FlagstoneError as error:
        return _page(project_key, environment_key, kind, form, metric_key=metric_key, problem=error)
    return back_to(_address(project_key, environment_key, written))


def _refuse_known(session: Session, project_key: str, key: str) -> None:
    """Refuse the name of a metric that is there: it would become the next version of that."""
    project_id = lock_project(session, project_key).id
    row = catalogue.find_metric(session, project_id or 0, key)
    if row is not None:
        state = ", archived" if row.archived else ""
        raise InvalidInputError(
            f"there is a metric {key!r} already{state}",
            field="key",
            hint="choose another name, or edit that one",
        )


def _kind(name: str) -> Kind:
    if name not in BY_NAME:
        message = f"there is no kind of metric {name[:40]!r}"
        raise NotFoundError(message, field="kind", hint=f"one of {', '.join(BY_NAME)}")
    return BY_NAME[name]


def _address(project_key: str, environment_key: str, metric_key: str) -> str:
    return url_for(
        "console.show_metric",
        project_key=project_key,
        environment_key=environment_key,
        metric_key=metric_key,
    )


def _page(
    project_key: str,
    environment_key: str,
    kind: Kind,
    form: dict[str, str],
    *,
    metric_key: str | None = None,
    metric: Metric | None = None,
    problem: FlagstoneError | None = None,
) -> ResponseReturnValue:
    with reading() as session:
        place(session, project_key, environment_key)
        environments = services.list_environments(session, project_key)
    seen = seen_events([each.id for each in environments if each.id is not None], now=now()) or {}
    wrong = None if problem is None else (problem.field or "").partition("[")[0]
    return show(
        "metrics/edit.html",
        status=status_of(problem),
        kinds=KINDS,
        kind=kind,
        fields=kind.fields,
        common=(DIRECTION, OWNER, DESCRIPTION),
        sql=SQL,
        known={"key", *(each.name for each in fields_of(kind))},
        form=form,
        metric_key=metric_key,
        names=sorted(seen, key=lambda name: -seen[name])[:_MOST_NAMES],
        measured=None if metric is None else measures(metric),
        counted=_counted(metric, seen),
        problem=problem,
        wrong=wrong,
    )


def _counted(metric: Metric | None, seen: dict[str, int]) -> list[dict[str, Any]]:
    """Say how often each event that a metric needs came in lately."""
    if metric is None or metric.sql is not None:
        return []
    names = [*metric.reading.steps, *metric.events]
    if metric.ratio is not None:
        names += metric.ratio.denominator_events
    return [{"name": each, "count": seen.get(each, 0)} for each in dict.fromkeys(names)]
