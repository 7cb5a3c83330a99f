"""The metric catalogue: what is measured, said once for all plans."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from experiments.catalogue import services as catalogue
from experiments.catalogue.models import MetricRow
from experiments.catalogue.usage import counts_of_use, uses_of
from experiments.catalogue.views import (
    metric_document,
    sensitivity_document,
    version_document,
)
from web.api.blueprint import blueprint
from web.api.idempotency import idempotent
from web.api.render import WholeQuery, document, upon_expected
from web.api.shapes import LISTED_METRIC, METRIC, METRIC_USE, METRIC_WITH_HISTORY, list_of
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import NoBody, Query, read_body, read_object, read_query
from web.contract import Document, gives, takes
from web.transactions import reading, transaction

_ITEM = "/projects/<project_key>/metrics/<metric_key>"
METRIC_DOCUMENT = Document("MetricDocument", "A metric as a plan would declare it, with its owner.")


class ListQuery(WholeQuery):
    """Which metrics: those in use, or those that were archived."""

    archived: bool = False


@blueprint.get("/projects/<project_key>/metrics")
@needs(Role.VIEWER)
@takes(query=ListQuery)
@gives(list_of(LISTED_METRIC))
def list_metrics(project_key: str) -> ResponseReturnValue:
    """List the catalogue by key."""
    query = read_query(ListQuery)
    with reading() as session:
        rows = catalogue.list_metrics(session, project_key, archived=query.archived)
        found = catalogue.sensitivities(session, rows)
        uses = counts_of_use(session, project_key)
        items = [
            {
                **metric_document(row),
                "experiments": uses.get(row.key, 0),
                "sensitivity": sensitivity_document(found.get(row.key)),
            }
            for row in rows
        ]
    return document(query.page(items))


@blueprint.get(_ITEM)
@needs(Role.VIEWER)
@gives(METRIC_WITH_HISTORY, etag=True)
def get_metric(project_key: str, metric_key: str) -> ResponseReturnValue:
    """Return a metric with all its versions; its ETag is the newest one."""
    read_query(Query)
    with reading() as session:
        row = catalogue.get_metric(session, project_key, metric_key)
        history = [version_document(each) for each in catalogue.metric_history(session, row)]
        return document({**metric_document(row), "history": history}, etag=row.version)


@blueprint.get(f"{_ITEM}/use")
@needs(Role.VIEWER)
@gives(METRIC_USE)
def get_use(project_key: str, metric_key: str) -> ResponseReturnValue:
    """Return the experiments that used a metric with what they found, and how sensitive it is."""
    read_query(Query)
    with reading() as session:
        row = catalogue.get_metric(session, project_key, metric_key)
        found = catalogue.sensitivities(session, [row]).get(row.key)
        uses = [use.to_document() for use in uses_of(session, row)]
    return document({"experiments": uses, "sensitivity": sensitivity_document(found)})


@blueprint.put(_ITEM)
@needs(Role.EDITOR)
@takes(body=METRIC_DOCUMENT, if_match=True)
@gives(METRIC, 200, 201, etag=True)
def put_metric(project_key: str, metric_key: str) -> ResponseReturnValue:
    """Add a metric, or write its next version: the body is its document."""
    body = read_object()
    with transaction() as session:
        row, is_new = catalogue.put_metric(
            session, project_key, metric_key, body, **upon_expected()
        )
        return _answer(row, status=201 if is_new else 200)


@blueprint.post(f"{_ITEM}/<any(archive, unarchive):verb>")
@needs(Role.EDITOR)
@idempotent()
@takes(if_match=True)
@gives(METRIC, etag=True)
def archive_metric(project_key: str, metric_key: str, verb: str) -> ResponseReturnValue:
    """Take a metric out of use for new plans, or back."""
    read_body(NoBody)
    with transaction() as session:
        row = catalogue.set_archived(
            session, project_key, metric_key, archived=verb == "archive", **upon_expected()
        )
        return _answer(row)


def _answer(row: MetricRow, *, status: int = 200) -> ResponseReturnValue:
    return document(metric_document(row), status=status, etag=row.version)
