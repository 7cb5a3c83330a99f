"""Sources: the engines on which a project's experiments may be analysed."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask.typing import ResponseReturnValue

from experiments.models import SourceRow
from experiments.sources import services as sources
from web.api.blueprint import blueprint
from web.api.render import WholeQuery, document, upon_expected
from web.api.shapes import SOURCE, list_of
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import Query, read_object, read_query
from web.contract import Document, gives, takes
from web.transactions import reading, transaction

_ITEM = "/projects/<project_key>/sources/<source_key>"
SOURCE_DOCUMENT = Document("SourceDocument", "Where rows are found: its kind, and url_env.")


@blueprint.get("/projects/<project_key>/sources")
@needs(Role.VIEWER)
@takes(query=WholeQuery)
@gives(list_of(SOURCE))
def list_sources(project_key: str) -> ResponseReturnValue:
    """List a project's sources by key."""
    query = read_query(WholeQuery)
    with reading() as session:
        items = [_show(row) for row in sources.list_sources(session, project_key)]
    return document(query.page(items))


@blueprint.get(_ITEM)
@needs(Role.VIEWER)
@gives(SOURCE, etag=True)
def get_source(project_key: str, source_key: str) -> ResponseReturnValue:
    """Return a source; its ETag is its version."""
    read_query(Query)
    with reading() as session:
        row = sources.get_source(session, project_key, source_key)
        return document(_show(row), etag=row.version)


@blueprint.put(_ITEM)
@needs(Role.ADMIN)
@takes(body=SOURCE_DOCUMENT, if_match=True)
@gives(SOURCE, 200, 201, etag=True)
def put_source(project_key: str, source_key: str) -> ResponseReturnValue:
    """Declare a source, or write it anew: the body is its document."""
    body = read_object()
    with transaction() as session:
        row, is_new = sources.put_source(session, project_key, source_key, body, **upon_expected())
        return document(_show(row), status=201 if is_new else 200, etag=row.version)


@blueprint.delete(_ITEM)
@needs(Role.ADMIN)
@takes(if_match=True)
@gives(None, 204)
def delete_source(project_key: str, source_key: str) -> ResponseReturnValue:
    """Forget a source that no sealed experiment needs."""
    with transaction() as session:
        sources.delete_source(session, project_key, source_key, **upon_expected())
    return Response(status=204)


def _show(row: SourceRow) -> dict[str, Any]:
    return {
        **row.document,
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
