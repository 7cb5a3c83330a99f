"""Who changed what, when and why."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from flags import audit, services
from flags.audit_search import AUDIT_FIELDS, audit_conditions
from flags.errors import FlagstoneError
from flags.filters import MAX_FILTER_LENGTH, parse_filter
from flags.models import AuditEntry
from flags.predictions import predictions_of
from web.auth.guard import current_caller, needs
from web.auth.roles import Role
from web.console.base import before_number, blueprint, place, show, status_of
from web.transactions import now, reading

PAGE = 50


@blueprint.get("/projects/<project_key>/environments/<environment_key>/audit")
@needs(Role.VIEWER)
def show_audit(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List what was done in the project, newest first, or what a filter asks for."""
    before = before_number()
    text = request.args.get("filter", "").strip()[:MAX_FILTER_LENGTH]
    problem = None
    found: list[AuditEntry] = []
    with reading() as session:
        environment = place(session, project_key, environment_key)
        try:
            asked = parse_filter(text, AUDIT_FIELDS, now=now())
            me = str(current_caller().actor)
            found = audit.entries(
                session,
                environment.project_id,
                where=audit_conditions(session, project_key, asked, me=me),
                before_id=before,
                limit=PAGE + 1,
            )
        except FlagstoneError as error:
            problem = error
        predictions = predictions_of(
            session, [(each.environment_id, each.revision) for each in found[:PAGE]]
        )
        names = {each.id: each.key for each in services.list_environments(session, project_key)}
    more = found[PAGE - 1].id if len(found) > PAGE else None
    return show(
        "audit.html",
        status=status_of(problem),
        entries=found[:PAGE],
        more=more,
        before=before,
        names=names,
        search=text,
        fields=AUDIT_FIELDS,
        problem=problem,
        predictions=predictions,
    )
