"""The value ledger and the outcomes: read only, since both are computed."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from flask.typing import ResponseReturnValue
from pydantic import Field

from experiments.people.outcomes import as_documents, outcomes
from experiments.value import ledger
from flags import services
from web.api.blueprint import blueprint
from web.api.render import PageQuery, WholeQuery, document, page
from web.api.shapes import LEDGER_ENTRY, OBJECTS, OUTCOME, TEXT, list_of
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import read_query
from web.contract import gives, takes
from web.transactions import now, reading


class LedgerQuery(PageQuery):
    """Which entries."""

    experiment: Annotated[str, Field(max_length=64)] | None = None


@blueprint.get("/projects/<project_key>/ledger")
@needs(Role.VIEWER)
@takes(query=LedgerQuery)
@gives(list_of(LEDGER_ENTRY, balances=OBJECTS, waterfalls=OBJECTS))
def list_ledger(project_key: str) -> ResponseReturnValue:
    """List entries, newest first, with balances and what became of every promise."""
    query = read_query(LedgerQuery)
    with reading() as session:
        project_id = services.get_project(session, project_key).id or 0
        found = ledger.entries(
            session,
            project_id,
            experiment_key=query.experiment,
            before_number=query.after_number(),
            limit=query.limit + 1,
        )
        items = ledger.documents(session, found[: query.limit])
        sums = ledger.balances(session, project_id, now=now())
        falls = ledger.waterfalls(session, project_id)
    more = items[-1]["number"] if len(found) > query.limit else None
    body: dict[str, Any] = page(items, more)
    body["balances"] = [vars(each) for each in sums]
    body["waterfalls"] = [vars(each) for each in falls]
    return document(body)


@blueprint.get("/projects/<project_key>/ledger.csv")
@needs(Role.VIEWER)
@gives(TEXT, media_type="text/csv")
def download_ledger(project_key: str) -> ResponseReturnValue:
    """Return the whole ledger as CSV, oldest entry first."""
    with reading() as session:
        project_id = services.get_project(session, project_key).id or 0
        rows = ledger.entries(session, project_id, limit=None)[::-1]
        text = ledger.as_csv(ledger.documents(session, rows))
    return Response(text, content_type="text/csv; charset=utf-8")


@blueprint.get("/projects/<project_key>/outcomes")
@needs(Role.VIEWER)
@takes(query=WholeQuery)
@gives(list_of(OUTCOME))
def list_outcomes(project_key: str) -> ResponseReturnValue:
    """List what was achieved, each number with its definition and its cases."""
    query = read_query(WholeQuery)
    with reading() as session:
        project_id = services.get_project(session, project_key).id or 0
        found = as_documents(outcomes(session, project_id, now=now()))
    return document(query.page([dict(each) for each in found], None))
