"""What was done: revisions, and the audit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from flask.typing import ResponseReturnValue
from pydantic import Field
from sqlmodel import Session

from flags import services
from flags.audit import entries, entry_document, export_page
from flags.audit_search import AUDIT_FIELDS, audit_conditions
from flags.diff import differences
from flags.errors import InvalidInputError
from flags.filters import MAX_FILTER_LENGTH, parse_filter
from flags.models import AuditEntry, Prediction, Revision
from flags.predictions import PARTS, find_predictions, prediction_document, predictions_of
from flags.revisions import get_revision as find_revision
from flags.revisions import list_revisions as find_revisions
from flags.revisions import load_flag_set
from web.api.blueprint import blueprint
from web.api.render import PageQuery, document, page
from web.api.shapes import AUDIT_ENTRY, OBJECT, PREDICTION, REVISION, WHOLE_REVISION, list_of
from web.auth.guard import current_caller, needs
from web.auth.roles import Role
from web.body import Query, read_query
from web.contract import gives, takes
from web.transactions import now, reading

_ENTRY = re.compile(r"(-?\d{1,15}) (.{1,32})", re.DOTALL)
_REVISIONS = "/projects/<project_key>/environments/<environment_key>/revisions"


class HistoryQuery(PageQuery):
    """Which entries: those of one environment, or all."""

    environment: Annotated[str, Field(max_length=64)] | None = None


class AuditQuery(HistoryQuery):
    """Which entries: those about one resource (``flag:checkout``), those of a filter, or all."""

    filter: Annotated[str, Field(max_length=MAX_FILTER_LENGTH)] = ""
    resource: Annotated[str, Field(max_length=320)] | None = None


class ExportQuery(PageQuery):
    """Which page of the export."""

    def after_entry(self) -> tuple[str, int] | None:
        """Return chain and number of the entry that the previous page ended with."""
        text = self.after()
        if text is None:
            return None
        match = _ENTRY.fullmatch(text)
        if match is None:
            message = "the cursor is not one that this list gave"
            raise InvalidInputError(message, field="cursor")
        return match[2], int(match[1])


class PredictionQuery(PageQuery):
    """Which predictions: with ``alarm`` only those from which what was seen parts."""

    alarm: bool = False


class RevisionQuery(Query):
    """With ``diff``, what changed since that revision instead of the whole flag set."""

    diff: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None


@blueprint.get("/projects/<project_key>/audit")
@needs(Role.VIEWER)
@takes(query=AuditQuery)
@gives(list_of(AUDIT_ENTRY))
def list_audit(project_key: str) -> ResponseReturnValue:
    """List who changed what, when, before and after, and why, newest first."""
    query = read_query(AuditQuery)
    with reading() as session:
        project = services.get_project(session, project_key)
        environment_id = None
        if query.environment is not None:
            environment_id = services.get_environment(session, project_key, query.environment).id
        assert project.id is not None
        asked = parse_filter(query.filter, AUDIT_FIELDS, now=now())
        me = str(current_caller().actor)
        found = entries(
            session,
            project.id,
            environment_id=environment_id,
            resource=query.resource,
            where=audit_conditions(session, project_key, asked, me=me),
            before_id=query.after_number(),
            limit=query.limit + 1,
        )
        return document(entry_page(session, found, query.limit))


@blueprint.get("/projects/<project_key>/audit/export")
@needs(Role.VIEWER)
@takes(query=ExportQuery)
@gives(list_of(OBJECT))
def export_audit(project_key: str) -> ResponseReturnValue:
    """Return every entry with all that its hash covers, chain after chain, oldest first."""
    query = read_query(ExportQuery)
    with reading() as session:
        project = services.get_project(session, project_key)
        assert project.id is not None
        found, after = export_page(
            session, project.id, after=query.after_entry(), limit=query.limit
        )
    return document(page(found, None if after is None else f"{after[1]} {after[0]}"))


@blueprint.get("/projects/<project_key>/environments/<environment_key>/predictions")
@needs(Role.VIEWER)
@takes(query=PredictionQuery)
@gives(list_of(PREDICTION))
def list_predictions(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List whom revisions were said to move and whom they did, newest first."""
    query = read_query(PredictionQuery)
    with reading() as session:
        environment = services.get_environment(session, project_key, environment_key)
        states = {"states": [PARTS]} if query.alarm else {}
        found = find_predictions(
            session,
            environment.id or 0,
            before=query.after_number(),
            limit=query.limit + 1,
            **states,
        )
    shown, more = found[: query.limit], len(found) > query.limit
    items = [prediction_document(each) for each in shown]
    return document(page(items, shown[-1].revision if more else None))


@blueprint.get(_REVISIONS)
@needs(Role.VIEWER)
@takes(query=PageQuery)
@gives(list_of(REVISION))
def list_revisions(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List an environment's revisions, newest first."""
    query = read_query(PageQuery)
    with reading() as session:
        environment = services.get_environment(session, project_key, environment_key)
        assert environment.id is not None
        found = find_revisions(
            session, environment.id, before=query.after_number(), limit=query.limit + 1
        )
    shown, more = found[: query.limit], len(found) > query.limit
    return document(page([_revision(r) for r in shown], shown[-1].number if more else None))


@blueprint.get(f"{_REVISIONS}/<int(max=2147483647):number>")
@needs(Role.VIEWER)
@takes(query=RevisionQuery)
@gives(WHOLE_REVISION)
def get_revision(project_key: str, environment_key: str, number: int) -> ResponseReturnValue:
    """Return a revision with its flag set, or with what changed since another (``?diff=``)."""
    query = read_query(RevisionQuery)
    with reading() as session:
        environment = services.get_environment(session, project_key, environment_key)
        assert environment.id is not None
        body = _revision(find_revision(session, environment.id, number))
        flag_set = load_flag_set(session, environment.id, number)
        if query.diff is None:
            body["flag_set"] = flag_set
        else:
            earlier = load_flag_set(session, environment.id, query.diff)
            before, after = differences(earlier, flag_set)
            body["diff"] = {"since": query.diff, "before": before, "after": after}
    return document(body)


def entry_page(session: Session, found: Sequence[AuditEntry], limit: int) -> dict[str, Any]:
    """Return a page of audit entries, of which there may be one more than fits.

    Where it is known, each says whether its revision moved as many as was predicted.
    """
    shown, more = found[:limit], len(found) > limit
    known = predictions_of(session, [(each.environment_id, each.revision) for each in shown])
    return page(
        [_entry(entry, known) for entry in shown],
        shown[-1].id if more else None,
    )


def _entry(entry: AuditEntry, known: Mapping[tuple[int, int], Prediction]) -> dict[str, Any]:
    said: dict[str, Any] = {"id": entry.id, **entry_document(entry)}
    found = known.get((entry.environment_id or 0, entry.revision or 0))
    if found is not None:
        said["prediction"] = prediction_document(found)
    return said


def _revision(revision: Revision) -> dict[str, Any]:
    return {
        "number": revision.number,
        "etag": revision.etag,
        "actor": revision.actor,
        "comment": revision.comment,
        "created_at": revision.created_at,
    }
